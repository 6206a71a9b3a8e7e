from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_release import write_release

from lincfa.cfa import CFA, XTRANS
from lincfa.describe import camera, draw, failure, frame_lines, model_lines
from lincfa.evaluate import LIBRAW_MODELS
from lincfa.raw import read_raw
from lincfa.rawwriter import expose, write_dng, write_raf
from lincfa.released import released_models

ROOT = Path(__file__).resolve().parents[1]


def frame_of(path, cfa, **options):
    write, black = write_raf if path.suffix == ".RAF" else write_dng, (1000, 1024, 1100)
    write(path, expose(np.full((96, 120, 3), 0.3), cfa, black=black), cfa, black=black, **options)
    return read_raw(path)


@pytest.mark.parametrize("phase", [(0, 0), (2, 4)])
def test_what_is_known_of_a_raf_is_what_was_written(tmp_path, phase):
    write_release(tmp_path, "tiny", "xtrans", gmac=0.1)
    frame = frame_of(tmp_path / "a.RAF", XTRANS.shift(*phase), white_balance=(2.0, 1.0, 1.5), iso=800)
    lines = dict(frame_lines(frame, tmp_path))
    assert lines["camera"] == "FUJIFILM X-T2"
    assert lines["size"] == "120 x 96 photosites (0.0 MP)"
    assert lines["CFA"] == f"X-Trans, phase (row, column) {phase}"
    assert lines[""].plain.replace(" ", "").split("\n") == str(XTRANS.shift(*phase)).replace(" ", "").split("\n")
    assert lines["levels"] == "black 1000 1024 1100 (R G B), white 16383"
    assert lines["white balance"] == "R 2.000 G 1.000 B 1.500 (camera)"
    assert lines["ISO"] == "800"
    assert lines["model"] == "auto takes tiny"


def test_what_a_file_does_not_say_is_not_invented(tmp_path):
    frame = replace(frame_of(tmp_path / "a.dng", CFA.parse("RGGB"), orientation=6), make="", model="", iso=None)
    lines = dict(frame_lines(frame, tmp_path))
    assert (lines["camera"], lines["ISO"]) == ("unknown camera", "not in the file")
    assert lines["orientation"] == "6 (turn right to view)"
    assert lines["noise"] == "too few blocks that do not clip to tell"


def test_no_model_is_promised_for_a_pattern_that_none_can_take(tmp_path):
    frame = frame_of(tmp_path / "a.RAF", XTRANS)
    quad = CFA.from_tile(np.kron([[0, 1], [1, 2]], np.ones((2, 2), int)))
    assert dict(frame_lines(replace(frame, cfa=quad)))["model"] == "none: neither X-Trans nor Bayer"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("in/a.RAF: truncated\nat 0"), "truncated"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (ValueError(), "ValueError"),
        (PermissionError(13, "Permission denied", "in/a.RAF"), "cannot read it (Permission denied)"),
        (OSError(28, "No space left on device"), "cannot write out/a.dng (No space left on device)"),
    ],
)
def test_whatever_went_wrong_is_one_line_that_names_the_file_once(error, said):
    assert failure(error, Path("in/a.RAF"), Path("out/a.dng")) == f"in/a.RAF: {said}"


def test_a_file_that_was_only_to_be_read_is_never_said_to_be_unwritable():
    assert failure(OSError(5, "Input/output error"), Path("a.RAF")) == "a.RAF: cannot read it (Input/output error)"


def test_letters_have_their_colour():
    text = draw(CFA.parse("RGGB"))
    styles = {text.plain[s.start : s.end].strip(): s.style.split()[-1] for s in text.spans}
    assert styles == {"R": "red", "G": "green", "B": "blue"}


@pytest.mark.parametrize(
    ("make", "model", "said"),
    [("FUJIFILM", "X-T2", "FUJIFILM X-T2"), ("Canon", "Canon EOS 5D", "Canon EOS 5D"), ("NIKON", "", "NIKON")],
)
def test_a_makers_name_is_said_once(tmp_path, make, model, said):
    assert camera(replace(frame_of(tmp_path / "a.RAF", XTRANS), make=make, model=model)) == said


@pytest.mark.parametrize("model", released_models(ROOT).values(), ids=lambda m: m.id)
def test_a_released_models_figures_are_those_of_its_evaluations(model):
    lines = model_lines(model)
    figures = [value for label, value in lines if "dB" in value]
    assert len(figures) == len(model.facts["evaluations"]) > 0
    for line, evaluation in zip(figures, model.facts["evaluations"], strict=True):
        means = {name: mean["psnr_linear_db"] for name, mean in evaluation["mean"].items()}
        assert f": {means.pop(model.id):.2f} dB linear, LibRaw's " in line
        assert line.endswith(f" {max(means[n] for n in means.keys() & LIBRAW_MODELS.keys()):.2f} dB")
    assert dict(lines)["licence"].startswith(model.facts["licence"])

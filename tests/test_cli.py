"""The command: what is typed, what is printed where, and the exit status."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rawpy
from tiny_denoiser import write_denoiser

from lincfa import cli, export, raw
from lincfa.cfa import XTRANS
from lincfa.raw import read_raw
from lincfa.rawwriter import expose, write_raf

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(folder):
    """conftest's, with a.RAF and b.RAF in in/."""
    (folder / "in").mkdir()
    scene = np.full((96, 120, 3), 0.3)
    for name, phase in (("a", (0, 0)), ("b", (2, 1))):
        cfa = XTRANS.shift(*phase)
        write_raf(folder / "in" / f"{name}.RAF", expose(scene, cfa), cfa)
    return folder


@pytest.fixture
def lincfa(folder, capsys):
    """run('demosaic', ...) -> (status, lines of output, lines of errors)."""

    def run(*argv):
        status = cli.main(list(argv))
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


def test_one_line_for_each_file_and_one_for_all(lincfa):
    status, out, err = lincfa("demosaic", "in", "-o", "out", "--format", "npy")
    assert (status, err) == (0, [])
    shapes = [r"a\.RAF  FUJIFILM X-T2  0\.0 MP  tiny  \d+\.\d s  out.a\.npy", r"b\.RAF .* out.b\.npy"]
    assert all(re.fullmatch(shape, line) for shape, line in zip(shapes, sorted(out[:2]), strict=True))
    assert re.fullmatch(r"2 written, 0 skipped, 0 failed in \d+\.\d s", out[2])


def test_a_second_run_says_what_it_skips_and_succeeds(lincfa):
    lincfa("demosaic", "in", "-o", "out", "--format", "npy")
    status, out, err = lincfa("demosaic", "in", "-o", "out", "--format", "npy")
    assert (status, err) == (0, [])
    assert sum("skipped" in line and "--overwrite" in line for line in out) == 2
    _, out, _ = lincfa("demosaic", "in", "-o", "out", "--format", "npy", "--overwrite")
    assert out[-1].startswith("2 written, 0 skipped")


def test_bad_inputs_are_errors_by_name_and_the_good_ones_are_done(lincfa, folder):
    (folder / "in" / "c.RAF").write_bytes(b"")
    (folder / "in" / "d.RAF").write_bytes(b"text" * 99)
    status, out, err = lincfa("demosaic", "in", "gone.RAF", "no*.RAF", "-o", "out", "--format", "npy")
    assert status == 1
    assert out[-1].startswith("2 written, 0 skipped, 2 failed")
    assert [line.split(":")[1].strip() for line in err[:2]] == ["gone.RAF", "no*.RAF"]
    assert {"c.RAF", "d.RAF"} == {Path(line.split(":")[1].strip()).name for line in err[2:4]}
    assert err[4].startswith("lincfa: failed: ")
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.npy", "b.npy"]


def test_the_output_may_be_a_file_whose_name_says_the_format(lincfa, folder):
    status, _, err = lincfa("demosaic", "in/a.RAF", "-o", "x.npy")
    assert (status, err) == (0, [])
    assert np.load("x.npy").shape == (96, 120, 3)


def test_by_default_a_dng_lies_beside_its_source_and_is_no_source_itself(lincfa, folder):
    assert lincfa("demosaic", "in")[0] == 0
    assert sorted(p.name for p in (folder / "in").iterdir()) == ["a-lincfa.dng", "a.RAF", "b-lincfa.dng", "b.RAF"]
    status, out, _ = lincfa("demosaic", "in")
    assert (status, out[-1].split(" in ")[0]) == (0, "0 written, 2 skipped, 0 failed")


def test_results_of_an_earlier_run_are_no_sources_of_one_into_another_format_or_folder(lincfa, folder):
    lincfa("demosaic", "in")
    for options in (["--format", "npy"], ["-o", "out", "--format", "npy"]):
        status, out, err = lincfa("demosaic", "in", *options)
        assert (status, err, out[-1].split(" in ")[0]) == (0, [], "2 written, 0 skipped, 0 failed")
    status, out, err = lincfa("demosaic", "in/*.dng")
    assert (status, out, err) == (1, [], ["lincfa: nothing to do: there are only results of lincfa"])


def test_an_output_that_ends_with_a_slash_is_a_folder(lincfa, folder):
    assert lincfa("demosaic", "in/a.RAF", "-o", "x.tif/", "--format", "npy")[0] == 0
    assert [p.name for p in (folder / "x.tif").iterdir()] == ["a.npy"]


BEGINNINGS = {"dng": b"II*\0", "tiff": b"II*\0", "exr": b"\x76\x2f\x31\x01", "npy": b"\x93NUMPY", "png": b"\x89PNG"}


@pytest.mark.parametrize("options", [[], ["--render"]], ids=["plain", "rendered"])
@pytest.mark.parametrize("format", export.FORMATS)
def test_every_format_is_written_and_rendered_where_that_makes_sense(lincfa, folder, format, options):
    status, out, err = lincfa("demosaic", "in/a.RAF", "--format", format, *options)
    if options and format not in export.RENDERED:
        assert (status, err) == (1, [f"lincfa: --render makes pictures to look at: tiff or png, not {format}"])
    else:
        assert (status, err) == (0, [])
        assert Path(out[0].split("  ")[-1]).read_bytes().startswith(BEGINNINGS[format])


@pytest.mark.parametrize("phase", [(0, 0), (1, 4)])
def test_a_dng_reopened_by_libraw_differs_from_the_npy_by_at_most_a_step(lincfa, folder, phase):
    y, x = np.mgrid[:96, :540] / 540
    scene, gains, cfa = np.stack([0.1 + 0.5 * x, 0.2 + 4 * y, 0.8 - 0.5 * x], -1), (0.5, 1.0, 0.6), XTRANS.shift(*phase)
    adu = expose(scene, cfa, gains=gains, black=(1000, 1024, 1100))
    write_raf("wide.RAF", adu, cfa, black=(1000, 1024, 1100), white_balance=[1 / g for g in gains])
    for output in ("wide.npy", "wide.dng"):
        assert lincfa("demosaic", "wide.RAF", "-o", output)[0] == 0
    with rawpy.imread("wide.dng") as raw:
        black = np.array(raw.black_level_per_channel[:3], np.float64)
        reopened = (raw.raw_image_visible[..., :3] - black) / (raw.white_level - black)
        step = 1 / (raw.white_level - black.max())
    assert np.abs(reopened - np.load("wide.npy")).max() <= step


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["in/a.RAF", "-o", "x.npy", "--format", "dng"], "x.npy: this name says npy, and --format says dng"),
        (["in", "-o", "x.npy"], "x.npy: one file cannot hold 2 results; give a folder"),
        (["in/a.RAF", "-o", "x.jpg"], "x.jpg: neither a folder nor a file that lincfa writes (.dng .tif "),
        (["in/a.RAF", "-o", "x.RAF"], "x.RAF: neither a folder nor a file that lincfa writes"),
        (["in", "-o", "in/a.RAF"], "in/a.RAF: neither a folder nor a file that lincfa writes"),
        (["in", "-o", "models/tiny/SHA256SUMS"], "models/tiny/SHA256SUMS: neither a folder nor a file"),
        (["in", "--format", "npy", "--render"], "--render makes pictures to look at: tiff or png, not npy"),
        (["in", "--model", "nope"], "nope: neither a checkpoint file nor a released model"),
        (["in", "--strength", "0.5"], "--strength: no released model takes noise away"),
        (["in", "--strength", "0.5", "--model", "vng"], "--strength: model vng takes no noise away"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["models"], "models: no raw files in this folder"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(lincfa, folder, argv, said):
    before = sorted(folder.rglob("*"))
    status, out, err = lincfa("demosaic", *argv)
    assert (status, out, len(err)) == (1, [], 1)
    assert err[0].startswith(f"lincfa: {said}")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--strength", "1.5", "1.5 is no number from 0 to 1"),
        ("--strength", "much", "much is no number from 0 to 1"),
        ("--strength", "nan", "nan is no number from 0 to 1"),
        ("--jobs", "0", "0 is no whole number from 1 on"),
        ("--jobs", "two", "two is no whole number from 1 on"),
        ("--format", "gif", "invalid choice: 'gif'"),
        ("--device", "tpu", "invalid choice: 'tpu'"),
    ],
)
def test_options_out_of_range_are_usage_errors_in_words(folder, capsys, option, value, said):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["demosaic", "in", option, value])
    assert stopped.value.code == 2
    assert f"error: argument {option}: {said}" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert (stopped.value.code, capsys.readouterr().out) == (0, f"{export.SOFTWARE}\n")


def test_brackets_in_a_files_name_are_no_markup_of_the_progress_bar():
    with cli._progress() as bar:
        bar.add_task("[red]x.RAF", total=1)
        assert bar.columns[0].render(bar.tasks[0]).plain == "[red]x.RAF"


def test_an_export_writes_over_nothing(lincfa, folder):
    Path("x.onnx").write_bytes(b"mine")
    status, out, err = lincfa("export", "tiny", "--onnx", "x.onnx")
    assert (status, out, err) == (1, [], ["lincfa: x.onnx: is there already; give another name"])
    assert Path("x.onnx").read_bytes() == b"mine"


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes on Linux only")
def test_a_name_that_is_no_text_does_not_stop_the_batch(folder):
    """LibRaw is given names as text, so this file fails; the line about it can be printed and the others are done."""
    Path(os.fsdecode(b"in/\xff.RAF")).write_bytes((folder / "in" / "a.RAF").read_bytes())
    command = [sys.executable, "-m", "lincfa.cli", "demosaic", "in", "-o", "out", "--format", "npy", "--model", "vng"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("lincfa: in/\\udcff.RAF: ")
    assert len(done.stderr.splitlines()) == 1
    assert "2 written, 0 skipped, 1 failed" in done.stdout


def test_formats_and_suffixes_are_those_of_the_writers():
    assert set(cli.OUTPUT_FORMATS.values()) == set(export.FORMATS)
    assert {suffix: cli.OUTPUT_FORMATS[suffix] for suffix in export.FORMATS.values()} == {
        suffix: format for format, suffix in export.FORMATS.items()
    }


def test_info_shows_the_file_and_names_the_bad_one(lincfa, folder):
    (folder / "bad.RAF").write_bytes(b"text" * 99)
    status, out, err = lincfa("info", "bad.RAF", "in/b.RAF")
    assert status == 1
    assert err == ["lincfa: bad.RAF: not a raw file that LibRaw knows"]
    assert out[0] == "in/b.RAF"
    text = "\n".join(out)
    assert "camera        FUJIFILM X-T2" in text
    assert "phase (row, column) (2, 1)" in text
    rows = [line.split() for line in out if re.fullmatch(r"\s+([RGB]\s+){6}", f"{line} ")]
    assert rows == [row.split() for row in str(XTRANS.shift(2, 1)).split("\n")]
    assert "auto takes tiny" in text


def test_info_and_demosaic_take_the_same_inputs_and_say_the_same_of_bad_files(lincfa, folder):
    (folder / "in" / "c.RAF").write_bytes(b"")
    (folder / "in" / "d.RAF").write_bytes(b"text" * 99)
    (folder / "none").mkdir()
    inputs = ("in", "in/c*.RAF", "none", "gone.RAF", "x*.RAF")
    status, out, err = lincfa("info", *inputs)
    assert (status, [line for line in out if not line.startswith(" ")]) == (1, ["in/a.RAF", "in/b.RAF"])
    assert "lincfa: in/c.RAF: empty file (0 bytes)" in err
    _, _, said = lincfa("demosaic", *inputs, "-o", "out", "--format", "npy")
    assert sorted(err) == sorted(said[:-1])  # whose last line lists the failed


def test_whatever_a_file_does_to_its_reader_info_names_it_and_shows_the_next(lincfa, monkeypatch):
    def read(path):
        if path.name == "a.RAF":
            raise ZeroDivisionError("division by zero")
        return read_raw(path)

    monkeypatch.setattr(raw, "read_raw", read)
    status, out, err = lincfa("info", "in")
    assert (status, err, out[0]) == (1, ["lincfa: in/a.RAF: ZeroDivisionError: division by zero"], "in/b.RAF")


def test_models_lists_each_with_licence_and_cost(lincfa, folder):
    status, out, err = lincfa("models")
    assert (status, err, out[0]) == (0, [], "tiny")
    assert any("1 GMAC per megapixel, 1,234 parameters" in line for line in out)
    assert any("CC0" in line for line in out)


def test_models_and_info_say_what_strength_does(lincfa, folder):
    def line(out, label):
        return next(text.strip().removeprefix(label).strip() for text in out if text.strip().startswith(label))

    assert line(lincfa("info", "in/a.RAF")[1], "--strength") == "none: no released model takes noise away from this CFA"
    write_denoiser(folder)
    assert line(lincfa("info", "in/a.RAF")[1], "--strength") == "auto takes tiny-denoise"
    _, out, _ = lincfa("models")
    models = {name: out[out.index(name) :] for name in ("tiny", "tiny-denoise")}
    said = {name: line(lines, "noise") for name, lines in models.items()}
    expected = {"tiny": "left as it is; no --strength", "tiny-denoise": "takes away as much as --strength says"}
    assert said == expected


def test_help_needs_neither_torch_nor_libraw():
    """They take seconds to load on a slow machine."""
    program = "import sys, lincfa.cli as c\ntry: c.main(['demosaic', '--help'])\nexcept SystemExit: pass\n"
    program += "print(sorted({'torch', 'rawpy', 'numpy', 'rich'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_three_lines_of_python_demosaic_a_file(folder):
    from lincfa import Demosaicer, read_raw

    frame = read_raw("in/a.RAF")
    rgb = Demosaicer.released("tiny")(frame.mosaic, frame.cfa, frame.white_balance)
    assert rgb.shape == (96, 120, 3)


def test_ctrl_c_ends_with_130_and_whole_files_only(folder):
    content = (folder / "in" / "a.RAF").read_bytes()
    for i in range(60):
        (folder / "in" / f"{i:02d}.RAF").write_bytes(content)
    command = [sys.executable, "-m", "lincfa.cli", "demosaic", "in", "-o", "out", "--format", "npy"]
    command += ["--model", "markesteijn3"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so
    try:  # would what it starts
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        process.stdout.readline()  # one is done
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert err.splitlines() == ["lincfa: stopped; results written so far are whole"]
    results = sorted((folder / "out").iterdir())
    assert 1 <= len(results) < 62
    assert {np.load(path).shape for path in results} == {(96, 120, 3)}


def test_libraws_own_words_about_a_broken_file_are_not_shown_twice(folder):
    """LibRaw writes to the process's standard error, past Python."""
    (folder / "cut.RAF").write_bytes((folder / "in" / "a.RAF").read_bytes()[:-9000])
    done = subprocess.run([sys.executable, "-m", "lincfa.cli", "info", "cut.RAF"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("lincfa: cut.RAF: truncated or broken")
    assert len(done.stderr.splitlines()) == 1

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_denoiser import write_denoiser

from lincfa import benchmark
from lincfa.benchmark import STAGES, BenchmarkError, Task, compare, make_frame, measure, peak_mb
from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import save_weights
from lincfa.models import build
from lincfa.raw import read_raw

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "utils" / "benchmark.py"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    model = {"name": "packed", "width": 4, "blocks": 1}
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    save_weights(path, model, build(**model).state_dict(), "xtrans", {"name": "tiny"})
    return str(path)


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    return str(make_frame(tmp_path_factory.mktemp("frame"), 0.5, "xtrans"))


@pytest.mark.parametrize(("family", "cfa"), [("xtrans", XTRANS), ("bayer", RGGB)])
def test_a_frame_has_its_size_its_cfa_and_something_to_see(tmp_path, family, cfa):
    frame = read_raw(make_frame(tmp_path, 0.7, family))
    assert frame.mosaic.size == pytest.approx(0.7e6, rel=0.02)
    assert frame.mosaic.shape[1] / frame.mosaic.shape[0] == pytest.approx(1.5, rel=0.02)
    assert frame.cfa == cfa
    assert np.std(frame.mosaic) > 0.05
    np.testing.assert_allclose(frame.white_balance, (2, 1, 1 / 0.6), rtol=0.01)


def test_a_frame_that_libraw_would_refuse_is_not_made(tmp_path):
    with pytest.raises(ValueError, match=r"0\.2 megapixels are too few"):
        make_frame(tmp_path, 0.2, "xtrans")


def test_a_network_and_libraw_are_measured_stage_by_stage(weights, frame):
    network, libraw = (measure(Task(model, frame, "xtrans", precision="bf16")) for model in (weights, "markesteijn3"))
    assert network["precision"] == "bf16"
    assert libraw["precision"] is None
    for found in (network, libraw):
        assert found["megapixels"] == pytest.approx(0.5, rel=0.02)
        assert found["decode_s"] > 0
        assert found["demosaic_s"] > 0
        assert found["write_s"] < 0.01  # nothing is written
        assert found["start_mb"] <= found["peak_mb"]


def test_only_networks_that_take_noise_are_told_of_it(tmp_path, weights, frame, monkeypatch):
    told = []

    class Spy(benchmark.Demosaicer):
        def __call__(self, *args, **options):
            told.append(options)
            return super().__call__(*args, **options)

    monkeypatch.setattr(benchmark, "Demosaicer", Spy)
    denoiser = str(write_denoiser(tmp_path) / "weights.safetensors")
    for model in (denoiser, weights, "markesteijn3"):
        measure(Task(model, frame, "xtrans", noise=(0.005, 0.002)))
    # Each network runs twice: on a small frame first, which nobody times.
    assert told == [{"noise": (0.005, 0.002)}] * 2 + [{}] * 2


def test_peak_memory_is_that_of_arrays_that_are_gone():
    before = peak_mb()
    large = np.ones(int((before + 100) * 1e6 / 8))
    large *= 2
    del large
    assert peak_mb() >= before + 90


def test_models_take_turns_and_rows_hold_medians_and_ratios(monkeypatch):
    times = {"a": [9.0, 2.0, 4.0], "markesteijn3": [2.0, 1.0, 8.0]}
    asked = []

    def fake(task, threads):
        asked.append(task.model)
        seconds = times[task.model][asked.count(task.model) - 1]
        stages = {"decode_s": 10.0, "demosaic_s": seconds, "write_s": 100.0}
        facts = {"precision": None, "device": "cpu", "process_s": 200.0}
        return {"megapixels": 24, "peak_mb": seconds, "start_mb": 1, **facts, **stages}

    monkeypatch.setattr(benchmark, "_measure_apart", fake)
    a, reference = compare([Task(model, "x.RAF", "xtrans") for model in times], 3, threads=2)
    assert asked == ["a", "markesteijn3"] * 3
    assert (a["seconds"], a["seconds_median"], a["peak_mb"]) == ([9.0, 2.0, 4.0], 4.0, 9.0)
    assert a["ratio_to_markesteijn3"] == 2.0
    assert reference["ratio_to_markesteijn3"] == 1.0
    asked.clear()
    (alone,) = compare([Task("a", "x.RAF", "xtrans", write=True)], 3, threads=2)
    assert alone["seconds_median"] == 114.0
    assert "ratio_to_markesteijn3" not in alone
    assert [alone[stage] for stage in STAGES] == [10.0, 4.0, 100.0]


def test_a_model_that_cannot_run_is_named_in_one_line(weights, frame):
    with pytest.raises(BenchmarkError, match=r"tiny\.pt: trained for xtrans mosaics, and these are bayer$"):
        compare([Task(weights, frame, "bayer")], 1, threads=1)


def test_the_script_measures_in_processes_of_their_own_and_writes_what_it_prints(tmp_path, weights):
    command = [sys.executable, str(SCRIPT), "--models", weights, "markesteijn3", "--megapixels", "0.5"]
    command += ["--repetitions", "1", "--threads", "1", "--precision", "fp32", "--json", str(tmp_path / "out.json")]
    wide = os.environ | {"COLUMNS": "200"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=wide)
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["command"].startswith("python ")
    network, libraw = found["rows"]
    assert network["model"] == weights
    assert network["threads"] == 1
    assert network["precision"] == "fp32"
    assert network["ratio_to_markesteijn3"] == network["seconds_median"] / libraw["seconds_median"]
    for row in found["rows"]:
        assert row["model"] in done.stdout
        assert f"{row['seconds_median']:.2f}" in done.stdout
        assert len(row["seconds"]) == 1
        assert row["process_s"] > row["decode_s"] + row["demosaic_s"]
        assert 100 < row["start_mb"] <= row["peak_mb"] < 2000


def test_from_file_to_file_the_writing_counts_and_the_result_is_a_dng(weights, frame, monkeypatch):
    written = []
    write = benchmark.export.write

    def note(path, *args, **options):
        write(path, *args, **options)
        written.append((path.suffix, path.stat().st_size))

    monkeypatch.setattr(benchmark.export, "write", note)
    found = measure(Task(weights, frame, "xtrans", write=True))
    assert found["write_s"] > 0.005
    ((suffix, size),) = written
    assert suffix == ".dng"
    assert size > 0.5e6

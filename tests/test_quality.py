"""What precisions cost and take: measured in one way, written in one way, and what the guides say is what was found."""

import copy
import json
from pathlib import Path

import pytest
import torch
from tiny import write_photographs

from lincfa import adaptive
from lincfa.checkpoint import save_weights
from lincfa.doctables import put
from lincfa.evaluate import evaluate, load_model, load_suite, summarise
from lincfa.models import build
from lincfa.portable.quality import ENGINES, markdown, measure

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(weights, scenes, rows) of a tiny network whose every layer counts."""
    folder = tmp_path_factory.mktemp("quality")
    torch.manual_seed(1)
    model = {"name": "packed", "family": "bayer", "width": 4, "blocks": 1, "coding": 0.5}
    network = build(**model)
    for parameter in network.parameters():
        torch.nn.init.kaiming_normal_(parameter)
    weights = str(folder / "tiny.pt")
    save_weights(folder / "tiny.pt", model, network.state_dict(), "bayer", {"name": "tiny"})
    scenes = list(load_suite("truth", write_photographs(folder / "truth", (2, 6)), "bayer"))
    rows = measure(weights, {"truth": scenes}, write_photographs(folder / "photographs"), 0.05, 2)
    return weights, scenes, rows


def test_figures_of_a_precision_are_those_of_the_evaluation(found):
    weights, scenes, rows = found
    assert [(row["engine"], row["precision"]) for row in rows] == list(ENGINES)
    expected = summarise(evaluate([load_model(weights, "bayer")], scenes))["mean"][weights]
    for row in rows[0], rows[2]:  # onnxruntime in fp32 differs by rounding
        for key in ("psnr_linear_db", "psnr_srgb_db"):
            assert row["suites"]["truth"][key] == pytest.approx(expected[key], abs=1e-3)


def test_coarser_numbers_differ_more_and_the_first_row_is_what_they_differ_from(found):
    rows = {(row["engine"], row["precision"]): row for row in found[2]}
    differences = [rows[key]["suites"]["truth"]["max_difference"] for key in ENGINES]
    assert differences[0] == 0
    assert differences[2] < 1e-4 < min(differences[1], differences[4])
    assert rows["torch", "fp32"]["seconds_ratio"] == 1
    for row in rows.values():
        own = row["suites"]["truth"]
        assert own["worst_psnr_srgb_db"] <= own["change_psnr_srgb_db"]
        assert len(row["seconds"]) == 2
        assert row["megapixels"] == pytest.approx(0.05, rel=0.3)
    assert rows["onnx", "int8"]["file_mb"] > 0
    assert rows["torch", "bf16"]["file_mb"] is None


def test_the_table_says_means_changes_and_times(found):
    rows = copy.deepcopy(found[2][:2])
    rows[1] |= {"seconds_median": 1.234, "seconds_ratio": 0.5}
    rows[1]["suites"]["truth"] |= {
        "psnr_linear_db": 40.123,
        "change_psnr_linear_db": -0.001,
        "psnr_srgb_db": 39.5,
        "change_psnr_srgb_db": -0.126,
        "worst_psnr_linear_db": -0.2,
        "worst_psnr_srgb_db": -0.31,
        "max_difference": 0.0123,
    }
    text = markdown({"rows": rows, "threads": 2, "machine": "this one", "calibration": "photographs"})
    assert "| torch | bf16 | 40.12 (+0.00), 39.50 (-0.13) | -0.31 | 1.2e-02 | 1.23 | 0.50 |" in text
    assert "(2 of truth)" in text
    assert "median of 2, 2 threads, this one; int8 calibrated with photographs." in text


@pytest.mark.parametrize(
    ("file", "name", "table"),
    [("precision_avx512", "precision", markdown), ("adaptive_tiles", "adaptive", adaptive.markdown)],
)
def test_tables_of_the_guide_are_those_of_the_benchmarks_files(tmp_path, file, name, table):
    text = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    (tmp_path / "fresh.md").write_text(text, encoding="utf-8")
    put(tmp_path / "fresh.md", name, table(json.loads((ROOT / f"docs/benchmarks/{file}.json").read_text())))
    assert (tmp_path / "fresh.md").read_text(encoding="utf-8") == text


def test_a_text_without_a_place_for_a_table_is_named_and_left_alone(tmp_path):
    path = tmp_path / "guide.md"
    path.write_text("<!-- other:begin -->\n<!-- other:end -->\n")
    with pytest.raises(ValueError, match=r"guide\.md: has no place for a table between <!-- precision:begin -->"):
        put(path, "precision", "table")
    assert "table" not in path.read_text()


def test_what_the_guide_says_of_batches_and_large_frames_was_measured():
    guide = " ".join((ROOT / "docs/guide.md").read_text(encoding="utf-8").split())
    batch, large = (
        json.loads((ROOT / f"docs/benchmarks/{name}.json").read_text()) for name in ("batch_24mp", "end_to_end_100mp")
    )
    apart, together = (batch["batch"][f"seconds_jobs_{n}"] for n in (1, 2))
    assert batch["batch"]["files"] == 4
    assert f"four files of 24 MP took {apart:.1f} s, and {together:.1f} s overlapping" in guide
    row = large["rows"][0]
    assert f"100 MP takes {row['seconds_median']:.0f} s and {row['peak_mb'] / 1e3:.2f} GB" in guide

"""Released models: the cards in the repository are fresh, and their files are those that were summed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from lincfa.checkpoint import CheckpointError, load_weights, save_weights
from lincfa.data.manifest import DatasetError, load_manifest
from lincfa.models import build, gmac_per_megapixel, parameter_count
from lincfa.raw import file_sha256
from lincfa.release import card, collect, convert, training_data, write_sums, write_table

ROOT = Path(__file__).resolve().parents[1]
TRACKED = subprocess.run(["git", "ls-files", "*/metrics.json"], cwd=ROOT, capture_output=True, text=True).stdout.split()
RELEASED = [ROOT / Path(name).parent for name in TRACKED]
MODELS = pytest.mark.parametrize(
    "folder", [f for f in RELEASED if f.parent.name == "models"], ids=lambda folder: folder.name
)


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_a_released_card_is_what_its_files_say(folder):
    assert (folder / "README.md").read_text() == card(folder)


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_a_released_models_files_are_those_that_were_summed(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    assert len(lines) >= 5
    for line in lines:
        digest, name = line.split()
        assert file_sha256(folder / name) == digest


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_released_weights_load_and_are_the_network_of_the_card(folder):
    facts = json.loads((folder / "metrics.json").read_text())
    weights = load_weights(folder / facts["weights"])
    assert parameter_count(weights.network) == facts["parameters"]
    assert round(gmac_per_megapixel(weights.network), 1) == facts["gmac_per_megapixel"]
    assert (folder / facts["weights"]).stat().st_size < 10e6


@MODELS
def test_a_released_models_figures_are_of_its_weights(folder):
    """Other weights may be put in the folder, with their sums, before they were measured."""
    facts = json.loads((folder / "metrics.json").read_text())
    assert facts["weights"] == "weights.safetensors"
    assert facts["weights_sha256"] == file_sha256(folder / facts["weights"])
    assert not list(folder.glob("*.pt"))


PROVENANCE = (
    "{{commit: abc, command: python {script}.py, data: {{path: d, sha256: 0123456789abcdef00}}, seed: 3, machine: m, "
    "images: {images}, seconds: 120.0}}\n"
)
REPORT = {
    "command": "python r.py",
    "cfa": "xtrans",
    "reference": "markesteijn3",
    "models": {
        "released": {"edge_rmse_mean": 0.061, "worst_images": {"truth:few/7": -0.5}},
        "markesteijn3": {"edge_rmse_mean": 0.043},
    },
    "limits": {
        "released": [
            {"measure": "seam_max", "label": "tile seams", "at_most": 1e-5, "value": 0.0, "holds": True},
            {"measure": "edge_rmse_mean", "label": "edges", "at_most": 0.043, "value": 0.061, "holds": False},
            {"measure": "worse_share", "label": "worse images", "at_most": 0.01, "value": None, "holds": None},
        ],
        "other": [{"measure": "seam_max", "label": "others", "at_most": 1e-5, "value": 1.0, "holds": False}],
    },
}
TIMED = {"megapixels": 24.0, "threads": 2, "ratio_to_markesteijn3": 1.0, "precision": None}
BENCHMARK = {
    "command": "python b.py",
    "machine": "m",
    "end_to_end": False,
    "rows": [
        TIMED
        | {"model": "released", "seconds_median": 4.4, "peak_mb": 1100.4, "precision": "bf16"}
        | {"ratio_to_markesteijn3": 0.8585},
        TIMED | {"model": "markesteijn3", "seconds_median": 5.125, "peak_mb": 960.0},
    ],
}


@pytest.fixture(scope="module")
def dataset(tiny_data, tmp_path_factory):
    """(folder, table of sources)"""
    root = tmp_path_factory.mktemp("release")
    rows = [
        {"file": f"{Path(r.source).stem}.webp", "source_repository": "made", "path": "p", "licence": "CC0"}
        for r in load_manifest(tiny_data).images
    ]
    write_table(root / "sources.tsv", rows)
    return tiny_data, root / "sources.tsv"


@pytest.fixture
def run(tmp_path, dataset):
    """(folder with weights, logs, evaluation file, dataset, table of sources) as two trainings would leave them."""
    network, folder, logs = build("packed", width=8, blocks=1), tmp_path / "released", [tmp_path / "a", tmp_path / "b"]
    model = {"name": "packed", "width": 8, "blocks": 1}
    facts = {"images": 32, "validation": {"psnr_linear_db": 30.0}, "name": "tiny"}
    save_weights(folder / "best.pt", model, network.state_dict(), "xtrans", facts)
    for log, images in zip(logs, (640, 64), strict=True):
        log.mkdir()
        (log / "config.yaml").write_text("model: {name: packed, width: 8, blocks: 1}\n")
        (log / "provenance.yaml").write_text(PROVENANCE.format(script=log.name, images=images))
    mean = {"images": 2, "psnr_linear_db": 31.234, "psnr_srgb_db": 30.0, "ssim": 0.9, "false_colour": None}
    better = mean | {"psnr_linear_db": 35.0}
    found = {"suite": "truth", "set": "few", "cfa": "xtrans", "command": "python e.py", "commit": "abc", "spread": {}}
    means = {"x/released/best.pt": mean, "markesteijn3": better, "x/others/best.pt": mean | {"psnr_linear_db": 20.0}}
    (tmp_path / "few.json").write_text(json.dumps(found | {"mean": means}))
    return folder, logs, tmp_path / "few.json", *dataset


def described(run, logs):
    folder, _, evaluation, data, sources = run
    facts = collect(folder / "best.pt", logs, [evaluation], "CC BY 4.0", "Because.")
    (folder / "metrics.json").write_text(json.dumps(facts))
    write_table(folder / "training_data.tsv", training_data(load_manifest(data), sources))
    (folder / "limits.md").write_text("None is known.\n")
    return folder


def test_a_card_holds_the_figures_of_the_runs_files(run):
    folder = described(run, run[1][1:])
    text = card(folder)
    (folder / "README.md").write_text(text)
    write_sums(folder)
    assert "| **tiny** | 31.23 | 30.00 | 0.9000 |" in text
    assert text.index("| markesteijn3 | 35.00") < text.index("| **tiny** | 31.23")  # best first
    assert "| x/others/best.pt | 20.00" in text  # a file of the same name is another model
    for part in ("CC BY 4.0", "Because.", "None is known.", "64 patches in 2 minutes", "| made | CC0 | train |"):
        assert part in text
    for part in ("## Robustness", "## Speed", "command (1)"):
        assert part not in text
    assert f"{file_sha256(folder / 'best.pt')}  best.pt" in (folder / "SHA256SUMS").read_text()


def test_a_card_names_each_run_that_led_to_the_weights_in_order(run):
    text = card(described(run, run[1]))
    assert "| command (1) | `python a.py` |" in text
    assert "| trained on (1) | 640 patches in 2 minutes, m |" in text
    assert "| command (2) | `python b.py` |" in text
    assert "| trained on (2) | 64 patches in 2 minutes, m |" in text


def test_the_runs_of_the_released_model_that_a_run_started_from_come_first(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, logs, evaluation, *_ = run
    convert(folder / "best.pt", tmp_path / "models/first")
    first = collect(folder / "best.pt", logs[:1], [evaluation], "CC BY 4.0", "Because.")
    (tmp_path / "models/first/metrics.json").write_text(json.dumps(first))
    (logs[1] / "config.yaml").write_text("start_from: first\n")
    then = collect(folder / "best.pt", logs[1:], [evaluation], "CC BY 4.0", "Because.")
    assert [r["command"] for r in (*then["earlier_runs"], then["run"])] == ["python a.py", "python b.py"]
    (tmp_path / "models/first/metrics.json").write_text(json.dumps(then))  # the weights of the same name, once more
    again = collect(folder / "best.pt", logs[1:], [evaluation], "CC BY 4.0", "Because.")
    assert again == then


def test_a_card_says_which_limits_fail_and_where_the_cause_is(run):
    folder = described(run, run[1])
    (folder / "robustness.json").write_text(json.dumps(REPORT))
    text = card(folder)
    assert "|  | **tiny** | markesteijn3 |" in text
    assert "| saturated edges: RMSE, mean | 0.061 | 0.043 |" in text
    assert "- tile seams: 0, at most 1e-05: holds\n" in text
    assert "- edges: 0.061, at most 0.043: fails; cause: see Limits\n" in text
    assert "- not measured: worse images, at most 0.01\n" in text
    assert "truth:few/7 -0.50 dB" in text
    assert "others" not in text.split("## Robustness")[1]
    assert text.index("## Robustness") < text.index("## Limits")


def test_a_card_shows_the_benchmark(run):
    folder = described(run, run[1])
    (folder / "benchmark.json").write_text(json.dumps(BENCHMARK))
    text = card(folder)
    assert "Medians of demosaicing a decoded frame, 2 threads, m (`python b.py`)." in text
    assert "| **tiny** | bf16 | 24 | 4.40 | 0.86 | 1100 |\n| markesteijn3 |  | 24 | 5.12 | 1.00 | 960 |" in text


def test_a_checkpoint_becomes_a_released_models_weights(run):
    folder, *_ = run
    released = folder.parent / "models" / "tiny-s"
    path = convert(folder / "best.pt", released)
    before, after = load_weights(folder / "best.pt"), load_weights(released)
    assert path == released / "weights.safetensors"
    assert after.facts == before.facts | {"name": "tiny-s"}
    assert (after.model, after.family) == (before.model, before.family)
    state = after.network.state_dict()
    assert all((state[k] == v).all() for k, v in before.network.state_dict().items())
    assert (released / "SHA256SUMS").read_text() == f"{file_sha256(path)}  weights.safetensors\n"


def test_the_script_releases_a_checkpoint_in_two_steps(run, tmp_path, run_script):
    folder, logs, evaluation, data, sources = run
    released = tmp_path / "models" / "tiny-s"
    (tmp_path / "robustness.json").write_text(json.dumps(REPORT))

    def release(*args):
        status, _, err = run_script("utils/release.py", *args)
        assert status == 0, err

    release(folder / "best.pt", "--to", released)
    (released / "limits.md").write_text("None is known.\n")
    made_of = ("--log", *logs, "--eval", evaluation, "--data", data, "--sources", sources)
    licence = ("--licence", "CC BY 4.0", "--licence-reason", "Because.")
    release(released / "weights.safetensors", *made_of, *licence, "--robustness", tmp_path / "robustness.json")
    assert {line.split()[1] for line in (released / "SHA256SUMS").read_text().splitlines()} == {
        "README.md",
        "config.yaml",
        "limits.md",
        "metrics.json",
        "robustness.json",
        "training_data.tsv",
        "weights.safetensors",
    }
    assert (
        json.loads((released / "metrics.json").read_text())["weights_sha256"] in (released / "SHA256SUMS").read_text()
    )
    assert "# tiny-s\n" in (released / "README.md").read_text()
    assert (released / "README.md").read_text() == card(released)


@MODELS
def test_one_changed_bit_in_released_weights_is_refused(tmp_path, folder):
    copy = shutil.copytree(folder, tmp_path / folder.name)
    data = bytearray((copy / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "weights.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: damaged or exchanged: its sha256 is"):
        load_weights(copy)


def test_a_picture_without_an_origin_is_refused(dataset):
    data, sources = dataset
    short = sources.with_name("short.tsv")
    short.write_text("\n".join(sources.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DatasetError, match=r"short\.tsv: no origin of"):
        training_data(load_manifest(data), short)

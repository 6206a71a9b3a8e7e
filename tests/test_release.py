"""Released models: the cards in the repository are fresh, and their files are those that were summed."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from tiny import write_photographs

from lincfa.checkpoint import CheckpointError, load_weights, save_weights
from lincfa.data.manifest import DatasetError, load_manifest
from lincfa.models import build, gmac_per_megapixel, parameter_count
from lincfa.raw import file_sha256
from lincfa.release import card, collect, convert, measured, training_data, weights_hashes, write_sums, write_table

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
def test_every_file_of_a_released_model_is_summed(folder):
    summed = {line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    state = {"SHA256SUMS", "state.pt"}  # a training's own state may lie in its recipe's folder, and is not tracked
    assert summed == {path.name for path in folder.iterdir() if path.is_file()} - state


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


@MODELS
def test_every_figure_of_a_released_model_was_measured_with_its_weights(folder):
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    evaluations = json.loads((folder / "metrics.json").read_text())["evaluations"]
    reports = [json.loads(path.read_text()) for path in folder.glob("robustness.json")]
    for found in (*evaluations, *reports):
        own = {d for name, d in found["weights_sha256"].items() if folder.name in Path(name).parts}
        assert own == {sums["weights.safetensors"]}, found["command"]


@MODELS
def test_limits_are_said_in_words_and_figures_stand_in_the_tables_that_runs_wrote(folder):
    text = (folder / "limits.md").read_text()
    assert [unit for unit in ("dB", "GMAC", "hour") if unit in text] == []


PROVENANCE = (
    "{{commit: abc, command: python {script}.py, data: {{path: d, sha256: 0123456789abcdef00}}, seed: 3, machine: m, "
    "images: {images}, seconds: 120.0, start_sha256: {start}, teacher_sha256: null}}\n"
)
VALIDATION = {"kind": "val", "psnr_srgb_db": 30.0, "ssim": 0.9}
REPORT = {
    "command": "python r.py",
    "cfa": "xtrans",
    "reference": "markesteijn3",
    "machine": "x86_64 (AVX2), 2 cores",
    "suites": {"truth:few": [], "truth:more": []},
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
    for log, images, start in zip(logs, (640, 64), ("null", "c0ffee0123456789"), strict=True):
        log.mkdir()
        (log / "config.yaml").write_text("model: {name: packed, width: 8, blocks: 1}\n")
        (log / "provenance.yaml").write_text(PROVENANCE.format(script=log.name, images=images, start=start))
        curve = [VALIDATION | {"images": images * n // 4, "psnr_linear_db": 30 + n / 100} for n in range(1, 5)]
        rows = [{"kind": "train", "images": 16, "loss": 0.1}, *curve]
        (log / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mean = {"images": 2, "psnr_linear_db": 31.234, "psnr_srgb_db": 30.0, "ssim": 0.9, "false_colour": None}
    better = mean | {"psnr_linear_db": 35.0}
    found = {"suite": "truth", "set": "few", "cfa": "xtrans", "command": "python e.py", "commit": "abc", "spread": {}}
    means = {"x/released/best.pt": mean, "markesteijn3": better, "x/others/best.pt": mean | {"psnr_linear_db": 20.0}}
    images = {"x/released/best.pt": (30.0, 32.5), "markesteijn3": (None, 32.0), "x/others/best.pt": (20.0, 20.0)}
    rows = [
        {"model": model, "image": str(number), "psnr_linear_db": value}  # null: a PSNR without bound, an exact picture
        for model, values in images.items()
        for number, value in enumerate(values)
    ]
    hashes = {"x/released/best.pt": file_sha256(folder / "best.pt"), "x/others/best.pt": "another"}
    (tmp_path / "few.json").write_text(json.dumps(found | {"weights_sha256": hashes, "mean": means, "rows": rows}))
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
    # No image has a false colour, so that there is no such column; of two images one is worse, and the other's two are.
    assert "| model | linear dB | sRGB-coded dB | SSIM | worse than markesteijn3 |\n" in text
    assert "| **tiny** | 31.23 | 30.00 | 0.9000 | 1 |" in text
    assert text.index("| markesteijn3 | 35.00") < text.index("| **tiny** | 31.23")  # best first
    assert "| x/others/best.pt | 20.00 | 30.00 | 0.9000 | 2 |" in text  # a file of the same name is another model
    assert "the frame's white balance" in text
    for part in ("CC BY 4.0", "Because.", "None is known.", "64 patches in 2 minutes", "| made | CC0 | train |"):
        assert part in text
    for part in ("## Robustness", "## Speed", "command (1)", "taught by"):
        assert part not in text
    assert f"{file_sha256(folder / 'best.pt')}  best.pt" in (folder / "SHA256SUMS").read_text()


def test_a_card_names_each_run_that_led_to_the_weights_in_order(run):
    text = card(described(run, run[1]))
    assert "| command (1) | `python a.py` |" in text
    assert "| trained on (1) | 640 patches in 2 minutes, m |" in text
    assert "| command (2) | `python b.py` |" in text
    assert "| trained on (2) | 64 patches in 2 minutes, m |" in text


def test_a_card_names_the_weights_that_a_run_started_from_or_was_taught_by(run):
    log = run[1][1] / "provenance.yaml"
    log.write_text(log.read_text().replace("teacher_sha256: null", "teacher_sha256: feedbeef0123456789"))
    text = card(described(run, run[1]))
    assert "| started from (2) | weights of sha256 c0ffee012345 |\n" in text
    assert "| taught by (2) | weights of sha256 feedbeef0123 |\n" in text
    assert "started from (1)" not in text


def test_a_card_shows_where_the_validation_curve_of_the_last_run_ends(run):
    folder = described(run, run[1])
    last = "30.02 dB after 32 patches, 30.03 dB after 48 patches, 30.04 dB after 64 patches"
    assert f"| end of the curve | {last}: linear PSNR on the validation images |\n" in card(folder)
    facts = json.loads((folder / "metrics.json").read_text())
    assert [point["images"] for point in facts["curve"]] == [32, 48, 64]
    assert "| chosen weights | after 32 patches, not by the validation images |\n" in card(folder)
    facts["best"]["validation"]["psnr_linear_db"] = 30.04
    (folder / "metrics.json").write_text(json.dumps(facts))
    assert "| best weights | after 32 patches, by linear PSNR on the validation images |\n" in card(folder)
    (folder / "metrics.json").write_text(json.dumps(facts | {"takes_noise": True}))  # which those images have none of
    assert "| chosen weights | after 32 patches, not by the validation images |\n" in card(folder)
    (folder / "metrics.json").write_text(json.dumps(facts))
    del facts["curve"]  # a folder of before
    (folder / "metrics.json").write_text(json.dumps(facts))
    assert "end of the curve" not in card(folder)


def test_on_bayer_images_are_counted_that_are_worse_than_ahds(run):
    found = json.loads(run[2].read_text().replace("markesteijn3", "ahd")) | {"cfa": "bayer"}
    run[2].write_text(json.dumps(found))
    text = card(described(run, run[1]))
    assert "| SSIM | worse than ahd |\n" in text
    assert "| **tiny** | 31.23 | 30.00 | 0.9000 | 1 |" in text
    assert "| ahd | 35.00 | 30.00 | 0.9000 |  |" in text
    assert "markesteijn3" not in text.split("## Results")[1]


def test_without_its_reference_an_evaluation_has_no_column_of_worse_images(run):
    run[2].write_text(run[2].read_text().replace("markesteijn3", "demosaicnet"))
    text = card(described(run, run[1]))
    assert "worse than" not in text
    assert "| demosaicnet | 35.00 | 30.00 | 0.9000 |\n" in text  # whatever was run is shown


def test_a_denoising_models_cost_is_a_range_from_one_of_its_networks_to_both(run):
    folder = run[0]
    model = {"name": "denoising", "width": 8, "blocks": 1}
    network = build(**model)
    save_weights(folder / "best.pt", model, network.state_dict(), "xtrans", load_weights(folder / "best.pt").facts)
    found = json.loads(run[2].read_text())
    found["weights_sha256"]["x/released/best.pt"] = file_sha256(folder / "best.pt")
    run[2].write_text(json.dumps(found))
    text = card(described(run, run[1]))
    one, other = (round(gmac_per_megapixel(part), 1) for part in (network.clean, network.noisy))
    both = json.loads((folder / "metrics.json").read_text())["gmac_per_megapixel_both"]
    assert both == pytest.approx(one + other, abs=0.11)  # each rounded on its own
    assert f"| cost | {one} (one network) to {both} (both) GMAC per megapixel," in text


@pytest.mark.parametrize(
    ("hashes", "said"),
    [
        ({"x/released/best.pt": "0123"}, r"x/released/best\.pt are of other weights \(sha256 0123\)"),
        ({"x/others/best.pt": "0123"}, r"x/released/best\.pt have no weights_sha256"),
        (None, r"x/released/best\.pt have no weights_sha256"),
    ],
)
@pytest.mark.parametrize("key", ["mean", "models"])
def test_figures_of_other_weights_are_refused_by_file(run, hashes, said, key):
    path, weights = run[2], run[0] / "best.pt"
    found = json.loads(path.read_text()) | {"weights_sha256": hashes}
    found[key] = found.pop("mean")  # an evaluation, or a robustness report
    if hashes is None:
        del found["weights_sha256"]
    path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match=rf"few\.json: its figures of {said}"):
        measured(path, weights, "tiny")
    if key == "mean":
        with pytest.raises(ValueError, match=r"few\.json"):
            collect(weights, run[1], [path], "CC BY 4.0", "Because.")


def test_figures_of_other_models_alone_may_be_of_any_weights(run):
    found = json.loads(run[2].read_text())
    del found["mean"]["x/released/best.pt"], found["weights_sha256"]
    run[2].write_text(json.dumps(found))
    assert measured(run[2], run[0] / "best.pt", "tiny") == found


def test_the_hashes_of_models_are_those_of_their_networks_alone(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = convert(run[0] / "best.pt", tmp_path / "models/first")
    checkpoint = str(run[0] / "best.pt")
    found = weights_hashes(["first", "markesteijn3", checkpoint, "menon2007"])
    assert found == {"first": file_sha256(path), checkpoint: file_sha256(checkpoint)}


def test_an_evaluation_says_which_weights_it_measured(run, tmp_path, run_script):
    folder = write_photographs(tmp_path / "truth", (2,), side=96)
    models = ("--models", run[0] / "best.pt", "bilinear")
    status, out, err = run_script("utils/evaluate.py", *models, "--suite", f"truth={folder}", "--json", run[2])
    assert status == 0, err
    assert "worse than" not in out  # there was no reference, and no such column
    found = measured(run[2], run[0] / "best.pt", "tiny")
    assert found["weights_sha256"] == {str(run[0] / "best.pt"): file_sha256(run[0] / "best.pt")}


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
    assert "(`python r.py`; x86_64 (AVX2), 2 cores), and the images of truth:few and truth:more." in text
    assert "others" not in text.split("## Robustness")[1]
    assert text.index("## Robustness") < text.index("## Limits")


def test_a_card_shows_the_benchmarks(run):
    folder = described(run, run[1])
    (folder / "benchmark_1.json").write_text(json.dumps(BENCHMARK))
    (folder / "benchmark_2.json").write_text(json.dumps(BENCHMARK | {"machine": "another"}))
    text = card(folder)
    assert text.count("## Speed") == 1
    assert text.index("2 threads, m (") < text.index("2 threads, another (`python b.py`).")
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
    robustness = tmp_path / "robustness.json"

    def release(*args):
        status, _, err = run_script("utils/release.py", *args)
        assert status == 0, err

    release(folder / "best.pt", "--to", released)
    (released / "limits.md").write_text("None is known.\n")
    made_of = ("--log", *logs, "--eval", evaluation, "--data", data, "--sources", sources)
    licence = ("--licence", "CC BY 4.0", "--licence-reason", "Because.")
    report = REPORT | {"models": {"tiny-s": REPORT["models"]["released"]}, "limits": {}}
    robustness.write_text(json.dumps(report | {"weights_sha256": weights_hashes([str(released)])}))
    describe = (released / "weights.safetensors", *made_of, *licence)
    status, _, err = run_script("utils/release.py", *describe, "--robustness", robustness)
    assert (status, "tiny-s have no weights_sha256" in err) == (1, True)  # the report names them by their path
    assert not (released / "README.md").exists()
    robustness.write_text(json.dumps(report | {"weights_sha256": {"tiny-s": file_sha256(describe[0])}}))
    release(*describe, "--robustness", robustness)
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


def test_a_robustness_report_of_other_weights_is_refused_whether_given_or_left_from_before(run, run_script):
    folder, logs, evaluation, data, sources = run
    described(run, logs)
    report = folder.parent / "robustness.json"
    report.write_text(json.dumps(REPORT | {"weights_sha256": {"released": "0123"}}))
    given, licence = ("--robustness", report), ("--licence", "CC BY 4.0", "--licence-reason", "Because.")
    made_of = ("--log", *logs, "--eval", evaluation, "--data", data, "--sources", sources, *licence)

    def refused(*args):
        status, _, err = run_script("utils/release.py", folder / "best.pt", *args)
        assert not (folder / "README.md").exists()
        return status == 1 and "robustness.json: its figures of released are of other weights" in err

    assert refused("--card", *given)
    assert refused(*made_of, *given)
    assert not (folder / "robustness.json").exists()
    shutil.copyfile(report, folder / "robustness.json")
    assert refused(*made_of)


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

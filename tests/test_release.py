"""Released models: the cards in the repository are fresh, and their files are those that were summed."""

import json
import subprocess
from pathlib import Path

import pytest
from tiny import build_dataset

from lincfa.checkpoint import load_weights, save_weights
from lincfa.data.manifest import DatasetError, load_manifest
from lincfa.models import build, gmac_per_megapixel, parameter_count
from lincfa.raw import file_sha256
from lincfa.release import card, collect, training_data, write_sums, write_table

ROOT = Path(__file__).resolve().parents[1]
TRACKED = subprocess.run(["git", "ls-files", "*/metrics.json"], cwd=ROOT, capture_output=True, text=True).stdout.split()
RELEASED = [ROOT / Path(name).parent for name in TRACKED]


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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(folder with weights, log, evaluation file, dataset, table of sources) as a training would leave them."""
    root = tmp_path_factory.mktemp("release")
    network, folder, log = build("packed", width=8, blocks=1), root / "released", root / "log"
    model = {"name": "packed", "width": 8, "blocks": 1}
    facts = {"images": 32, "validation": {"psnr_linear_db": 30.0}, "name": "tiny"}
    save_weights(folder / "best.pt", model, network.state_dict(), "xtrans", facts)
    log.mkdir()
    (log / "config.yaml").write_text("model: {name: packed, width: 8, blocks: 1}\n")
    (log / "provenance.yaml").write_text(
        "{commit: abc, command: python x.py, data: {path: d, sha256: 0123456789abcdef00}, seed: 3, machine: m, "
        "images: 64, seconds: 120.0}\n"
    )
    mean = {"images": 2, "psnr_linear_db": 31.234, "psnr_srgb_db": 30.0, "ssim": 0.9, "false_colour": None}
    better = mean | {"psnr_linear_db": 35.0}
    found = {"suite": "truth", "set": "few", "cfa": "xtrans", "command": "python e.py", "commit": "abc", "spread": {}}
    (root / "few.json").write_text(json.dumps(found | {"mean": {"x/best.pt": mean, "markesteijn3": better}}))
    data = build_dataset(root / "data")
    rows = [
        {"file": f"{Path(r.source).stem}.webp", "source_repository": "made", "path": "p", "licence": "CC0"}
        for r in load_manifest(data).images
    ]
    write_table(root / "sources.tsv", rows)
    return folder, log, root / "few.json", data, root / "sources.tsv"


def test_a_card_holds_the_figures_of_the_runs_files(run):
    folder, log, evaluation, data, sources = run
    facts = collect(folder / "best.pt", log, [evaluation], "CC BY 4.0", "Because.")
    (folder / "metrics.json").write_text(json.dumps(facts))
    write_table(folder / "training_data.tsv", training_data(load_manifest(data), sources))
    (folder / "limits.md").write_text("None is known.\n")
    text = card(folder)
    (folder / "README.md").write_text(text)
    write_sums(folder)
    assert "| **tiny** | 31.23 | 30.00 | 0.9000 |" in text
    assert text.index("| markesteijn3 | 35.00") < text.index("| **tiny** | 31.23")  # best first
    for part in ("CC BY 4.0", "Because.", "None is known.", "64 patches in 2 minutes", "| made | CC0 | train |"):
        assert part in text
    assert f"{file_sha256(folder / 'best.pt')}  best.pt" in (folder / "SHA256SUMS").read_text()


def test_a_picture_without_an_origin_is_refused(run):
    *_, data, sources = run
    short = sources.with_name("short.tsv")
    short.write_text("\n".join(sources.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DatasetError, match=r"short\.tsv: no origin of"):
        training_data(load_manifest(data), short)

"""A model that may leave the house: weights with a card, made from the files of the run.

<folder>/best.pt or weights.pt    the network, by lincfa.checkpoint
<folder>/config.yaml              the run's whole config
<folder>/metrics.json             cost, provenance, evaluations
<folder>/training_data.tsv        file, split, origin and licence of every picture that was trained or validated on
<folder>/limits.md                what is known not to work, by hand
<folder>/README.md                the card: made from the others
<folder>/SHA256SUMS
"""

from __future__ import annotations

import collections
import csv
import json
from pathlib import Path

import yaml

from lincfa.checkpoint import load_weights
from lincfa.data.manifest import DatasetError, Manifest
from lincfa.models import gmac_per_megapixel, parameter_count
from lincfa.raw import file_sha256

RESULTS = {"psnr_linear_db": ("linear dB", ".2f"), "psnr_srgb_db": ("sRGB-coded dB", ".2f"), "ssim": ("SSIM", ".4f")}
RESULTS |= {"false_colour": ("false colour", ".4f"), "worse_than_markesteijn3": ("worse than Markesteijn-3", "d")}


def collect(weights: Path, log: Path, evaluations: list[Path], licence: str, licence_reason: str) -> dict:
    """The content of metrics.json. evaluations: files of scripts/utils/evaluate.py; the released model is called by its
    path in them. Raises CheckpointError, OSError."""
    loaded = load_weights(weights)
    network = loaded.network
    measured = []
    for path in evaluations:
        found = json.loads(path.read_text())
        facts = {key: found[key] for key in ("suite", "set", "cfa", "command", "commit", "mean", "spread")}
        measured.append(facts)
    return {
        "name": loaded.facts["name"],
        "weights": weights.name,
        "family": loaded.family,
        "model": yaml.safe_load((log / "config.yaml").read_text())["model"],
        "parameters": parameter_count(network),
        "gmac_per_megapixel": round(gmac_per_megapixel(network), 1),
        "margin_px": network.margin,
        "multiple_px": network.multiple,
        "any_phase": network.cfa is None,
        "licence": licence,
        "licence_reason": licence_reason,
        "best": {"images": loaded.facts["images"], "validation": loaded.facts["validation"]},
        "run": yaml.safe_load((log / "provenance.yaml").read_text()),
        "evaluations": measured,
    }


def training_data(manifest: Manifest, sources: Path) -> list[dict]:
    """A row for each image of a dataset that was built from RAF files or photographs of a listed collection.

    sources: a table (TSV) with columns file, source_repository, path and licence. Files are matched by their stem.
    Raises DatasetError for an image without an origin.
    """
    with open(sources, encoding="utf-8", newline="") as table:
        origins = {Path(row["file"]).stem: row for row in csv.DictReader(table, delimiter="\t")}
    rows = []
    for record in manifest.images:
        origin = origins.get(Path(record.source).stem)
        if origin is None:
            raise DatasetError(f"{sources}: no origin of {record.source}")
        columns = {key: origin[key] for key in ("source_repository", "path", "licence")}
        rows.append({"file": origin["file"], "split": record.split, **columns})
    return rows


def write_table(path: Path, rows: list[dict]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def card(folder: Path) -> str:
    """The text of README.md, from metrics.json, training_data.tsv and limits.md."""
    facts = json.loads((folder / "metrics.json").read_text())
    with open(folder / "training_data.tsv", encoding="utf-8", newline="") as table:
        data = list(csv.DictReader(table, delimiter="\t"))
    run, model = facts["run"], facts["model"]
    arguments = ", ".join(f"{k} {v}" for k, v in model.items() if k != "name")
    phases = "any phase" if facts["any_phase"] else "any phase (lincfa.infer aligns it)"
    rows = [
        ("input", f"mosaic [H, W], {facts['family']}, {phases}: linear, black = 0, white = 1, unbalanced, unclipped"),
        ("output", "RGB [H, W, 3], linear camera values on the same scale, unclipped"),
        ("network", f"`{model['name']}` ({arguments}), {facts['parameters']:,} parameters"),
        ("cost", f"{facts['gmac_per_megapixel']} GMAC per megapixel, counted by lincfa.models.gmac_per_megapixel"),
        ("tiling", f"margin {facts['margin_px']} px, sides in multiples of {facts['multiple_px']} px"),
        ("weights", f"`{facts['weights']}`, {facts['licence']}"),
        ("trained on", f"{run['images']:,} patches in {run['seconds'] / 60:.0f} minutes, {run['machine']}"),
        ("command", f"`{run['command']}`"),
        ("commit, seed, data", f"{run['commit']}, {run['seed']}, sha256 {run['data']['sha256'][:16]}"),
        ("best weights", f"after {facts['best']['images']:,} patches, by linear PSNR on the validation images"),
    ]
    parts = [f"# {facts['name']}", _markdown(("", ""), rows), "## Results"]
    parts.append("Means over images; PSNR in dB with a border of 24 px cut. LibRaw's algorithms had the same mosaics.")
    parts += [_results(evaluation, facts) for evaluation in facts["evaluations"]]
    parts += ["## Limits", (folder / "limits.md").read_text().strip(), "## Training data", facts["licence_reason"]]
    counts = collections.Counter((row["source_repository"], row["licence"], row["split"]) for row in data)
    shown = [(*key, number) for key, number in sorted(counts.items())]
    parts.append(_markdown(("source", "licence", "split", "images"), shown))
    parts.append("Each file, with its origin and licence: [training_data.tsv](training_data.tsv).")
    return "\n\n".join(parts) + "\n"


def write_sums(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name not in ("SHA256SUMS", "state.pt"))
    (folder / "SHA256SUMS").write_text("".join(f"{file_sha256(folder / name)}  {name}\n" for name in names))


def _results(evaluation: dict, facts: dict) -> str:
    rows = []
    for model, mean in sorted(evaluation["mean"].items(), key=lambda item: -item[1]["psnr_linear_db"]):
        own = Path(model).name == facts["weights"]
        cells = [format(mean[k], spec) if mean.get(k) is not None else "" for k, (_, spec) in RESULTS.items()]
        rows.append((f"**{facts['name']}**" if own else model, *cells))
    count = next(iter(evaluation["mean"].values()))["images"]
    title = f"{evaluation['suite']}:{evaluation['set']}, {evaluation['cfa']}, {count} images"
    table = _markdown(("model", *(label for label, _ in RESULTS.values())), rows)
    return f"{title} (`{evaluation['command']}`)\n\n{table}"


def _markdown(head: tuple, rows: list[tuple]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)

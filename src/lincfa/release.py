"""A model that may leave the house: weights with a card, made from the files of the run.

<folder>/weights.safetensors    the network, by lincfa.checkpoint (best.pt for a recipe's own folder)
<folder>/config.yaml            the last run's whole config
<folder>/metrics.json           cost, provenance, end of the validation curve, evaluations and the weights they are of
<folder>/robustness.json        a report of scripts/utils/robustness.py; may be missing
<folder>/benchmark*.json        files of scripts/utils/benchmark.py, one for each machine; may be missing
<folder>/training_data.tsv      file, split, origin and licence of every picture that was trained or validated on
<folder>/limits.md              what is known not to work, and why, by hand
<folder>/README.md              the card: made from the others
<folder>/SHA256SUMS
"""

from __future__ import annotations

import collections
import csv
import json
import math
from collections.abc import Iterable
from pathlib import Path

import yaml
from torch import nn

from lincfa.checkpoint import RELEASED, SUMS, CheckpointError, Weights, find_weights, load_weights, save_weights
from lincfa.data.manifest import DatasetError, Manifest
from lincfa.evaluate import REFERENCES
from lincfa.models import build, gmac_per_megapixel, parameter_count
from lincfa.models.denoising import DenoisingNet
from lincfa.raw import file_sha256
from lincfa.recordtext import table
from lincfa.robustness import report as robustness

RESULTS = {"psnr_linear_db": ("linear dB", ".2f"), "psnr_srgb_db": ("sRGB-coded dB", ".2f"), "ssim": ("SSIM", ".4f")}
RESULTS |= {"false_colour": ("false colour", ".4f")}
RESULTS |= {f"worse_than_{name}": (f"worse than {name}", "d") for name in REFERENCES.values()}
HASHES = "weights_sha256"
"""Of an evaluation or a robustness report: {model as it was named: sha256 of the weights' file}."""
CURVE_POINTS = 3
ROBUSTNESS, BENCHMARKS = "robustness.json", "benchmark*.json"


def convert(weights: Path, folder: Path, clean: str | None = None) -> Path:
    """Write a checkpoint as the weights of a released model, in float32, and return their path.

    The model is called like the folder. What else lies there is of the old weights until it is made anew.
    clean: a model whose pictures it is to give where there is no noise (see lincfa.models.denoising); the checkpoint's
    network was trained on noise.
    Raises CheckpointError, OSError, and ValueError where the two do not belong together, or for weights of no training.
    """
    loaded, path = load_weights(weights), folder / RELEASED
    if not loaded.facts.keys() >= {"images", "validation"}:
        raise ValueError(f"{weights}: weights of no training run, so there is nothing to describe them by")
    facts = loaded.facts | {"name": folder.name}
    model, network = loaded.model, loaded.network
    if clean:
        model, network = _denoising(loaded, load_weights(clean))
    save_weights(path, model, network.state_dict(), loaded.family, facts)
    write_sums(folder)
    return path


def _denoising(noisy: Weights, clean: Weights) -> tuple[dict, nn.Module]:
    arguments = {key: value for key, value in noisy.model.items() if key not in ("name", "noise")}
    told = (noisy.network.takes_noise, clean.network.takes_noise)
    if (noisy.model["name"], clean.model["name"], *told) != ("packed", "packed", True, False):
        raise ValueError(f"the networks do not belong together: {noisy.model} and {clean.model}")
    model = clean.model | {"name": "denoising"}
    if clean.model != arguments | {"name": "packed"}:
        model["noisy"] = arguments
    network = build(**model)
    network.clean.load_state_dict(clean.network.state_dict())
    network.noisy.load_state_dict(noisy.network.state_dict())
    return model, network


def weights_hashes(names: Iterable[str]) -> dict[str, str]:
    """{name: sha256 of the weights' file} for the networks among some models: what programs that measure write under
    HASHES. LibRaw's and other people's demosaicers have no weights here, and are left out."""
    found = {}
    for name in names:
        try:
            found[name] = file_sha256(find_weights(name))
        except CheckpointError:
            continue
    return found


def measured(path: Path, weights: Path, name: str) -> dict:
    """The content of an evaluation or a robustness report, whose figures of the model `name` are of these weights.

    Raises OSError, and ValueError, naming the file, where those figures are of other weights or do not say of which.
    """
    found, own = json.loads(path.read_text()), _own_names(weights.parent, {"name": name, "weights": weights.name})
    hashes, expected = found.get(HASHES, {}), file_sha256(weights)
    for model in found["mean"] if "mean" in found else found["models"]:
        if _is_own(model, own) and hashes.get(model) != expected:
            whose = f"are of other weights (sha256 {hashes[model]})" if model in hashes else f"have no {HASHES}"
            raise ValueError(f"{path}: its figures of {model} {whose}: measure {weights} again")
    return found


def collect(weights: Path, logs: list[Path], evaluations: list[Path], licence: str, licence_reason: str) -> dict:
    """The content of metrics.json. logs: folders of the runs that led to the weights, each started from the one before;
    where the first started from a released model, that model's runs come before it. evaluations: files of
    scripts/utils/evaluate.py. Raises CheckpointError, OSError, and ValueError as `measured` does."""
    loaded = load_weights(weights)
    evaluated = []
    for path in evaluations:
        found = measured(path, weights, loaded.facts["name"])
        facts = {key: found[key] for key in ("suite", "set", "cfa", "command", "commit", "spread")}
        evaluated.append(facts | {"mean": _with_worse(found), HASHES: found.get(HASHES, {})})
    runs = [yaml.safe_load((log / "provenance.yaml").read_text()) for log in logs]
    runs = [*(run for run in _ancestry(logs[0]) if run not in runs), *runs]
    return {
        "name": loaded.facts["name"],
        "weights": weights.name,
        "weights_sha256": file_sha256(weights),
        "family": loaded.family,
        "model": loaded.model,
        **of_network(loaded.network),
        "licence": licence,
        "licence_reason": licence_reason,
        "best": {"images": loaded.facts["images"], "validation": loaded.facts["validation"]},
        "earlier_runs": runs[:-1],
        "run": runs[-1],
        "curve": _curve(logs[-1]),
        "evaluations": evaluated,
    }


def of_network(network: nn.Module) -> dict:
    """The facts of metrics.json that the code says of a network: its size and cost, and what it takes."""
    return {
        "parameters": parameter_count(network),
        "gmac_per_megapixel": round(gmac_per_megapixel(network), 1),
        **_cost_of_both(network),
        "margin_px": network.margin,
        "multiple_px": network.multiple,
        "any_phase": network.cfa is None,
        "takes_noise": network.takes_noise,
    }


def _with_worse(evaluation: dict) -> dict:
    """Its means, and in them the number of images that are worse than the reference of the CFA."""
    reference = REFERENCES[evaluation["cfa"]]
    values = {}
    for row in evaluation["rows"]:
        value = row["psnr_linear_db"]
        values.setdefault(row["model"], {})[row["image"]] = math.inf if value is None else value  # JSON has no infinity
    theirs = values.pop(reference, {})
    mean = dict(evaluation["mean"])
    for name, ours in values.items() if theirs else ():
        worse = sum(value < theirs[image] for image, value in ours.items())
        mean[name] = mean[name] | {f"worse_than_{reference}": worse}
    return mean


def _cost_of_both(network: nn.Module) -> dict:
    """What a picture costs for which both of a denoising model's networks run; nothing of another model."""
    if not isinstance(network, DenoisingNet):
        return {}
    both = gmac_per_megapixel(network.clean) + gmac_per_megapixel(network.noisy)
    return {"gmac_per_megapixel_both": round(both, 1)}


def _curve(log: Path) -> list[dict]:
    """The last validations of a run."""
    rows = map(json.loads, (log / "metrics.jsonl").read_text().splitlines())
    return [
        {key: row[key] for key in ("images", "psnr_linear_db", "psnr_srgb_db")} for row in rows if row["kind"] == "val"
    ][-CURVE_POINTS:]


def _ancestry(log: Path) -> list[dict]:
    """The runs behind the released model that a run started from, the oldest first; none if it started otherwise."""
    start = yaml.safe_load((log / "config.yaml").read_text()).get("start_from")
    if not start or Path(start).exists():
        return []
    facts = json.loads((find_weights(start).parent / "metrics.json").read_text())
    return [*facts["earlier_runs"], facts["run"]]


def training_data(manifest: Manifest, sources: Path) -> list[dict]:
    """A row for each image of a dataset that was built from RAF files or photographs of a listed collection.

    sources: a table (TSV) with columns file, source_repository, path and licence. Files are matched by their stem.
    Raises DatasetError for an image without an origin.
    """
    with open(sources, encoding="utf-8", newline="") as listed:
        origins = {Path(row["file"]).stem: row for row in csv.DictReader(listed, delimiter="\t")}
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
    """The text of README.md, from metrics.json, training_data.tsv, limits.md, and robustness.json and benchmarks
    where they are."""
    facts = json.loads((folder / "metrics.json").read_text())
    with open(folder / "training_data.tsv", encoding="utf-8", newline="") as listed:
        data = list(csv.DictReader(listed, delimiter="\t"))
    model, own = facts["model"], _own_names(folder, facts)
    arguments = ", ".join(f"{k} {v}" for k, v in model.items() if k != "name")
    phases = "any phase" if facts["any_phase"] else "any phase (lincfa.infer aligns it)"
    gmac = f"{facts['gmac_per_megapixel']}"
    if "gmac_per_megapixel_both" in facts:
        gmac += f" (one network) to {facts['gmac_per_megapixel_both']} (both)"
    curve = [f"{p['psnr_linear_db']:.2f} dB after {p['images']:,} patches" for p in facts.get("curve", [])]
    rows = [
        (
            "input",
            f"mosaic [H, W], {facts['family']}, {phases}: linear, black = 0, white = 1, unbalanced, unclipped; "
            "and the frame's white balance, three multipliers: told untruly or not at all, it costs quality",
        ),
        ("output", "RGB [H, W, 3], linear camera values on the same scale, unclipped"),
        ("network", f"`{model['name']}` ({arguments}), {facts['parameters']:,} parameters"),
        ("cost", f"{gmac} GMAC per megapixel, counted by lincfa.models.gmac_per_megapixel"),
        ("tiling", f"margin {facts['margin_px']} px, sides in multiples of {facts['multiple_px']} px"),
        ("weights", f"`{facts['weights']}`, {facts['licence']}"),
        *_runs([*facts.get("earlier_runs", []), facts["run"]]),
        *([("end of the curve", f"{', '.join(curve)}: linear PSNR on the validation images")] if curve else []),
        _chosen(facts),
    ]
    parts = [f"# {facts['name']}", table(("", ""), rows), "## Results"]
    parts.append("Means over images; PSNR in dB with a border of 24 px cut. All models had the same mosaics.")
    parts += [_results(evaluation, facts, own) for evaluation in facts["evaluations"]]
    if (folder / ROBUSTNESS).is_file():
        parts += _robustness(json.loads((folder / ROBUSTNESS).read_text()), facts, own)
    if benchmarks := sorted(folder.glob(BENCHMARKS)):
        parts += ["## Speed", *(part for b in benchmarks for part in _speed(json.loads(b.read_text()), facts, own))]
    parts += ["## Limits", (folder / "limits.md").read_text().strip(), "## Training data", facts["licence_reason"]]
    counts = collections.Counter((row["source_repository"], row["licence"], row["split"]) for row in data)
    shown = [(*key, number) for key, number in sorted(counts.items())]
    parts.append(table(("source", "licence", "split", "images"), shown))
    parts.append("Each file, with its origin and licence: [training_data.tsv](training_data.tsv).")
    return "\n\n".join(parts) + "\n"


def _chosen(facts: dict) -> tuple[str, str]:
    """A card's row on which of a run's weights are released. Validation images without noise choose nothing for a
    network that is told of noise."""
    best, after = facts["best"], f"after {facts['best']['images']:,} patches"
    better = any(p["psnr_linear_db"] > best["validation"]["psnr_linear_db"] for p in facts.get("curve", []))
    if better or facts["takes_noise"]:
        return "chosen weights", f"{after}, not by the validation images"
    return "best weights", f"{after}, by linear PSNR on the validation images"


def write_sums(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name not in (SUMS, "state.pt"))
    (folder / SUMS).write_text("".join(f"{file_sha256(folder / name)}  {name}\n" for name in names))


def _own_names(folder: Path, facts: dict) -> set[str]:
    """What the released model may be called in the files of other programs, by name and by path."""
    folders = {folder.name, f"{folder.parent.name}/{folder.name}"}
    return {facts["name"], *folders, f"{folder.name}/{facts['weights']}"}


def _is_own(model: str, own: set[str]) -> bool:
    return "/".join(Path(model).parts[-2:]) in own


def _label(model: str, facts: dict, own: set[str]) -> str:
    return f"**{facts['name']}**" if _is_own(model, own) else model


def _runs(runs: list[dict]) -> list[tuple[str, str]]:
    rows = []
    for number, run in enumerate(runs, 1):
        nth = f" ({number})" if len(runs) > 1 else ""
        trained = f"{run['images']:,} patches in {run['seconds'] / 60:.0f} minutes, {run['machine']}"
        rows.append((f"trained on{nth}", trained))
        rows.append((f"command{nth}", f"`{run['command']}`"))
        source = f"{run['commit']}, {run['seed']}, sha256 {run['data']['sha256'][:16]}"
        rows.append((f"commit, seed, data{nth}", source))
        for what, key in (("started from", "start_sha256"), ("taught by", "teacher_sha256")):
            if run.get(key):
                rows.append((f"{what}{nth}", f"weights of sha256 {run[key][:12]}"))
    return rows


def _results(evaluation: dict, facts: dict, own: set[str]) -> str:
    rows, means = [], evaluation["mean"]
    columns = {k: column for k, column in RESULTS.items() if any(mean.get(k) is not None for mean in means.values())}
    for model, mean in sorted(means.items(), key=lambda item: -item[1]["psnr_linear_db"]):
        cells = [format(mean[k], spec) if mean.get(k) is not None else "" for k, (_, spec) in columns.items()]
        rows.append((_label(model, facts, own), *cells))
    count = next(iter(means.values()))["images"]
    title = f"{evaluation['suite']}:{evaluation['set']}, {evaluation['cfa']}, {count} images"
    text = table(("model", *(label for label, _ in columns.values())), rows)
    return f"{title} (`{evaluation['command']}`)\n\n{text}"


def _robustness(report: dict, facts: dict, own: set[str]) -> list[str]:
    head, rows = robustness.table(report)
    parts = [
        "## Robustness",
        f"Synthetic scenes with known truth, {report['cfa']}, without noise unless said (`{report['command']}`; "
        f"{report.get('machine', 'machine not recorded')}), and the images of "
        f"{' and '.join(report['suites']) or 'no suite'}. "
        f"The reference is LibRaw's {report['reference']}, whose mosaics are rounded to 14 bits and its output to 16. "
        "Networks get mosaics that are not rounded, except in rows of 14-bit steps, which show what a sensor's own "
        "steps cost every model. K R G B C M Y W are the corners of the RGB cube; an edge at 0° is upright. Phases are "
        "crops at other phases of the CFA, frame origins crops at the same.",
        table(("", *(_label(name, facts, own) for name in head[1:])), rows),
    ]
    for name, limits in report["limits"].items():
        if _label(name, facts, own) != name:
            parts += [
                "\n".join(f"- {line}" for line in robustness.verdicts(limits, "; cause: see Limits")),
                *robustness.worst_images(report, name),
            ]
    return parts


def _speed(benchmark: dict, facts: dict, own: set[str]) -> list[str]:
    rows = []
    for row in benchmark["rows"]:
        ratio = next((f"{value:.2f}" for key, value in row.items() if key.startswith("ratio_to_")), "")
        times = (f"{row['megapixels']:g}", f"{row['seconds_median']:.2f}", ratio, f"{row['peak_mb']:.0f}")
        rows.append((_label(row["model"], facts, own), row["precision"] or "", *times))
    threads = benchmark["rows"][0]["threads"]
    what = "from raw file to linear DNG" if benchmark["end_to_end"] else "of demosaicing a decoded frame"
    text = f"Medians {what}, {threads} threads, {benchmark['machine']} (`{benchmark['command']}`)."
    head = ("model", "precision", "megapixels", "seconds", "of the reference's", "peak MB")
    return [text, table(head, rows)]

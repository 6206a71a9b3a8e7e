"""What runs leave in files, read and validated: a training run's logs/<name>/ and an evaluation's JSON."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import re
import statistics
from dataclasses import MISSING, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, get_type_hints

import yaml

YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The faster by far, where PyYAML was built with libyaml: the ledger is long."""
BASELINE = re.compile(r"bilinear|vng|markesteijn[13]|ahd|dht|aahd|demosaicnet|menon2007(-srgb)?")
"""Names of others' methods in an evaluation, LibRaw's and those of lincfa.peers: the baselines that stand beside."""


class LedgerError(ValueError):
    """A file of the ledger, or of a run, does not say what it must. The message begins with the file's name."""


@dataclass(frozen=True)
class Run:
    """One training run, from logs/<name>/. What an interrupted or an older run has not written is None.

    start_sha256, teacher_sha256: of the weights' files that config's start_from and teacher were read from.
    greatest_fall_db: of the validation PSNR (linear), from one validation to the next; None with fewer than three.
    """

    name: str
    commit: str  # ends in '+' when tracked files differed from it
    command: str
    data: dict  # path and sha256
    seed: int
    config: dict
    start_sha256: str | None = None
    teacher_sha256: str | None = None
    device: str | None = None
    machine: str | None = None
    started: str | None = None
    parameters: int | None = None
    gmac_per_megapixel: int | float | None = None
    images: int | None = None
    seconds: int | float | None = None
    best_images: int | None = None
    best_psnr_linear_db: int | float | None = None
    greatest_fall_db: int | float | None = None

    @property
    def folder(self) -> str:
        """Of its checkpoints, in the repository."""
        return f"checkpoints/{self.config.get('checkpoint_folder', f'experiments/{self.name}')}"


@dataclass(frozen=True)
class Evaluation:
    """One evaluation file.

    models: name -> images, mean and spread over them {metric: value}, by_type {type: linear PSNR}, and against {LibRaw
    method: mean_db, spread_db, worse, images}: the per-image differences of the linear PSNR.
    """

    suite: str
    cfa: str
    file: str
    sha256: str
    command: str
    commit: str
    models: dict


def read_run(log_dir: Path, root: Path) -> Run:
    """The run of logs/<name>/. root: the repository. Raises LedgerError when a fact is missing."""
    config, provenance = (log_dir / f"{name}.yaml" for name in ("config", "provenance"))
    found = parse_mapping(provenance.read_text(encoding="utf-8"), provenance)
    found |= {"greatest_fall_db": _greatest_fall(log_dir / "metrics.jsonl")}
    found |= {"name": log_dir.name, "config": parse_mapping(config.read_text(encoding="utf-8"), config)}
    run = build(Run, {f.name: _public(found[f.name], root) for f in fields(Run) if f.name in found}, provenance)
    if not {"path", "sha256"} <= set(run.data):
        raise LedgerError(f"{provenance.name}: data needs path and sha256")
    return run


def _greatest_fall(metrics: Path) -> float | None:
    rows = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()] if metrics.exists() else []
    found = [row["psnr_linear_db"] for row in rows if row.get("kind") == "val"]
    return max(before - after for before, after in pairwise(found)) if len(found) > 2 else None


def read_evaluation(file: Path, root: Path) -> Evaluation:
    """An evaluation's JSON file. root: the repository. Raises LedgerError when a fact is missing."""
    raw = file.read_bytes()
    found = json.loads(raw)
    if missing := sorted({"suite", "set", "cfa", "command", "commit", "rows", "mean", "spread"} - set(found)):
        raise LedgerError(f"{file.name}: missing {', '.join(missing)}")
    rows: dict[str, dict[str, float]] = {}
    for row in found["rows"]:
        if row.get("psnr_linear_db") is not None:
            rows.setdefault(row["model"], {})[row["image"]] = row["psnr_linear_db"]
    models = {}
    for model, mean in found["mean"].items():
        types = found.get("by_type", {}).get(model, {})
        ours = rows.get(model, {})
        models[model] = {
            "images": mean["images"],
            "mean": {key: value for key, value in mean.items() if key != "images"},
            "spread": found["spread"].get(model, {}),
            "by_type": {kind: metrics.get("psnr_linear_db") for kind, metrics in types.items()},
            "against": {
                other: _difference(ours, theirs)
                for other, theirs in rows.items()
                if BASELINE.fullmatch(other) and not BASELINE.fullmatch(model) and ours.keys() & theirs.keys()
            },
        }
    facts = {key: found[key] for key in ("cfa", "command", "commit")}
    facts |= {"suite": f"{found['suite']}:{found['set']}", "file": str(file), "models": models}
    return build(Evaluation, _public(facts, root) | {"sha256": hashlib.sha256(raw).hexdigest()}, file)


def _difference(ours: dict[str, float], theirs: dict[str, float]) -> dict:
    """Per-image differences of two {image: dB}, over the images that both have."""
    differences = [ours[image] - theirs[image] for image in sorted(ours.keys() & theirs.keys())]
    return {
        "mean_db": statistics.fmean(differences),
        "spread_db": statistics.pstdev(differences),
        "worse": sum(d < 0 for d in differences),
        "images": len(differences),
    }


def build(cls: type, found: dict, path: Path) -> Any:
    """A dataclass from a mapping, with lists as tuples. Raises LedgerError for a wrong key or type, naming the file."""
    if unknown := sorted(set(found) - {f.name for f in fields(cls)}):
        raise LedgerError(f"{path.name}: unknown key {', '.join(unknown)}")
    if missing := [f.name for f in fields(cls) if f.default is MISSING and f.name not in found]:
        raise LedgerError(f"{path.name}: missing {', '.join(missing)}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    for key, hint in get_type_hints(cls).items():
        if key in values and not isinstance(values[key], hint):
            raise LedgerError(f"{path.name}: {key} is {values[key]!r}, not {getattr(hint, '__name__', hint)}")
    return cls(**values)


def parse_mapping(text: str, path: Path) -> dict:
    """The mapping that a YAML text holds. Raises LedgerError, naming the file."""
    try:
        found = yaml.load(text, Loader=YAML)
    except yaml.YAMLError as error:
        raise LedgerError(f"{path.name}: {error}") from error
    if not isinstance(found, dict):
        raise LedgerError(f"{path.name}: is not a mapping")
    return found


def _public(value: Any, root: Path) -> Any:
    """What may be published: paths in the repository relative to it, other absolute paths by their last name alone."""
    if isinstance(value, dict):
        return {_public(key, root): _public(part, root) for key, part in value.items()}
    if isinstance(value, list):
        return [_public(part, root) for part in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        return re.sub(r"(?<![\w./~-])/(?!/)(?:[^\s/'\"]+/)*([^\s/'\"]+)/?", r"\1", value.replace(f"{root}/", ""))
    return value


def flatten(data: dict, prefix: str = "") -> dict:
    """Mappings in a mapping as dotted keys of one."""
    flat: dict = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def is_number(value: Any) -> bool:
    """Whether a metric has a finite value."""
    return isinstance(value, int | float) and math.isfinite(value)

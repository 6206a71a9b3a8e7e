"""Released models that run in a blink, in a folder of their own."""

import hashlib
import json
from pathlib import Path

import torch

from lincfa.checkpoint import save_weights
from lincfa.models import build


def write_release(root: Path, name: str, family: str, gmac: float = 1.0) -> Path:
    """models/<name> under root, with fresh weights."""
    folder = root / "models" / name
    model = {"name": "packed", "family": family, "width": 4, "blocks": 1}
    torch.manual_seed(0)
    save_weights(folder / "weights.safetensors", model, build(**model).state_dict(), family, {"name": name})
    facts = {"family": family, "gmac_per_megapixel": gmac, "parameters": 1234, "licence": "CC0", "evaluations": []}
    (folder / "metrics.json").write_text(json.dumps(facts))
    write_sums(folder)
    return folder


def write_sums(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    (folder / "SHA256SUMS").write_text(f"{digest}  {weights.name}\n")

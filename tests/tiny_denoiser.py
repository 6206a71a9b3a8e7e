"""A released model that is told of noise and runs in a blink; what it makes of noise is arbitrary, but not nothing."""

import json
from pathlib import Path

import torch
from tiny_release import write_release, write_sums

from lincfa.checkpoint import save_weights
from lincfa.models import build


def write_denoiser(root: Path, name: str = "tiny-denoise", family: str = "xtrans", gmac: float = 1.0) -> Path:
    """models/<name> under root. Fresh weights would be deaf to noise: the layer that hears of it begins at 0."""
    folder = write_release(root, name, family, gmac)
    model = {"name": "packed", "family": family, "width": 4, "blocks": 1, "coding": 0.5, "noise": True}
    torch.manual_seed(0)
    network = build(**model)
    torch.nn.init.kaiming_normal_(network.noise.weight)
    save_weights(folder / "weights.safetensors", model, network.state_dict(), family, {"name": name})
    facts = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(facts | {"takes_noise": True}))
    write_sums(folder)
    return folder

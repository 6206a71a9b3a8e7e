"""Training state, to resume; and weights, to use. Kept apart: weights are small and hold no code."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from lincfa.models import build

STATE, BEST = "state.pt", "best.pt"
"""The two files of a run's checkpoint folder."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Weights:
    """network: in eval mode. family: the CFA it was trained for. facts: images seen, scores, data hash, ..."""

    network: nn.Module
    family: str
    facts: dict


def save_state(path: Path, state: dict) -> None:
    _write(path, state)


def load_state(path: Path) -> dict:
    """Raises CheckpointError for a broken file."""
    return _read(path)


def save_weights(path: Path, model: dict, state_dict: dict, family: str, facts: dict) -> None:
    """model: {'name': ..., arguments}. state_dict is stored as it is; facts: plain values only."""
    tensors = {k: v.detach().cpu().clone() for k, v in state_dict.items()}
    _write(path, {"format": 1, "model": dict(model), "weights": tensors, "family": family, "facts": facts})


def load_weights(path) -> Weights:
    """Raises CheckpointError for a missing or broken file, or weights that do not fit their network."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such checkpoint")
    data = _read(path)
    if not isinstance(data, dict) or data.get("format") != 1:
        raise CheckpointError(f"{path}: not a lincfa checkpoint to use (training state is another file)")
    try:
        network = build(**data["model"])
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in data["weights"].items()})
        return Weights(network.eval(), data["family"], data["facts"])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: weights do not fit their network ({error})") from error


def find_weights(name: str, root: Path = Path()) -> Path:
    """The file of a checkpoint path, or of a released model's name (models/<name>/weights.pt).

    Raises CheckpointError when it is neither.
    """
    released = root / "models" / name / "weights.pt"
    for path in (Path(name), released):
        if path.is_file():
            return path
    raise CheckpointError(f"{name}: neither a checkpoint file nor a released model (no {released})")


def _write(path: Path, data: dict) -> None:
    """Whole or not at all: a killed run leaves the file before or the file after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as out:
        torch.save(data, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


def _read(path: Path) -> dict:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises whatever the broken bytes led it to
        raise CheckpointError(f"{path}: broken checkpoint ({type(error).__name__})") from error

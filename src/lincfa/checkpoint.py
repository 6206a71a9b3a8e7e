"""Training state, to resume; and weights, to use. Kept apart: weights are small and hold no code.

A run writes torch's format (.pt), which is read without its pickled code. A released model is models/<name>/ with
weights.safetensors: tensors, and in the file's own metadata all that is needed to build their network.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from lincfa.models import build
from lincfa.raw import file_sha256
from lincfa.released import model_places

STATE, BEST = "state.pt", "best.pt"
"""The two files of a run's checkpoint folder."""
RELEASED, SUMS = "weights.safetensors", "SHA256SUMS"
"""Of a released model's folder."""
SUFFIX = ".safetensors"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True)
class Weights:
    """network: in eval mode. model: {'name': ..., arguments}, for lincfa.models.build. family: the CFA it was trained
    for. facts: images seen, scores, data hash, ..."""

    network: nn.Module
    model: dict
    family: str
    facts: dict


def save_state(path: Path, state: dict) -> None:
    _write(path, state)


def load_state(path: Path) -> dict:
    """Raises CheckpointError for a broken file."""
    return _read(path)


def save_weights(path: Path, model: dict, state_dict: dict, family: str, facts: dict) -> None:
    """In torch's format, or that of safetensors where the path ends so. model: {'name': ..., arguments}.
    state_dict is stored as it is; facts: plain values only."""
    tensors = {k: v.detach().cpu().clone() for k, v in state_dict.items()}
    _write(path, {"format": 1, "model": dict(model), "weights": tensors, "family": family, "facts": facts})


def load_weights(path) -> Weights:
    """path: see `find_weights`; .safetensors files are compared with the SHA256SUMS beside them, where there is one.

    Raises CheckpointError for a missing, broken or exchanged file, or weights that do not fit their network.
    """
    path = find_weights(path)
    if path.suffix == SUFFIX:
        _check_sum(path)
    data = _read(path)
    if not isinstance(data, dict) or data.get("format") != 1:
        raise CheckpointError(f"{path}: not a lincfa checkpoint to use (training state is another file)")
    try:
        network = build(**data["model"])
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in data["weights"].items()})
        return Weights(network.eval(), data["model"], data["family"], data["facts"])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: weights do not fit their network ({error})") from error


def find_weights(name, root: Path = Path()) -> Path:
    """The weights' file of a checkpoint's path, a released model's folder, or its name (models/<name>/ in root, then
    in the installed package).

    Raises CheckpointError when it is none of these.
    """
    released = (Path(name) if Path(name).is_dir() else root / "models" / name) / RELEASED
    for path in (Path(name), Path(name) / RELEASED, *(place / name / RELEASED for place in model_places(root))):
        if path.is_file():
            return path
    raise CheckpointError(f"{name}: neither a checkpoint file nor a released model (no {released})")


def _check_sum(path: Path) -> None:
    sums = path.with_name(SUMS)
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines() if sums.is_file() else []
    for expected, _, name in (line.partition("  ") for line in lines):
        if name == path.name and (found := file_sha256(path)) != expected:
            raise CheckpointError(f"{path}: damaged or exchanged: its sha256 is {found}, and {SUMS} says {expected}")


def _write(path: Path, data: dict) -> None:
    """Whole or not at all: a killed run leaves the file before or the file after."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as out:
        if path.suffix == SUFFIX:
            out.write(_safetensors(data))
        else:
            torch.save(data, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(temporary, path)


def _safetensors(data: dict) -> bytes:
    """Metadata of safetensors are text, so all but the tensors goes there as JSON."""
    tensors = {name: tensor.contiguous() for name, tensor in data["weights"].items()}
    rest = {key: value for key, value in data.items() if key != "weights"}
    return safetensors.torch.save(tensors, {"lincfa": json.dumps(rest)})


def _read(path: Path) -> dict:
    try:
        if path.suffix != SUFFIX:
            return torch.load(path, map_location="cpu", weights_only=True)
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no dict
            return {**json.loads((file.metadata() or {}).get("lincfa", "{}")), "weights": tensors}
    except Exception as error:  # both readers raise whatever the broken bytes led them to
        raise CheckpointError(f"{path}: broken checkpoint ({type(error).__name__})") from error

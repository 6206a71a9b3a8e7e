"""A network as an ONNX graph that needs nothing but samples: its CFA, in its phase, is part of the graph.

    mosaic [1, 1, H, W] float32              ->  rgb [1, 3, H, W] float32
    mosaic, noise [1, 3, 2] float32          ->  rgb, where the network takes noise (see lincfa.models)

H and W are multiples of metadata's multiple_px. What the values are is said in the file's metadata: see CONTRACT.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import uuid
import warnings
from importlib.metadata import version
from pathlib import Path

import onnx
import torch
from torch import nn

from lincfa.cfa import CFA, LETTERS, RGGB, XTRANS
from lincfa.checkpoint import Weights, find_weights, load_weights
from lincfa.infer import Demosaicer
from lincfa.models import MAX_STOPS, MIDDLE_GREY
from lincfa.raw import file_sha256
from lincfa.released import FACTS

OPSET = 17
"""Old enough for the programs that read ONNX, new enough for every operation here."""
MOSAIC, NOISE, RGB = "mosaic", "noise", "rgb"
CONTRACT = {
    "input": "mosaic [1, 1, H, W] float32, linear: black = 0, white = 1, unclipped, each sample times its colour's "
    "white balance multiplier (green 1) and times the normalising gain. H and W are multiples of multiple_px. The "
    "first row and column are those of cfa: extend the frame in front by rows and columns of the same colours until "
    "they are",
    "normalising_gain": "2^n, the power of two that brings the mean of the whole balanced frame to within half a stop "
    f"of {MIDDLE_GREY}; n at most {MAX_STOPS}; 1 for a frame whose mean is not above 0",
    "output": "rgb [1, 3, H, W] float32, R G B on the scale of the input: divide by the gain and the multipliers",
    "tiling": "samples further than margin_px from a pixel do not change it; tiles begin at multiples of multiple_px",
    "noise": "noise [1, 3, 2] float32: for R G B (read, shot): the variance of a sample is read^2 + shot x signal, all "
    "on the scale of the input; 0 takes no noise away",
}


class OnnxError(ValueError):
    """An ONNX file that cannot be used or written; the message names it."""


def to_onnx(name: str) -> onnx.ModelProto:
    """A released model's name, or a checkpoint's path -> its graph in float32, with its contract in the metadata.

    Raises CheckpointError for weights that are not there or cannot be used.
    """
    weights = load_weights(name)
    path = find_weights(name)
    network = _WithCFA(weights)
    inputs = {MOSAIC: torch.zeros(1, 1, 2 * network.multiple, 3 * network.multiple)}
    if weights.network.takes_noise:
        inputs[NOISE] = torch.zeros(1, 3, 2)
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing is the old one; the new one writes F.pixel_unshuffle with its channels in another
        # order (microsoft/onnxscript issue 2891). What tracing warns of, sizes that it may freeze, is tested.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(inputs.values()),
            file,
            input_names=list(inputs),
            output_names=[RGB],
            dynamic_axes={name: {2: "height", 3: "width"} for name in (MOSAIC, RGB)},
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load_from_string(file.getvalue())
    model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1  # which tracing does not find out
    model.producer_name, model.producer_version = "lincfa", version("lincfa")
    facts = {
        "name": weights.facts.get("name", Path(name).stem),
        "family": weights.family,
        "cfa": " ".join("".join(LETTERS[c] for c in row) for row in network.cfa.tile),
        "multiple_px": network.multiple,
        "margin_px": weights.network.margin,
        "tile_px": Demosaicer(weights.network, precision="fp32").tile_px,
        "precision": "fp32",
        "opset": OPSET,
        "licence": _licence(path),
        "weights_sha256": file_sha256(path),
        "source": f"lincfa {version('lincfa')}",
    }
    contract = {key: text for key, text in CONTRACT.items() if key != "noise" or NOISE in inputs}
    onnx.helper.set_model_props(model, {key: str(value) for key, value in (facts | contract).items()})
    return model


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def save(model: onnx.ModelProto, path) -> None:
    """Whole or not at all. Raises OnnxError where it cannot be written."""
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(path)
    except OSError as error:
        raise OnnxError(f"cannot write {path} ({error.strerror})") from error
    finally:
        with contextlib.suppress(OSError):  # its folder may be what could not be made
            temporary.unlink(missing_ok=True)


def _licence(weights: Path) -> str:
    """Of the weights, as the facts beside them say."""
    try:
        return json.loads(weights.with_name(FACTS).read_text(encoding="utf-8"))["licence"]
    except (OSError, ValueError, KeyError):
        return "not stated"


class _WithCFA(nn.Module):
    """A network that makes its masks itself: of its own CFA, or of phase 0 of its family where it takes any."""

    def __init__(self, weights: Weights):
        super().__init__()
        self.network = weights.network
        self.cfa: CFA = weights.network.cfa or {"xtrans": XTRANS, "bayer": RGGB}[weights.family]
        self.multiple = math.lcm(weights.network.multiple, *self.cfa.period)
        self.register_buffer("tile", torch.from_numpy(self.cfa.masks(*self.cfa.period)))

    def forward(self, mosaic: torch.Tensor, *noise: torch.Tensor) -> torch.Tensor:
        height, width = mosaic.shape[2:]
        p, q = self.cfa.period
        return self.network(mosaic, self.tile.repeat(1, height // p, width // q)[None], *noise)

"""ONNX graphs in half floats, and in 8-bit integers with ranges from training pictures."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from lincfa.data.augment import AugmentConfig
from lincfa.data.dataset import PatchSet
from lincfa.evaluate import load_suite, noisy
from lincfa.models import normalising_gain
from lincfa.portable.graph import MOSAIC, NOISE, metadata

PRECISIONS = ("fp32", "fp16", "int8")
PATCHES = 64
PATCH_PX = 96
MOST_NOISE = (0.02, 0.004)
"""(read, shot) on white = 1: where a network is told of noise, half of the patches have some, up to this much."""
CENTILE = 99.99
"""Values beyond are cut: a range that holds them all makes the step between values larger, which costs more."""


def in_precision(
    model: onnx.ModelProto,
    precision: str,
    calibration=None,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> onnx.ModelProto:
    """A graph of lincfa.portable.graph in one of PRECISIONS; inputs and outputs are float32 in all of them.

    calibration: for int8, see `calibration_inputs`. progress(done, total) is called for each of its mosaics.
    Raises ValueError where it is missing, or not for this precision.
    """
    if (calibration is not None) != (precision == "int8"):
        raise ValueError("--precision int8 and --calibration DIR (photographs, or a built dataset) go together")
    if precision == "int8":
        return to_int8(model, calibration_inputs(calibration, model), progress)
    return {"fp32": lambda m: m, "fp16": to_fp16}[precision](model)


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with its convolutions, and what stands between them, in half floats.

    Samples, their coding and their local means stay in float32, inputs and outputs too. (onnxruntime's own converter
    would pass the samples through half floats as well.)
    """
    half = onnx.ModelProto()
    half.CopyFrom(model)
    inner, inner_values = _inner(model)
    taken = {name for node in model.graph.node if node.name in inner for name in node.input}
    values = [tensor for tensor in half.graph.initializer if tensor.name in taken]
    values += [n.attribute[0].t for n in half.graph.node if n.op_type == "Constant" and n.output[0] in taken]
    for tensor in values:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(_in_half(numpy_helper.to_array(tensor)), tensor.name))
    constants = _constants(model)
    cast: dict[str, str] = {}
    nodes = []
    for node in half.graph.node:
        to = TensorProto.FLOAT16 if node.name in inner else TensorProto.FLOAT
        for i, name in enumerate(node.input):
            if name and name not in constants and (name in inner_values) != (node.name in inner):
                if name not in cast:
                    cast[name] = f"{name}_cast"
                    nodes.append(onnx.helper.make_node("Cast", [name], [cast[name]], f"{name}_cast", to=to))
                node.input[i] = cast[name]
        nodes.append(node)
    del half.graph.value_info[:], half.graph.node[:]
    half.graph.node.extend(nodes)
    return _with_precision(half, model, "fp16")


def to_int8(
    model: onnx.ModelProto,
    inputs: list[dict[str, np.ndarray]],
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> onnx.ModelProto:
    """The graph with its inner convolutions in 8-bit integers (QDQ: a scale for each output channel of the weights,
    and for each layer's values the range that they have on the mosaics). The first and the last convolution, the sums
    between them and what goes to the sums past the convolutions stay in float32.

    inputs: of the graph by name, float32, as `calibration_inputs` gives them.
    """
    inner = _inner_convolutions(model)
    if not inner:
        raise ValueError("int8: the network has no convolution between its first and its last")
    with tempfile.TemporaryDirectory() as folder, _silence():
        Path(folder, "fp32.onnx").write_bytes(model.SerializeToString())  # it would change the graph in memory
        quantize_static(
            Path(folder, "fp32.onnx"),
            Path(folder, "int8.onnx"),
            _Reader(inputs, progress),
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=inner + _rectifiers(model, inner),
            per_channel=True,
            activation_type=QuantType.QUInt8,  # the pair that processors multiply fastest
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            reduce_range=True,  # weights of 7 bits: processors without VNNI add two products in 16
            extra_options={"CalibPercentile": CENTILE},
        )
        integers = onnx.load(Path(folder, "int8.onnx"))
    _pass_floats(integers, inner)
    return _with_precision(integers, model, "int8")


def calibration_inputs(folder, model: onnx.ModelProto) -> list[dict[str, np.ndarray]]:
    """Inputs of the graph by name: up to 64 mosaics [1, 1, H, W], at most 96 px a side, and for a graph that takes
    noise that of each, [1, 3, 2]: half of the mosaics then have some, since it changes the ranges of all layers.

    folder: a built dataset, whose training images are taken, or a folder of photographs.
    Raises ValueError (DatasetError is one) for a folder with neither.
    """
    facts, noise = metadata(model), NOISE in {i.name for i in model.graph.input}
    multiple = int(facts["multiple_px"])
    side = PATCH_PX // multiple * multiple
    if Path(folder, "manifest.json").is_file():
        read, shot = MOST_NOISE if noise else (0.0, 0.0)
        config = AugmentConfig(
            phases=False,
            exposure_ev=(-0.5, 0.5),  # as far as a power of two leaves frames
            read_noise=(0.0, read),
            shot_noise=(0.0, shot),
            noise_share=0.5,
        )
        patches = PatchSet(folder, patch_px=side, config=config, seed=0, family=facts["family"])
        batch = patches.batch(range(PATCHES))
        pairs = zip(batch.mosaic.numpy(), batch.noise.numpy(), strict=True)
    else:
        pairs = _of_photographs(folder, facts["family"], multiple, side, noise)
    inputs = [{MOSAIC: mosaic[None].copy()} | ({NOISE: told[None].copy()} if noise else {}) for mosaic, told in pairs]
    if not inputs:
        raise ValueError(f"{folder}: no picture has {multiple} px a side")
    return inputs


def _of_photographs(
    folder, family: str, multiple: int, side: int, noise: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(mosaic [1, H, W], its noise [3, 2]) of the middle of each picture; where noise is wanted, of every second one
    with some, from an eighth of the most to the most."""
    for number, scene in enumerate(load_suite("truth", folder, family, PATCHES)):
        if noise and number % 2:
            share = 2.0 ** -(number // 2 % 4)
            scene = noisy(scene, share * MOST_NOISE[0], share**2 * MOST_NOISE[1], seed=number)
        height, width = (min(side, n // multiple * multiple) for n in scene.mosaic.shape)
        top, left = (
            (n - m) // 2 // multiple * multiple for n, m in zip(scene.mosaic.shape, (height, width), strict=True)
        )
        gain = np.float32(normalising_gain(float(scene.mosaic.mean())))
        if height and width:
            told = np.tile(np.float32(scene.noise), (3, 1))
            yield gain * scene.mosaic[None, top : top + height, left : left + width], gain * told


def _in_half(values: np.ndarray) -> np.ndarray:
    """A scalar above 0 stays above 0: it keeps a divisor from being 0."""
    half = values.astype(np.float16)
    return np.maximum(half, np.finfo(np.float16).tiny) if values.ndim == 0 and values > 0 else half


def _with_precision(converted: onnx.ModelProto, original: onnx.ModelProto, precision: str) -> onnx.ModelProto:
    """The converted graph with the original's metadata."""
    onnx.helper.set_model_props(converted, metadata(original) | {"precision": precision})
    converted.producer_name, converted.producer_version = original.producer_name, original.producer_version
    onnx.checker.check_model(converted)
    return converted


def _inner_convolutions(model: onnx.ModelProto) -> list[str]:
    """The names of the convolutions that have others before and after them, and no gate right after, nor after the next
    one: it divides what it is given by its size there, so that where it is flat a fixed step would be all that is left
    (docs/export.md)."""
    _, values = _inner(model)
    gated = {name for node in model.graph.node if node.op_type == "Split" for name in node.input}
    gated |= {node.input[0] for node in model.graph.node if node.op_type == "Conv" and node.output[0] in gated}
    before_others, names = set(), []
    for node in reversed(model.graph.node):
        followed = not before_others.isdisjoint(node.output)
        if followed and node.op_type == "Conv" and node.input[0] in values and node.output[0] not in gated:
            names.append(node.name)
        if followed or node.op_type == "Conv":
            before_others.update(node.input)
    return names[::-1]


def _rectifiers(model: onnx.ModelProto, convolutions: list[str]) -> list[str]:
    """The names of the ReLUs right after convolutions: as integers with a range from 0 they are part of them."""
    given = {name for node in model.graph.node if node.name in convolutions for name in node.output}
    return [node.name for node in model.graph.node if node.op_type == "Relu" and node.input[0] in given]


def _pass_floats(integers: onnx.ModelProto, convolutions: list[str]) -> None:
    """Give nodes other than the quantised convolutions the values that these take, before they are rounded and cut, but
    for what comes from such a convolution itself.

    onnxruntime's quantiser gives the rounded ones to all; along the residual sums the error would grow with each block.
    """
    made = {name: node for node in integers.graph.node for name in node.output}
    for node in integers.graph.node:
        if node.name in convolutions or node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            continue
        for i, name in enumerate(node.input):
            if name in made and made[name].op_type == "DequantizeLinear" and made[name].input[0] in made:
                before = made[made[name].input[0]].input[0]
                if made[before].name not in convolutions:
                    node.input[i] = before


def _inner(model: onnx.ModelProto) -> tuple[set[str], set[str]]:
    """Names of the convolutions, and of the nodes that take nothing but what these give, and constants; and the names
    of what they give."""
    constants = _constants(model)
    nodes, values = set(), set()
    for node in model.graph.node:
        taken = {name for name in node.input if name} - constants
        if node.op_type == "Conv" or (taken and taken <= values):
            nodes.add(node.name)
            values.update(node.output)
    return nodes, values


def _constants(model: onnx.ModelProto) -> set[str]:
    """Names of the values that are the same whatever samples the graph is given: shapes are, too."""
    names = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        taken = {name for name in node.input if name}
        if node.op_type in ("Constant", "Shape") or (taken and taken <= names):
            names.update(node.output)
    return names


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: list[dict], progress: Callable[[int, int], object]):
        self._inputs, self._count, self._progress = iter(enumerate(inputs)), len(inputs), progress

    def get_next(self) -> dict | None:
        number, mosaic = next(self._inputs, (self._count, None))
        self._progress(number, self._count)
        return mosaic


@contextlib.contextmanager
def _silence():
    """onnxruntime prints what it does, and logs advice for other networks."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)

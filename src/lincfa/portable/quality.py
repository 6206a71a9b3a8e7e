"""What each precision of a network costs in quality and takes in time: rows, and the table of docs/export.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median

import numpy as np

from lincfa import metrics
from lincfa.checkpoint import load_weights
from lincfa.data.dataset import Scene
from lincfa.evaluate import BORDER_PX
from lincfa.infer import Demosaicer
from lincfa.portable.graph import to_onnx
from lincfa.portable.precision import in_precision
from lincfa.portable.session import OnnxNetwork
from lincfa.recordtext import signed, table

ENGINES = (("torch", "fp32"), ("torch", "bf16"), ("onnx", "fp32"), ("onnx", "fp16"), ("onnx", "int8"))
"""The first is what the others are compared with."""
FIGURES = ("psnr_linear_db", "psnr_srgb_db")


def measure(
    name: str,
    suites: dict[str, list[Scene]],
    calibration,
    megapixels: float,
    repetitions: int,
    progress: Callable[[str], object] = lambda what: None,
    engines: Sequence[tuple[str, str]] = ENGINES,
) -> list[dict]:
    """A row for each of engines, on the CPU.

    name: a network. suites: scenes of its CFA with known truth, by the suite's name. calibration: see
    lincfa.portable.precision. megapixels: of the timed frame, the first scene side by side, about.
    Row: model, engine, precision, suites {name: scenes, FIGURES as lincfa.evaluate has them, change_* of each to the
    first row, worst_* the change of the scene that loses most, max_difference of linear values}, file_mb (of ONNX),
    megapixels, seconds (of each repetition, in turns), seconds_median and seconds_ratio to the first row.
    Raises ValueError.
    """
    demosaicers, megabytes = _demosaicers(name, calibration, engines)
    rows = [
        {"model": name, "engine": engine, "precision": precision, "suites": {}, "file_mb": size}
        for (engine, precision), size in zip(engines, megabytes, strict=True)
    ]
    for suite, scenes in suites.items():
        found = []
        for scene in scenes:
            found.append(_scene_figures(demosaicers, scene))
            progress(f"{name}, {suite}")
        figures = np.array(found)  # [scenes, engines, psnr_linear_db psnr_srgb_db max_difference]
        for row, own in zip(rows, figures.swapaxes(0, 1), strict=True):
            change = own - figures[:, 0]
            row["suites"][suite] = {
                "scenes": len(scenes),
                **{key: float(own[:, i].mean()) for i, key in enumerate(FIGURES)},
                **{f"change_{key}": float(change[:, i].mean()) for i, key in enumerate(FIGURES)},
                **{f"worst_{key}": float(change[:, i].min()) for i, key in enumerate(FIGURES)},
                "max_difference": float(own[:, 2].max()),
            }
    scene = next(iter(suites.values()))[0]
    frame = _frame(scene, megapixels)
    seconds = [[] for _ in rows]
    for _ in range(repetitions):
        for spent, demosaic in zip(seconds, demosaicers, strict=True):
            started = time.perf_counter()
            demosaic(frame, scene.cfa)
            spent.append(time.perf_counter() - started)
            progress(f"{name}, time")
    for row, spent in zip(rows, seconds, strict=True):
        row |= {"megapixels": frame.size / 1e6, "seconds": spent, "seconds_median": median(spent)}
        row["seconds_ratio"] = row["seconds_median"] / rows[0]["seconds_median"]
    return rows


def markdown(found: dict) -> str:
    """The table of a file that scripts/utils/benchmark_precision.py wrote."""
    suites = list(found["rows"][0]["suites"])
    head = ["Network", "Engine", "Precision"]
    head += [f"{suite}: linear, sRGB-coded (dB)" for suite in suites]
    head += ["Worst scene (dB)", "Largest difference", "Seconds", "x torch fp32"]
    lines = []
    for row in found["rows"]:
        own = row["suites"].values()
        cells = [row["model"], row["engine"], row["precision"]]
        cells += [", ".join(f"{o[key]:.2f} ({signed(o[f'change_{key}'])})" for key in FIGURES) for o in own]
        cells.append(signed(min(o[f"worst_{key}"] for o in own for key in FIGURES)))
        cells.append(f"{max(o['max_difference'] for o in own):.1e}")
        cells += [f"{row['seconds_median']:.2f}", f"{row['seconds_ratio']:.2f}"]
        lines.append(tuple(cells))
    scenes = ", ".join(f"{o['scenes']} of {suite}" for suite, o in found["rows"][0]["suites"].items())
    first = found["rows"][0]
    note = (
        f"Means over scenes ({scenes}); in brackets, and for the worst scene, the change against torch in fp32, from "
        f"which the largest difference is counted too (white is 1). Seconds for {first['megapixels']:.1f} MP, median "
        f"of {len(first['seconds'])}, {found['threads']} threads, {found['machine']}; int8 calibrated with "
        f"{found['calibration']}."
    )
    return f"{table(tuple(head), lines)}\n\n{note}"


def _demosaicers(
    name: str, calibration, engines: Sequence[tuple[str, str]]
) -> tuple[list[Demosaicer], list[float | None]]:
    """One for each of engines, and the sizes of the ONNX files in 10^6 bytes."""
    whole = to_onnx(name)
    demosaicers, megabytes = [], []
    for engine, precision in engines:
        if engine == "torch":
            demosaicers.append(Demosaicer(load_weights(name).network, precision=precision))
            megabytes.append(None)
        else:
            content = in_precision(whole, precision, calibration if precision == "int8" else None).SerializeToString()
            network = OnnxNetwork(content, device="cpu")
            demosaicers.append(Demosaicer(network, tile_px=network.tile_px))
            megabytes.append(len(content) / 1e6)
    return demosaicers, megabytes


def _scene_figures(demosaicers: list[Demosaicer], scene: Scene) -> list[tuple[float, float, float]]:
    """For each: PSNR linear and sRGB-coded, clipped, against the truth; largest difference to the first's values."""
    balance = scene.white_balance
    truth = (scene.rgb * balance).clip(0, 1)
    images = [demosaic(scene.mosaic, scene.cfa, balance) * balance for demosaic in demosaicers]
    return [
        (
            metrics.psnr(image.clip(0, 1), truth, peak=1.0, border=BORDER_PX),
            metrics.psnr_srgb(image, truth, border=BORDER_PX),
            np.abs(image - images[0]).max(),
        )
        for image in images
    ]


def _frame(scene: Scene, megapixels: float) -> np.ndarray:
    """A mosaic of about so many megapixels: whole periods of the scene's, side by side."""
    height, width = (n // p * p for n, p in zip(scene.mosaic.shape, scene.cfa.period, strict=True))
    times = max(1, round((megapixels * 1e6 / (height * width)) ** 0.5))
    return np.tile(scene.mosaic[:height, :width], (times, times))

"""What an ONNX file loses against its network: on scenes with known truth that the project makes itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from lincfa import metrics
from lincfa.cfa import CFA
from lincfa.data.dataset import Scene
from lincfa.data.demo import demo_scenes
from lincfa.evaluate import BORDER_PX, noisy
from lincfa.infer import Demosaicer
from lincfa.recordtext import signed

NOISE = (0.01, 0.002)
"""(read, shot) on white = 1, of the mosaics that a network which is told of noise is also compared on."""
TIMED_TILES = 4
"""The timed frame is the first scene, so many times along each side."""


@dataclass(frozen=True)
class Parity:
    """scenes: how many. noise: (read, shot) of their mosaics, which the networks were told. max_difference: of linear
    values, white = 1. psnr_db: of the file's output against torch's in float32, unclipped, peak 1, mean over scenes.
    linear_db, srgb_db: (torch's, the file's) PSNR against the truth, clipped, means over scenes. seconds: (torch's, the
    file's) for one frame, timed once. megapixels: of that frame.
    """

    scenes: int
    noise: tuple[float, float]
    max_difference: float
    psnr_db: float
    linear_db: tuple[float, float]
    srgb_db: tuple[float, float]
    seconds: tuple[float, float]
    megapixels: float


def compare(
    network,
    onnx_network,
    progress: Callable[[int, int], object] = lambda done, total: None,
    noise: tuple[float, float] = (0.0, 0.0),
) -> Parity:
    """network: the torch network. onnx_network: its OnnxNetwork, which says the CFA. Both run on the CPU as
    lincfa.infer runs them. noise: (read, shot), put on the mosaics and told to both. progress(done, total) is called
    after each scene. Raises ValueError for noise where the network is not told of it."""
    cfa = onnx_network.cfa
    scenes = [_scene(make(), cfa, noise, seed) for seed, make in enumerate(demo_scenes().values())]
    both = (Demosaicer(network, precision="fp32"), Demosaicer(onnx_network, tile_px=onnx_network.tile_px))
    rows = []
    for done, scene in enumerate(scenes, 1):
        wanted, given = (run(scene.mosaic, cfa, noise=noise) for run in both)
        shown, cut = scene.rgb.clip(0, 1), {"border": BORDER_PX}
        rows.append(
            (
                np.abs(wanted - given).max(),
                metrics.psnr(given, wanted, peak=1.0, **cut),
                *(metrics.psnr(rgb.clip(0, 1), shown, peak=1.0, **cut) for rgb in (wanted, given)),
                *(metrics.psnr_srgb(rgb, shown, **cut) for rgb in (wanted, given)),
            )
        )
        progress(done, len(scenes))
    columns = np.array(rows, np.float64)
    means = [float(value) for value in columns.mean(0)]
    frame = np.tile(scenes[0].mosaic, (TIMED_TILES, TIMED_TILES))
    return Parity(
        scenes=len(scenes),
        noise=noise,
        max_difference=float(columns[:, 0].max()),
        psnr_db=means[1],
        linear_db=(means[2], means[3]),
        srgb_db=(means[4], means[5]),
        seconds=tuple(_seconds(run, frame, cfa) for run in both),
        megapixels=frame.size / 1e6,
    )


def parity_lines(parity: Parity) -> list[str]:
    (torch_linear, linear), (torch_srgb, srgb), (torch_seconds, seconds) = (
        parity.linear_db,
        parity.srgb_db,
        parity.seconds,
    )
    read, shot = parity.noise
    told = f", with noise (read {read:g}, shot {shot:g}) that both are told of" if any(parity.noise) else ""
    return [
        f"on {parity.scenes} scenes with known truth{told}, against torch in fp32: "
        f"max difference {parity.max_difference:.1e} (white is 1), PSNR {parity.psnr_db:.1f} dB",
        f"against the truth: linear {linear:.2f} dB ({signed(linear - torch_linear)}), "
        f"sRGB-coded {srgb:.2f} dB ({signed(srgb - torch_srgb)})",
        f"{parity.megapixels:.1f} MP: {seconds:.2f} s, torch {torch_seconds:.2f} s, {seconds / torch_seconds:.2f} x; "
        f"one timing on the CPU, {torch.get_num_threads()} threads",
    ]


def _scene(rgb: np.ndarray, cfa: CFA, noise: tuple[float, float], seed: int) -> Scene:
    scene = Scene("", cfa.mosaic(rgb), rgb, cfa, np.ones(3), None)
    return noisy(scene, *noise, seed) if any(noise) else scene


def _seconds(run: Demosaicer, frame: np.ndarray, cfa) -> float:
    started = time.perf_counter()
    run(frame, cfa)
    return time.perf_counter() - started

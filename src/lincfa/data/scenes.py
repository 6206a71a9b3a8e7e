"""Scenes with known truth, and raw files of them: the demo's camera.

A photograph is enlarged before it is exposed, as a lens draws it on many photosites; a dataset build that averages it
down again meets its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.color import encode_for_eyes
from lincfa.data.build import area_downsample
from lincfa.rawwriter import expose, write_dng, write_raf


@dataclass(frozen=True)
class Camera:
    """gains: sensitivity of R, G, B to grey light; levels in ADU; noise on white = 1 (see rawwriter.expose)."""

    gains: tuple[float, float, float] = (0.5, 1.0, 0.6)
    black_adu: int = 1024
    read_noise: float = 0.0005
    shot_noise: float = 0.00005


def enlarge(rgb: np.ndarray, factor: int, passes: int = 3) -> np.ndarray:
    """A smooth picture of factor times the size whose area means are the pixels of rgb.

    rgb: [H, W, 3] linear, not negative -> [H * factor, W * factor, 3] float32, not negative. Cubic interpolation,
    then back-projection: what the means lack is enlarged and added (Irani and Peleg 1991). Where light would become
    negative it is cut, which leaves a small difference at hard dark edges.
    """
    large = np.zeros((rgb.shape[0] * factor, rgb.shape[1] * factor, 3), np.float32)
    for _ in range(passes):
        missing = rgb - area_downsample(large, factor)
        zoom = [ndimage.zoom(missing[..., c], factor, order=3, mode="mirror", grid_mode=True) for c in range(3)]
        large = np.maximum(large + np.stack(zoom, -1), 0)
    return large


def write_scene_raf(path: Path, rgb: np.ndarray, camera: Camera, *, phase: tuple[int, int], seed: int, factor: int = 1):
    """Expose a scene [H, W, 3] (linear, grey = equal RGB, 1.0 = white in green) as an X-Trans RAF in any phase.

    factor: enlarge it first. The file's truth is the scene; no demosaicer has touched it.
    """
    scene, cfa, adu, facts = _exposed(rgb, XTRANS.shift(*phase), camera, seed, factor)
    step = max(1, min(scene.shape[:2]) // 128)
    write_raf(path, adu, cfa, preview=encode_for_eyes(scene[::step, ::step]), **facts)


def write_scene_dng(path: Path, rgb: np.ndarray, camera: Camera, *, phase: tuple[int, int], seed: int, factor: int = 1):
    """The same as a Bayer CFA DNG."""
    _, cfa, adu, facts = _exposed(rgb, RGGB.shift(*phase), camera, seed, factor)
    write_dng(path, adu, cfa, **facts)


def _exposed(
    rgb: np.ndarray, cfa: CFA, camera: Camera, seed: int, factor: int
) -> tuple[np.ndarray, CFA, np.ndarray, dict]:
    """(scene, cfa, its sensor values, levels and white balance for the file)."""
    scene = enlarge(rgb, factor) if factor > 1 else rgb
    noise = {"read_noise": camera.read_noise, "shot_noise": camera.shot_noise, "rng": np.random.default_rng(seed)}
    adu = expose(scene, cfa, black=camera.black_adu, gains=camera.gains, **noise)
    return scene, cfa, adu, {"black": camera.black_adu, "white_balance": tuple(1 / g for g in camera.gains)}

"""The report's scenes: what a camera with unequal gains sees of synthetic pictures, with their truth."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import numpy as np

from lincfa.cfa import CFA
from lincfa.data.build import area_downsample
from lincfa.data.dataset import Scene
from lincfa.data.demo import demo_scenes
from lincfa.data.torture import torture_scene
from lincfa.data.torture_patterns import SAMPLES, draw_pattern
from lincfa.rawwriter import XYZ_TO_LINEAR_SRGB

GAINS = np.array([0.5, 1.0, 0.625])
"""The sensor's sensitivity to grey. A level of 8 n in 14-bit steps is then a whole number of steps in every channel."""
PICTURES = ("astronaut-0", "chelsea-0", "coffee-0", "rocket-0", "procedural-0", "procedural-1")
EDGE_ANGLES_DEG = (0, 30, 45, 90)
EDGE_SIDE_PX = 112
SLANT_DEG = 5.0
_FINE = 8  # samples along a pixel's side where an edge is drawn


def exposed(name: str, rgb: np.ndarray, cfa: CFA) -> Scene:
    """A scene without noise and without rounding. rgb: [H, W, 3] linear, balanced (equal RGB is grey), any range."""
    camera = (rgb * GAINS).astype(np.float32)
    return Scene(name, cfa.mosaic(camera), camera, cfa, 1 / GAINS, XYZ_TO_LINEAR_SRGB)


def flat(level: float, cfa: CFA, side_px: int) -> Scene:
    return exposed(f"grey {level:g}", np.full((side_px, side_px, 3), level), cfa)


def pictures() -> dict[str, np.ndarray]:
    """{name: [288, 288, 3] linear}: the demo's photographs and torture scenes."""
    scenes = demo_scenes()
    return {name: scenes[name]() for name in PICTURES}


@lru_cache
def edge(side_px: int, angle_deg: float) -> np.ndarray:
    """[side, side] coverage in [0, 1], the area mean of each pixel, of the half plane right of a straight edge.

    The edge passes near the middle and is turned clockwise from the vertical; no pixel's border lies on it. Read only:
    28 pairs of colours share it.
    """
    across = edge_distance(side_px * _FINE, angle_deg) / _FINE
    coverage = area_downsample((across > 0.3)[..., None], _FINE)[..., 0]
    coverage.flags.writeable = False
    return coverage


@lru_cache
def strokes(side_px: int) -> np.ndarray:
    """[side, side, 3] linear: the torture scene of strokes. Read only: every model sees it."""
    rgb = torture_scene(5, side_px)
    rgb.flags.writeable = False
    return rgb


def edge_distance(side_px: int, angle_deg: float) -> np.ndarray:
    """[side, side] signed distance in px of each pixel's middle from the line through the square's middle."""
    t = np.arange(side_px) + 0.5 - side_px / 2
    angle = np.deg2rad(angle_deg)
    return t[None, :] * np.cos(angle) + t[:, None] * np.sin(angle)


def edge_cases() -> list[tuple[str, np.ndarray, np.ndarray, int]]:
    """(name, colour, colour, angle in degrees): all pairs of the corners of the RGB cube at each angle."""
    corners = {name: np.array([name in mix for mix in ("RMYW", "GYCW", "BMCW")], float) for name in "KRGBCMYW"}
    return [
        (f"{a}{b} {angle}°", corners[a], corners[b], angle)
        for a, b in combinations(corners, 2)
        for angle in EDGE_ANGLES_DEG
    ]


def zone_plate(side_px: int) -> np.ndarray:
    """[side, side, 3] grey in [0, 1]: frequencies up to Nyquist at the farthest side."""
    fine = draw_pattern("zone_plate", np.random.default_rng(0), side_px)
    return np.repeat(area_downsample(fine[..., None], SAMPLES), 3, axis=2)

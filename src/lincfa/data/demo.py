"""The demo's scenes: procedural ones, and the photographs that scikit-image carries."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from skimage import data as skimage_data

from lincfa.color import srgb_to_linear
from lincfa.data.torture import TYPES, torture_scene

SIDE_PX = 288
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "retina", "hubble_deep_field", "immunohistochemistry")


def demo_scenes() -> dict[str, Callable[[], np.ndarray]]:
    """{name: function that gives [H, W, 3] linear RGB}: mosaics of four torture scenes, and tiles of photographs.

    The photographs are 8-bit sRGB files in scikit-image's package; no network is needed.
    """
    scenes: dict[str, Callable[[], np.ndarray]] = {}
    for number in range(6):
        scenes[f"procedural-{number}"] = partial(_procedural, number)
    for name in PHOTOGRAPHS:
        for tile in range(2):
            scenes[f"{name}-{tile}"] = partial(_photograph, name, tile)
    return scenes


def _procedural(number: int) -> np.ndarray:
    """Four scenes of different types in the corners of one picture."""
    half = SIDE_PX // 2
    first = 1000 + number * 4 * (len(TYPES) + 1)
    corners = [torture_scene(first + k * (len(TYPES) + 1), half) for k in range(4)]
    return np.concatenate([np.concatenate(corners[:2], 1), np.concatenate(corners[2:], 1)], 0)


def _photograph(name: str, tile: int) -> np.ndarray:
    """A square of the photograph: its upper left, then its lower right."""
    pixels = getattr(skimage_data, name)()
    side = min(SIDE_PX, *pixels.shape[:2])
    square = pixels[:side, :side] if tile == 0 else pixels[-side:, -side:]
    return srgb_to_linear(square.astype(np.float32) / 255)

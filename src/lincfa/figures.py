"""Pictures for people: panels of crops, and of the CFA's grid."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from lincfa import metrics
from lincfa.cfa import CFA
from lincfa.color import encode_for_eyes
from lincfa.data.dataset import Scene

DIFFERENCE_GAIN = 8.0
"""Differences are shown this much larger, around middle grey."""

TILE_RANGE = 0.01
"""A mean tile is shown from black to white as this much below to above the level."""
GRID_SIDE_PX = 288
SPECTRUM_RANGE_DB = 40.0
CFA_COLOUR, REST_COLOUR = (255, 160, 0), (0, 150, 255)


def crop_row(scene: Scene, rgb: np.ndarray) -> np.ndarray:
    """Input, output, truth and difference side by side: [H, 4 W, 3] uint8, sRGB-coded.

    rgb: [H, W, 3] linear camera RGB for the scene; both are shown white balanced, with the exposure that puts the
    truth's 99th percentile at 0.9.
    """
    balance = scene.white_balance.astype(np.float32)
    truth, image = scene.rgb * balance, rgb * balance
    exposure = np.float32(0.9 / max(float(np.percentile(truth, 99)), 1e-6))
    sampled = scene.cfa.masks(*scene.mosaic.shape).transpose(1, 2, 0) * (scene.mosaic[..., None] * balance)
    shown = [encode_for_eyes(part * exposure) for part in (sampled, image, truth)]
    difference = 0.5 + 0.5 * DIFFERENCE_GAIN * exposure * (image - truth)
    shown.append((np.clip(difference, 0, 1) * 255).astype(np.uint8))
    return np.concatenate(shown, 1)


def labelled_panel(rows: list[tuple[str, np.ndarray]], zoom: int = 1) -> np.ndarray:
    """Pictures [h, w, 3] uint8 under each other, each with a line of text above it; zoom repeats pixels."""
    text_px = 14
    pictures = [(text, picture.repeat(zoom, 0).repeat(zoom, 1)) for text, picture in rows]
    width = max(picture.shape[1] for _, picture in pictures)
    sheet = Image.new("RGB", (width, sum(p.shape[0] + text_px for _, p in pictures)), (24, 24, 24))
    pen, y = ImageDraw.Draw(sheet), 0
    for text, picture in pictures:
        pen.text((3, y + 1), text, fill=(230, 230, 230))
        sheet.paste(Image.fromarray(picture), (0, y + text_px))
        y += text_px + picture.shape[0]
    return np.asarray(sheet)


def training_panel(scenes: list[Scene], images: list[np.ndarray]) -> np.ndarray:
    """A row for each scene: input, output, truth, difference."""
    text = f"input | output | truth | difference x {DIFFERENCE_GAIN:g}"
    return labelled_panel(
        [(f"{s.name} {s.group}: {text}", crop_row(s, i)) for s, i in zip(scenes, images, strict=True)]
    )


def grid_panel(pictures: list[tuple[str, np.ndarray, np.ndarray | None]], cfa: CFA, border: int) -> np.ndarray:
    """A row for each (name, image, truth): see `grid_row`. Its label has `phase_ripple` and `grid_db`."""
    rows = []
    for name, image, truth in pictures:
        ripple = metrics.phase_ripple(image, period=cfa.period, border=border, truth=truth)
        grid = metrics.grid_db(image, cfa=cfa, border=border, truth=truth)
        text = f"{name}: ripple {100 * ripple:.3f} %, grid {grid:.1f} dB | tile +-{100 * TILE_RANGE:g} % | spectrum"
        rows.append((text, grid_row(image, truth, cfa, border)))
    return labelled_panel(rows)


def grid_row(image: np.ndarray, truth: np.ndarray | None, cfa: CFA, border: int) -> np.ndarray:
    """The mean tile of the error, repeated, and the error's spectrum: [288, 576, 3] uint8.

    image, truth: [H, W, 3] linear, any range; without a truth, the picture itself takes the place of the error, which
    suits flat frames. tile: metrics.mean_tile, grey = none, each channel in its own colour. spectrum:
    metrics.spectrum_db, the mean of the channels, DC in the middle, SPECTRUM_RANGE_DB from black to white about its
    median; orange boxes are the CFA's own frequencies, blue ones the others of its period.
    Raises ValueError where the image is smaller than a block within its border.
    """
    (p, q), side = cfa.period, metrics.GRID_BLOCK_PX
    spectrum = metrics.spectrum_db(image, period=(p, q), border=border, truth=truth).mean(axis=2)
    if np.isnan(spectrum).all():
        raise ValueError(f"a spectrum needs {side} x {side} pixels within the border")
    tile = np.tile(metrics.mean_tile(image, period=(p, q), border=border, truth=truth), (12 // p, 12 // q, 1))
    shown = [0.5 + 0.5 * tile / TILE_RANGE]
    shown.append(np.repeat((0.5 + (spectrum - np.median(spectrum)) / SPECTRUM_RANGE_DB)[..., None], 3, axis=2))
    shown[1] = np.fft.fftshift(shown[1], axes=(0, 1))
    pixels = [(np.clip(np.nan_to_num(part), 0, 1) * 255).astype(np.uint8) for part in shown]
    large = [part.repeat(GRID_SIDE_PX // len(part), 0).repeat(GRID_SIDE_PX // len(part), 1) for part in pixels]
    sheet = Image.fromarray(large[1])
    pen, zoom, own = ImageDraw.Draw(sheet), GRID_SIDE_PX // side, metrics.cfa_frequencies(cfa)
    for i, j in list(np.ndindex(p, q))[1:]:
        y, x = ((k * side // n + side // 2) % side * zoom for k, n in ((i, p), (j, q)))
        box = (x - zoom, y - zoom, x + 2 * zoom, y + 2 * zoom)  # the main lobe
        pen.rectangle(box, outline=CFA_COLOUR if own[i, j] else REST_COLOUR)
    return np.concatenate([large[0], np.asarray(sheet)], axis=1)

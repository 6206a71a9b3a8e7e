"""Pictures for people: panels of crops."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from lincfa.color import encode_for_eyes
from lincfa.data.dataset import Scene

DIFFERENCE_GAIN = 8.0
"""Differences are shown this much larger, around middle grey."""


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

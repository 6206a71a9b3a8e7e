"""The torture set: synthetic scenes that break demosaicers, with a truth that no demosaicer has touched.

Scene `index` has the pattern TYPES[index % 13]. Thirteen scenes are a round, and the round decides the rest:
contrast (round % 3): 'luma' is one hue at two luminances, 'chroma' two hues at one luminance, 'both' differs in both;
highlight (round % 5 == 4, a fifth of the scenes): values up to 4 times white, because specular light and white balance
exceed 1 in real files, and a network that saw only [0, 1] breaks there.

A scene mixes two linear colours, (1 - m) a + m b. The coverage m in [0, 1] is the area mean of a finer drawing: the
truth is what an ideal pixel sees, with detail up to Nyquist. Lengths are in px: a larger scene shows more of a pattern.
All is float64 until the end, so that the last bits of another processor do not change a hash.
For evaluation, or as a small part of a training set: a network fine-tuned on such scenes alone forgot photographs.
"""

from __future__ import annotations

import colorsys
import contextlib
import hashlib
import json
import os
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from lincfa.color import linear_to_srgb
from lincfa.data.torture_patterns import draw_pattern

TYPES: tuple[str, ...] = ("stripes", "checkers", "circles", "edges", "zone_plate", "strokes", "star", "dots", "hair")
TYPES += ("polygons", "weave", "julia", "perlin")
VERSION = 2  # to be raised with every change of a scene: the golden hashes in the tests notice
CONTRASTS = ("luma", "chroma", "both")
SCALE = 16383  # the stored value of 1.0, so that 4.0 still fits into 16 bits
LUMA = np.array([0.2126, 0.7152, 0.0722])  # Rec. 709


def torture_type(index: int) -> str:
    """The name of the pattern of scene `index`."""
    return TYPES[index % len(TYPES)]


def torture_contrast(index: int) -> str:
    """In what the two colours of scene `index` differ: 'luma', 'chroma' or 'both'."""
    return CONTRASTS[index // len(TYPES) % len(CONTRASTS)]


def has_highlight(index: int) -> bool:
    """Whether the lighter colour of scene `index` exceeds 1."""
    return index // len(TYPES) % 5 == 4


def torture_scene(index: int, size: int = 128, seed: int = 0, corners: float = 0.0) -> np.ndarray:
    """One scene, a pure function of (VERSION, seed, index, size, corners).

    index, seed: 0 or more. size: side in px, 16 or more. corners: share of the scenes whose two colours are corners of
    the RGB cube, the most saturated that there are; their geometry stays.
    Returns [size, size, 3] float32, linear, balanced (equal values are grey), in [0, 1], or [0, 4] with highlights.
    """
    rng = np.random.default_rng([VERSION, seed, index])
    a, b = _colors(rng, torture_contrast(index), has_highlight(index))
    other = np.random.default_rng([VERSION, seed, index, 1])
    if other.random() < corners:
        a, b = (np.array([n & 1, n >> 1 & 1, n >> 2], float) for n in other.choice(8, 2, replace=False))
    fine = draw_pattern(torture_type(index), rng, size)
    n = len(fine) // size
    rows = sum(fine[i::n] for i in range(n))  # several times faster than reshape and mean
    coverage = sum(rows[:, i::n] for i in range(n)) / n**2
    return (a + coverage[..., None] * (b - a)).astype(np.float32)


def quantize(scene: np.ndarray) -> np.ndarray:
    """The stored form, round(scene * SCALE). scene: float in [0, 4] -> uint16 of the same shape."""
    return np.rint(scene.astype(np.float64) * SCALE).astype("<u2")


def scene_hash(scene: np.ndarray) -> str:
    """16 hex digits of the sha256 of a scene at 16 bits. scene: float in [0, 4], or its stored form."""
    return hashlib.sha256((scene if scene.dtype == "<u2" else quantize(scene)).tobytes()).hexdigest()[:16]


def build(
    out_dir, count: int = 5000, size: int = 128, seed: int = 0, progress=None, jobs: int = 1, corners: float = 0.0
) -> None:
    """Write the scenes 0..count-1 to a folder; after an interruption, the same call goes on where the last one stopped.

    scenes.npy is [count, size, size, 3] uint16 in units of 1 / SCALE; build.jsonl has one line per finished scene;
    torture.json (version, seed, size, count, corners, scale, types, hashes) appears when all is done.
    progress: called with {'index', 'hash', 'seconds'} of each scene, also of those found finished. jobs: processes.
    Raises ValueError when the folder was begun with other parameters, or has a scenes.npy from elsewhere.
    """
    folder = Path(out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    log, array, final = folder / "build.jsonl", folder / "scenes.npy", folder / "torture.json"
    asked = {"version": VERSION, "seed": seed, "size": size, "count": count, "corners": corners, "scale": SCALE}
    # A line without its end was cut off by the interruption.
    text = log.read_text().splitlines(keepends=True) if log.exists() else []
    begun, *rows = [json.loads(line) for line in text if line.endswith("\n")] or [None]
    if begun not in (None, asked):
        raise ValueError(f"{folder} was begun with {begun}, which cannot be continued with {asked}")
    if begun is None and array.exists():
        raise ValueError(f"{array} is there without the build.jsonl that tells what it is")
    _write_lines(log, [asked, *rows])
    if not array.exists():
        np.lib.format.open_memmap(f"{array}.part", "w+", "<u2", (count, size, size, 3))
        os.replace(f"{array}.part", array)
    scenes = np.load(array, mmap_mode="r+")
    # The hash decides, not the log: after a power cut the log can be ahead of the pixels.
    done = {row["index"]: row for row in rows if scene_hash(scenes[row["index"]]) == row["hash"]}
    todo = [index for index in range(count) if index not in done]
    if todo:
        final.unlink(missing_ok=True)
    _write_lines(log, [asked, *done.values()])
    report = progress or (lambda row: None)
    for row in done.values():
        report(row)
    # Spawned, not forked: the caller may run threads, as a progress bar does.
    pool = get_context("spawn").Pool(jobs) if jobs > 1 else contextlib.nullcontext()
    with log.open("a") as out, pool:
        for row, scene in (pool.imap if jobs > 1 else map)(partial(_make, size=size, seed=seed, corners=corners), todo):
            scenes[row["index"]] = scene
            done[row["index"]] = row
            out.write(json.dumps(row) + "\n")
            out.flush()
            report(row)
    scenes.flush()
    _write_lines(final, [asked | {"types": TYPES, "hashes": [done[index]["hash"] for index in range(count)]}])


def _make(index: int, size: int, seed: int, corners: float) -> tuple[dict, np.ndarray]:
    start = time.perf_counter()
    scene = quantize(torture_scene(index, size, seed, corners))
    return {"index": index, "hash": scene_hash(scene), "seconds": time.perf_counter() - start}, scene


def _write_lines(path: Path, rows: list[dict]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("".join(json.dumps(row) + "\n" for row in rows))
    os.replace(part, path)


def load(out_dir) -> tuple[np.ndarray, dict]:
    """A built set: scenes [N, S, S, 3] uint16, memory-mapped, in units of 1 / info['scale'], and info.

    Raises ValueError when the folder is unfinished, broken or of another version. The hashes are not checked here.
    """
    folder = Path(out_dir)
    if not (folder / "torture.json").exists():
        raise ValueError(f"{folder} holds no finished torture set: build it, or run an interrupted build again")
    try:
        info = json.loads((folder / "torture.json").read_text())
        version, shape = info["version"], (info["count"], info["size"], info["size"], 3)
        scenes = np.load(folder / "scenes.npy", mmap_mode="r")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"the torture set in {folder} is broken: {error!r}") from error
    if version != VERSION:
        raise ValueError(f"the torture set in {folder} has version {version}, this program makes version {VERSION}")
    if scenes.shape != shape or scenes.dtype != "<u2":
        raise ValueError(f"{folder}/scenes.npy is {scenes.dtype} {scenes.shape}, torture.json says uint16 {shape}")
    return scenes, info


def contact_sheet(indices, size: int = 128, seed: int = 0) -> np.ndarray:
    """Thirteen scenes in a row with their names: [H, W, 3] uint8, sRGB-coded, for eyes (highlights darkened to 1)."""
    indices, label = list(indices), 14
    rows, columns = -(-len(indices) // len(TYPES)), min(len(indices), len(TYPES))
    sheet = Image.new("RGB", (columns * (size + 4), rows * (size + label + 2)))
    for place, index in enumerate(indices):
        x, y = place % columns * (size + 4), place // columns * (size + label + 2)
        scene = torture_scene(index, size, seed)
        srgb = linear_to_srgb(scene / max(1.0, scene.max()))
        sheet.paste(Image.fromarray(np.rint(srgb * 255).astype(np.uint8)), (x, y + label))
        text = f"{index} {torture_type(index)} {torture_contrast(index)}{' +' if has_highlight(index) else ''}"
        ImageDraw.Draw(sheet).text((x + 1, y + 1), text, fill="white")
    return np.asarray(sheet)


def _colors(rng: np.random.Generator, contrast: str, highlight: bool) -> tuple[np.ndarray, np.ndarray]:
    """Two linear colours [3], picked in HSV at V = 1 and then scaled to the luminances that the contrast asks for."""
    palettes = ((0.0, 0.0), (0.25, 0.6), (0.8, 1.0))  # grey, muted, saturated
    low, high = palettes[rng.integers(0 if contrast == "luma" else 1, 3)]
    a = b = np.array(colorsys.hsv_to_rgb(hue := rng.random(), rng.uniform(low, high), 1.0))
    if contrast != "luma":
        b = np.array(colorsys.hsv_to_rgb(hue + rng.uniform(0.25, 0.75), rng.uniform(low, high), 1.0))
    b, a = sorted((a, b), key=lambda color: color @ LUMA)
    value, ratio = rng.uniform(0.4, 1.0), 1.0 if contrast == "chroma" else rng.uniform(0.02, 0.4)
    luma = value * min(a @ LUMA, b @ LUMA / ratio)
    a, b = a * (luma / (a @ LUMA)), b * (luma * ratio / (b @ LUMA))
    if highlight:
        peak = rng.uniform(1.5, 4.0)
        if contrast == "chroma":  # one gain for both keeps the luminances equal
            a, b = a * (peak / max(*a, *b)), b * (peak / max(*a, *b))
        else:  # only the light colour shines, as a highlight does
            a = a * (peak / a.max())
    return (a, b) if rng.random() < 0.5 else (b, a)

"""RAW files (or photographs) -> a dataset of linear truth, in two regimes.

remosaic: the truth is a demosaiced frame, area-averaged down; training mosaics patches of it anew.
teacher: the sensor's own samples against the teacher's full-size picture.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np

from lincfa import raw
from lincfa.cfa import CFA, XTRANS
from lincfa.color import srgb_to_linear
from lincfa.data.health import frame_fault
from lincfa.data.manifest import (
    DatasetError,
    ImageRecord,
    Manifest,
    make_manifest,
    record_from_dict,
    save_manifest,
    store_array,
    write_json,
)
from lincfa.data.sharpness import sharpness
from lincfa.data.workers import map_isolated

PHOTOGRAPHS = {".png", ".tif", ".tiff", ".webp", ".jpg", ".jpeg"}
NOT_RAW = {".txt", ".xmp", ".md", ".tsv", ".csv", ".json", ".pp3", ".py"}
TARGETS = ("dht", "markesteijn1", "markesteijn3", "vng", "linear", "cell")
MIN_SIDE = 80
"""Less has no room for the evaluation's border and filters."""


class Refused(Exception):
    """This file does not go into the dataset; the message is the reason."""


@dataclass(frozen=True)
class BuildSettings:
    """regime: 'remosaic' or 'teacher'. target: what makes the truth of a raw file (`TARGETS`).

    downsample: side of the pixels that are averaged to one (remosaic; 'cell' averages one CFA period instead;
    photographs are taken as they are). validation_share: of the images, by hash of the file.
    Raises DatasetError for what cannot be combined.
    """

    regime: str = "remosaic"
    target: str = "dht"
    downsample: int = 4
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        if self.regime not in ("remosaic", "teacher"):
            raise DatasetError(f"regime is 'remosaic' or 'teacher', not {self.regime!r}")
        if self.target not in TARGETS:
            raise DatasetError(f"unknown target {self.target!r}; there are: {', '.join(TARGETS)}")
        if self.regime == "teacher" and self.target == "cell":
            raise DatasetError("cell averages are smaller than the mosaic: they go with the remosaic regime")
        if self.downsample < 1 or not 0 < self.validation_share < 1:
            raise DatasetError("downsample is at least 1, and validation_share lies between 0 and 1")


def build(
    source: Path, out: Path, settings: BuildSettings, jobs: int | None = None, progress: Callable = lambda *_: None
) -> Manifest:
    """Build a dataset from a folder (searched deep), or continue an interrupted build.

    progress(done, total, file) is called after each file. Files that cannot be used are listed in the manifest with
    their reasons; none of them stops the build. Raises DatasetError for an unreadable source, no usable image, or an
    `out` that was built with other settings.
    """
    source, out = Path(source), Path(out)
    if not source.is_dir():
        raise DatasetError(f"{source}: no such folder")
    _claim(out, settings)
    files = sorted(p for p in source.rglob("*") if p.is_file() and p.suffix.lower() not in NOT_RAW)
    items, refused = _identify(source, files)
    images = []
    work = partial(_build_one, out=out, settings=settings)
    for done, (item, result) in enumerate(map_isolated(work, items, jobs or os.cpu_count() or 1), 1):
        if isinstance(result, Exception):
            refused.append({"file": item.name, "reason": str(result).removeprefix(f"{item.path}: ")})
        else:
            images.append(result)
        progress(done, len(items), item.name)
    if not images:
        raise DatasetError(f"{source}: no usable image among {len(files)} files")
    images = _split(sorted(images, key=lambda r: r.id), settings.validation_share)
    manifest = make_manifest(asdict(settings), images, sorted(refused, key=lambda r: r["file"]))
    save_manifest(out, manifest)
    return manifest


def write_sharpest(out: Path, manifest: Manifest, count: int = 200) -> Path:
    """Write the list of the training images with the highest Sobel score, sharpest first; training can filter by it."""
    ranked = sorted(manifest.split("train"), key=lambda r: -r.sobel_p99)[:count]
    path = Path(out) / f"top{count}_sharp.json"
    rows = [{"id": r.id, "sobel_p99": r.sobel_p99, "laplacian_variance": r.laplacian_variance} for r in ranked]
    write_json(path, rows)
    return path


def area_downsample(rgb: np.ndarray, factor: int) -> np.ndarray:
    """[H, W, C] -> [H // factor, W // factor, C], means of factor x factor pixels; a rest at the far edges is cut."""
    height, width = (n // factor * factor for n in rgb.shape[:2])
    blocks = rgb[:height, :width].reshape(height // factor, factor, width // factor, factor, -1)
    return blocks.mean((1, 3), dtype=np.float64).astype(np.float32)


def cell_average(mosaic: np.ndarray, cfa: CFA) -> np.ndarray:
    """Truth that no demosaicer touched: the mean of each colour over each whole CFA period.

    mosaic: [H, W] -> [H // p, W // q, 3] float32 for a CFA with period (p, q).
    """
    p, q = cfa.period
    height, width = mosaic.shape[0] // p * p, mosaic.shape[1] // q * q
    cells = mosaic[:height, :width].reshape(height // p, p, width // q, q)
    masks = cfa.masks(p, q)
    sums = np.einsum("ypxq,cpq->yxc", cells, masks, dtype=np.float64, optimize=True)
    return (sums / masks.sum((1, 2))).astype(np.float32)


@dataclass(frozen=True)
class _Item:
    path: Path
    name: str
    sha256: str


def _identify(source: Path, files: list[Path]) -> tuple[list[_Item], list[dict]]:
    """Files by their content: the first of equal ones, and the refusals of the others and of unreadable ones."""
    items: dict[str, _Item] = {}
    refused = []
    for path in files:
        name = str(path.relative_to(source))
        try:
            digest = raw.file_sha256(path)
        except OSError as error:
            refused.append({"file": name, "reason": f"unreadable ({error.strerror})"})
            continue
        if digest in items:
            refused.append({"file": name, "reason": f"duplicate of {items[digest].name}"})
        else:
            items[digest] = _Item(path, name, digest)
    return list(items.values()), refused


def _claim(out: Path, settings: BuildSettings) -> None:
    """Settings are written first, so that a continued build cannot mix two kinds of truth."""
    path = out / "settings.json"
    wanted = asdict(settings)
    if path.exists():
        found = json.loads(path.read_text())
        changed = [f"{k}: {found.get(k)} -> {v}" for k, v in wanted.items() if found.get(k) != v]
        if changed:
            raise DatasetError(f"{out} was built with other settings ({'; '.join(changed)}); give another --out")
    write_json(path, wanted)


def _split(images: list[ImageRecord], share: float) -> list[ImageRecord]:
    """By a hash of each file, so that an image keeps its side when others come or go.

    A side that no hash falls on gets the image that is nearest to it; that one moves back when another comes.
    """

    def position(record: ImageRecord) -> float:
        return int(hashlib.sha256(record.source_sha256.encode()).hexdigest()[:8], 16) / 2**32

    first = min(images, key=position).id
    last = max(images, key=position).id if len(images) > 1 else None
    return [
        replace(r, split="val" if (position(r) < share or r.id == first) and r.id != last else "train") for r in images
    ]


def _build_one(item: _Item, *, out: Path, settings: BuildSettings) -> ImageRecord:
    image_id = f"{item.path.stem}-{item.sha256[:8]}"
    record_path = out / "records" / f"{image_id}.json"
    if record_path.exists():
        record = record_from_dict(json.loads(record_path.read_text()))
        if all((out / a.file).exists() for a in (record.rgb, record.mosaic) if a):
            return record
    make = _from_photograph if item.path.suffix.lower() in PHOTOGRAPHS else _from_raw
    rgb, mosaic, facts = make(item.path, settings)
    if min(rgb.shape[:2]) < MIN_SIDE:
        raise Refused(f"only {rgb.shape[1]} x {rgb.shape[0]} pixels of truth; at least {MIN_SIDE} are needed")
    balanced = rgb * np.asarray(facts["white_balance"], np.float32)
    laplacian_variance, sobel_p99 = sharpness(balanced)
    record = ImageRecord(
        id=image_id,
        source=item.name,
        source_sha256=item.sha256,
        split="",
        rgb=store_array(out, f"rgb/{image_id}.npy", rgb),
        mosaic=None if mosaic is None else store_array(out, f"mosaic/{image_id}.npy", mosaic),
        mean=float(balanced.mean(dtype=np.float64)),
        laplacian_variance=laplacian_variance,
        sobel_p99=sobel_p99,
        **facts,
    )
    write_json(record_path, asdict(record))
    return record


def _from_raw(path: Path, settings: BuildSettings):
    frame = raw.read_raw(path)
    fault = frame_fault(frame.mosaic)
    if fault:
        raise Refused(fault)
    top, left, height, width = frame.crop
    area = (slice(top, top + height), slice(left, left + width))
    cfa = frame.cfa.shift(top, left)
    mosaic = frame.mosaic[area]
    if settings.target == "cell":
        rgb, algorithm = cell_average(mosaic, cfa), "cell"
    else:
        rgb, algorithm = raw.demosaic_frame(frame, settings.target)
        rgb = rgb[area]
        if settings.regime == "remosaic":
            rgb = area_downsample(rgb, settings.downsample)
    matrix = frame.xyz_to_camera
    facts = {
        "cfa": cfa.tile,
        "white_balance": tuple(frame.white_balance.tolist()),
        "xyz_to_camera": None if matrix is None else tuple(map(tuple, matrix.tolist())),
        "algorithm": algorithm,
        "camera": f"{frame.make} {frame.model}".strip(),
        "iso": frame.iso,
    }
    return rgb, mosaic if settings.regime == "teacher" else None, facts


def _from_photograph(path: Path, settings: BuildSettings):
    """sRGB to linear, at full size: its white is the sensor's, and its mosaics are X-Trans at phase 0.

    The steps of 8 bits are dithered, so that no network learns them: noise of a step's width, pure in the file.
    """
    if settings.regime == "teacher":
        raise Refused("a photograph has no mosaic of its own: use the remosaic regime")
    pixels = _read_pixels(path)
    coded = pixels / np.float32(np.iinfo(pixels.dtype).max)
    if pixels.dtype == np.uint8:
        rng = np.random.default_rng(int(raw.file_sha256(path)[:16], 16))
        coded = (coded + (rng.random(coded.shape, np.float32) - 0.5) / 255).clip(0, 1)
    rgb = srgb_to_linear(coded)
    facts = {
        "cfa": XTRANS.tile,
        "white_balance": (1.0, 1.0, 1.0),
        "xyz_to_camera": None,
        "algorithm": "photograph",
        "camera": "",
        "iso": None,
    }
    return rgb, None, facts


def read_photograph(path) -> np.ndarray:
    """An sRGB image file (PNG, TIFF, WebP, JPEG; 8 or 16 bit; grey, colour or with alpha, which is dropped) as
    [H, W, 3] float32 linear RGB in 0..1. Raises ValueError for a file that cannot be read or is no such picture."""
    pixels = _read_pixels(path)
    return srgb_to_linear(pixels / np.float32(np.iinfo(pixels.dtype).max))


def _read_pixels(path) -> np.ndarray:
    """[H, W, 3], uint8 or uint16, sRGB-coded."""
    try:
        pixels = imagecodecs.imread(path)
    except Exception as error:  # each codec has its own
        raise ValueError(f"{path}: unreadable image ({str(error).splitlines()[0]})") from error
    if pixels.ndim == 3 and pixels.shape[2] == 2:  # grey with alpha
        pixels = pixels[..., 0]
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, 2)
    if pixels.ndim != 3 or pixels.shape[2] < 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"{path}: {pixels.dtype} {pixels.shape} is no 8- or 16-bit RGB or grey picture")
    return pixels[..., :3]

"""The manifest of a built dataset, and the 16-bit arrays it describes.

A dataset is a folder:

    manifest.json            what was built from what, how, and what was refused
    records/<id>.json        one image's record; the build continues from these
    rgb/<id>.npy             [H, W, 3] uint16, linear camera RGB
    mosaic/<id>.npy          [H, W] uint16, teacher regime only
    top<N>_sharp.json        image ids, sharpest first

Values are uint16 * scale + offset, with scale and offset of each array in its record.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from lincfa.cfa import CFA

VERSION = 1


class DatasetError(ValueError):
    """A dataset that cannot be used; the message names the folder or file and what is wrong."""


@dataclass(frozen=True)
class StoredArray:
    """A 16-bit array on disk. max_error: half a step, the most that storing changed a value."""

    file: str
    shape: tuple[int, ...]
    scale: float
    offset: float
    max_error: float
    sha256: str

    def open(self, folder: Path) -> np.ndarray:
        """The stored uint16 values, memory-mapped. Raises DatasetError."""
        try:
            return np.load(folder / self.file, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise DatasetError(f"{folder / self.file}: cannot be read ({error})") from error

    def decode(self, values: np.ndarray) -> np.ndarray:
        """Stored values -> float32."""
        return values.astype(np.float32) * np.float32(self.scale) + np.float32(self.offset)


@dataclass(frozen=True)
class ImageRecord:
    """One image of a dataset.

    rgb: linear camera RGB, not white balanced. mosaic: the sensor's own samples, or None (remosaic regime).
    cfa: rows of colour numbers, in phase with the first pixel. white_balance: [3], green = 1.
    mean: mean of the white-balanced RGB. algorithm: a demosaicer's true name, 'cell' or 'photograph'.
    """

    id: str
    source: str
    source_sha256: str
    split: str
    rgb: StoredArray
    mosaic: StoredArray | None
    cfa: tuple[tuple[int, ...], ...]
    white_balance: tuple[float, float, float]
    xyz_to_camera: tuple[tuple[float, ...], ...] | None
    mean: float
    algorithm: str
    camera: str
    iso: float | None
    laplacian_variance: float
    sobel_p99: float

    @property
    def pattern(self) -> CFA:
        return CFA(self.cfa)


@dataclass(frozen=True)
class Manifest:
    """What is in a dataset folder. settings: the build's, as plain data. refused: file name and reason of each.

    data_sha256: hash of everything that training can see; two datasets with the same hash train alike.
    """

    version: int
    settings: dict
    images: tuple[ImageRecord, ...]
    refused: tuple[dict, ...]
    megapixels: float
    bytes_per_megapixel: float
    max_error: float
    data_sha256: str

    def split(self, name: str) -> list[ImageRecord]:
        return [record for record in self.images if record.split == name]


def store_array(folder: Path, file: str, values: np.ndarray) -> StoredArray:
    """Write float values as 16 bits over their own range, atomically."""
    offset = float(min(0.0, values.min()))
    scale = (float(values.max()) - offset) / 65535 or 1.0
    stored = np.rint((values.astype(np.float64) - offset) / scale).astype(np.uint16)
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    with open(temporary, "wb") as out:
        np.save(out, stored)
    os.replace(temporary, path)
    digest = hashlib.sha256(stored.tobytes()).hexdigest()
    return StoredArray(file, stored.shape, scale, offset, scale / 2, digest)


def write_json(path: Path, data) -> None:
    """Write and rename, so that a reader or a crash never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(data, indent=1) + "\n")
    os.replace(temporary, path)


def record_from_dict(data: dict) -> ImageRecord:
    values = {f.name: data[f.name] for f in fields(ImageRecord)}
    values["rgb"] = _stored(values["rgb"])
    values["mosaic"] = _stored(values["mosaic"]) if values["mosaic"] else None
    values["cfa"] = tuple(map(tuple, values["cfa"]))
    values["white_balance"] = tuple(values["white_balance"])
    if values["xyz_to_camera"]:
        values["xyz_to_camera"] = tuple(map(tuple, values["xyz_to_camera"]))
    return ImageRecord(**values)


def make_manifest(settings: dict, images: list[ImageRecord], refused: list[dict]) -> Manifest:
    arrays = [a for record in images for a in (record.rgb, record.mosaic) if a]
    megapixels = sum(np.prod(record.rgb.shape[:2]) for record in images) / 1e6
    size = 2 * sum(int(np.prod(a.shape)) for a in arrays)
    seen = [[r.id, r.split, r.cfa, r.white_balance, r.mean, r.rgb.sha256, r.mosaic and r.mosaic.sha256] for r in images]
    return Manifest(
        version=VERSION,
        settings=settings,
        images=tuple(images),
        refused=tuple(refused),
        megapixels=float(megapixels),
        bytes_per_megapixel=size / megapixels if images else 0.0,
        max_error=max((a.max_error for a in arrays), default=0.0),
        data_sha256=hashlib.sha256(json.dumps(seen).encode()).hexdigest(),
    )


def save_manifest(folder: Path, manifest: Manifest) -> None:
    write_json(folder / "manifest.json", asdict(manifest))


def load_manifest(folder) -> Manifest:
    """Raises DatasetError where there is no manifest, it is broken or of another version."""
    path = Path(folder) / "manifest.json"
    try:
        data = json.loads(path.read_text())
        if data["version"] != VERSION:
            raise DatasetError(f"{path}: version {data['version']}, and this program reads {VERSION}; build it again")
        images = tuple(record_from_dict(record) for record in data.pop("images"))
        return Manifest(images=images, refused=tuple(data.pop("refused")), **data)
    except FileNotFoundError as error:
        raise DatasetError(f"{path}: no such file; build a dataset with scripts/utils/build_dataset_v4.py") from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise DatasetError(f"{path}: broken manifest ({error})") from error


def _stored(data: dict) -> StoredArray:
    return StoredArray(**{**data, "shape": tuple(data["shape"])})

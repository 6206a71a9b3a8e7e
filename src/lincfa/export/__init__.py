"""A frame's colours -> a file that other programs open: linear DNG, TIFF, EXR, NPY, PNG.

    format  values                                             crop and orientation
    dng     linear camera RGB, 16 bits, levels below           in tags
    tiff    the same, or with render sRGB in 16 bits           applied
    exr     linear sRGB, white balanced, half float            applied
    npy     linear camera RGB, float32, as it comes            neither
    png     sRGB in 8 bits, to look at                         applied

The source file and its XMP sidecar are read at most, never written.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import exiv2
import numpy as np

from lincfa.export.dng import write_linear_dng
from lincfa.export.images import write_exr, write_linear_tiff, write_npy, write_png, write_rendered_tiff
from lincfa.export.tiles import to_ascii
from lincfa.raw import RawFrame

FORMATS = {"dng": ".dng", "tiff": ".tif", "exr": ".exr", "npy": ".npy", "png": ".png"}
RENDERED = ("tiff", "png")
"""Formats that can hold a picture to look at; PNG is nothing else."""
SOFTWARE = f"lincfa {version('lincfa')}"


class ExportError(ValueError):
    """A file that could not be written; the message names it and says why."""


def without_samples(frame: RawFrame) -> RawFrame:
    """The frame with a mosaic of its shape that takes no memory: all that `write` asks for once there is an rgb."""
    return replace(frame, mosaic=np.broadcast_to(np.float32(np.nan), frame.mosaic.shape))


def write(
    path,
    rgb: np.ndarray,
    frame: RawFrame,
    *,
    format: str = "dng",
    render: bool = False,
    software: str = SOFTWARE,
    model: str = "",
    noise_reduction: float = 0.0,
) -> None:
    """Write rgb to path, whole or not at all: under another name beside it first, then renamed.

    rgb: [H, W, 3] float32 linear camera RGB of frame's mosaic area, black = 0, white = 1, unbalanced, unclipped.
    frame: the raw file it came from, for colours, crop, orientation and metadata.
    format: of FORMATS. render: sRGB, for a TIFF. software, model: who made it, for the metadata. noise_reduction: share
    of the noise that was taken away, for a DNG's metadata.
    Raises ExportError when the file cannot be written (no folder, no rights, full disk); ValueError for an unknown
    format, one that render is not for, and an rgb of another size than the mosaic.
    """
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}; there are: {', '.join(FORMATS)}")
    if render and format not in RENDERED:
        raise ValueError(f"a rendered picture is {' or '.join(RENDERED)}, not {format}")
    if rgb.shape != (*frame.mosaic.shape, 3):
        raise ValueError(f"{frame.path}: rgb is {rgb.shape} and the mosaic {frame.mosaic.shape}")
    writers = {
        "dng": partial(write_linear_dng, noise_reduction=noise_reduction),
        "tiff": write_rendered_tiff if render else write_linear_tiff,
        "exr": write_exr,
        "npy": write_npy,
        "png": write_png,
    }
    path = Path(path)
    temporary = path.with_name(f".{uuid.uuid4().hex}{FORMATS[format]}")  # short: path's name may be as long as may be
    try:
        writers[format](temporary, rgb, frame, to_ascii(f"{software} ({model})" if model else software))
        temporary.replace(path)
    except (OSError, RuntimeError, exiv2.Exiv2Error) as error:  # OpenEXR's are RuntimeErrors
        reason = getattr(error, "strerror", None) or str(error).replace(temporary.name, path.name)
        raise ExportError(f"cannot write {path} ({reason})") from error
    finally:
        with suppress(OSError):  # renamed, or never made
            temporary.unlink()

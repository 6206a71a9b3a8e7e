"""TIFF, EXR, NPY and PNG. All but NPY are cropped and turned as the camera says."""

from __future__ import annotations

import json

import imagecodecs
import numpy as np
import OpenEXR
import tifffile
from PIL import Image, ImageCms

from lincfa.color import D65_XY, PRIMARIES_XY, camera_to_srgb, camera_to_srgb_matrix
from lincfa.export.levels import BLACK, WHITE, linear_to_code
from lincfa.export.metadata import carry_over
from lincfa.export.pictures import camera_matrix, rendered, upright
from lincfa.export.tiles import append_tiles, placeholder, to_ascii
from lincfa.raw import RawFrame


def write_linear_tiff(path, rgb: np.ndarray, frame: RawFrame, software: str) -> None:
    """Linear camera RGB, unbalanced, coded in 16 bits as in lincfa.export.levels; ImageDescription gives the levels.

    Arguments and errors: see lincfa.export.write and write_linear_dng.
    """
    picture = upright(rgb, frame, linear_to_code, np.uint16)
    description = json.dumps(
        {
            "values": "linear camera RGB, not white balanced",
            "black": BLACK,
            "white": WHITE,
            "white_balance": frame.white_balance.tolist(),
            "xyz_to_camera": None if frame.xyz_to_camera is None else frame.xyz_to_camera.tolist(),
        }
    )
    _write_tiff(path, picture, frame, software=software, description=description)


def write_rendered_tiff(path, rgb: np.ndarray, frame: RawFrame, software: str) -> None:
    """sRGB in 16 bits, with its profile: see lincfa.color.render_for_eyes."""
    picture = upright(rgb, frame, lambda rows: rendered(rows, frame, bits=16), np.uint16)
    _write_tiff(path, picture, frame, software=software, iccprofile=_srgb_profile())


def write_png(path, rgb: np.ndarray, frame: RawFrame, software: str) -> None:
    """sRGB in 8 bits, with its profile."""
    picture = upright(rgb, frame, lambda rows: rendered(rows, frame), np.uint8)
    Image.fromarray(picture).save(path, "PNG", compress_level=1, icc_profile=_srgb_profile())


def write_exr(path, rgb: np.ndarray, frame: RawFrame, software: str) -> None:
    """Linear sRGB (primaries of ITU-R BT.709, white D65), white balanced, unclipped: 1.0 is where green saturates.

    Half floats, or full ones where a value is beyond them (65504). The attributes are OpenEXR's standard ones; there is
    no whiteLuminance, since a camera file does not say how many cd/m2 its white is.
    """
    matrix = camera_matrix(frame)
    most = np.abs(camera_to_srgb_matrix(matrix) * frame.white_balance).sum(1).max() * max(rgb.max(), -rgb.min())
    dtype = np.float16 if most < np.finfo(np.float16).max else np.float32
    picture = upright(rgb, frame, lambda rows: camera_to_srgb(rows, frame.white_balance, matrix), dtype)
    header = {
        "type": OpenEXR.scanlineimage,
        "compression": OpenEXR.ZIP_COMPRESSION,
        "chromaticities": (*map(float, PRIMARIES_XY.ravel()), *D65_XY),
        "adoptedNeutral": np.array(D65_XY, np.float32),
        "software": software,
        "cameraMake": frame.make,
        "cameraModel": frame.model,
    }
    if frame.iso is not None:
        header["isoSpeed"] = float(frame.iso)
    with OpenEXR.File(header, {"RGB": picture}) as file:
        file.write(str(path))


def write_npy(path, rgb: np.ndarray, frame: RawFrame, software: str) -> None:
    """[H, W, 3] float32 as it is: linear camera RGB, unbalanced, neither cropped nor turned."""
    rgb = np.ascontiguousarray(rgb, np.float32)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(rgb))
        file.write(rgb.data)  # np.save writes by tofile, whose OSError does not say that the disk is full


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _write_tiff(path, picture: np.ndarray, frame: RawFrame, **options) -> None:
    """picture: [H, W, 3] uint16. Deflate with horizontal differences."""
    names = [
        (271, "s", 0, to_ascii(frame.make), True),
        (272, "s", 0, to_ascii(frame.model), True),
        (274, "H", 1, 1, True),
    ]
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            **placeholder(picture.shape[:2]),
            photometric="rgb",
            compression="adobe_deflate",
            predictor=True,
            extratags=names,
            **options,
        )
    carry_over(frame, path, size=picture.shape[:2], dng=False)
    append_tiles(path, lambda tiff: tiff.pages[0], picture, _deflate)


def _deflate(tile: np.ndarray) -> bytes:
    return imagecodecs.zlib_encode(imagecodecs.delta_encode(tile, axis=1), level=1)

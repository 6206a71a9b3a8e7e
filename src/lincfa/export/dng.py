"""Linear DNG: a raw file that is demosaiced already, and that raw converters treat as one otherwise."""

from __future__ import annotations

from fractions import Fraction

import imagecodecs
import numpy as np
import tifffile

from lincfa.export.levels import BLACK, WHITE, linear_to_code
from lincfa.export.metadata import ORIGINAL_RAW_FILE_DIGEST, carry_over
from lincfa.export.pictures import camera_matrix, preview
from lincfa.export.tiles import append_tiles, placeholder, to_ascii
from lincfa.raw import RawFrame

PREVIEW_PX = 2048
"""The preview's long side is at most this."""
MASKED_ROWS = 2
"""Black rows below the picture: RawSpeed (darktable) ignores BlackLevel where there are three samples per pixel, and
measures black in MaskedAreas, in an even number of rows."""
LINEAR_RAW = 34892
D65 = 21


def write_linear_dng(path, rgb: np.ndarray, frame: RawFrame, software: str, noise_reduction: float = 0.0) -> None:
    """rgb: [H, W, 3] linear camera RGB of frame's mosaic area; arguments: see lincfa.export.write.

    The first directory is a preview with the metadata, its sub-directory the LinearRaw image. Values are coded as in
    lincfa.export.levels; WhiteLevel is where the sensor saturates, as in the source, so that converters find clipped
    highlights where they are, and BaselineExposure is 0. A camera of unknown colours is taken for linear sRGB.
    Lossless JPEG, since DNG has Deflate for other than 16-bit integers only, and with predictor 1, which all decoders
    have. Tags by the DNG specification 1.4.0.0, chapter 4. Raises OSError and exiv2.Exiv2Error.
    """
    small = preview(rgb, frame, PREVIEW_PX)
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            small,
            photometric="rgb",  # stored as YCbCr
            compression="jpeg",
            compressionargs={"level": 85},
            rowsperstrip=len(small),
            subfiletype=1,
            subifds=1,
            software=software,
            metadata=None,
            extratags=_camera_tags(frame, software, noise_reduction),
        )
        tiff.write(
            **placeholder((rgb.shape[0] + MASKED_ROWS, rgb.shape[1])),
            photometric=LINEAR_RAW,
            compression="jpeg",
            bitspersample=16,
            subfiletype=0,
            software=False,
            extratags=_image_tags(frame),
        )
    carry_over(frame, path, size=frame.crop[2:], dng=True)
    append_tiles(path, lambda tiff: tiff.pages[0].pages[0], rgb, _lossless_jpeg)


def _lossless_jpeg(tile: np.ndarray) -> bytes:
    return imagecodecs.jpeg8_encode(linear_to_code(tile), lossless=True, predictor=1, bitspersample=16)


def _camera_tags(frame: RawFrame, software: str, noise_reduction: float) -> list[tuple]:
    source = frame.path.name.encode("utf-8", "replace")
    identity = bytes.fromhex(frame.sha256)[:16]
    return [
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, "B", 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion: nothing here needs a newer reader
        (271, "s", 0, to_ascii(frame.make) or "unknown", True),
        (272, "s", 0, to_ascii(frame.model) or "unknown", True),
        (274, "H", 1, frame.orientation, True),
        (50708, "s", 0, to_ascii(_unique_camera_model(frame)), True),
        (50721, "2i", 9, _rationals(camera_matrix(frame).ravel()), True),  # ColorMatrix1
        (50778, "H", 1, D65, True),  # CalibrationIlluminant1
        (50728, "2I", 3, _rationals(1 / frame.white_balance), True),  # AsShotNeutral
        (50730, "2i", 1, (0, 1), True),  # BaselineExposure
        (50827, "B", len(source), source, True),  # OriginalRawFileName, in UTF-8
        (50935, "2I", 1, _rationals([noise_reduction]), True),  # NoiseReductionApplied: 0 none, 1 the ideal amount
        (50966, "s", 0, software, True),  # PreviewApplicationName
        (50970, "I", 1, 2, True),  # PreviewColorSpace: sRGB
        *([(ORIGINAL_RAW_FILE_DIGEST, "B", 16, identity, True)] if identity else []),  # of the source, by its sha256
        (51110, "I", 1, 1, True),  # DefaultBlackRender: none is subtracted to please
    ]


def _image_tags(frame: RawFrame) -> list[tuple]:
    top, left, crop_height, crop_width = frame.crop
    height, width = frame.mosaic.shape
    # Height over width of a pixel; LibRaw stretches the shorter side, and so does this.
    scale = (max(1.0, frame.pixel_aspect), max(1.0, 1 / frame.pixel_aspect))
    return [
        (50714, "H", 3, (BLACK,) * 3, True),  # BlackLevel
        (50717, "H", 3, (WHITE,) * 3, True),  # WhiteLevel
        (50718, "2I", 2, _rationals(scale), True),  # DefaultScale
        (50719, "I", 2, (left, top), True),  # DefaultCropOrigin
        (50720, "I", 2, (crop_width, crop_height), True),  # DefaultCropSize
        (50737, "2I", 1, (0, 1), True),  # ChromaBlurRadius: false colour needs no second treatment
        (50829, "I", 4, (0, 0, height, width), True),  # ActiveArea
        (50830, "I", 4, (height, 0, height + MASKED_ROWS, width), True),  # MaskedAreas
    ]


def _unique_camera_model(frame: RawFrame) -> str:
    """As Adobe's profiles have it: 'Fujifilm X-T2', 'Nikon D750', 'Canon EOS 6D'."""
    maker = (frame.make.split() or ["Unknown"])[0]
    model = frame.model.strip()
    if model.lower().startswith(maker.lower()):
        model = model[len(maker) :].strip()
    return f"{maker.title() if maker.isupper() else maker} {model}".strip()


def _rationals(values) -> tuple[int, ...]:
    fractions = (Fraction(float(v)).limit_denominator(10**6) for v in values)
    return tuple(n for fraction in fractions for n in fraction.as_integer_ratio())

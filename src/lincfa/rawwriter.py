"""Raw files with known truth: expose a linear scene on a simulated sensor, write it as a Fujifilm RAF or a CFA DNG.

For demos, tests and evaluation. LibRaw decodes both bit-exactly, so a scene whose truth is known goes through the same
decoder and the same demosaicers as a camera's file.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from lincfa.cfa import CFA
from lincfa.color import LINEAR_SRGB_TO_XYZ

XYZ_TO_LINEAR_SRGB = np.linalg.inv(LINEAR_SRGB_TO_XYZ)
"""The XYZ-to-camera matrix of a camera whose colours are linear sRGB."""


def expose(
    rgb: np.ndarray,
    cfa: CFA,
    *,
    black=1024,
    white: int = 16383,
    gains=(1.0, 1.0, 1.0),
    read_noise: float = 0.0,
    shot_noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """What the sensor records of a scene.

    rgb: [H, W, 3] linear, equal RGB = grey; 1.0 in a channel of gain 1 just saturates it.
    black: one level or one per colour, white: saturation; in ADU. gains: [3], the sensor's sensitivity per colour.
    Noise is Poisson-Gaussian on the scale black = 0, white = 1: variance = read_noise^2 + shot_noise x signal.
    Returns [H, W] uint16, black included; noise below black is kept (down to 0 ADU), white is where the sensor clips.
    Raises ValueError for noise without an rng.
    """
    signal = cfa.mosaic(np.asarray(rgb, np.float64) * np.asarray(gains))
    if read_noise or shot_noise:
        if rng is None:
            raise ValueError("noise needs an rng, so that a frame can be made again")
        deviation = np.sqrt(read_noise**2 + shot_noise * np.maximum(signal, 0))
        signal = signal + deviation * rng.standard_normal(signal.shape)
    level = cfa.per_photosite(np.broadcast_to(np.asarray(black, np.float64), 3), *signal.shape)
    return np.clip(np.rint(level + signal * (white - level)), 0, white).astype(np.uint16)


def write_raf(path, adu: np.ndarray, cfa: CFA, *, black=1024, white_balance=(1.0, 1.0, 1.0), iso=200, preview=None):
    """Write an uncompressed Fujifilm X-T2 RAF, 14 bit, white = 16383.

    adu: [H, W] uint16 sensor values, black included. cfa: X-Trans in any phase. black: one level or one per colour, in
    ADU. white_balance: camera multipliers R, G, B. preview: [h, w, 3] uint8 for the embedded JPEG, or None for grey.
    Raises ValueError for another CFA, which the RAF's 6 x 6 record would not describe.
    """
    if cfa.family != "xtrans":
        raise ValueError(f"{path}: a RAF is written for X-Trans only")
    if preview is None:
        preview = np.full((64, 96, 3), 128, np.uint8)
    jpeg = _preview_jpeg(preview, "X-T2", iso)
    header = _raf_cfa_header(adu.shape, cfa, _fuji_balance(white_balance))
    tiff = _raf_raw_tiff(adu, cfa, black, _fuji_balance(white_balance))
    parts, position = [], 148
    for part in (jpeg, header, tiff):
        parts.append((position, part))
        position = _align4(position + len(part))
    out = b"FUJIFILMCCD-RAW 0201FF129502" + b"X-T2".ljust(32, b"\0") + b"0100" + b"\0" * 20
    out += b"".join(struct.pack(">2I", at, len(part)) for at, part in parts)
    for at, part in parts:
        out = out.ljust(at, b"\0") + part
    Path(path).write_bytes(out)


def write_dng(
    path,
    adu: np.ndarray,
    cfa: CFA,
    *,
    black=1024,
    white: int = 16383,
    white_balance=(1.0, 1.0, 1.0),
    xyz_to_camera=XYZ_TO_LINEAR_SRGB,
    orientation: int = 1,
):
    """Write an uncompressed CFA DNG of any red-green-blue CFA.

    adu: [H, W] uint16 sensor values, black included. black: one level or one per colour, white: saturation; in ADU.
    white_balance: camera multipliers R, G, B. xyz_to_camera: [3, 3], D65. orientation: EXIF 1..8.
    Tags by the DNG specification 1.4.0.0, chapter 4. LibRaw needs one strip, and Make and Model.
    """
    p, q = cfa.period
    level = cfa.per_photosite(np.broadcast_to(np.asarray(black, np.int64), 3), p, q)
    neutral = _rationals(1 / np.asarray(white_balance, np.float64), 10**6)
    tags = [
        (33421, "H", 2, (p, q), True),  # CFARepeatPatternDim
        (33422, "B", p * q, bytes(cfa.array.ravel().tolist()), True),  # CFAPattern
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),  # DNGVersion
        (50707, "B", 4, bytes((1, 1, 0, 0)), True),  # DNGBackwardVersion
        (50708, "s", 0, "lincfa simulated sensor", True),  # UniqueCameraModel
        (50710, "B", 3, bytes((0, 1, 2)), True),  # CFAPlaneColor
        (50711, "H", 1, 1, True),  # CFALayout: rectangular
        (50713, "H", 2, (p, q), True),  # BlackLevelRepeatDim
        (50714, "I", p * q, tuple(level.ravel().tolist()), True),  # BlackLevel
        (50717, "I", 1, int(white), True),  # WhiteLevel
        (50721, "2i", 9, _rationals(np.asarray(xyz_to_camera).ravel(), 10**6), True),  # ColorMatrix1
        (50728, "2I", 3, neutral, True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
        (271, "s", 0, "lincfa", True),
        (272, "s", 0, "simulated sensor", True),
        (274, "H", 1, orientation, True),
    ]
    buffer = io.BytesIO()  # to a file tifffile writes by tofile, whose OSError does not say that a disk is full
    tifffile.imwrite(
        buffer,
        np.asarray(adu, np.uint16),
        photometric=32803,
        rowsperstrip=adu.shape[0],
        software="lincfa",
        metadata=None,
        extratags=tags,
    )
    Path(path).write_bytes(buffer.getbuffer())


def _rationals(values, denominator: int) -> tuple[int, ...]:
    return tuple(n for v in values for n in (round(float(v) * denominator), denominator))


def _align4(n: int) -> int:
    return (n + 3) & ~3


def _fuji_balance(white_balance) -> tuple[int, int, int]:
    """Multipliers in Fujifilm's order and scale: green (302 by habit of the cameras), red, blue."""
    r, g, b = (float(v) for v in white_balance)
    return 302, round(302 * r / g), round(302 * b / g)


def _preview_jpeg(preview: np.ndarray, model: str, iso: int) -> bytes:
    """A JPEG whose EXIF block comes first: LibRaw looks for it there and takes its byte order for the raw data."""
    exif = Image.Exif()
    exif.endian = "<"
    exif[271], exif[272], exif[34855], exif[306] = "FUJIFILM", model, iso, "2026:01:01 00:00:00"
    buffer = io.BytesIO()
    Image.fromarray(preview).save(buffer, "JPEG", quality=85, exif=exif)
    jpeg = buffer.getvalue()
    jfif_length = struct.unpack(">H", jpeg[4:6])[0]
    return jpeg[:2] + jpeg[4 + jfif_length :]


def _raf_cfa_header(shape: tuple[int, int], cfa: CFA, balance: tuple[int, int, int]) -> bytes:
    """Fujifilm's own directory: big-endian tag, length, data. The CFA record runs backwards."""
    g, r, b = balance
    size = struct.pack(">HH", *shape)
    records = [
        (0x0100, size),
        (0x0110, struct.pack(">HH", 0, 0)),
        (0x0111, size),
        (0x0115, struct.pack(">HH", 2, 3)),
        (0x0121, size),
        (0x0130, bytes([0x0C, 0x0C, 0, 0])),
        (0x0131, bytes(cfa.color_map(6, 6).ravel()[::-1].tolist())),
        (0x2FF0, struct.pack(">4H", g, r, g, b)),
    ]
    return struct.pack(">I", len(records)) + b"".join(struct.pack(">HH", t, len(d)) + d for t, d in records)


def _raf_raw_tiff(adu: np.ndarray, cfa: CFA, black, balance: tuple[int, int, int]) -> bytes:
    """The raw directory: a little-endian TIFF with a sub-directory of Fujifilm's tags, then the strip."""
    height, width = adu.shape
    levels = struct.pack("<36I", *cfa.per_photosite(np.broadcast_to(np.asarray(black, np.int64), 3), 6, 6).ravel())
    sub_ifd = 8 + 2 + 12 + 4
    levels_at = sub_ifd + 2 + 12 * 7 + 4
    balance_at = levels_at + len(levels)
    strip_at = _align4(balance_at + 12)

    def entry(tag, kind, count, value):
        return struct.pack("<HHII", tag, kind, count, value)

    out = b"II*\0" + struct.pack("<IH", 8, 1) + entry(0xF000, 13, 1, sub_ifd) + struct.pack("<I", 0)
    out += struct.pack("<H", 7) + entry(0xF001, 4, 1, width) + entry(0xF002, 4, 1, height) + entry(0xF003, 4, 1, 14)
    out += entry(0xF007, 4, 1, strip_at) + entry(0xF008, 4, 1, height * width * 2)
    out += entry(0xF00A, 4, 36, levels_at) + entry(0xF00E, 4, 3, balance_at) + struct.pack("<I", 0)
    out += levels + struct.pack("<3I", *balance)
    return out.ljust(strip_at, b"\0") + np.asarray(adu, "<u2").tobytes()

"""Raw files -> linear mosaics, and LibRaw's demosaicers. The only user of rawpy.

Linear means: black = 0, white = 1 in every channel, nothing clamped on either side.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import exiv2
import numpy as np
import rawpy

from lincfa.cfa import CFA, LETTERS, UnknownCFAError
from lincfa.color import camera_to_srgb_matrix
from lincfa.rawwriter import XYZ_TO_LINEAR_SRGB, write_dng

ALGORITHMS = {
    "linear": rawpy.DemosaicAlgorithm.LINEAR,
    "vng": rawpy.DemosaicAlgorithm.VNG,
    "markesteijn1": rawpy.DemosaicAlgorithm.PPG,
    "markesteijn3": rawpy.DemosaicAlgorithm.AHD,
    "ppg": rawpy.DemosaicAlgorithm.PPG,
    "ahd": rawpy.DemosaicAlgorithm.AHD,
    "dht": rawpy.DemosaicAlgorithm.DHT,
    "aahd": rawpy.DemosaicAlgorithm.AAHD,
}
"""LibRaw has one number for Markesteijn 1-pass (X-Trans) and PPG (Bayer), and one for 3-pass and AHD."""
MIN_LIBRAW_SIDE = 520
"""Markesteijn refuses sides under 512; the rest is room for a period."""
FLIP_TO_ORIENTATION = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
"""LibRaw's flip -> EXIF orientation."""
FILTERS = dict(zip("0123456", "RGBCMYW", strict=True))
"""The colours of EXIF's and DNG's CFAPattern."""

exiv2.LogMsg.setLevel(exiv2.LogMsg.Level.mute)


class RawError(ValueError):
    """A raw file that cannot be used; the message names the file and what is wrong."""


@dataclass(frozen=True, eq=False)
class RawFrame:
    """One raw file's visible area in linear sensor values.

    mosaic: [H, W] float32, black = 0 and white = 1 per channel; noise below black and values above white are kept.
    cfa: in the phase of mosaic[0, 0].
    white_balance: [3] float64 multipliers that make grey equal, green = 1; white_balance_source says whence:
        'camera' (as shot), 'daylight' (the file has none, LibRaw's for the camera) or 'unit' (nothing known).
    xyz_to_camera: [3, 3] float64, D65, or None where neither the file nor LibRaw knows the camera's colours.
    black_adu: [3], white_adu: the levels that were used, in sensor units (the mean where the two greens differ).
    crop: (top, left, height, width) of the picture that the camera recommends, within the mosaic.
    orientation: EXIF 1..8. pixel_aspect: height over width of a photosite. iso: None where the file does not say.
    """

    path: Path
    sha256: str
    mosaic: np.ndarray
    cfa: CFA
    white_balance: np.ndarray
    white_balance_source: str
    xyz_to_camera: np.ndarray | None
    black_adu: np.ndarray
    white_adu: float
    crop: tuple[int, int, int, int]
    orientation: int
    pixel_aspect: float
    iso: float | None
    make: str
    model: str


def read_raw(path) -> RawFrame:
    """Decode a raw file of any brand that LibRaw knows and that has a red-green-blue CFA.

    Raises RawError, naming the file: not there, not raw, truncated or broken, no CFA (Foveon, monochrome, already
    demosaiced) or colours other than red, green and blue.
    """
    path = Path(path)
    with open_raw(path) as raw:
        tags = _exif(path)
        _refuse_what_libraw_misreads(tags, path)
        cfa, photosite = _cfa(raw, path)
        adu = raw.raw_image_visible.copy()
        sizes = raw.sizes
        white = float(raw.white_level)
        white_balance, source = _white_balance(raw)
        xyz_to_camera = _known_matrix(raw.rgb_xyz_matrix[:3])
        iso = float(raw.other.iso_speed)
        black = _black_levels(raw, cfa)
        if not white > black.max():
            raise RawError(f"{path}: white level {white:g} is not above black level {black.max():g}")
    mosaic = _scaled(adu, black[photosite], white)
    crop = (sizes.crop_top_margin - sizes.top_margin, sizes.crop_left_margin - sizes.left_margin)
    crop = (*crop, sizes.crop_height, sizes.crop_width) if sizes.crop_height else (0, 0, *mosaic.shape)
    return RawFrame(
        path=path,
        sha256=file_sha256(path),
        mosaic=mosaic,
        cfa=cfa,
        white_balance=white_balance,
        white_balance_source=source,
        xyz_to_camera=_dng_matrix(tags) if xyz_to_camera is None else xyz_to_camera,
        black_adu=np.array([black[0], (black[1] + black[3]) / 2, black[2]]),
        white_adu=white,
        crop=crop,
        orientation=FLIP_TO_ORIENTATION.get(sizes.flip, 1),
        pixel_aspect=float(sizes.pixel_aspect),
        iso=iso if 0 < iso < np.inf else _number(tags, "Exif.Photo.ISOSpeedRatings", "Exif.Image.ISOSpeedRatings"),
        make=tags.get("Exif.Image.Make", ""),
        model=tags.get("Exif.Image.Model", ""),
    )


def algorithm_that_runs(requested: str, family: str) -> str:
    """The algorithm that LibRaw runs when asked for another one on a CFA family ('xtrans', 'bayer', 'other').

    On X-Trans, LibRaw has only LINEAR, VNG and Markesteijn in 1 or 3 passes: AHD, DHT and AAHD give Markesteijn
    3-pass and PPG gives 1-pass, bit for bit (LibRaw's xtrans_interpolate call; a test here).
    Raises ValueError for an unknown name and for Markesteijn on anything but X-Trans.
    """
    if requested not in ALGORITHMS:
        raise ValueError(f"unknown demosaicing algorithm {requested!r}; there are: {', '.join(ALGORITHMS)}")
    if family == "xtrans":
        return {"ahd": "markesteijn3", "dht": "markesteijn3", "aahd": "markesteijn3", "ppg": "markesteijn1"}.get(
            requested, requested
        )
    if requested.startswith("markesteijn"):
        raise ValueError(f"{requested} is an algorithm for X-Trans, and this CFA is {family}")
    return requested


def demosaic_file(path, algorithm: str) -> tuple[np.ndarray, str]:
    """`demosaic_frame` of `read_raw`, and what they raise."""
    return demosaic_frame(read_raw(path), algorithm)


def demosaic_frame(frame: RawFrame, algorithm: str) -> tuple[np.ndarray, str]:
    """Run one of LibRaw's demosaicers on a frame's raw file.

    Returns (rgb, name): [H, W, 3] float32 linear camera RGB of the visible area, black = 0, white = 1, not white
    balanced, above 1.0 where the file is above white, clamped at 0 by LibRaw; and the algorithm that really ran.
    The data are white-balanced for LibRaw, whose algorithms weigh edges on balanced values, and un-balanced again.
    Raises RawError for the file, ValueError for the algorithm.
    """
    if min(frame.mosaic.shape) < MIN_LIBRAW_SIDE or frame.pixel_aspect != 1:  # LibRaw would stretch the latter
        matrix = XYZ_TO_LINEAR_SRGB if frame.xyz_to_camera is None else frame.xyz_to_camera
        return demosaic_mosaic(frame.mosaic, frame.cfa, algorithm, frame.white_balance, matrix)
    name = algorithm_that_runs(algorithm, frame.cfa.family)
    return _run_libraw(frame, algorithm), name


def demosaic_mosaic(
    mosaic: np.ndarray, cfa: CFA, algorithm: str, white_balance=(1.0, 1.0, 1.0), xyz_to_camera=XYZ_TO_LINEAR_SRGB
) -> tuple[np.ndarray, str]:
    """Run one of LibRaw's demosaicers on a mosaic, through a CFA DNG of 14 bits from black to white.

    mosaic: [H, W] linear, black = 0, white = 1, unbalanced; values in -0.06 .. 4 are exact to half a 14-bit step,
    brighter frames are halved first until they fit. Small frames are padded in phase and cropped again.
    white_balance: [3]. xyz_to_camera: [3, 3]; Markesteijn weighs directions in CIELab through it.
    Returns and raises as `demosaic_frame`.
    """
    name = algorithm_that_runs(algorithm, cfa.family)
    black, white = 1024, 16383
    height, width = mosaic.shape
    grow_y, grow_x = (max(0, MIN_LIBRAW_SIDE - n) for n in mosaic.shape)
    top, left = grow_y // 2, grow_x // 2
    padded = cfa.pad(mosaic, top, grow_y - top, left, grow_x - left)
    scale = 2.0 ** min(0, 2 - np.ceil(np.log2(max(1.0, float(padded.max())))))
    adu = np.clip(np.rint(padded * (scale * (white - black)) + black), 0, 65535).astype(np.uint16)
    with tempfile.TemporaryDirectory(prefix="lincfa-") as folder:
        path = Path(folder) / "frame.dng"
        try:
            write_dng(
                path,
                adu,
                cfa.shift(-top, -left),
                black=black,
                white=white,
                white_balance=white_balance,
                xyz_to_camera=xyz_to_camera,
            )
        except OSError as error:  # which a caller would take for one of its own files
            reason = f"cannot write LibRaw's temporary file in {tempfile.gettempdir()} ({error.strerror or error})"
            raise RawError(reason) from error
        rgb = _run_libraw(read_raw(path), algorithm)
    return rgb[top : top + height, left : left + width] / np.float32(scale), name


def file_sha256(path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _run_libraw(frame: RawFrame, algorithm: str) -> np.ndarray:
    """LibRaw's 16-bit output on frame's scale. Its largest multiplier is 1 and its white the frame's largest value, so
    that nothing is clipped; its one white for all channels is turned into the frame's white of each."""
    with open_raw(frame.path) as raw:
        darkest = float(np.min(raw.black_level_per_channel))
        saturation = int(np.ceil((frame.white_adu - darkest) * max(1.0, frame.mosaic.max())))  # black subtracted
        try:
            out = linear_postprocess(
                raw,
                demosaic_algorithm=ALGORITHMS[algorithm],
                user_wb=[*frame.white_balance, frame.white_balance[1]],
                user_sat=saturation,
            )
        except rawpy.LibRawError as error:
            raise RawError(f"{frame.path}: LibRaw could not demosaic it ({_reason(error)})") from error
    multipliers = frame.white_balance / frame.white_balance.max()
    return out * (saturation / 65535 / multipliers / (frame.white_adu - frame.black_adu)).astype(np.float32)


def open_raw(path: Path) -> rawpy.RawPy:
    """An unpacked rawpy object. Raises RawError."""
    if not path.is_file():
        raise RawError(f"{path}: no such file")
    try:
        raw = rawpy.imread(str(path))
        raw.unpack()
    except rawpy.LibRawFileUnsupportedError as error:
        raise RawError(f"{path}: not a raw file that LibRaw knows") from error
    except rawpy.LibRawError as error:
        raise RawError(f"{path}: truncated or broken ({_reason(error)})") from error
    return raw


def _refuse_what_libraw_misreads(tags: dict[str, str], path: Path) -> None:
    """LibRaw takes any three colours of a DNG's CFA for red, green and blue, and folds any pattern but X-Trans into two
    columns, so what the DNG itself says about them goes before."""
    if "Exif.Image.DNGVersion" not in tags:
        return
    for key in (key for key in tags if re.fullmatch(r"Exif\.(Sub)?Image\d*\.CFAPattern", key)):
        colors = {FILTERS.get(n, "?") for n in tags[key].split()}
        if not colors <= set("RGB"):
            raise _wrong_colors(path, colors)
        period = tags.get(key.replace("Pattern", "RepeatPatternDim"), "2 2").split()  # rows, columns
        if period[1:] != ["2"] and period != ["6", "6"]:
            raise RawError(f"{path}: its CFA repeats every {' x '.join(period)}: neither X-Trans nor Bayer")


def _wrong_colors(path: Path, colors: Iterable[str]) -> RawError:
    return RawError(f"{path}: colours {'/'.join(sorted(colors))}: only red-green-blue CFAs are supported")


def _cfa(raw: rawpy.RawPy, path: Path) -> tuple[CFA, np.ndarray]:
    """The CFA of the visible area, and one period of LibRaw's own colour numbers (1 and 3 may both be green).

    LibRaw colours photosites by a periodic rule, so a corner of the frame shows all of it.
    """
    flat = raw.raw_type == rawpy.RawType.Flat and raw.raw_image is not None and raw.raw_pattern is not None
    if not flat or raw.num_colors == 1:
        raise RawError(f"{path}: no colour filter array (Foveon, monochrome or already demosaiced)")
    letters = raw.color_desc.decode()
    corner = raw.raw_colors_visible[:48, :48]
    used = {letters[i] for i in np.unique(corner)}
    if used != set("RGB"):
        raise _wrong_colors(path, used)
    try:
        cfa = CFA.from_colors(np.array([LETTERS.find(c) for c in letters])[corner])
    except UnknownCFAError as error:
        raise RawError(f"{path}: {error}") from error
    return cfa, corner[: cfa.period[0], : cfa.period[1]]


def _scaled(adu: np.ndarray, black: np.ndarray, white: float) -> np.ndarray:
    """(adu - black) / (white - black) for a tile of black levels, in float64 a few rows at a time, kept in float32."""
    rows = 48 * len(black)
    level = _tile(black, (rows, adu.shape[1]))
    mosaic = np.empty(adu.shape, np.float32)
    for y in range(0, len(adu), rows):
        part = adu[y : y + rows]
        own = level[: len(part)]
        mosaic[y : y + rows] = (part - own) / (white - own)
    return mosaic


def _tile(tile: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The tile repeated over an area; one broadcast value where it is constant, which is quicker."""
    if not np.ptp(tile):
        return tile[:1, :1]
    return np.tile(tile, [-(-n // p) for n, p in zip(shape, tile.shape, strict=True)])[: shape[0], : shape[1]]


def _black_levels(raw: rawpy.RawPy, cfa: CFA) -> np.ndarray:
    """[4] black level of each of LibRaw's colours, in ADU. Overwrites the raw image, so it comes last.

    rawpy reports patterns up to 2 x 2 only. For larger ones (the 36 levels of a RAF) LibRaw is asked: it subtracts
    black from a constant frame. Half size is quick and tells whether there is more than one level.
    """
    if max(cfa.period) <= 2:
        return np.asarray(raw.black_level_per_channel, np.float64)
    constant = int(raw.white_level)
    raw.raw_image[:] = constant
    saturation = 65535  # LibRaw scales by 65535 / saturation
    out = linear_postprocess(raw, half_size=True, user_wb=[1, 1, 1, 1], user_sat=saturation)
    if np.ptp(out):
        algorithm = ALGORITHMS["linear"]
        out = linear_postprocess(raw, demosaic_algorithm=algorithm, user_wb=[1, 1, 1, 1], user_sat=saturation)
    level = constant - out.reshape(-1, 3).max(0).astype(np.float64)
    return np.array([*level, level[1]])


def linear_postprocess(raw: rawpy.RawPy, **kwargs) -> np.ndarray:
    """LibRaw's pipeline with everything switched off that is not linear or depends on the picture: [H, W, 3] uint16."""
    return raw.postprocess(
        highlight_mode=rawpy.HighlightMode.Ignore,
        output_color=rawpy.ColorSpace.raw,
        output_bps=16,
        gamma=(1, 1),
        no_auto_bright=True,
        adjust_maximum_thr=0,
        user_flip=0,
        **kwargs,
    )


def _white_balance(raw: rawpy.RawPy) -> tuple[np.ndarray, str]:
    """Files without a balance say so with zeros or negative numbers."""
    for source, values in (("camera", raw.camera_whitebalance), ("daylight", raw.daylight_whitebalance)):
        rgb = np.asarray(values[:3], np.float64)
        if np.isfinite(rgb).all() and (rgb > 0).all():
            return rgb / rgb[1], "unit" if source == "daylight" and np.allclose(rgb, 1) else source
    return np.ones(3), "unit"


def _known_matrix(matrix) -> np.ndarray | None:
    """None for LibRaw's zeros, and for a damaged file's matrix that no colour could be computed with."""
    try:
        camera_to_srgb_matrix(matrix)
    except ValueError:
        return None
    return np.asarray(matrix, np.float64)


def _dng_matrix(tags: dict[str, str]) -> np.ndarray | None:
    """A DNG's own XYZ-to-camera matrix, the one for D65 (illuminant 21) if it has two; None where both are damaged."""
    numbers = [n for n in ("2", "1") if f"Exif.Image.ColorMatrix{n}" in tags]
    numbers.sort(key=lambda n: tags.get(f"Exif.Image.CalibrationIlluminant{n}") != "21")
    for n in numbers:
        with suppress(ValueError, ZeroDivisionError):
            values = [float(Fraction(v)) for v in tags[f"Exif.Image.ColorMatrix{n}"].split()]
            matrix = _known_matrix(np.reshape(values, (3, 3)))
            if matrix is not None:
                return matrix
    return None


def _exif(path: Path) -> dict[str, str]:
    """All EXIF tags as text; none where exiv2 cannot read the container."""
    try:
        image = exiv2.ImageFactory.open(str(path))
        image.readMetadata()
        return {datum.key(): datum.toString() for datum in image.exifData()}
    except exiv2.Exiv2Error:
        return {}


def _number(tags: dict[str, str], *keys: str) -> float | None:
    """The first of the tags that is a number above 0."""
    for key in keys:
        with suppress(ValueError, ZeroDivisionError):
            value = float(Fraction(tags.get(key, "").partition(" ")[0]))
            if value > 0:
                return value
    return None


def _reason(error: Exception) -> str:
    text = error.args[0] if error.args else error
    return text.decode() if isinstance(text, bytes) else str(text)

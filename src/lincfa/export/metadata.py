"""What a raw file says about the photograph: EXIF, maker notes, GPS, IPTC and XMP, carried over by Exiv2.

And what a result says about itself: that lincfa wrote it, and from which file.
"""

from __future__ import annotations

import struct
import threading
from pathlib import Path

import exiv2

from lincfa.raw import RawFrame

SOFTWARE, ORIGINAL_RAW_FILE_DIGEST = 305, 50973
"""Tags of a first directory."""
WRITER = b"lincfa "
"""How Software begins in a result; its version follows. A simulated raw file (lincfa.rawwriter) has no version."""
LONGEST = 64
"""Bytes of a tag that are looked at, whatever a damaged file says."""
DESCRIPTION = {"ImageDescription", "DateTime", "Artist", "Copyright", "HostComputer", "Rating", "RatingPercent"}
DESCRIPTION |= {"XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "LensInfo", "CameraSerialNumber"}
"""Of the first directory, what describes the photograph and not the way its file stores it."""
EXPOSURE = {"ISOSpeedRatings", "ExposureTime", "FNumber", "FocalLength", "DateTimeOriginal"}
"""Also there by TIFF/EP; EXIF has them in its own directory, and so has the target."""
STRUCTURE = ("Image", "SubImage", "SubThumb", "Thumbnail")
"""Groups of directories that describe images in the source file."""
XMP_STRUCTURE = {"tiff"}
"""Of XMP: size, turn and coding of the source's pixels. What else it holds EXIF says too."""
XMP_DEVELOPMENT = {"crs"}
"""Of XMP: what Adobe's converters did or shall do, a crop for example."""
ISO = "Exif.Photo.ISOSpeedRatings"
COLOR_TAGS = {f"{name}{number}" for name in ("ColorMatrix", "CameraCalibration", "ForwardMatrix") for number in (1, 2)}
COLOR_TAGS |= {"CalibrationIlluminant1", "CalibrationIlluminant2", "AnalogBalance", "UniqueCameraModel"}
COLOR_TAGS |= {"LocalizedCameraModel", "CameraCalibrationSignature", "ProfileCalibrationSignature", "BaselineExposure"}
COLOR_TAGS |= {"AsShotProfileName", "ProfileName", "ProfileCopyright", "ProfileEmbedPolicy", "ProfileToneCurve"}
COLOR_TAGS |= {"ProfileHueSatMapDims", "ProfileHueSatMapData1", "ProfileHueSatMapData2", "ProfileHueSatMapEncoding"}
COLOR_TAGS |= {"ProfileLookTableDims", "ProfileLookTableData", "ProfileLookTableEncoding", "BaselineExposureOffset"}
"""Of a DNG: what its colours mean. A second calibration and a profile say more than one matrix."""

_LOCK = threading.Lock()
"""Exiv2's XMP parser is not made for several threads."""


def carry_over(frame: RawFrame, target: Path, *, size: tuple[int, int], dng: bool) -> None:
    """Add the metadata of the frame's file to a TIFF or DNG file, whose own tags of the same name win.

    Left behind: what describes the source's pixels, and its thumbnails. What Exiv2 cannot read adds nothing but the
    frame's ISO. size: (height, width) of the picture in px. dng: the target is one, and takes a source DNG's colour
    tags and its settings for Adobe's converters; a TIFF is upright and cropped already.
    Raises exiv2.Exiv2Error when the target cannot be written.
    """
    with _LOCK:
        found = _read(frame.path)
        image = exiv2.ImageFactory.open(str(target))
        image.readMetadata()
        exif, source_exif = image.exifData(), found.exifData() if found else exiv2.ExifData()
        own = {datum.key() for datum in exif}
        from_dng = dng and "Exif.Image.DNGVersion" in source_exif
        for datum in source_exif:
            key, in_first = datum.key(), datum.groupName() == "Image"
            if from_dng and in_first and datum.tagName() in COLOR_TAGS and "/0" not in datum.toString():
                exif[key] = datum.value()
            elif in_first and datum.tagName() in EXPOSURE:
                if f"Exif.Photo.{datum.tagName()}" not in source_exif:
                    exif[f"Exif.Photo.{datum.tagName()}"] = datum.value()
            elif key not in own and _describes_photograph(datum):
                exif.add(exiv2.ExifKey(key), datum.value())
        if frame.iso is not None and ISO not in exif:
            exif[ISO] = exiv2.UShortValue(min(round(frame.iso), 65535))  # as EXIF 2.3 has it for higher ones
        for key, px in (("Exif.Photo.PixelXDimension", size[1]), ("Exif.Photo.PixelYDimension", size[0])):
            if key in exif:
                exif[key] = exiv2.UShortValue(px)
        if dng:
            _copy(exif, "Exif.Photo.LensSpecification", "Exif.Image.LensInfo")
            _copy(exif, "Exif.Photo.BodySerialNumber", "Exif.Image.CameraSerialNumber")
        image.setExifData(exif)
        if found:
            xmp, structure = found.xmpData(), XMP_STRUCTURE if dng else XMP_STRUCTURE | XMP_DEVELOPMENT
            for key in [datum.key() for datum in xmp if datum.groupName() in structure]:
                del xmp[key]
            image.setIptcData(found.iptcData())
            image.setXmpData(xmp)
        image.writeMetadata()


def is_result(path) -> bool:
    """Whether lincfa wrote this DNG or TIFF. No for anything else, and for what cannot be read. Reads tags only."""
    return _tag(path, SOFTWARE).startswith(WRITER)


def source_id(path) -> bytes | None:
    """Of a DNG that lincfa wrote: the first 16 bytes of its source's sha256. None where no file says so."""
    return (is_result(path) and _tag(path, ORIGINAL_RAW_FILE_DIGEST)) or None


def _tag(path, wanted: int) -> bytes:
    """A tag of bytes or text in a TIFF file's first directory (TIFF 6.0, section 2); empty where there is none.

    By hand: Pillow and tifffile read all the other tags as well, and warn or log about damaged ones.
    """
    try:
        with open(path, "rb") as file:
            order = {b"II*\0": "<", b"MM\0*": ">"}[file.read(4)]
            file.seek(*struct.unpack(f"{order}I", file.read(4)))
            (entries,) = struct.unpack(f"{order}H", file.read(2))
            for tag, _, count, value in struct.iter_unpack(f"{order}HHI4s", file.read(12 * entries)):
                if tag == wanted and count <= 4:
                    return value[:count]
                if tag == wanted:
                    file.seek(*struct.unpack(f"{order}I", value))
                    return file.read(min(count, LONGEST))
    except (OSError, KeyError, struct.error):
        pass  # no such file, no TIFF, or one that is cut short
    return b""


def _read(path: Path) -> exiv2.Image | None:
    try:
        image = exiv2.ImageFactory.open(str(path))
        image.readMetadata()
    except exiv2.Exiv2Error:
        return None
    return image


def _describes_photograph(datum: exiv2.Exifdatum) -> bool:
    group = datum.groupName()
    if group == "Image":
        return datum.tagName() in DESCRIPTION
    return not group.startswith(STRUCTURE)


def _copy(exif: exiv2.ExifData, source: str, target: str) -> None:
    if source in exif and target not in exif:
        exif[target] = exif[source].value()

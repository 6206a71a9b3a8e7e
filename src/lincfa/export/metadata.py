"""What a raw file says about the photograph: EXIF, maker notes, GPS, IPTC and XMP, carried over by Exiv2."""

from __future__ import annotations

import threading
from pathlib import Path

import exiv2

DESCRIPTION = {"ImageDescription", "DateTime", "Artist", "Copyright", "HostComputer", "Rating", "RatingPercent"}
DESCRIPTION |= {"XPTitle", "XPComment", "XPAuthor", "XPKeywords", "XPSubject", "LensInfo", "CameraSerialNumber"}
"""Of the first directory, what describes the photograph and not the way its file stores it."""
EXPOSURE = {"ISOSpeedRatings", "ExposureTime", "FNumber", "FocalLength", "DateTimeOriginal"}
"""Also there by TIFF/EP; EXIF has them in its own directory, and so has the target."""
STRUCTURE = ("Image", "SubImage", "SubThumb", "Thumbnail")
"""Groups of directories that describe images in the source file."""
COLOR_TAGS = {f"{name}{number}" for name in ("ColorMatrix", "CameraCalibration", "ForwardMatrix") for number in (1, 2)}
COLOR_TAGS |= {"CalibrationIlluminant1", "CalibrationIlluminant2", "AnalogBalance", "UniqueCameraModel"}
COLOR_TAGS |= {"LocalizedCameraModel", "CameraCalibrationSignature", "ProfileCalibrationSignature", "BaselineExposure"}
COLOR_TAGS |= {"AsShotProfileName", "ProfileName", "ProfileCopyright", "ProfileEmbedPolicy", "ProfileToneCurve"}
COLOR_TAGS |= {"ProfileHueSatMapDims", "ProfileHueSatMapData1", "ProfileHueSatMapData2", "ProfileHueSatMapEncoding"}
COLOR_TAGS |= {"ProfileLookTableDims", "ProfileLookTableData", "ProfileLookTableEncoding", "BaselineExposureOffset"}
"""Of a DNG: what its colours mean. A second calibration and a profile say more than one matrix."""

_LOCK = threading.Lock()
"""Exiv2's XMP parser is not made for several threads."""


def carry_over(source: Path, target: Path, *, crop: tuple[int, int, int, int], dng: bool) -> None:
    """Add the source's metadata to a TIFF or DNG file, whose own tags of the same name win.

    Left behind: what describes the source's pixels, and its thumbnails. What Exiv2 cannot read adds nothing.
    crop: of RawFrame, for the pixel dimensions. dng: the target is one, and takes a source DNG's colour tags.
    Raises exiv2.Exiv2Error when the target cannot be written.
    """
    with _LOCK:
        found = _read(source)
        if found is None:
            return
        image = exiv2.ImageFactory.open(str(target))
        image.readMetadata()
        exif, source_exif = image.exifData(), found.exifData()
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
        for key, size in (("Exif.Photo.PixelXDimension", crop[3]), ("Exif.Photo.PixelYDimension", crop[2])):
            if key in exif:
                exif[key] = exiv2.UShortValue(size)
        if dng:
            _copy(exif, "Exif.Photo.LensSpecification", "Exif.Image.LensInfo")
            _copy(exif, "Exif.Photo.BodySerialNumber", "Exif.Image.CameraSerialNumber")
        image.setExifData(exif)
        image.setIptcData(found.iptcData())
        image.setXmpData(found.xmpData())
        image.writeMetadata()


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

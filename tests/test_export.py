import errno
import hashlib
import json
import resource
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from io import BytesIO

import exiv2
import numpy as np
import OpenEXR
import pytest
import rawpy
import tifffile
from PIL import Image, ImageCms, ImageOps

from lincfa import export
from lincfa.cfa import RGGB, XTRANS
from lincfa.color import camera_to_srgb, encode_for_eyes
from lincfa.export import levels, metadata, pictures, tiles
from lincfa.raw import read_raw
from lincfa.rawwriter import expose, write_dng, write_raf

SHAPE = (301, 540)  # neither a whole number of tiles nor even
CROP = (7, 4, 290, 530)
XYZ_TO_CAMERA = np.array([[1.1434, -0.4948, -0.1210], [-0.3746, 1.2042, 0.1903], [-0.0666, 0.1479, 0.5235]])
WHITE_BALANCE = (2.0, 1.0, 1.6)
STEP = levels.STEP / 2 + 1e-6  # rounding, and that of float32


@pytest.fixture(scope="module")
def raw_file(tmp_path_factory):
    """A Bayer DNG; its pixels do not matter."""
    path = tmp_path_factory.mktemp("raw") / "IMG_0001.DNG"
    adu = expose(np.full((*SHAPE, 3), 0.2), RGGB)
    write_dng(path, adu, RGGB, white_balance=WHITE_BALANCE, xyz_to_camera=XYZ_TO_CAMERA, orientation=6)
    return path


@pytest.fixture(scope="module")
def frame(raw_file):
    return replace(read_raw(raw_file), crop=CROP)


@pytest.fixture(scope="module")
def rgb():
    """Noise on a ramp, below black and above white in places."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, SHAPE[1])[None, :, None] * [0.5, 1.0, 0.6]
    rgb = (ramp + rng.normal(0, 0.004, (*SHAPE, 3))).astype(np.float32)
    rgb[20:30, 40:60] = 2.5
    rgb[40:50, 40:60] = -0.012
    return rgb


def cropped(rgb):
    top, left, height, width = CROP
    return rgb[top : top + height, left : left + width]


def turned(image):
    """What orientation 6 asks for: a quarter turn to the right."""
    return np.rot90(image, -1)


def reopened(path):
    """What rawpy says: linear values of the visible area, sizes, multipliers, matrix."""
    with rawpy.imread(str(path)) as raw:
        black = np.array(raw.black_level_per_channel[:3])
        values = (raw.raw_image_visible[..., :3].astype(np.float64) - black) / (raw.white_level - black)
        return values, raw.sizes, np.array(raw.camera_whitebalance[:3]), raw.raw_type


def exif_of(path):
    image = exiv2.ImageFactory.open(str(path))
    image.readMetadata()
    return {datum.key(): datum.toString() for datum in image.exifData()}


def test_a_dng_reopens_in_libraw_with_the_values_of_the_npy_to_half_a_step(tmp_path, frame, rgb):
    export.write(tmp_path / "a.npy", rgb, frame, format="npy")
    export.write(tmp_path / "a.dng", rgb, frame)
    values, sizes, white_balance, kind = reopened(tmp_path / "a.dng")
    assert kind == rawpy.RawType.Stack  # no mosaic: nothing is left to demosaic
    assert np.abs(values - np.load(tmp_path / "a.npy")).max() <= STEP
    assert values[25, 50].tolist() == [2.5] * 3
    assert values[45, 50].max() < -0.0119
    assert (sizes.crop_top_margin, sizes.crop_left_margin, sizes.crop_height, sizes.crop_width) == CROP
    assert sizes.flip == 6
    np.testing.assert_allclose(white_balance / white_balance[1], WHITE_BALANCE, rtol=1e-5)


@pytest.mark.parametrize("width", [24, 48, 210, 511, 512])
def test_a_dng_of_any_width_reopens_in_libraw_with_its_values(tmp_path, frame, width):
    rgb = np.random.default_rng(width).random((50, width, 3), np.float32)
    small = replace(frame, mosaic=rgb[..., 1], crop=(0, 0, 50, width))
    export.write(tmp_path / "a.dng", rgb, small)
    assert np.abs(reopened(tmp_path / "a.dng")[0] - rgb).max() <= STEP


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_dng_or_tiff_that_lincfa_wrote_is_known_by_its_tags(tmp_path, frame, rgb, format):
    target = tmp_path / "a.out"
    export.write(target, rgb, frame, format=format, model="any")
    assert metadata.is_result(target) == (format in ("dng", "tiff"))
    with tifffile.TiffFile(target) if format == "dng" else nullcontext() as tiff:
        expected = tiff.pages[0].tags["OriginalRawFileDigest"].value if tiff else None
    assert metadata.source_id(target) == expected
    if format == "dng":
        assert expected == hashlib.sha256(frame.path.read_bytes()).digest()[:16]


def test_a_dng_of_a_frame_from_no_file_is_a_result_that_names_no_source(tmp_path, frame, rgb):
    export.write(tmp_path / "a.dng", rgb, replace(frame, sha256=""))
    assert metadata.is_result(tmp_path / "a.dng")
    assert metadata.source_id(tmp_path / "a.dng") is None


def test_a_raw_file_or_a_broken_one_or_none_is_no_result(tmp_path, frame, rgb):
    export.write(tmp_path / "a.dng", rgb, frame)
    whole = (tmp_path / "a.dng").read_bytes()
    write_raf(tmp_path / "a.RAF", expose(np.full((48, 60, 3), 0.2), XTRANS), XTRANS)
    other = whole.replace(b"lincfa ", b"digiKam")
    for content in (b"", b"II*\0", whole[:6], whole[:40], b"MM\0*" + whole[4:], b"\0" * 99, other):
        (tmp_path / "b.dng").write_bytes(content)
        assert not metadata.is_result(tmp_path / "b.dng")
        assert metadata.source_id(tmp_path / "b.dng") is None
    for path in (frame.path, tmp_path / "a.RAF", tmp_path, tmp_path / "missing.dng"):
        assert not metadata.is_result(path)


@pytest.mark.parametrize("phase", [(0, 0), (2, 5)])
def test_a_raf_of_any_phase_becomes_a_dng_that_libraw_renders_alike(tmp_path, phase):
    """A grey card: LibRaw's colours of the RAF and of the DNG, by its own table of matrices and by the DNG's tags."""
    cfa = XTRANS.shift(*phase)
    neutral = np.array([0.5, 1.0, 0.6]) * 0.4
    write_raf(tmp_path / "a.RAF", expose(np.full((540, 540, 3), neutral), cfa), cfa, white_balance=1 / neutral * 0.4)
    frame = read_raw(tmp_path / "a.RAF")
    export.write(tmp_path / "a.dng", np.full((540, 540, 3), neutral, np.float32), frame)
    colors = []
    for name in ("a.RAF", "a.dng"):
        with rawpy.imread(str(tmp_path / name)) as raw:
            colors.append(
                raw.postprocess(use_camera_wb=True, no_auto_bright=True, adjust_maximum_thr=0)[260:280, 260:280]
            )
    np.testing.assert_allclose(colors[1].mean((0, 1)), colors[0].mean((0, 1)), atol=1.5)  # 1.5 % darker: levels.py


def test_the_colour_tags_of_a_dng_are_those_of_the_frame(tmp_path, frame, rgb):
    plain = replace(frame, path=tmp_path / "none.RAF", make="FUJIFILM", model="X-T2")
    export.write(tmp_path / "a.dng", rgb, plain)
    tags = exif_of(tmp_path / "a.dng")
    matrix = [float(a) / float(b) for a, b in (v.split("/") for v in tags["Exif.Image.ColorMatrix1"].split())]
    np.testing.assert_allclose(np.reshape(matrix, (3, 3)), XYZ_TO_CAMERA, atol=1e-6)
    assert tags["Exif.Image.CalibrationIlluminant1"] == "21"
    assert tags["Exif.Image.AsShotNeutral"] == "1/2 1/1 5/8"
    assert tags["Exif.Image.UniqueCameraModel"] == "Fujifilm X-T2"
    assert tags["Exif.Image.BaselineExposure"] == "0/1"
    assert tags["Exif.SubImage1.WhiteLevel"] == "16640 16640 16640"
    assert tags["Exif.SubImage1.PhotometricInterpretation"] == "34892"
    assert read_raw_matrix(tmp_path / "a.dng") == pytest.approx(XYZ_TO_CAMERA.ravel(), abs=1e-6)


@pytest.mark.parametrize(("share", "tag"), [(0.0, "0/1"), (0.5, "1/2")])
def test_a_dng_says_how_much_noise_was_taken_away(tmp_path, frame, rgb, share, tag):
    export.write(tmp_path / "a.dng", rgb, frame, noise_reduction=share)
    assert exif_of(tmp_path / "a.dng")["Exif.Image.NoiseReductionApplied"] == tag


def read_raw_matrix(path):
    """LibRaw knows an X-T2, and takes a DNG's own matrix before that."""
    with rawpy.imread(str(path)) as raw:
        return raw.rgb_xyz_matrix[:3].ravel()


def test_a_camera_of_unknown_colours_still_gives_a_dng(tmp_path, frame, rgb):
    export.write(
        tmp_path / "a.dng", rgb, replace(frame, xyz_to_camera=None, make="", model="", path=tmp_path / "no.raw")
    )
    assert np.abs(reopened(tmp_path / "a.dng")[0] - rgb).max() <= STEP
    assert exif_of(tmp_path / "a.dng")["Exif.Image.UniqueCameraModel"] == "Unknown"


@pytest.mark.parametrize("aspect", [0.5, 1.0, 1.25])
def test_photosites_that_are_not_square_stay_so_in_a_dng(tmp_path, frame, rgb, aspect):
    export.write(tmp_path / "a.dng", rgb, replace(frame, pixel_aspect=aspect))
    assert reopened(tmp_path / "a.dng")[1].pixel_aspect == pytest.approx(aspect)


def test_the_preview_of_a_dng_is_its_crop_in_srgb_and_not_turned(tmp_path, frame):
    rgb = np.zeros((*SHAPE, 3), np.float32)
    rgb[:, : SHAPE[1] // 2] = np.array([0.5, 1.0, 0.625]) * 0.2140  # linear for sRGB-coded 0.5
    export.write(tmp_path / "a.dng", rgb, frame)
    with tifffile.TiffFile(tmp_path / "a.dng") as tiff:
        preview = tiff.pages[0].asarray()
    assert preview.shape == (CROP[2], CROP[3], 3)
    assert np.abs(preview[50, 50].astype(int) - 128).max() <= 4  # JPEG
    assert preview[50, -50].max() <= 2


def test_previews_are_of_bounded_size_and_mean_whole_squares(frame):
    rgb = np.tile(np.array([0.0, 0.2], np.float32)[:, None], (150, SHAPE[1]))[..., None].repeat(3, -1)
    small = pictures.preview(rgb, replace(frame, crop=(0, 0, 300, SHAPE[1])), longest_px=280)
    assert small.shape == (150, 270, 3)
    assert np.ptp(small, axis=(0, 1)).max() == 0
    assert small[0, 0, 1] == encode_for_eyes(camera_to_srgb(rgb[:2, 0].mean(0), frame.white_balance, XYZ_TO_CAMERA))[1]


def raf_with_exif(path):
    """An X-T2 RAF whose JPEG has a lens, GPS and Fujifilm's maker notes, and an XMP sidecar beside it."""
    write_raf(path, expose(np.full((60, 90, 3), 0.2), XTRANS), XTRANS)
    data = path.read_bytes()
    start, length = struct.unpack(">2I", data[84:92])  # the RAF's pointer to its JPEG
    image = exiv2.ImageFactory.open(data[start : start + length])
    image.readMetadata()
    exif = image.exifData()
    for key, value in EXIF.items():
        exif[key] = value
    image.setExifData(exif)
    image.setXmpPacket(XMP)
    image.writeMetadata()
    jpeg = bytes(image.io().mmap())
    path.write_bytes(data[:84] + struct.pack(">2I", len(data), len(jpeg)) + data[92:] + jpeg)
    path.with_suffix(".xmp").write_text("<settings/>")


EXIF = {
    "Exif.Image.Make": "FUJIFILM",
    "Exif.Image.Model": "X-T2",
    "Exif.Image.Artist": "A. Photographer",
    "Exif.Image.Copyright": "all rights",
    "Exif.Photo.ExposureTime": "1/250",
    "Exif.Photo.FNumber": "28/10",
    "Exif.Photo.ISOSpeedRatings": "800",
    "Exif.Photo.DateTimeOriginal": "2024:05:06 07:08:09",
    "Exif.Photo.LensModel": "XF35mmF1.4 R",
    "Exif.Photo.LensSpecification": "35/1 35/1 14/10 14/10",
    "Exif.Photo.BodySerialNumber": "12345678",
    "Exif.Photo.PixelXDimension": "6000",
    "Exif.GPSInfo.GPSLatitudeRef": "N",
    "Exif.GPSInfo.GPSLatitude": "47/1 22/1 33/1",
    "Exif.Fujifilm.FilmMode": "1024",
    "Exif.Fujifilm.WhiteBalance": "256",
    "Exif.Fujifilm.Quality": "FINE",
}
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF></x:xmpmeta>'
)


@pytest.mark.parametrize("format", ["dng", "tiff"])
def test_exif_maker_notes_gps_and_rating_of_the_raw_file_are_carried_over(tmp_path, format):
    raf_with_exif(tmp_path / "a.RAF")
    before = {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in tmp_path.iterdir()}
    frame = replace(read_raw(tmp_path / "a.RAF"), crop=(0, 0, 58, 80))
    target = tmp_path / "a.out"
    export.write(target, np.full((60, 90, 3), 0.3, np.float32), frame, format=format, model="xtrans-s")
    found = exif_of(target)
    expected = EXIF | {"Exif.Photo.PixelXDimension": "80"}
    assert {key: found.get(key) for key in expected} == expected
    assert "xtrans-s" in found["Exif.Image.Software"]
    if format == "dng":
        assert found["Exif.Image.LensInfo"] == "35/1 35/1 14/10 14/10"
        assert found["Exif.Image.CameraSerialNumber"] == "12345678"
    image = exiv2.ImageFactory.open(str(target))
    image.readMetadata()
    assert image.xmpData()["Xmp.xmp.Rating"].toString() == "4"
    assert {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in before} == before  # the sidecar too
    assert set(tmp_path.iterdir()) == {*before, target}


@pytest.mark.parametrize("format", ["dng", "tiff"])
def test_an_iso_that_exiv2_does_not_find_is_written_all_the_same(tmp_path, frame, rgb, format):
    export.write(tmp_path / "a.out", rgb, replace(frame, iso=250.0), format=format)  # as in Canon's CRW
    assert exif_of(tmp_path / "a.out")["Exif.Photo.ISOSpeedRatings"] == "250"
    export.write(tmp_path / "a.out", rgb, replace(frame, iso=102400.0, path=tmp_path / "none.CRW"), format=format)
    assert exif_of(tmp_path / "a.out")["Exif.Photo.ISOSpeedRatings"] == "65535"


@pytest.mark.parametrize(("format", "left"), [("dng", {"crs", "xmp"}), ("tiff", {"xmp"})])
def test_xmp_says_nothing_of_the_sources_pixels_nor_asks_an_upright_tiff_for_a_crop(tmp_path, frame, rgb, format, left):
    source = tmp_path / "b.dng"
    source.write_bytes(frame.path.read_bytes())
    image = exiv2.ImageFactory.open(str(source))
    image.readMetadata()
    xmp = image.xmpData()
    for key, value in {
        "tiff.Orientation": "6",
        "tiff.ImageWidth": "4",
        "crs.HasCrop": "True",
        "xmp.Rating": "4",
    }.items():
        xmp[f"Xmp.{key}"] = value
    image.setXmpData(xmp)
    image.writeMetadata()
    export.write(tmp_path / "a.out", rgb, replace(frame, path=source), format=format)
    image = exiv2.ImageFactory.open(str(tmp_path / "a.out"))
    image.readMetadata()
    assert {datum.groupName() for datum in image.xmpData()} == left


def test_a_dng_keeps_the_colour_calibration_of_the_dng_it_came_from(tmp_path, frame, rgb):
    source = tmp_path / "b.dng"
    source.write_bytes(frame.path.read_bytes())
    image = exiv2.ImageFactory.open(str(source))
    image.readMetadata()
    exif = image.exifData()
    second = " ".join(f"{i}/10" for i in range(1, 10))
    for name, value in {"ColorMatrix2": second, "CalibrationIlluminant2": "17"}.items():
        exif[f"Exif.Image.{name}"] = value
    exif["Exif.Image.BaselineExposure"] = "1/4"
    image.setExifData(exif)
    image.writeMetadata()
    export.write(tmp_path / "a.dng", rgb, replace(frame, path=source))
    kept = exif_of(tmp_path / "a.dng")
    assert kept["Exif.Image.ColorMatrix2"] == second
    assert (kept["Exif.Image.CalibrationIlluminant2"], kept["Exif.Image.BaselineExposure"]) == ("17", "1/4")
    assert not [key for key in kept if "CFA" in key]  # a converter that saw one would demosaic again


def test_a_linear_tiff_has_the_upright_crop_to_half_a_step_and_says_its_levels(tmp_path, frame, rgb):
    export.write(tmp_path / "a.tif", rgb, frame, format="tiff")
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        says = json.loads(tiff.pages[0].description)
        codes = tiff.asarray().astype(np.float64)
    values = (codes - says["black"]) / (says["white"] - says["black"])
    assert np.abs(values - turned(cropped(rgb))).max() <= STEP
    assert says["white_balance"] == pytest.approx(WHITE_BALANCE)
    assert exif_of(tmp_path / "a.tif")["Exif.Image.Orientation"] == "1"


def test_codes_hold_what_is_below_black_and_above_white_and_clip_beyond():
    values = np.array([-0.0156, 0.0, 1.0, 2.5, 3.98, -9.0, 9.0], np.float32)
    codes = levels.linear_to_code(values)
    assert codes.tolist() == [0, 256, 16640, 41216, 65464, 0, 65535]
    np.testing.assert_allclose((codes[:5] - 256.0) / 16384, values[:5], atol=levels.STEP / 2)


def test_an_exr_is_linear_srgb_to_half_a_float16_step_with_highlights_and_says_its_colours(tmp_path, frame, rgb):
    export.write(tmp_path / "a.exr", rgb, frame, format="exr")
    with OpenEXR.File(str(tmp_path / "a.exr")) as file:
        header, pixels = dict(file.header()), file.channels()["RGB"].pixels
    expected = camera_to_srgb(turned(cropped(rgb)), frame.white_balance, XYZ_TO_CAMERA)
    assert pixels.dtype == np.float16
    np.testing.assert_array_equal(pixels, expected.astype(np.float16))
    assert pixels.max() > 2.4
    assert pixels.min() < 0
    np.testing.assert_allclose(header["chromaticities"], (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329), atol=1e-6)
    np.testing.assert_allclose(header["adoptedNeutral"], (0.3127, 0.329), atol=1e-6)
    assert header["cameraModel"] == frame.model


def test_an_exr_of_values_beyond_float16_is_in_float32(tmp_path, frame):
    export.write(tmp_path / "a.exr", np.full((*SHAPE, 3), 60000, np.float32), frame, format="exr")
    with OpenEXR.File(str(tmp_path / "a.exr")) as file:
        pixels = file.channels()["RGB"].pixels
    assert pixels.dtype == np.float32
    assert np.isfinite(pixels).all()


def test_rendered_pictures_are_upright_srgb_with_a_profile(tmp_path, frame, rgb):
    export.write(tmp_path / "a.png", rgb, frame, format="png")
    export.write(tmp_path / "a.tif", rgb, frame, format="tiff", render=True)
    seen = np.asarray(Image.open(tmp_path / "a.png"))
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        fine, profile = tiff.asarray(), tiff.pages[0].iccprofile
    assert seen.shape == fine.shape == (CROP[3], CROP[2], 3)
    middle = turned(cropped(rgb)) * (np.abs(turned(cropped(rgb))) < 0.4)  # where nothing is clipped
    expected = encode_for_eyes(camera_to_srgb(middle, frame.white_balance, XYZ_TO_CAMERA))
    inside = (middle != 0).all(-1)
    assert inside.mean() > 0.2
    np.testing.assert_array_equal(seen[inside], expected[inside])
    assert np.abs(fine / 257 - seen).max() <= 0.5
    for embedded in (profile, Image.open(tmp_path / "a.png").info["icc_profile"]):
        assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(BytesIO(embedded)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_made_upright_as_pillow_does(frame, orientation):
    picture = np.random.default_rng(orientation).integers(0, 256, (4, 6, 3), np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    whole = replace(frame, crop=(0, 0, 4, 6), orientation=orientation)
    np.testing.assert_array_equal(pictures.upright(picture, whole, lambda rows: rows, np.uint8), expected)


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_full_disk_leaves_no_file_and_one_clear_line(tmp_path, frame, rgb, format):
    """The limit on a file's size stands for the disk's end; Python turns the signal into an error."""
    target = tmp_path / f"out{export.FORMATS[format]}"
    noise = np.random.default_rng(0).random(rgb.shape, np.float32)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(export.ExportError) as error:
            export.write(target, noise, frame, format=format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
    assert str(target) in str(error.value)
    assert "File too large" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_disk_that_fills_while_tiles_are_written_leaves_the_old_file_alone(tmp_path, frame, rgb, monkeypatch):
    target = tmp_path / "out.dng"
    target.write_bytes(b"older")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tiles, "_tile", full)
    with pytest.raises(export.ExportError, match=r"cannot write .*out\.dng \(No space left on device\)"):
        export.write(target, rgb, frame)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"older"


def test_no_more_tiles_are_made_than_a_slow_disk_will_take_soon():
    made = []
    with ThreadPoolExecutor(2) as pool:
        results = tiles._in_order(pool, lambda n: made.append(n) or n, range(50), ahead=4)
        assert next(results) == 0
        most = []
        for result in results:
            most.append(len(made) - result)
        assert sorted(made) == list(range(50))
    assert max(most) <= 5


@pytest.mark.parametrize("format", ["dng", "tiff", "exr", "npy"])  # the profile in a PNG says when it was made
def test_a_frame_without_its_samples_makes_the_same_file(tmp_path, frame, rgb, format):
    whole, without = (tmp_path / f"{name}{export.FORMATS[format]}" for name in ("whole", "without"))
    export.write(whole, rgb, frame, format=format)
    export.write(without, rgb, export.without_samples(frame), format=format)
    assert whole.read_bytes() == without.read_bytes()
    assert export.without_samples(frame).mosaic.strides == (0, 0)


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, frame, rgb, format):
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "missing" / "a", tmp_path / "file" / "a"):
        with pytest.raises(export.ExportError, match=str(target)):
            export.write(target, rgb, frame, format=format)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("format", export.FORMATS)
def test_names_in_any_script_are_no_obstacle(tmp_path, frame, rgb, format):
    named = replace(frame, path=tmp_path / "Ночь été.RAF", make="Ünknown", model="カメラ")
    export.write(tmp_path / "夜.out", rgb, named, format=format, model="моя")
    assert (tmp_path / "夜.out").stat().st_size > 1000
    if format == "dng":
        with tifffile.TiffFile(tmp_path / "夜.out") as tiff:
            assert tiff.pages[0].tags["OriginalRawFileName"].value.decode() == "Ночь été.RAF"


@pytest.mark.parametrize("format", export.FORMATS)
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path, frame, rgb, format):
    target = tmp_path / f"{'夜' * 80}{'a' * 11}{export.FORMATS[format]}"  # 255 bytes
    export.write(target, rgb, frame, format=format)
    assert list(tmp_path.iterdir()) == [target]


def test_wrong_requests_are_refused_before_anything_is_written(tmp_path, frame, rgb):
    for problem, array, options in (
        ("unknown format 'bmp'", rgb, {"format": "bmp"}),
        ("tiff or png, not dng", rgb, {"render": True}),
        ("the mosaic", rgb[:100], {}),
    ):
        with pytest.raises(ValueError, match=problem):
            export.write(tmp_path / "a.dng", array, frame, **options)
    assert list(tmp_path.iterdir()) == []


def test_an_npy_is_the_array_itself(tmp_path, frame, rgb):
    export.write(tmp_path / "a.npy", rgb, frame, format="npy")
    stored = np.load(tmp_path / "a.npy")
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, rgb)
    np.save(tmp_path / "numpy.npy", rgb)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()
    (tmp_path / "b").touch()
    assert (tmp_path / "a.npy").stat().st_mode == (tmp_path / "b").stat().st_mode  # others may read it

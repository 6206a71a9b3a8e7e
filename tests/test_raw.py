"""The raw reader and LibRaw's demosaicers, against files of known content."""

import errno
import hashlib

import numpy as np
import pytest
import rawpy
import tifffile

from lincfa import raw
from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.data.torture import torture_scene
from lincfa.metrics import psnr
from lincfa.raw import RawError, algorithm_that_runs, demosaic_file, demosaic_mosaic, read_raw
from lincfa.rawwriter import XYZ_TO_LINEAR_SRGB, expose, write_dng, write_raf

BLACKS = (1024, (1000, 1024, 1100))
SHAPE = (528, 560)


def random_adu(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(900, 16384, shape).astype(np.uint16)


def expected_mosaic(adu, cfa, black):
    level = cfa.per_photosite(np.broadcast_to(np.array(black, float), 3), *adu.shape)
    return (adu - level) / (16383 - level)


@pytest.mark.parametrize("phase", [(0, 0), (2, 1), (1, 5)])
@pytest.mark.parametrize("black", BLACKS)
def test_a_raf_decodes_exactly_with_its_phase_black_and_balance(tmp_path, phase, black):
    cfa, adu, path = XTRANS.shift(*phase), random_adu(), tmp_path / "a.RAF"
    write_raf(path, adu, cfa, black=black, white_balance=(2.0, 1.0, 1.7), iso=400)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image_visible, adu)
    frame = read_raw(path)
    assert frame.cfa == cfa
    assert np.abs(frame.mosaic - expected_mosaic(adu, cfa, black)).max() < 1e-6
    assert np.array_equal(frame.black_adu, np.broadcast_to(black, 3))
    assert frame.white_adu == 16383
    assert np.allclose(frame.white_balance, (2.0, 1.0, 1.7), atol=0.002)
    assert (frame.make, frame.model, frame.iso) == ("FUJIFILM", "X-T2", 400)
    assert frame.xyz_to_camera is not None


@pytest.mark.parametrize("cfa", [XTRANS.shift(1, 2), *RGGB.phases])
@pytest.mark.parametrize("black", BLACKS)
def test_a_cfa_dng_decodes_exactly_with_its_phase_black_matrix_and_orientation(tmp_path, cfa, black):
    adu, path = random_adu(1), tmp_path / "a.dng"
    matrix = XYZ_TO_LINEAR_SRGB * 0.9 + 0.01
    write_dng(path, adu, cfa, black=black, white_balance=(2.0, 1.0, 1.7), xyz_to_camera=matrix, orientation=6)
    with rawpy.imread(str(path)) as raw:
        assert np.array_equal(raw.raw_image_visible, adu)
    frame = read_raw(path)
    assert frame.cfa == cfa
    assert np.abs(frame.mosaic - expected_mosaic(adu, cfa, black)).max() < 1e-6
    assert np.allclose(frame.white_balance, (2.0, 1.0, 1.7), rtol=1e-5)
    assert np.allclose(frame.xyz_to_camera, matrix, atol=1e-6)
    assert frame.orientation == 6


def test_values_below_black_and_above_white_are_kept(tmp_path):
    adu = random_adu(2)
    adu[:2, :3] = 700
    adu[4:6, :3] = 16000
    write_dng(tmp_path / "a.dng", adu, XTRANS, white=15000)
    mosaic = read_raw(tmp_path / "a.dng").mosaic
    assert mosaic[0, 0] == pytest.approx((700 - 1024) / (15000 - 1024))
    assert mosaic[4, 0] == pytest.approx((16000 - 1024) / (15000 - 1024))


def test_sha256_is_of_the_file(tmp_path):
    write_raf(tmp_path / "a.RAF", random_adu(), XTRANS)
    assert read_raw(tmp_path / "a.RAF").sha256 == hashlib.sha256((tmp_path / "a.RAF").read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"hello " * 500, "not a raw file"), (b"", "truncated or broken"), (None, "truncated or broken")],
)
def test_a_broken_file_is_refused_by_name_and_reason(tmp_path, content, reason):
    path = tmp_path / "broken.RAF"
    if content is None:
        write_raf(path, random_adu(), XTRANS)
        content = path.read_bytes()[:-200_000]
    path.write_bytes(content)
    with pytest.raises(RawError, match=rf"broken\.RAF.*{reason}"):
        read_raw(path)


def test_a_missing_file_is_refused_by_name(tmp_path):
    with pytest.raises(RawError, match=r"nowhere\.RAF: no such file"):
        read_raw(tmp_path / "nowhere.RAF")


def test_a_picture_without_a_cfa_is_refused(tmp_path):
    path = tmp_path / "linear.dng"
    tags = [(50706, "B", 4, bytes((1, 4, 0, 0)), True), (271, "s", 0, "a", True), (272, "s", 0, "b", True)]
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint16), photometric=34892, extratags=tags, metadata=None)
    with pytest.raises(RawError, match=r"linear\.dng"):
        read_raw(path)


def small_dng(path, cfa=RGGB, changes=(), **options):
    """A 48 x 60 CFA DNG with other values of some tags."""
    write_dng(path, random_adu(shape=(48, 60)), cfa, **options)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for tag, value in dict(changes).items():
            tiff.pages[0].tags[tag].overwrite(value)
    return path


def test_a_monochrome_camera_is_refused_as_one_without_a_cfa(tmp_path):
    """As Leica's Monochrom writes: LinearRaw of one sample, which LibRaw gives as flat, with colours beyond its own."""
    path = small_dng(tmp_path / "mono.dng", changes={"PhotometricInterpretation": 34892})
    with rawpy.imread(str(path)) as file:
        assert (file.raw_type, file.num_colors) == (rawpy.RawType.Flat, 1)
    with pytest.raises(RawError, match=r"mono\.dng: no colour filter array"):
        read_raw(path)


@pytest.mark.parametrize(
    ("pattern", "colors"), [((0, 1, 1, 6), "G/R/W"), ((3, 4, 4, 5), "C/M/Y"), ((0, 1, 3, 2), "B/C/G/R")]
)
def test_a_dng_of_other_colours_than_red_green_and_blue_is_refused(tmp_path, pattern, colors):
    path = small_dng(tmp_path / "a.dng", changes={"CFAPattern": bytes(pattern), "CFAPlaneColor": bytes(pattern[1:])})
    with pytest.raises(RawError, match=rf"a\.dng: colours {colors}: only red-green-blue CFAs are supported"):
        read_raw(path)


@pytest.mark.parametrize("phase", [(0, 0), (0, 1), (1, 0), (1, 1), (2, 3), (3, 2)])
def test_a_quad_dng_is_refused_for_what_it_is_in_any_phase(tmp_path, phase):
    """LibRaw takes its 4 x 4 pattern for one of 2 columns, in some phases with all three colours."""
    quad = CFA.from_tile(np.kron([[0, 1], [1, 2]], np.ones((2, 2), int))).shift(*phase)
    with pytest.raises(RawError, match=r"a\.dng: its CFA repeats every 4 x 4: neither X-Trans nor Bayer"):
        read_raw(small_dng(tmp_path / "a.dng", quad))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_read_the_mirrored_ones_too(tmp_path, orientation):
    assert read_raw(small_dng(tmp_path / "a.dng", orientation=orientation)).orientation == orientation


@pytest.mark.parametrize("matrix", [(1, 0) * 9, (0, 1) * 9, (1, 1) * 9, (1, 2) * 2])
def test_a_file_with_a_damaged_colour_matrix_is_one_of_unknown_colours(tmp_path, matrix):
    assert read_raw(small_dng(tmp_path / "a.dng", changes={"ColorMatrix1": matrix})).xyz_to_camera is None


@pytest.mark.parametrize(("text", "iso"), [("200", 200), ("0 400", None), ("3/0", None), ("", None), ("fast", None)])
def test_an_iso_that_is_no_number_is_as_good_as_none(text, iso):
    assert raw._number({"Exif.Photo.ISOSpeedRatings": text}, "Exif.Photo.ISOSpeedRatings") == iso


def test_a_full_temporary_folder_is_named_as_such(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(raw, "write_dng", full)
    with pytest.raises(RawError, match=r"LibRaw's temporary file in .* \(No space left on device\)"):
        demosaic_mosaic(np.zeros((48, 60), np.float32), RGGB, "linear")


def smooth_scene(shape=SHAPE):
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    return np.stack([0.2 + 0.6 * x, 0.3 + 0.5 * y, 0.8 - 0.5 * x * y], -1)


@pytest.mark.parametrize(
    ("family", "requested", "runs"),
    [
        ("xtrans", "dht", "markesteijn3"),
        ("xtrans", "ahd", "markesteijn3"),
        ("xtrans", "aahd", "markesteijn3"),
        ("xtrans", "ppg", "markesteijn1"),
        ("xtrans", "vng", "vng"),
        ("bayer", "dht", "dht"),
        ("bayer", "aahd", "aahd"),
    ],
)
def test_the_name_is_that_of_the_algorithm_that_really_ran(family, requested, runs):
    cfa = XTRANS if family == "xtrans" else RGGB
    mosaic = cfa.mosaic(np.random.default_rng(3).random((540, 540, 3))).astype(np.float32)
    rgb, name = demosaic_mosaic(mosaic, cfa, requested)
    assert name == runs
    assert np.array_equal(rgb, demosaic_mosaic(mosaic, cfa, runs)[0])


def test_dht_is_real_on_bayer_and_differs_from_ahd():
    mosaic = RGGB.mosaic(np.random.default_rng(3).random((540, 540, 3))).astype(np.float32)
    assert not np.array_equal(demosaic_mosaic(mosaic, RGGB, "dht")[0], demosaic_mosaic(mosaic, RGGB, "ahd")[0])


def test_markesteijn_on_bayer_and_unknown_names_are_refused():
    with pytest.raises(ValueError, match="for X-Trans"):
        algorithm_that_runs("markesteijn3", "bayer")
    with pytest.raises(ValueError, match="unknown demosaicing algorithm"):
        algorithm_that_runs("magic", "xtrans")


@pytest.mark.parametrize("black", BLACKS)
@pytest.mark.parametrize("writer", ["raf", "dng"])
def test_demosaiced_rgb_is_on_the_scale_of_the_mosaic(tmp_path, writer, black):
    gains, scene = (0.5, 1.0, 0.6), smooth_scene()
    cfa, path = XTRANS.shift(1, 4), tmp_path / f"a.{writer}"
    adu = expose(scene, cfa, black=black, gains=gains)
    write = write_raf if writer == "raf" else write_dng
    write(path, adu, cfa, black=black, white_balance=tuple(1 / g for g in gains))
    rgb, _ = demosaic_file(path, "markesteijn3")
    assert np.abs(rgb - scene * gains)[16:-16, 16:-16].max() < 5e-4
    frame = read_raw(path)
    assert np.abs(cfa.mosaic(rgb) - frame.mosaic).max() < 1.5e-4  # LibRaw's 16 bits hold the balanced values


def test_highlights_above_white_come_through_libraw():
    scene = smooth_scene() * 3
    rgb, _ = demosaic_mosaic(XTRANS.mosaic(scene).astype(np.float32), XTRANS, "markesteijn3", (1.3, 1.0, 1.1))
    assert rgb.max() > 2
    error = np.abs(rgb - scene)[16:-16, 16:-16]
    assert np.percentile(error, 99) < 1e-3  # single pixels are Markesteijn's own


def test_small_frames_are_padded_in_phase_for_libraw():
    cfa, scene = XTRANS.shift(2, 4), smooth_scene((90, 120))
    rgb, _ = demosaic_mosaic(cfa.mosaic(scene).astype(np.float32), cfa, "markesteijn3")
    assert rgb.shape == (90, 120, 3)
    assert np.abs(rgb - scene)[16:-16, 16:-16].max() < 1e-3


def test_balancing_for_libraw_is_worth_decibels():
    """Markesteijn weighs directions on balanced data and a green cast misleads them."""
    scene = np.concatenate([torture_scene(i, 132) for i in (5, 9, 4)], 1).clip(0, 1)
    gains = np.array([0.5, 1.0, 0.6], np.float32)
    mosaic = XTRANS.mosaic(scene * gains)
    balanced = demosaic_mosaic(mosaic, XTRANS, "markesteijn3", 1 / gains)[0] / gains
    unbalanced = demosaic_mosaic(mosaic, XTRANS, "markesteijn3")[0] / gains
    assert psnr(balanced, scene, peak=1, border=16) > psnr(unbalanced, scene, peak=1, border=16) + 0.5


def test_noise_needs_an_rng_and_has_the_variance_that_was_asked_for():
    scene = np.full((300, 300, 3), 0.4)
    with pytest.raises(ValueError, match="rng"):
        expose(scene, XTRANS, read_noise=0.01)
    adu = expose(scene, XTRANS, read_noise=0.01, shot_noise=0.002, rng=np.random.default_rng(0))
    signal = (adu - 1024.0) / 15359
    assert signal.mean() == pytest.approx(0.4, abs=5e-4)
    assert signal.var() == pytest.approx(0.01**2 + 0.002 * 0.4, rel=0.03)


def test_a_raf_is_for_xtrans_only(tmp_path):
    with pytest.raises(ValueError, match="X-Trans only"):
        write_raf(tmp_path / "a.RAF", random_adu(), RGGB)

"""Datasets from files: what goes in, what is refused and why, and that a stopped build goes on."""

import json
import shutil
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from lincfa.cfa import RGGB, XTRANS
from lincfa.color import linear_to_srgb, srgb_to_linear
from lincfa.data.build import BuildSettings, area_downsample, build, cell_average, read_photograph, write_sharpest
from lincfa.data.health import frame_fault
from lincfa.data.manifest import DatasetError, load_manifest
from lincfa.raw import demosaic_file, file_sha256, read_raw
from lincfa.rawwriter import write_dng, write_raf

FLOAT32 = 2e-7  # a decoded value is rounded to float32


def stored(folder, array):
    return array.decode(array.open(folder))


def sides(manifest):
    return {record.source: record.split for record in manifest.images}


def test_a_folder_with_broken_files_builds_and_lists_each_of_them_with_its_reason(raf_folder, tmp_path, builder):
    source = tmp_path / "raw"
    shutil.copytree(raf_folder, source)
    content = (source / "circles.RAF").read_bytes()
    (source / "cut.RAF").write_bytes(content[: len(content) // 2])
    (source / "letter.RAF").write_text("this is no raw file\n" * 50)
    (source / "twin.RAF").write_bytes(content)
    (source / "notes.txt").write_text("not looked at")
    manifest = builder(source, tmp_path / "out", downsample=2)
    assert len(manifest.images) == 4
    assert {entry["file"]: entry["reason"] for entry in manifest.refused} == {
        "cut.RAF": "truncated or broken (Input/output error)",
        "letter.RAF": "not a raw file that LibRaw knows",
        "twin.RAF": "duplicate of circles.RAF",
    }
    assert load_manifest(tmp_path / "out") == manifest


def test_black_and_blown_frames_are_refused(raf_folder, tmp_path, builder, scene_writer):
    rng = np.random.default_rng(0)
    shutil.copy(raf_folder / "circles.RAF", tmp_path)
    write_raf(tmp_path / "cap.RAF", rng.integers(1020, 1030, (240, 240)).astype(np.uint16), XTRANS)
    scene_writer(tmp_path / "sky.RAF", np.where(np.arange(240) < 150, 3, 0.2)[:, None, None] * np.ones((240, 240, 3)))
    manifest = builder(tmp_path, tmp_path / "out", downsample=2)
    reasons = {entry["file"]: entry["reason"] for entry in manifest.refused}
    assert reasons.keys() == {"cap.RAF", "sky.RAF"}
    assert "black frame" in reasons["cap.RAF"]
    assert "blown frame: 62 %" in reasons["sky.RAF"]


@pytest.mark.parametrize("black", [(0.0, 0.0, 0.0), (-0.07, -0.065, -0.06)])
def test_rows_without_data_at_the_end_are_called_truncated(black):
    mosaic = np.random.default_rng(0).uniform(0, 0.9, (120, 132)).astype(np.float32)
    assert frame_fault(mosaic) is None
    mosaic[-30:] = XTRANS.per_photosite(np.array(black, np.float32), 120, 132)[-30:]
    assert frame_fault(mosaic) == "truncated: the last 30 rows hold no data"


def test_each_image_is_on_one_side_and_stays_there_when_others_come(tmp_path, builder):
    rng = np.random.default_rng(1)
    source = tmp_path / "photos"
    source.mkdir()

    def add(numbers):
        for n in numbers:
            Image.fromarray(rng.integers(0, 256, (80, 80, 3), np.uint8)).save(source / f"{n:02d}.png")

    add(range(12))
    before = builder(source, tmp_path / "a", validation_share=0.4)
    add(range(12, 30))
    after = builder(source, tmp_path / "b", validation_share=0.4)
    assert set(sides(before).values()) == {"train", "val"}
    assert sides(before).items() <= sides(after).items()
    assert len(after.split("train")) + len(after.split("val")) == len({r.source_sha256 for r in after.images}) == 30


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_each_side_has_at_least_one_image(raf_folder, remosaic_set, tmp_path, builder, share):
    shutil.copytree(remosaic_set[0] / "records", tmp_path / "records")
    shutil.copytree(remosaic_set[0] / "rgb", tmp_path / "rgb")
    manifest = builder(raf_folder, tmp_path, downsample=2, validation_share=share)
    assert {len(manifest.split("train")), len(manifest.split("val"))} == {1, 3}


def test_an_interrupted_build_goes_on_and_equals_an_uninterrupted_one(raf_folder, remosaic_set, tmp_path, builder):
    whole, manifest = remosaic_set
    out = tmp_path / "out"
    shutil.copytree(whole, out)
    first, second, third, _ = manifest.images
    (out / "manifest.json").unlink()
    (out / "records" / f"{first.id}.json").unlink()
    (out / "records" / f"{second.id}.json").unlink()
    (out / second.rgb.file).unlink()
    (out / third.rgb.file).unlink()  # lost by the disk: its record is there
    kept = out / manifest.images[3].rgb.file
    untouched = kept.stat().st_mtime_ns
    again = builder(raf_folder, out, downsample=2, validation_share=0.3)
    assert again == manifest
    assert again.data_sha256 == manifest.data_sha256
    assert kept.stat().st_mtime_ns == untouched
    for record in manifest.images:
        assert np.array_equal(record.rgb.open(out), record.rgb.open(whole))


def test_other_settings_in_the_same_folder_are_refused_with_the_difference(raf_folder, remosaic_set, builder):
    with pytest.raises(DatasetError, match=r"other settings \(downsample: 2 -> 3; validation_share: 0.3 -> 0.1\)"):
        builder(raf_folder, remosaic_set[0], downsample=3)


def test_the_recorded_algorithm_is_the_one_that_ran(remosaic_set, teacher_set):
    for _, manifest in (remosaic_set, teacher_set):
        assert manifest.settings["target"] == "dht"
        assert {record.algorithm for record in manifest.images} == {"markesteijn3"}


def test_remosaic_truth_is_the_area_mean_of_the_demosaiced_file(raf_folder, remosaic_set):
    folder, manifest = remosaic_set
    assert manifest.bytes_per_megapixel == 6e6
    for record in manifest.images:
        rgb, _ = demosaic_file(raf_folder / record.source, "markesteijn3")
        truth = ndimage.uniform_filter(rgb.astype(np.float64), (2, 2, 1))[1::2, 1::2]
        assert np.abs(stored(folder, record.rgb) - truth).max() <= record.rgb.max_error + FLOAT32
        assert record.rgb.max_error <= manifest.max_error < 1e-5
        assert record.mosaic is None


def test_teacher_truth_is_the_demosaiced_file_and_its_mosaic_the_sensors(raf_folder, teacher_set):
    folder, manifest = teacher_set
    assert manifest.bytes_per_megapixel == 8e6
    for record in manifest.images:
        frame = read_raw(raf_folder / record.source)
        rgb, _ = demosaic_file(raf_folder / record.source, "markesteijn3")
        assert np.abs(stored(folder, record.rgb) - rgb).max() <= record.rgb.max_error + FLOAT32
        assert np.abs(stored(folder, record.mosaic) - frame.mosaic).max() <= record.mosaic.max_error + FLOAT32
        assert record.pattern == frame.cfa
        assert record.white_balance == pytest.approx((2, 1, 1 / 0.6), rel=2e-3)


def test_a_rest_at_the_far_edges_is_cut_before_averaging():
    rgb = np.random.default_rng(0).random((11, 7, 3)).astype(np.float32)
    assert np.allclose(area_downsample(rgb, 3)[2, 1], rgb[6:9, 3:6].mean((0, 1)))
    assert area_downsample(rgb, 3).shape == (3, 2, 3)


@pytest.mark.parametrize("cfa", [*XTRANS.phases, *RGGB.phases])
def test_cell_averages_of_a_scene_that_is_flat_in_each_cell_are_exact(cfa):
    p, q = cfa.period
    cells = np.random.default_rng(0).integers(0, 4096, (5, 4, 3)) / 4096
    scene = cells.repeat(p, 0).repeat(q, 1)
    mosaic = np.pad(cfa.mosaic(scene), ((0, 1), (0, 1)))  # an incomplete cell at the far edges
    assert np.array_equal(cell_average(mosaic, cfa), cells)


def test_cell_averages_of_a_file_are_built(tmp_path, builder):
    cells = np.random.default_rng(0).integers(0, 15360, (90, 86, 3)).astype(np.uint16)
    cfa = RGGB.shift(0, 1)
    write_dng(tmp_path / "a.dng", cfa.mosaic(cells.repeat(2, 0).repeat(2, 1)) + np.uint16(1023), cfa, black=1023)
    manifest = builder(tmp_path, tmp_path / "out", target="cell")
    (record,) = manifest.images
    assert record.algorithm == "cell"
    assert np.abs(stored(tmp_path / "out", record.rgb) - cells / 15360).max() <= record.rgb.max_error + FLOAT32


def test_photographs_of_all_kinds_are_linearised_and_an_unreadable_one_is_refused(tmp_path, builder):
    linear = ndimage.gaussian_filter(np.random.default_rng(0).random((88, 80, 3)), (4, 4, 0))
    srgb = linear_to_srgb(linear)
    eight, sixteen = (np.rint(srgb * top).astype(kind) for top, kind in ((255, np.uint8), (65535, np.uint16)))
    Image.fromarray(eight).save(tmp_path / "a.png")
    imagecodecs.imwrite(tmp_path / "b.png", sixteen)
    tifffile.imwrite(tmp_path / "c.tif", sixteen[..., ::-1])
    Image.fromarray(eight).save(tmp_path / "d.jpg", quality=98, subsampling=0)
    Image.fromarray(eight).save(tmp_path / "e.webp", lossless=True)
    Image.fromarray(eight[..., 1]).convert("LA").save(tmp_path / "f.png")
    (tmp_path / "broken.jpg").write_bytes((tmp_path / "d.jpg").read_bytes()[:300])
    manifest = builder(tmp_path, tmp_path / "out")
    assert [entry["file"] for entry in manifest.refused] == ["broken.jpg"]
    assert manifest.refused[0]["reason"].startswith("unreadable image (")
    grey = linear[..., [1, 1, 1]]
    # At the steepest part of the sRGB curve: a step of 8 bits (half of it rounding, half dither), half a step of 16;
    # JPEG loses a few steps.
    expected = {"a": (linear, 9e-3), "b": (linear, 2e-5), "c": (linear[..., ::-1], 2e-5), "d": (linear, 3e-2)}
    expected |= {"e": (linear, 9e-3), "f": (grey, 9e-3)}
    for record in manifest.images:
        truth, tolerance = expected.pop(record.source[0])
        assert record.algorithm == "photograph"
        assert np.abs(stored(tmp_path / "out", record.rgb) - truth).max() <= tolerance
    assert not expected


def test_the_steps_of_8_bits_are_dithered_around_their_value_and_always_alike(tmp_path, builder):
    Image.fromarray(np.full((80, 96, 3), 40, np.uint8)).save(tmp_path / "flat.png")
    for name in ("once", "again"):
        record = builder(tmp_path, tmp_path / name, validation_share=0.5).images[0]
        rgb = stored(tmp_path / name, record.rgb)
        step = srgb_to_linear(np.array([39.5, 40.5]) / 255)
        assert rgb.min() < step[0] + 0.05 * (step[1] - step[0])
        assert rgb.max() > step[1] - 0.05 * (step[1] - step[0])
        assert rgb.mean() == pytest.approx(srgb_to_linear(np.array(40 / 255)), rel=2e-3)
    assert np.array_equal(rgb, stored(tmp_path / "once", record.rgb))


def test_floating_point_pixels_are_no_photograph(tmp_path):
    """Their coding is unknown: sRGB or linear."""
    tifffile.imwrite(tmp_path / "float.tif", np.zeros((80, 72, 3), np.float32), photometric="rgb")
    with pytest.raises(ValueError, match="is no 8- or 16-bit RGB or grey picture"):
        read_photograph(tmp_path / "float.tif")


def test_photographs_have_no_teacher(tmp_path, builder):
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DatasetError, match="no usable image among 1 files"):
        builder(tmp_path, tmp_path / "out", regime="teacher")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regime": "both"}, "regime is"),
        ({"target": "amaze"}, "unknown target 'amaze'"),
        ({"regime": "teacher", "target": "cell"}, "cell averages"),
        ({"downsample": 0}, "downsample is at least 1"),
        ({"validation_share": 1.0}, "validation_share"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(DatasetError, match=message):
        BuildSettings(**settings)


def test_a_build_in_processes_equals_one_in_this_process(raf_folder, remosaic_set, tmp_path):
    settings, seen = BuildSettings(downsample=2, validation_share=0.3), []
    manifest = build(raf_folder, tmp_path, settings, jobs=2, progress=lambda *report: seen.append(report))
    assert manifest == remosaic_set[1]
    assert [(done, total) for done, total, _ in seen] == [(n, 4) for n in range(1, 5)]


def test_the_sharpest_list_ranks_an_image_over_its_blurred_copy(tmp_path, builder):
    pixels = np.random.default_rng(0).integers(60, 200, (96, 96, 3)).astype(np.float64)
    for number in range(10):
        blurred = ndimage.gaussian_filter(pixels, (0.4 * number, 0.4 * number, 0))
        Image.fromarray(np.rint(blurred * (0.5 + 0.05 * number)).astype(np.uint8)).save(tmp_path / f"{number}.png")
    manifest = builder(tmp_path, tmp_path / "out", validation_share=0.2)
    path = write_sharpest(tmp_path / "out", manifest, 4)
    assert path.name == "top4_sharp.json"
    train = sorted(record.source for record in manifest.split("train"))  # the least blurred first
    by_id = {record.id: record.source for record in manifest.images}
    assert [by_id[row["id"]] for row in json.loads(path.read_text())] == train[:4]


def test_a_broken_or_missing_manifest_is_named(remosaic_set, tmp_path):
    with pytest.raises(DatasetError, match=r"manifest\.json: no such file; build a dataset"):
        load_manifest(tmp_path)
    text = (remosaic_set[0] / "manifest.json").read_text()
    for broken in (text[:500], "[]", "{}", text.replace('"sobel_p99"', '"sobel"')):
        (tmp_path / "manifest.json").write_text(broken)
        with pytest.raises(DatasetError, match=r"manifest\.json: broken manifest"):
            load_manifest(tmp_path)
    (tmp_path / "manifest.json").write_text(text.replace('"version": 1', '"version": 0'))
    with pytest.raises(DatasetError, match="version 0, and this program reads 1"):
        load_manifest(tmp_path)


def test_a_missing_array_is_named(remosaic_set, tmp_path):
    with pytest.raises(DatasetError, match=r"nowhere\.npy: cannot be read"):
        replace(remosaic_set[1].images[0].rgb, file="nowhere.npy").open(tmp_path)


def test_a_file_that_cannot_be_opened_is_refused_and_the_build_goes_on(tmp_path, builder, monkeypatch):
    for name in "ab":
        imagecodecs.imwrite(tmp_path / f"{name}.png", np.full((96, 96, 3), ord(name), np.uint8))

    def forbidden_a(path):
        if path.name == "a.png":
            raise PermissionError(13, "Permission denied")
        return file_sha256(path)

    monkeypatch.setattr("lincfa.raw.file_sha256", forbidden_a)
    manifest = builder(tmp_path, tmp_path / "out")
    assert list(manifest.refused) == [{"file": "a.png", "reason": "unreadable (Permission denied)"}]

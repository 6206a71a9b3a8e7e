import json
import math

import imagecodecs
import numpy as np
import pytest
from tiny import write_photographs

from lincfa import metrics
from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import CheckpointError, save_weights
from lincfa.color import linear_to_srgb
from lincfa.data import torture
from lincfa.data.dataset import Scene
from lincfa.evaluate import (
    BORDER_PX,
    HDR_WHITE,
    LIBRAW_MODELS,
    STEP,
    Model,
    evaluate,
    json_safe,
    libraw_model,
    load_model,
    load_suite,
    measure,
    network_model,
    noisy,
    summarise,
    torture_samples,
)
from lincfa.models import build


def scene(number=3, side=96, cfa=XTRANS, balance=(1.0, 1.0, 1.0)):
    rgb = (torture.torture_scene(number, side) / balance).astype(np.float32)
    return Scene(f"s{number}", cfa.mosaic(rgb), rgb, cfa, np.array(balance), None)


def row(model, image, psnr, **more):
    return {"model": model, "image": image, "psnr_linear_db": psnr, **more}


@pytest.fixture
def checkpoint(tmp_path):
    model = {"name": "unet", "width": 2, "norm": "none"}
    save_weights(tmp_path / "net.pt", model, build(**model).state_dict(), "xtrans", {})
    return str(tmp_path / "net.pt")


def test_libraw_and_networks_are_measured_alike_on_one_scene(checkpoint):
    models = [load_model("markesteijn3", "xtrans"), load_model("bilinear", "xtrans"), load_model(checkpoint, "xtrans")]
    assert [m.name for m in models] == ["markesteijn3", "bilinear", checkpoint]
    seen = []
    rows = evaluate(models, [scene()], seen.append)
    assert seen == ["s3"]
    assert [(r["model"], r["image"]) for r in rows] == [(m.name, "s3") for m in models]
    assert rows[0].keys() == rows[1].keys() == rows[2].keys()
    # A good demosaicer, a simple one and a network that has learnt nothing.
    assert rows[0]["psnr_linear_db"] > rows[1]["psnr_linear_db"] + 1 > rows[2]["psnr_linear_db"] + 1
    assert rows[0]["psnr_linear_db"] > 20


@pytest.mark.parametrize("cfa", [XTRANS.shift(1, 4), RGGB.shift(0, 1)], ids=str)
def test_libraw_gets_the_scene_in_its_own_phase_and_balance(cfa):
    """A tinted grey ramp: in a wrong phase, or balanced wrongly, its colours would mix."""
    balance = np.array([2.0, 1.0, 1.6])
    ramp = np.linspace(0.1, 0.4, 80)[:, None, None] * np.ones((80, 80, 1)) / balance
    ramp = ramp.astype(np.float32)
    rgb = libraw_model("vng", cfa.family).demosaic(Scene("ramp", cfa.mosaic(ramp), ramp, cfa, balance, None))
    inside = slice(8, -8)
    np.testing.assert_allclose(rgb[inside, inside], ramp[inside, inside], rtol=0.03)


@pytest.mark.parametrize("name", ["markesteijn3", "markesteijn1"])
def test_markesteijn_is_not_run_on_bayer(name):
    with pytest.raises(ValueError, match="algorithm for X-Trans"):
        libraw_model(name, "bayer")


def test_values_are_those_of_the_metrics_after_balance_clipping_and_border():
    balance = np.array([2.0, 1.0, 0.5])
    truth = scene(number=55, balance=balance)  # a scene with highlights
    assert (truth.rgb * balance).max() > 1.5
    rgb = truth.rgb + np.random.default_rng(0).normal(0, 0.02, truth.rgb.shape)
    found = measure(rgb, truth)
    image, wanted = (a[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] * balance for a in (rgb, truth.rgb))
    clipped = np.clip(image, 0, 1), np.clip(wanted, 0, 1)
    coded = [linear_to_srgb(a) for a in clipped]

    def db(a, b):
        return -10 * math.log10(np.mean((a - b) ** 2))

    assert BORDER_PX == 24
    assert found["psnr_linear_db"] == pytest.approx(db(*clipped), abs=1e-9)
    assert found["psnr_srgb_db"] == pytest.approx(db(*coded), abs=1e-9)
    for c, letter in enumerate("rgb"):
        assert found[f"psnr_{letter}_db"] == pytest.approx(db(clipped[0][..., c], clipped[1][..., c]), abs=1e-9)
    assert found["psnr_unclipped_db"] == pytest.approx(db(image, wanted), abs=1e-9)
    assert found["psnr_unclipped_db"] != pytest.approx(found["psnr_linear_db"], abs=0.1)
    assert found["ssim"] == pytest.approx(metrics.ssim(*coded, peak=1.0, border=0), abs=1e-9)
    above = np.maximum(image - 1, 0).sum() / np.maximum(wanted - 1, 0).sum()
    assert found["highlights_kept"] == pytest.approx(above)
    assert found["texture"] == pytest.approx(metrics.texture_score(image, wanted, border=0))
    sharpness, wanted_sharpness = (metrics.laplacian_variance(a, border=0) for a in (image, wanted))
    assert found["laplacian_variance"] == pytest.approx(sharpness)
    assert found["laplacian_ratio"] == pytest.approx(sharpness / wanted_sharpness)
    assert found["false_colour"] == pytest.approx(metrics.false_colour(image, wanted, border=0))
    ripple = metrics.phase_ripple(image, truth=wanted, period=(6, 6), border=0)
    assert found["phase_ripple"] == pytest.approx(ripple)
    assert found["grid_db"] == pytest.approx(metrics.grid_db(image, truth=wanted, cfa=XTRANS, border=0))


@pytest.mark.parametrize("cfa", [XTRANS.shift(1, 4), RGGB.shift(0, 1)], ids=str)
def test_a_grid_is_looked_for_at_the_frequencies_of_the_scenes_own_cfa(cfa):
    truth = scene(cfa=cfa)
    marked = truth.rgb * (1 + 0.02 * cfa.masks(96, 96)[0][..., None])
    assert measure(truth.rgb, truth)["grid_db"] == 0
    assert measure(marked, truth)["grid_db"] > 6


def test_a_scene_too_small_for_the_grid_has_none():
    small = scene(side=80)
    assert math.isnan(measure(small.rgb, small)["grid_db"])


def test_what_happens_in_the_border_and_above_white_does_not_move_the_psnr():
    truth = scene()
    rgb = truth.rgb + np.float32(0.01)
    spoilt = rgb.copy()
    spoilt[:BORDER_PX], spoilt[:, -BORDER_PX:] = 7, -3
    assert json_safe(measure(spoilt, truth)) == json_safe(measure(rgb, truth))  # nan is not nan
    white = Scene("white", truth.mosaic, np.full_like(truth.rgb, 1.5), XTRANS, np.ones(3), None)
    assert measure(np.full_like(truth.rgb, 2.5), white)["psnr_linear_db"] == math.inf


def test_the_mean_is_over_images_and_not_over_pixels():
    """Two scenes of unequal size and error: each counts once."""
    small, large = scene(side=80), scene(side=160)
    offset = Model("offset", lambda s: s.rgb * 0.5 + (0.01 if s is small else 0.2))
    rows = evaluate([offset], [small, large])
    values = [r["psnr_linear_db"] for r in rows]
    assert abs(values[0] - values[1]) > 1
    summary = summarise(rows)
    assert summary["mean"]["offset"]["psnr_linear_db"] == pytest.approx(sum(values) / 2)
    assert summary["spread"]["offset"]["psnr_linear_db"] == pytest.approx(abs(values[0] - values[1]) / 2)
    assert summary["mean"]["offset"]["images"] == 2
    assert "by_type" not in summary


def test_images_worse_than_markesteijn_are_counted_one_by_one():
    rows = [row("markesteijn3", i, p) for i, p in (("a", 30.0), ("b", 40.0), ("c", 35.0))]
    rows += [row("net", i, p) for i, p in (("c", 34.9), ("a", 50.0), ("b", 39.0))]
    mean = summarise(rows)["mean"]
    assert mean["net"]["worse_than_markesteijn3"] == 2
    assert "worse_than_markesteijn3" not in mean["markesteijn3"]
    assert "worse_than_markesteijn3" not in summarise(rows[3:])["mean"]["net"]


def test_values_that_an_image_lacks_are_left_out_of_the_mean():
    rows = [row("net", "a", math.inf, texture=math.nan), row("net", "b", 30.0, texture=math.nan)]
    mean = summarise(rows)["mean"]["net"]
    assert (mean["psnr_linear_db"], mean["images"]) == (30.0, 2)
    assert math.isnan(mean["texture"])


def test_kinds_of_scenes_are_summed_up_apart():
    rows = [row("net", str(i), p, type=t) for i, (p, t) in enumerate([(10.0, "hair"), (30.0, "dots"), (20.0, "hair")])]
    assert {t: v["psnr_linear_db"] for t, v in summarise(rows)["by_type"]["net"].items()} == {"dots": 30, "hair": 15}


def test_json_gets_null_for_what_it_cannot_say():
    data = {"a": [1.5, math.nan, {"b": math.inf}], "c": "nan", "d": 3, "e": None}
    safe = json_safe(data)
    assert safe == {"a": [1.5, None, {"b": None}], "c": "nan", "d": 3, "e": None}
    json.dumps(safe, allow_nan=False)


@pytest.mark.parametrize(("family", "cfa"), [("xtrans", XTRANS), ("bayer", RGGB)])
def test_the_truth_suite_mosaics_a_folder_of_images(tmp_path, family, cfa):
    folder = write_photographs(tmp_path / "truth", (1, 3, 2), side=64)
    (folder / "notes.txt").write_text("not an image")
    scenes = list(load_suite("truth", folder, family))
    assert [s.name for s in scenes] == ["scene01", "scene02", "scene03"]
    for one in scenes:
        truth = torture.torture_scene(int(one.name[-2:]), 64).clip(0, 1)
        np.testing.assert_allclose(one.rgb, truth, atol=2e-5)  # 16 bits
        assert one.cfa == cfa
        assert np.abs(one.mosaic - cfa.mosaic(one.rgb)).max() <= STEP / 2 * 1.001
        steps = one.mosaic / STEP
        assert np.abs(steps - np.rint(steps)).max() < 2e-3
    assert len(list(load_suite("truth", folder, family, 2))) == 2
    moved = next(iter(load_suite("truth", folder, family, phase=(1, 1))))
    assert moved.cfa == cfa.shift(1, 1)
    assert np.abs(moved.mosaic - moved.cfa.mosaic(moved.rgb)).max() <= STEP / 2 * 1.001


def test_the_truth_suite_keeps_the_highlights_of_radiance_files(tmp_path):
    light = np.random.default_rng(5).uniform(0, 3, (96, 96, 3)).astype(np.float32)
    light[8, 8] = 900
    (tmp_path / "sun.hdr").write_bytes(imagecodecs.rgbe_encode(light))
    (scene,) = load_suite("truth", tmp_path, "xtrans")
    brightest = light.max(2, keepdims=True)
    assert (np.abs(scene.rgb - light.clip(0, HDR_WHITE)) <= brightest / 128).all()  # 8 bits beside a shared exponent
    assert (scene.rgb[8, 8] == HDR_WHITE).all()
    assert np.abs(scene.mosaic - XTRANS.mosaic(scene.rgb)).max() <= STEP / 2 * 1.001
    bilinear = evaluate([libraw_model("bilinear", "xtrans")], [scene])
    assert bilinear[0]["highlights_kept"] > 0.5
    exposed = imagecodecs.rgbe_encode(light).replace(b"#?RADIANCE\n", b"#?RADIANCE\nEXPOSURE=2.0\n")
    (tmp_path / "sun.hdr").write_bytes(exposed)
    with pytest.raises(ValueError, match=r"sun\.hdr: unreadable Radiance file \(it is to be plain RGB"):
        list(load_suite("truth", tmp_path, "xtrans"))
    (tmp_path / "sun.hdr").unlink()
    (tmp_path / "cut.hdr").write_bytes(b"#?RADIANCE\n")
    with pytest.raises(ValueError, match=r"cut\.hdr: unreadable Radiance file"):
        list(load_suite("truth", tmp_path, "xtrans"))


def test_the_torture_suite_knows_its_kinds_and_keeps_its_highlights(tmp_path):
    torture.build(tmp_path, 57, 32)
    scenes = list(load_suite("torture", tmp_path, "xtrans"))
    assert [s.group for s in scenes[:14]] == [*torture.TYPES, torture.TYPES[0]]
    assert max(s.mosaic.max() for s in scenes) > 1.5
    np.testing.assert_allclose(scenes[5].rgb, torture.torture_scene(5, 32), atol=1 / 16383)
    assert len(list(load_suite("torture", tmp_path, "xtrans", 3))) == 3


def test_the_raf_suite_is_the_validation_images_of_a_dataset(tiny_data):
    manifest = json.loads((tiny_data / "manifest.json").read_text())
    wanted = [r["id"] for r in manifest["images"] if r["split"] == "val"]
    assert wanted
    assert [s.name for s in load_suite("raf", tiny_data, "xtrans")] == wanted
    with pytest.raises(ValueError, match=r"raf are at phase \(0, 0\)"):
        load_suite("raf", tiny_data, "xtrans", phase=(0, 1))


@pytest.mark.parametrize(
    ("suite", "family", "said"),
    [
        ("kodak", "xtrans", "unknown suite 'kodak'; there are: raf, truth, torture"),
        ("truth", "foveon", "'foveon'"),
        ("truth", "xtrans", "no folder with images"),
        ("raf", "xtrans", "build a dataset"),
        ("torture", "xtrans", "no finished torture set"),
    ],
)
def test_a_suite_that_is_not_there_is_refused(tmp_path, suite, family, said):
    with pytest.raises(ValueError, match=said):
        load_suite(suite, tmp_path, family)


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(CheckpointError, match="markestein3: neither a checkpoint file nor a released model"):
        load_model("markestein3", "xtrans")


def test_every_libraw_model_runs_on_a_family():
    for name in LIBRAW_MODELS:
        one = scene(cfa=XTRANS if "markesteijn" in name or name == "vng" else RGGB)
        rgb = libraw_model(name, one.cfa.family).demosaic(one)
        assert metrics.psnr(rgb, one.rgb, peak=1.0, border=8) > 15


def test_pictures_for_people_are_of_three_kinds():
    assert [s.group for s in torture_samples("bayer", 32)] == ["zone_plate", "star", "julia"]
    assert torture_samples("bayer", 32)[0].cfa == RGGB


def test_the_script_writes_what_the_record_reads(tmp_path, checkpoint, run_script):
    folder = write_photographs(tmp_path / "truth", (2, 3), side=96)
    models = ("--models", "markesteijn3", checkpoint)
    files = ("--suite", f"truth={folder}", "--json", tmp_path / "deep/out.json")
    status, out, err = run_script("utils/evaluate.py", *models, *files)
    assert status == 0, err
    assert "2 scenes" in " ".join(out.split())

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads((tmp_path / "deep/out.json").read_text(), parse_constant=refuse)
    assert found.keys() >= {"suite", "set", "cfa", "command", "commit", "rows", "mean", "spread"}
    assert (found["suite"], found["set"], found["cfa"]) == ("truth", "truth", "xtrans")
    assert len(found["rows"]) == 4
    assert found["rows"][0].keys() >= {"model", "image", "psnr_linear_db", "psnr_srgb_db", "ssim"}
    assert found["mean"][checkpoint]["images"] == 2
    assert found["mean"][checkpoint]["worse_than_markesteijn3"] == 2


def test_the_algorithm_that_really_runs_is_said():
    assert libraw_model("dht", "xtrans").algorithm == "markesteijn3"
    assert libraw_model("dht", "bayer").algorithm == "dht"
    assert libraw_model("bilinear", "xtrans").algorithm == "linear"


def test_weights_for_another_family_are_refused(checkpoint):
    with pytest.raises(ValueError, match="trained for xtrans mosaics, and these are bayer"):
        load_model(checkpoint, "bayer")


def test_noise_is_added_to_the_mosaic_alone_as_it_is_stated_and_always_alike():
    clean = scene(balance=(2.0, 1.0, 1.5), side=240)
    read, shot = 0.004, 0.002
    made = noisy(clean, read, shot, 7)
    assert np.array_equal(made.mosaic, noisy(clean, read, shot, 7).mosaic)
    assert not np.array_equal(made.mosaic, noisy(clean, read, shot, 8).mosaic)
    assert made.rgb is clean.rgb
    assert made.noise == (read, shot)
    excess = (made.mosaic - clean.mosaic) / np.sqrt(read**2 + shot * clean.mosaic)
    assert abs(excess.mean()) < 0.02
    assert excess.std() == pytest.approx(1, abs=0.02)


def test_a_network_is_told_the_noise_of_a_scene_at_the_strength_that_is_asked():
    told = []

    class Listener:
        def __call__(self, mosaic, cfa, white_balance, **noise):
            told.append(noise)

    for strength in (0.0, 0.5):
        network_model("listener", Listener(), strength).demosaic(noisy(scene(), 0.01, 0.0, 0))
    assert told == [{}, {"noise": (0.01, 0.0), "strength": 0.5}]

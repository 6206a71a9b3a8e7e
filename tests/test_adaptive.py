"""Smooth tiles and a cheaper path: what is measured is what such a demosaicer would do."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import write_photographs

from lincfa import adaptive
from lincfa.adaptive import (
    Tiles,
    bilinear,
    demosaic,
    in_tiles,
    largest_share,
    markdown,
    roughness,
    share_unreached,
    true_cost,
)
from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import save_weights
from lincfa.data.demo import demo_scenes
from lincfa.evaluate import load_suite, measure
from lincfa.infer import Demosaicer
from lincfa.models import build
from lincfa.raw import demosaic_mosaic

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "utils" / "adaptive_tiles.py"
CFAS = pytest.mark.parametrize("cfa", [XTRANS, RGGB.shift(1, 0)], ids=["xtrans", "bayer"])
PHOTOGRAPH = demo_scenes()["coffee-0"]()[:150, :132]


def interpolated(mosaic, cfa):
    masks = torch.from_numpy(cfa.masks(*mosaic.shape))[None]
    return bilinear(torch.from_numpy(mosaic)[None, None], masks)[0].permute(1, 2, 0).numpy()


def tiny_demosaicer():
    torch.manual_seed(0)
    return Demosaicer(build("packed", width=4, blocks=1, coding=0.5), precision="fp32")


@CFAS
def test_bilinear_is_that_of_libraw(cfa):
    mosaic = cfa.mosaic(PHOTOGRAPH)
    expected, _ = demosaic_mosaic(mosaic, cfa, "linear")
    inside = np.s_[4:-4, 4:-4]
    # LibRaw computes in 14-bit steps, with shares of 1/256.
    np.testing.assert_allclose(interpolated(mosaic, cfa)[inside], expected[inside], rtol=0.005, atol=3e-4)


@CFAS
def test_ramps_of_any_colour_are_smooth_and_detail_is_not(cfa):
    y, x = np.indices((96, 96))
    ramp = (0.2 + 0.005 * y[..., None] + 0.003 * x[..., None]) * np.float32((1, 0.5, 0.25))
    detail = np.random.default_rng(0).uniform(0, 0.1, (96, 96, 1)) * (y >= 64)[..., None]
    plain, mixed = (roughness(cfa.mosaic(picture**2), cfa, 32) for picture in (ramp, ramp + detail))
    assert plain.shape == (3, 3)
    assert plain[1, 1] < 1e-6  # the others have the frame's edges
    assert mixed[1, 1] < 0.2 * mixed[2, 1]


def test_errors_of_tiles_are_those_of_the_evaluation(tmp_path):
    (scene,) = load_suite("truth", write_photographs(tmp_path, (6,)), "xtrans")
    rgb = interpolated(scene.mosaic, scene.cfa)
    errors = adaptive.squared_errors(rgb, scene)
    tiles = in_tiles(scene, errors, errors, 36)
    expected = measure(rgb, scene)
    for sums, key in zip(tiles.cheap, ("psnr_linear_db", "psnr_srgb_db"), strict=True):
        assert -10 * np.log10(sums.sum() / tiles.values) == pytest.approx(expected[key], abs=1e-6)


def scene_of(network, cheap):
    """Tiles in a row; linear and coded errors alike."""
    network, cheap = (np.array([[row], [row]], float) for row in (network, cheap))
    return Tiles(np.zeros((1, network.shape[2])), network, cheap, 100, (10, 10 * network.shape[2]))


def test_the_largest_share_loses_no_more_than_it_may_in_the_mean_over_scenes():
    scenes = [scene_of([1, 1, 1], [1.1, 1.5, 9]), scene_of([1, 1, 1], [1, 2, 1])]
    order = [np.array([[1, 3, 5]]), np.array([[2, 4, 6]])]
    for most_db, share, threshold in ((0.0, 0, -np.inf), (0.08, 2 / 6, 2), (0.5, 3 / 6, 3), (1.1, 4 / 6, 4)):
        assert largest_share(scenes, order, most_db) == (share, threshold)
    loss_db = (10 * np.log10(3.6 / 3) + 10 * np.log10(4 / 3)) / 2
    assert largest_share(scenes, order, loss_db + 1e-9)[0] == 4 / 6
    assert largest_share(scenes, order, loss_db - 1e-9)[0] == 3 / 6


def test_a_tile_that_the_cheap_path_does_better_comes_first_in_the_best_order():
    cost = true_cost(scene_of([2, 1, 1], [1, 1, 3]))
    assert cost[0].argsort().tolist() == [0, 1, 2]
    assert cost[0, 2] == pytest.approx(0.5)


def test_pixels_that_a_kept_tile_needs_as_its_margin_are_not_saved():
    cheap = np.ones((3, 5), bool)
    assert share_unreached((60, 100), cheap, 20, 8) == 1
    cheap[0, 0] = False
    assert share_unreached((60, 100), cheap, 20, 8) == pytest.approx(1 - 28**2 / 6000)
    assert share_unreached((60, 100), np.zeros((3, 5), bool), 20, 8) == 0


def test_kept_tiles_have_the_networks_values_and_the_others_bilinear_ones():
    demosaicer, mosaic = tiny_demosaicer(), XTRANS.mosaic(PHOTOGRAPH)
    measured = roughness(mosaic, XTRANS, 36)
    threshold = float(np.median(measured))
    rgb = demosaic(demosaicer, mosaic, XTRANS, 36, threshold)
    cheap = np.kron(measured <= threshold, np.ones((36, 36), bool))[:150, :132, None]
    expected = np.where(cheap, interpolated(mosaic, XTRANS), demosaicer(mosaic, XTRANS))
    inside = np.s_[12:-12, 12:-12]  # what lies beyond the frame's edge is invented in two ways
    np.testing.assert_allclose(rgb[inside], expected[inside], atol=1e-5)


def test_the_script_writes_what_it_found_and_how(tmp_path):
    torch.manual_seed(0)
    model = {"name": "packed", "width": 4, "blocks": 1, "coding": 0.5}
    save_weights(tmp_path / "tiny.pt", model, build(**model).state_dict(), "xtrans", {"name": "tiny"})
    write_photographs(tmp_path / "suite", (2, 6))
    command = [sys.executable, str(SCRIPT), "--model", "tiny.pt", "--suite", "truth=suite", "--tiles", "48", "96"]
    command += ["--loss", "0.5", "--timed", "1", "--repetitions", "1", "--json", "out.json"]
    (tmp_path / "guide.md").write_text("before\n<!-- adaptive:begin -->\nold\n<!-- adaptive:end -->\nafter\n")
    subprocess.run([*command, "--docs", "guide.md"], check=True, capture_output=True, cwd=tmp_path)
    found = json.loads((tmp_path / "out.json").read_text())
    assert [row["tile_px"] for row in found["rows"]] == [48, 96]
    assert {"command", "commit", "machine", "threads", "precision"} <= found.keys()
    for row in found["rows"]:
        assert row["suite"] == "truth:suite"
        assert 0 <= row["share_unreached"] <= row["share"] <= 1
        assert row["adaptive_s"] / row["network_s"] == row["seconds_ratio"]
    table = f"<!-- adaptive:begin -->\n\n{markdown(found)}\n\n<!-- adaptive:end -->"
    assert (tmp_path / "guide.md").read_text() == f"before\n{table}\nafter\n"
    wrong = subprocess.run([*command, "--tiles", "50"], capture_output=True, text=True, cwd=tmp_path)
    assert wrong.stderr.strip() == "adaptive_tiles: tiles of 50 px: this network's are multiples of 6"
    assert wrong.returncode == 1

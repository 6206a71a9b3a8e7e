"""The CFA's grid: what is one, what is none, from what size on it is found, and the picture of it."""

import io
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from tiny import write_photographs

from lincfa import metrics
from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import load_weights
from lincfa.color import linear_to_srgb, srgb_to_linear
from lincfa.data.demo import demo_scenes
from lincfa.data.torture import torture_scene
from lincfa.figures import CFA_COLOUR, GRID_SIDE_PX, grid_panel, grid_row
from lincfa.infer import Demosaicer
from lincfa.train import train
from lincfa.trainconfig import LAB_TUNED, OptimConfig

CFAS = pytest.mark.parametrize("cfa", [XTRANS, RGGB], ids=["xtrans", "bayer"])
PHOTOGRAPH = demo_scenes()["coffee-0"]().astype(np.float64)  # 288 x 288
BLURRED = gaussian_filter(PHOTOGRAPH, (0.6, 0.6, 0))
"""A photograph and what a soft but innocent demosaicer would make of it."""


def tile(side: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """[height, width, 3]: a random tile of mean 0 and RMS 1 in each channel, repeated."""
    one = np.random.default_rng(seed).standard_normal((side, side, 3))
    one = (one - one.mean((0, 1))) / one.std((0, 1))
    return np.tile(one, (-(-height // side), -(-width // side), 1))[:height, :width]


def gridded(picture: np.ndarray, size: float, side: int = 6) -> np.ndarray:
    """The picture with a grid of this RMS, relative to each pixel."""
    return picture * (1 + size * tile(side, *picture.shape[:2]))


def grid(image, truth=None, cfa=XTRANS):
    return metrics.grid_db(image, truth=truth, cfa=cfa, border=0)


def texture(name: str, side: int = 144) -> np.ndarray:
    """[side, side, 3] linear: the finest there is, with some right on the CFA's frequencies."""
    y, x = np.indices((side, side))
    waves = {
        "checkerboard": (-1.0) ** (x + y),
        "stripes of 2 px": (-1.0) ** x,
        "stripes of 3 px": np.cos(2 * np.pi * x / 3),
        "weave of 6 px": np.cos(2 * np.pi * x / 6) * np.cos(2 * np.pi * y / 6),
        "hair": torture_scene(5, side)[..., 1] * 2 - 1,
        "zone plate": torture_scene(4, side)[..., 1] * 2 - 1,
        "noise": np.random.default_rng(0).standard_normal((side, side)) / 3,
    }
    return np.repeat(0.4 + 0.2 * waves[name][..., None], 3, axis=2)


@CFAS
def test_the_cfas_frequencies_are_those_of_all_patterns_that_its_phases_can_tell_apart(cfa):
    """A pattern that is any function of what the CFA looks like from a pixel has just these, and DC."""
    rng = np.random.default_rng(0)
    value = {phase: rng.standard_normal() for phase in cfa.phases}
    p, q = cfa.period
    pattern = np.array([[value[cfa.shift(y, x)] for x in range(q)] for y in range(p)])
    frequencies = np.abs(np.fft.fft2(pattern)) > 1e-9
    frequencies[0, 0] = False
    np.testing.assert_array_equal(metrics.cfa_frequencies(cfa), frequencies)
    assert frequencies.sum() == len(cfa.phases) - 1 == {XTRANS: 17, RGGB: 3}[cfa]
    np.testing.assert_array_equal(metrics.cfa_frequencies(cfa.shift(1, 0)), frequencies)


@pytest.mark.parametrize(("i", "j"), [(1, 1), (0, 2), (4, 0), (5, 3), (1, 2)])
def test_a_wave_on_grey_has_the_height_worked_by_hand(i, j):
    """Half the amplitude in each of two mirror images; the window's sum is 24^2, that of its squares 18^2."""
    y, x = np.indices((100, 130))
    level, amplitude = 0.5, 0.002
    wave = amplitude * np.cos(2 * np.pi * (i * y / 6 + j * x / 6) + 0.4)
    truth = np.full((100, 130, 3), level)
    found = metrics.lattice_db(truth + wave[..., None], truth=truth, period=(6, 6), border=0)
    expected = 10 * math.log10(1 + (amplitude / 2 * 24**2) ** 2 / (1e-3 * level * 18) ** 2)
    assert expected > 10
    assert math.isnan(found[0, 0])
    for place in list(np.ndindex(6, 6))[1:]:
        wanted = expected if place in ((i, j), (-i % 6, -j % 6)) else 0
        assert found[place] == pytest.approx(wanted, abs=1e-6)


@CFAS
def test_white_noise_and_equality_are_no_grid(cfa):
    truth = np.full((400, 400, 3), 0.3)
    noise = np.random.default_rng(1).normal(0, 0.01, truth.shape)
    assert grid(truth, truth, cfa) == 0
    # 256 blocks, half overlapping, of 3 channels: logarithms of 5.6 dB's spread have a mean within 0.4, of each wave.
    assert grid(truth + noise, truth, cfa) == pytest.approx(0, abs=0.5)
    assert grid(PHOTOGRAPH, PHOTOGRAPH, cfa) == 0


def test_a_grid_too_fine_for_any_photograph_is_none():
    truth = np.full((144, 144, 3), 0.3)
    values = [grid(gridded(truth, size), truth) for size in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)]
    assert values == sorted(values)
    assert values[1] < 0.1
    assert values[3] > 10


def test_the_larger_the_grid_in_a_photograph_the_higher_and_from_one_percent_on_it_is_found():
    sizes = (0, 0.001, 0.003, 0.01, 0.03, 0.1)
    values = [grid(gridded(BLURRED, size), PHOTOGRAPH) for size in sizes]
    assert values == sorted(values)
    assert values[0] < 0.5
    assert values[3] > 3
    assert values[4] > 7


@CFAS
def test_a_trace_of_one_colours_photosites_is_found_in_a_photograph(cfa):
    red = cfa.masks(*PHOTOGRAPH.shape[:2])[0][..., None]
    assert grid(BLURRED * (1 + 0.1 * red), PHOTOGRAPH, cfa) > 6
    assert grid(BLURRED, PHOTOGRAPH, cfa) < 0.5


def test_the_phase_of_a_grid_and_where_the_crop_begins_do_not_matter():
    pattern = tile(6, 300, 300)
    values = [
        grid(BLURRED * (1 + 0.03 * pattern[dy : dy + 288, dx : dx + 288]), PHOTOGRAPH)
        for dy, dx in [(0, 0), (1, 4), (3, 3), (5, 2)]
    ]
    assert np.ptp(values) < 0.5
    image = gridded(BLURRED, 0.03)
    assert grid(image[1:, 5:], PHOTOGRAPH[1:, 5:]) == pytest.approx(grid(image, PHOTOGRAPH), abs=0.5)


def test_a_grid_in_calm_areas_is_found_next_to_large_errors_at_edges():
    """Errors a hundred times as large in a third of the picture: energies would hide it, logarithms do not."""
    truth = np.full((192, 192, 3), 0.3)
    image = gridded(truth, 0.003)
    image[:64] += np.random.default_rng(0).normal(0, 0.1, (64, 192, 3))
    assert grid(image, truth) > 0.5 * grid(gridded(truth, 0.003), truth) > 6


@pytest.mark.parametrize("size", [0.01, 0.1])
def test_a_tile_of_eight_is_no_grid_of_six(size):
    assert grid(gridded(BLURRED, size, side=8), PHOTOGRAPH) < 0.5
    assert grid(gridded(PHOTOGRAPH, size, side=8)) < 0.5


@CFAS
@pytest.mark.parametrize("quality", [25, 60, 90])
def test_blocks_of_jpeg_are_no_grid(cfa, quality):
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(linear_to_srgb(PHOTOGRAPH.clip(0, 1)) * 255))).save(file, "JPEG", quality=quality)
    image = srgb_to_linear(np.asarray(Image.open(file)) / 255)
    # Three frequencies for Bayer: a wider spread.
    assert grid(image, PHOTOGRAPH, cfa) < (0.5 if cfa == XTRANS else 1.5)


@CFAS
@pytest.mark.parametrize(
    "name",
    ["checkerboard", "stripes of 2 px", "stripes of 3 px", "weave of 6 px", "hair", "zone plate", "noise"],
)
def test_fine_textures_reproduced_or_blurred_are_no_grid(cfa, name):
    truth = texture(name)
    assert grid(truth, truth, cfa) == 0
    for sigma in (0.3, 0.6, 1.0):
        assert grid(gaussian_filter(truth, (sigma, sigma, 0)), truth, cfa) < 1
    assert grid(1.1 * truth, truth, cfa) < 1
    assert grid(gridded(truth, 0.1, side=cfa.period[0]), truth, cfa) > 2


def test_a_grid_is_found_in_a_photograph_without_truth_where_it_is_smooth():
    assert abs(grid(PHOTOGRAPH)) < 1
    values = [grid(gridded(PHOTOGRAPH, size)) for size in (0, 0.003, 0.01, 0.03, 0.1)]
    assert values == sorted(values)
    assert values[2] > 4
    # The quarter that is searched is the calm one, and a grid does not make a block less calm.
    busy = np.random.default_rng(0).normal(0.3, 0.1, (288, 96, 3))
    picture = np.concatenate([busy, gridded(np.full((288, 192, 3), 0.3), 0.01)], axis=1)
    assert grid(picture) > 20


def test_what_a_cfa_cannot_make_is_not_called_its_grid():
    """Stripes of 6 px are those of a network that counts in sixes: X-Trans looks the same after (3, 3)."""
    truth = np.full((144, 144, 3), 0.3)
    image = truth * (1 + 0.01 * np.cos(2 * np.pi * np.arange(144) / 6))[:, None, None]
    assert grid(image, truth) == pytest.approx(0, abs=1e-6)
    assert metrics.lattice_db(image, truth=truth, period=(6, 6), border=0)[1, 0] > 10


def test_pixels_in_the_border_do_not_count_and_what_is_not_a_number_does():
    image, truth = gridded(BLURRED, 0.01), PHOTOGRAPH.copy()
    inner = metrics.grid_db(image, truth=truth, cfa=XTRANS, border=8)
    image[:8], truth[:, -8:] = 7, -3
    assert metrics.grid_db(image, truth=truth, cfa=XTRANS, border=8) == inner
    assert metrics.grid_db(image, truth=truth, cfa=XTRANS, border=6) != inner
    image[90, 90] = np.nan
    assert math.isnan(metrics.grid_db(image, truth=truth, cfa=XTRANS, border=8))


def test_a_picture_smaller_than_a_block_has_no_number_and_unequal_ones_are_refused():
    small = PHOTOGRAPH[:63, :80]
    assert math.isnan(metrics.grid_db(small, truth=small, cfa=XTRANS, border=8))
    assert math.isnan(metrics.grid_db(small, cfa=XTRANS, border=8))
    assert metrics.grid_db(PHOTOGRAPH[:64, :64], truth=PHOTOGRAPH[:64, :64], cfa=XTRANS, border=8) == 0
    with pytest.raises(ValueError, match="alike in shape"):
        grid(PHOTOGRAPH, small)
    for period in ((5, 5), (16, 16)):
        with pytest.raises(ValueError, match="does not hold whole periods"):
            metrics.lattice_db(PHOTOGRAPH, period=period, border=0)


def test_the_picture_shows_the_tile_and_lights_up_in_the_boxes_of_the_cfa():
    truth = np.full((120, 120, 3), 0.3)
    plain = grid_row(truth, truth, XTRANS, 0)
    assert plain.shape == (GRID_SIDE_PX, 2 * GRID_SIDE_PX, 3)
    assert np.ptp(plain[:, :GRID_SIDE_PX]) == 0
    raised = truth.copy()
    raised[2::6, 1::6, 0] *= 1.02  # red, twice the range, less its own share of the mean
    row = grid_row(raised, truth, XTRANS, 0)
    zoom = GRID_SIDE_PX // 12
    centres = row[zoom // 2 : GRID_SIDE_PX : zoom, zoom // 2 : GRID_SIDE_PX : zoom]
    assert {(int(y), int(x)) for y, x in np.argwhere(centres[..., 0] == 255)} == {(2, 1), (2, 7), (8, 1), (8, 7)}
    assert len(np.unique(centres[..., 1:])) == 1
    spectrum, zoom = row[:, GRID_SIDE_PX:], GRID_SIDE_PX // 48
    y, x = ((24 + 8 * k) * zoom for k in (1, -1))
    assert (spectrum[y + zoom // 2, x + zoom // 2] > 160).all()
    assert tuple(spectrum[y - zoom, x]) == CFA_COLOUR
    assert (plain[y + zoom // 2, GRID_SIDE_PX + x + zoom // 2] < 140).all()
    with pytest.raises(ValueError, match="48 x 48 pixels within the border"):
        grid_row(truth, truth, XTRANS, 40)


@CFAS
def test_a_panel_has_a_labelled_row_for_each_picture_with_and_without_truth(cfa):
    pictures = [("with", BLURRED, PHOTOGRAPH), ("without", BLURRED, None)]
    panel = grid_panel(pictures, cfa, 24)
    assert panel.shape == (2 * (GRID_SIDE_PX + 14), 2 * GRID_SIDE_PX, 3)
    assert panel.dtype == np.uint8
    assert len(np.unique(panel[:14])) > 1


def test_the_script_prints_a_table_and_writes_figures_and_a_picture(tmp_path, run_script):
    folder = write_photographs(tmp_path / "truth", (2, 3), side=112)
    files = ("--suite", f"truth={folder}", "--out", tmp_path / "deep/grid.png", "--json", tmp_path / "grid.json")
    status, out, err = run_script("utils/grid.py", "markesteijn3", "bilinear", *files)
    assert status == 0, err
    assert "markesteijn3" in out
    found = json.loads((tmp_path / "grid.json").read_text())
    assert found.keys() == {"command", "commit", "cfa", "suite", "rows", "mean"}
    assert len(found["rows"]) == 2 * (3 + 2)
    rows = [r for r in found["rows"] if r["model"] == "bilinear" and not r["grey"]]
    mean = found["mean"]["bilinear"]
    assert mean["grid_db"] == pytest.approx(np.mean([r["grid_db"] for r in rows]))
    assert mean["grid_db_worst"] == max(r["grid_db"] for r in rows)
    assert abs(found["mean"]["markesteijn3"]["grey 0.18 grid_db"]) < 0.1
    picture = np.asarray(Image.open(tmp_path / "deep/grid.png"))
    assert picture.shape == (4 * (GRID_SIDE_PX + 14), 2 * GRID_SIDE_PX, 3)


@pytest.fixture(scope="module")
def fine_tuned(tiny_data, tmp_path_factory):
    """grid dB of xtrans-s on a photograph after a short fine-tuning with these faults (AugmentConfig.untracked)."""
    folder = tmp_path_factory.mktemp("fine-tuned")

    def grid_after(*faults: str) -> float:
        name = "-".join(("after", *faults))
        config = replace(
            LAB_TUNED,
            name=name,
            checkpoint_folder=name,
            images=16 * 24,
            start_from="xtrans-s",
            model=load_weights("xtrans-s").model,
            data=replace(LAB_TUNED.data, folder=str(tiny_data), patch_px=36, validation_px=80, validation_count=1),
            optim=OptimConfig(lr=3e-4, warmup_images=64, ema_halflife_images=32),
            validate_every_images=16 * 24,
            precision="fp32",
            workers=0,
        )
        config = replace(config, data=replace(config.data, augment=replace(config.data.augment, untracked=faults)))
        train(config, folder)
        demosaic = Demosaicer(load_weights(folder / f"checkpoints/{name}/best.pt").network, precision="fp32")
        return grid(demosaic(XTRANS.mosaic(PHOTOGRAPH), XTRANS), PHOTOGRAPH)

    return grid_after


def test_turning_mosaics_without_their_phase_draws_the_grid_and_tracking_it_does_not(fine_tuned):
    """The cause of v4_ft's grid (v6.5 in docs/EXPERIMENTS.md), switched on and off by its name; 6 dB are a grid."""
    assert fine_tuned() < 4
    assert fine_tuned("flip") > 6

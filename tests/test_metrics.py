import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio

from lincfa import metrics
from lincfa.color import srgb_to_linear

PAIR_METRICS = {
    "psnr": lambda a, b, border: metrics.psnr(a, b, peak=1.0, border=border),
    "psnr_per_channel": lambda a, b, border: metrics.psnr_per_channel(a, b, peak=1.0, border=border),
    "psnr_srgb": metrics.psnr_srgb,
    "ssim": lambda a, b, border: metrics.ssim(a, b, peak=1.0, border=border),
    "texture_score": metrics.texture_score,
    "highlights_kept": metrics.highlights_kept,
    "laplacian_ratio": metrics.laplacian_ratio,
    "phase_ripple of the error": lambda a, b, border: metrics.phase_ripple(a, truth=b, period=(6, 6), border=border),
    "false_colour": metrics.false_colour,
}
SINGLE_METRICS = {
    "laplacian_variance": metrics.laplacian_variance,
    "phase_ripple": lambda a, border: metrics.phase_ripple(a, period=(6, 6), border=border),
}
AT_EQUALITY = {"psnr": math.inf, "psnr_per_channel": [math.inf] * 3, "psnr_srgb": math.inf, "ssim": 1.0}
AT_EQUALITY |= {"texture_score": 1.0, "highlights_kept": 1.0, "laplacian_ratio": 1.0, "false_colour": 0.0}
AT_EQUALITY["phase_ripple of the error"] = 0.0

on_pairs = pytest.mark.parametrize("metric", PAIR_METRICS.values(), ids=PAIR_METRICS)
on_single = pytest.mark.parametrize("metric", SINGLE_METRICS.values(), ids=SINGLE_METRICS)


def scene(seed: int, height: int = 48, width: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3)) * 1.4 - 0.1


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


def checkerboard(height: int = 48, width: int = 40) -> np.ndarray:
    """[H, W] of +1 and -1: the finest texture there is."""
    return 1.0 - 2.0 * (np.indices((height, width)).sum(0) % 2)


@pytest.mark.parametrize("name", PAIR_METRICS)
def test_at_equality_each_metric_has_its_best_value(name):
    np.testing.assert_allclose(PAIR_METRICS[name](scene(0), scene(0).copy(), border=2), AT_EQUALITY[name], atol=1e-12)


@on_pairs
def test_pixels_in_the_border_do_not_count_and_the_next_ones_do(metric):
    image, truth = scene(0), scene(1)
    inner = metric(image[4:-4, 4:-4], truth[4:-4, 4:-4], border=0)
    for i in (0, 3, -4, -1):
        image[i], image[:, i], truth[i], truth[:, i] = 7.0, 6.0, 5.0, 4.0
    np.testing.assert_array_equal(metric(image, truth, border=4), inner)
    assert not np.array_equal(metric(image, truth, border=3), inner)


@on_single
def test_pixels_in_the_border_of_a_single_image_do_not_count_and_the_next_ones_do(metric):
    image = scene(0)
    inner = metric(image[4:-4, 4:-4], border=0)
    for i in (0, 3, -4, -1):
        image[i], image[:, i] = 7.0, 6.0
    assert metric(image, border=4) == inner
    assert metric(image, border=3) != inner


@on_pairs
def test_a_value_does_not_depend_on_the_images_before_it_nor_change_the_arrays(metric):
    images, truths = [scene(i) for i in range(3)], [scene(i + 10) for i in range(3)]
    forward = [metric(a, b, border=1) for a, b in zip(images, truths, strict=True)]
    backward = [metric(a, b, border=1) for a, b in zip(images[::-1], truths[::-1], strict=True)]
    np.testing.assert_array_equal(forward, backward[::-1])
    np.testing.assert_array_equal(images + truths, [scene(i) for i in (0, 1, 2, 10, 11, 12)])


@on_pairs
def test_float32_images_are_measured_in_float64(metric):
    image, truth = scene(0).astype(np.float32), scene(1).astype(np.float32)
    expected = metric(image.astype(np.float64), truth.astype(np.float64), border=0)
    np.testing.assert_array_equal(metric(image, truth, border=0), expected)


@on_pairs
def test_a_nan_in_the_image_is_not_measured_away(metric):
    image = scene(0)
    image[20, 20] = np.nan
    assert np.isnan(metric(image, scene(1), border=0)).all()


@on_pairs
def test_images_that_cannot_be_compared_are_refused(metric):
    for image, truth, border in [
        (scene(0), scene(0)[:-1], 0),
        (scene(0), scene(0)[:, :, :1], 0),
        (scene(0)[..., 0], scene(0)[..., 0], 0),
        (scene(0).transpose(2, 0, 1), scene(0).transpose(2, 0, 1), 0),
        (scene(0), scene(0), 20),
        (scene(0), scene(0), -1),
    ]:
        with pytest.raises(ValueError, match=r"alike in shape|leaves nothing"):
            metric(image, truth, border=border)


def test_psnr_has_the_values_worked_by_hand():
    truth = np.full((8, 8, 3), 0.5)
    assert metrics.psnr(truth + 0.1, truth, peak=1.0, border=0) == pytest.approx(20)
    assert metrics.psnr(truth + 0.1, truth, peak=10.0, border=0) == pytest.approx(40)
    by_channel = truth + np.array([0.1, 0.01, 0.0])
    np.testing.assert_allclose(metrics.psnr_per_channel(by_channel, truth, peak=1.0, border=0), [20, 40, np.inf])
    # The MSE over all channels is (0.01 + 0.0001 + 0) / 3: the dB are not a mean of dB.
    overall = -10 * math.log10(0.0101 / 3)
    assert metrics.psnr(by_channel, truth, peak=1.0, border=0) == pytest.approx(overall)


def test_psnr_agrees_with_scikit_image():
    image, truth = scene(0), scene(1)
    expected = peak_signal_noise_ratio(truth[3:-3, 3:-3], image[3:-3, 3:-3], data_range=1.4)
    assert metrics.psnr(image, truth, peak=1.4, border=3) == pytest.approx(expected, abs=1e-9)


def test_psnr_srgb_measures_coded_values_after_clipping():
    six, five = (np.full((6, 6, 3), float(srgb_to_linear(np.array(v)))) for v in (0.6, 0.5))
    assert metrics.psnr_srgb(six, five, border=0) == pytest.approx(20)
    assert metrics.psnr_srgb(np.full((6, 6, 3), 3.0), np.ones((6, 6, 3)), border=0) == math.inf
    assert metrics.psnr_srgb(np.full((6, 6, 3), -0.2), np.zeros((6, 6, 3)), border=0) == math.inf


def test_ssim_of_one_window_is_the_formula_of_wang_2004():
    image, truth = scene(0, 11, 11), scene(1, 11, 11)
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(weights, weights)[..., None] / weights.sum() ** 2
    peak, mean = 1.4, lambda x: (weights * x).sum((0, 1))
    mx, my = mean(image), mean(truth)
    vx, vy, cov = mean(image**2) - mx**2, mean(truth**2) - my**2, mean(image * truth) - mx * my
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    expected = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert metrics.ssim(image, truth, peak=peak, border=0) == pytest.approx(expected, abs=1e-10)


def test_texture_is_lost_by_smoothing_and_gained_by_sharpening():
    truth = 0.5 + 0.2 * grey(checkerboard())
    assert metrics.texture_score(np.full_like(truth, 0.5), truth, border=0) == pytest.approx(0, abs=1e-20)
    # Energy is the square of the contrast, and the level does not count.
    assert metrics.texture_score(0.3 + 0.1 * grey(checkerboard()), truth, border=0) == pytest.approx(0.25)
    assert metrics.texture_score(0.5 + 0.4 * grey(checkerboard()), truth, border=0) == pytest.approx(4)


def test_the_texture_filter_passes_fine_patterns_and_stops_coarse_ones():
    def energy(period: float) -> float:
        wave = grey(np.tile(np.sin(2 * np.pi * np.arange(96) / period), (96, 1)))
        return metrics.texture_score(wave, grey(checkerboard(96, 96)), border=0) * 2  # a sine has half the energy

    # 1 - exp(-w^2 / 2), squared, at w = 2 pi / period; the window ends at 3 sigma, hence the tolerance.
    for period in (3, 4, 6, 12):
        assert energy(period) == pytest.approx((1 - math.exp(-((2 * math.pi / period) ** 2) / 2)) ** 2, abs=0.02)


@pytest.mark.parametrize("level", [0.0, 0.3, 1000.1])
def test_texture_of_a_flat_truth_is_not_a_number(level):
    assert math.isnan(metrics.texture_score(scene(0), np.full((48, 40, 3), level), border=0))


def test_laplacian_variance_has_the_values_worked_by_hand():
    # Each inner pixel of a +1, -1 checkerboard gives -8 or +8; ramps and constants give nothing.
    assert metrics.laplacian_variance(grey(checkerboard()), border=0) == pytest.approx(64)
    ramp = np.arange(48)[:, None] * 0.25 + np.arange(40) * 0.5
    assert metrics.laplacian_variance(grey(ramp), border=0) == 0
    # Green is half of luma: its checkerboard alone has a quarter of the variance.
    assert metrics.laplacian_variance(grey(checkerboard()) * [0, 1, 0], border=0) == pytest.approx(16)


def test_the_laplacian_ratio_is_of_energies_and_free_of_exposure():
    truth = 0.5 + 0.2 * grey(checkerboard())
    softer = 0.5 + 0.1 * grey(checkerboard())
    assert metrics.laplacian_ratio(softer, truth, border=0) == pytest.approx(0.25)
    assert metrics.laplacian_ratio(4 * softer, 4 * truth, border=0) == pytest.approx(0.25)
    assert math.isnan(metrics.laplacian_ratio(truth, np.full_like(truth, 0.5), border=0))


def test_highlights_kept_is_the_share_of_light_above_one():
    truth = np.zeros((8, 8, 3))
    truth[2, 2], truth[3, 3, 0] = 1.5, 3.0  # 3 * 0.5 + 2 above 1
    image = truth.copy()
    image[3, 3, 0] = 1.7
    assert metrics.highlights_kept(image, truth, border=0) == pytest.approx(2.2 / 3.5)
    assert metrics.highlights_kept(np.minimum(truth, 1), truth, border=0) == 0
    assert math.isnan(metrics.highlights_kept(truth, np.minimum(truth, 1), border=0))
    assert math.isnan(metrics.highlights_kept(truth, np.minimum(truth, 1 + 1e-5), border=0))


def test_false_colour_sees_fine_chroma_and_neither_luma_nor_a_cast():
    truth, fine = scene(1), checkerboard()
    assert metrics.false_colour(truth + 0.3 * grey(fine), truth, border=0) == pytest.approx(0, abs=1e-12)
    assert metrics.false_colour(truth + np.array([0.2, 0.0, -0.1]), truth, border=0) == pytest.approx(0, abs=1e-12)
    # Red alone disturbs one of two planes, green alone both. The window ends at 3 sigma: 1 % of tolerance.
    assert metrics.false_colour(truth + grey(fine) * [0.1, 0, 0], truth, border=0) == pytest.approx(
        0.1 / 2**0.5, rel=0.01
    )
    assert metrics.false_colour(truth + grey(fine) * [0, 0.1, 0], truth, border=0) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("period", [6, 12, 16, 24])
def test_false_colour_passes_moire_of_the_stated_periods(period):
    # The whole of a wave in red and blue, less what the blur keeps of it: 1 - exp(-(4 w)^2 / 2) at w = 2 pi / period.
    truth, phase = np.zeros((40, 24 + 48, 3)), 2 * math.pi * np.arange(24 + 48) / period
    image = truth + 0.1 * np.cos(phase)[:, None] * np.array([1, 0, 1])
    expected = 0.1 / math.sqrt(2) * (1 - math.exp(-((4 * 2 * math.pi / period) ** 2) / 2))
    # The window ends at 3 sigma and keeps a little less of coarse waves.
    assert metrics.false_colour(image, truth, border=0) == pytest.approx(expected, abs=0.002)


def test_false_colour_does_not_mistake_a_gentle_slope_for_colour_at_the_edges():
    # A symmetric window leaves a ramp alone; an edge with invented samples would not.
    ramp = np.zeros((48, 40, 3))
    ramp[..., 0] = np.arange(48)[:, None] * 0.1 + np.arange(40) * 0.2
    assert metrics.false_colour(ramp, np.zeros_like(ramp), border=0) == pytest.approx(0, abs=1e-12)


def test_ripple_is_zero_on_flat_frames_and_not_a_number_on_black_ones():
    assert metrics.phase_ripple(np.full((36, 40, 3), [0.2, 0.5, 0.3]), period=(6, 6), border=2) < 1e-15
    assert math.isnan(metrics.phase_ripple(np.zeros((36, 40, 3)), period=(6, 6), border=0))


@pytest.mark.parametrize("border", [0, 1, 5])
def test_ripple_of_one_raised_photosite_per_tile_has_the_size_worked_by_hand(border):
    frame = np.full((50, 47, 3), 0.5)
    frame[1::6, 2::6, 2] += 0.036
    # One of 36 phases is d above the rest: the RMS about the mean is d sqrt(35) / 36, the mean is 0.5 + d / 36.
    expected = 0.036 * math.sqrt(35) / 36 / (0.5 + 0.001)
    assert metrics.phase_ripple(frame, period=(6, 6), border=border) == pytest.approx(expected)
    assert metrics.phase_ripple(4 * frame, period=(6, 6), border=border) == pytest.approx(expected)


def test_ripple_of_an_error_is_relative_to_the_truth_and_blind_to_its_picture():
    truth = scene(0, 48, 42) + 1
    raised = truth.copy()
    raised[1::6, 2::6, 2] += 0.036
    expected = 0.036 * math.sqrt(35) / 36 / truth[..., 2].mean()
    assert metrics.phase_ripple(raised, truth=truth, period=(6, 6), border=0) == pytest.approx(expected)


def test_the_mean_tile_is_the_frame_folded_into_a_period():
    tile = np.random.default_rng(0).normal(1, 0.01, (6, 6, 3))
    found = metrics.mean_tile(np.tile(tile, (5, 7, 1))[2:, 3:], period=(6, 6), border=0)
    level = tile.mean((0, 1))
    np.testing.assert_allclose(found, np.roll(tile - level, (-2, -3), (0, 1)) / level, atol=1e-12)
    assert np.isnan(metrics.mean_tile(np.zeros((12, 12, 3)), period=(6, 6), border=0)).all()


def test_ripple_averages_over_all_tiles():
    frame = np.full((24, 24, 3), 0.5)
    frame[:6:2] += 0.04  # in one of the four rows of tiles only: a quarter of the size, +-0.02 / 4 about 0.505
    assert metrics.phase_ripple(frame, period=(6, 6), border=0) == pytest.approx(0.005 / 0.505)


def test_ripple_takes_the_worst_channel_and_periods_that_are_not_square():
    frame = np.full((12, 12, 3), 1.0)
    frame[..., 0] += 0.01 * np.where(np.arange(12) % 2, 1, -1)
    frame[..., 1] += 0.05 * np.where(np.arange(12) % 2, 1, -1)
    assert metrics.phase_ripple(frame, period=(1, 2), border=0) == pytest.approx(0.05)
    assert metrics.phase_ripple(frame, period=(2, 1), border=0) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(
    "measure",
    [
        lambda a: metrics.texture_score(a, a, border=0),
        lambda a: metrics.false_colour(a, a, border=0),
        lambda a: metrics.ssim(a, a, peak=1.0, border=0),
        lambda a: metrics.laplacian_variance(a, border=0),
        lambda a: metrics.phase_ripple(a, period=(6, 6), border=0),
    ],
)
def test_images_smaller_than_the_window_are_refused(measure):
    with pytest.raises(ValueError, match=r"too few|less than one period|exceeds image extent"):
        measure(np.ones((2, 30, 3)))

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate
from skimage.metrics import structural_similarity

from lincfa.losses import LOSSES, MS_SSIM_BETAS, V4_WEIGHTS, WeightedLoss

on_all = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


def pair(size: int = 96, dtype: torch.dtype = torch.float64, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Two unlike batches with values from -0.1 to 3."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(batch, 3, size, size, generator=generator, dtype=dtype) * 3.1 - 0.1 for _ in range(2))


@on_all
def test_a_loss_is_zero_at_equality_and_positive_elsewhere(loss):
    prediction, truth = pair()
    assert loss(truth, truth).item() == pytest.approx(0, abs=1e-9)
    assert loss(prediction, truth).item() > 1e-3
    assert loss(prediction, truth).ndim == 0


@on_all
def test_a_loss_has_a_finite_gradient_at_equality_at_black_and_far_outside_the_range(loss):
    scene = pair(dtype=torch.float32)[1]
    for prediction, truth in [
        (scene, scene),
        (torch.zeros_like(scene), torch.zeros_like(scene)),
        (torch.zeros_like(scene), scene),
        (scene, torch.zeros_like(scene)),
        (-scene, scene),
        (1 - scene, scene),
        (100 * scene - 50, scene),
    ]:
        prediction = prediction.clone().requires_grad_()
        value = loss(prediction, truth)
        value.backward()
        assert torch.isfinite(value)
        assert torch.isfinite(prediction.grad).all()


@pytest.mark.parametrize(
    "name",
    [
        "l1",
        "charbonnier",
        "sobel_gradient",
        "highpass_chroma",
        "perceptual_l1",
        "log_mse",
        "perceptual_log_mse",
        "srgb_l1",
        "srgb_log_mse",
        "ssim",
    ],
)
def test_gradients_are_those_of_the_function(name):
    prediction, truth = pair(size=7, batch=1)
    assert torch.autograd.gradcheck(lambda p: LOSSES[name](p, truth), prediction.requires_grad_())


def test_gradients_of_ms_ssim_are_those_of_the_function():
    prediction, truth = pair(size=44, batch=1)
    prediction = (truth + 0.1 * prediction).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: LOSSES["ms_ssim"](p, truth), prediction, fast_mode=True)


@on_all
def test_every_channel_of_every_pixel_counts_up_to_the_corners(loss):
    truth = pair(batch=1)[1] / 4  # in -0.03..0.8: srgb_l1 is blind to what is above 1
    for channel, y, x in [(0, 0, 0), (1, 0, -1), (2, -1, 0), (1, -1, -1), (0, 40, 51), (2, 0, 7)]:
        wrong = truth.clone()
        wrong[0, channel, y, x] += 1
        assert loss(wrong, truth) > 1e-7


@on_all
def test_a_loss_does_not_grow_with_the_batch(loss):
    prediction, truth = pair()
    singles = [loss(prediction[i : i + 1], truth[i : i + 1]).item() for i in range(2)]
    assert loss(prediction, truth).item() == pytest.approx(sum(singles) / 2)


@on_all
def test_different_shapes_are_refused_where_broadcasting_would_hide_them(loss):
    prediction, truth = pair()
    with pytest.raises(ValueError, match="shape"):
        loss(prediction, truth[:, :1])


def test_l1_and_charbonnier_have_the_values_worked_by_hand():
    truth = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    assert LOSSES["l1"](truth - 0.25, truth).item() == pytest.approx(0.25)
    # sqrt(0.3^2 + 0.4^2) - 0.4
    assert LOSSES["charbonnier"](truth - 0.3, truth, eps=0.4).item() == pytest.approx(0.1)
    assert LOSSES["charbonnier"](truth + 100, truth).item() == pytest.approx(100, abs=1.1e-3)


def test_charbonnier_of_tiny_float32_errors_is_not_lost_to_rounding():
    truth = torch.zeros(1, 3, 4, 4)
    # d^2 / (2 eps) for d << eps; sqrt(d^2 + eps^2) - eps in float32 would be 0.
    assert LOSSES["charbonnier"](truth + 1e-8, truth).item() == pytest.approx(1e-16 / 2e-3, rel=1e-4)


def test_sobel_gradient_of_a_ramp_is_its_slope():
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    # One of two directions responds.
    assert LOSSES["sobel_gradient"](0.25 * ramp, torch.zeros_like(ramp)).item() == pytest.approx(0.125)


def test_sobel_gradient_agrees_with_an_independent_convolution():
    prediction, truth = pair(size=12, batch=1)
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    difference = (prediction - truth)[0].numpy()
    responses = [correlate(plane, k)[1:-1, 1:-1] for plane in difference for k in (kernel, kernel.T)]
    assert LOSSES["sobel_gradient"](prediction, truth).item() == pytest.approx(np.abs(responses).mean())


def test_highpass_chroma_agrees_with_an_independent_convolution():
    prediction, truth = pair(size=12, batch=1)
    kernel = -np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
    kernel[2, 2] += 1
    red, green, blue = (prediction - truth)[0].numpy()
    responses = [correlate(plane, kernel)[2:-2, 2:-2] for plane in (red - green, blue - green)]
    assert LOSSES["highpass_chroma"](prediction, truth).item() == pytest.approx(np.abs(responses).mean())


def test_constants_are_invisible_to_the_gradient_and_chroma_losses_only():
    truth = pair(size=48)[1]
    cast = truth + torch.tensor([0.2, -0.1, 0.05], dtype=torch.float64).view(3, 1, 1)
    blind = {name for name, loss in LOSSES.items() if loss(cast, truth).item() < 1e-12}
    assert blind == {"sobel_gradient", "highpass_chroma"}


def test_errors_that_all_channels_share_are_invisible_to_the_chroma_loss_only():
    prediction, truth = pair(size=48)
    shared = truth + prediction[:, :1]
    blind = {name for name, loss in LOSSES.items() if loss(shared, truth).item() < 1e-12}
    assert blind == {"highpass_chroma"}


def test_the_perceptual_coding_is_odd_one_at_one_and_rises_above():
    zero = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    coded = [LOSSES["perceptual_l1"](zero + x, zero).item() for x in (-1.0, 1.0, 4.0)]
    assert coded == pytest.approx([1, 1, math.asinh(256) / math.asinh(64)])
    # On both sides of black the distance is the sum: a coding by |x| would see none.
    assert LOSSES["perceptual_l1"](zero - 0.01, zero + 0.01).item() == pytest.approx(
        2 * math.asinh(0.64) / math.asinh(64)
    )


def test_the_perceptual_loss_weighs_shadows_more_than_lights():
    zero = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    dark, light = (LOSSES["perceptual_l1"](zero + x + 0.01, zero + x).item() for x in (0.0, 1.0))
    assert 50 < dark / light < 70


def test_the_logarithm_of_the_mse_falls_as_the_psnr_rises_image_by_image():
    zero = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
    coarse, fine = zero + 0.1, zero + 0.01
    values = [LOSSES["log_mse"](image, zero).item() for image in (coarse, fine)]
    assert values == pytest.approx([math.log(1 + 1e-2 / 1e-5), math.log(1 + 1e-4 / 1e-5)])
    both = LOSSES["log_mse"](torch.cat([coarse, fine]), torch.cat([zero, zero])).item()
    assert both == pytest.approx(sum(values) / 2)
    assert LOSSES["perceptual_log_mse"](zero + 1, zero).item() == pytest.approx(math.log(1 + 1e5))


def test_the_srgb_loss_has_the_values_of_the_standard_and_is_blind_to_highlights_and_below_black():
    zero = torch.zeros(1, 3, 2, 2, dtype=torch.float64)
    coded = [LOSSES["srgb_l1"](zero + x, zero).item() for x in (0.001, 0.5, 1.0, 4.0, -0.3)]
    assert coded == pytest.approx([0.01292, 1.055 * 0.5 ** (1 / 2.4) - 0.055, 1, 1, 0])
    assert LOSSES["srgb_l1"](zero + 3, zero + 1).item() == 0


def test_the_srgb_coded_logarithm_is_that_of_the_mse_after_the_curve():
    prediction, truth = pair()
    inside = [srgb_curve(np.clip(image.numpy(), 0, 1)) for image in (prediction, truth)]
    errors = np.square(inside[0] - inside[1]).mean((1, 2, 3))
    assert LOSSES["srgb_log_mse"](prediction, truth).item() == pytest.approx(np.log1p(errors / 1e-5).mean())
    assert LOSSES["srgb_log_mse"](truth.clamp_min(1) + 2, truth.clamp_min(1)).item() == 0


def srgb_curve(x):
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 0.0031308) ** (1 / 2.4) - 0.055)


def test_the_slope_of_the_srgb_loss_is_that_of_the_curve_up_to_the_ends_of_the_range():
    prediction = torch.tensor([-0.1, 0.0, 0.002, 1.0, 1.1], dtype=torch.float64, requires_grad=True)
    LOSSES["srgb_l1"](prediction, torch.full_like(prediction, 0.5)).backward()
    assert (5 * prediction.grad).tolist() == pytest.approx([0, -12.92, -12.92, 1.055 / 2.4, 0])


def test_ssim_agrees_with_scikit_image():
    # Reflected at its first and last pixel this wave of 4 px goes on as if it had no end, so that padding changes
    # nothing, and the SSIM of each pixel is that of an inner pixel of equal phase.
    wave = torch.cos(torch.arange(45, dtype=torch.float64) * torch.pi / 2)
    truth = (0.5 + 0.3 * wave[:, None] * wave + 0.2 * wave).expand(1, 3, 45, 45)
    prediction = 0.6 * truth + 0.7
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0, "full": True}
    _, similarity = structural_similarity(prediction[0, 0].numpy(), truth[0, 0].numpy(), **settings)
    inner = 8 + np.arange(45) % 4
    expected = similarity[np.ix_(inner, inner)].mean()
    assert LOSSES["ssim"](prediction, truth).item() == pytest.approx(1 - expected, abs=1e-9)


def test_the_ms_ssim_weights_sum_to_one():
    assert sum(MS_SSIM_BETAS) == pytest.approx(1)


def test_ms_ssim_works_from_44_px_and_refuses_less():
    for size in (44, 96):
        prediction, truth = pair(size=size)
        assert 0.1 < LOSSES["ms_ssim"](prediction, truth).item() < 1
    with pytest.raises(ValueError, match="larger"):
        LOSSES["ms_ssim"](*pair(size=43))


def test_ms_ssim_still_teaches_a_prediction_that_is_anti_correlated():
    truth = pair(batch=1)[1]
    prediction = (1 - truth).requires_grad_()
    loss = LOSSES["ms_ssim"](prediction, truth)
    loss.backward()
    stepped = prediction.detach() - 10 * prediction.grad / prediction.grad.norm()
    assert LOSSES["ms_ssim"](stepped, truth) < loss - 1e-3


def test_the_total_is_the_weighted_sum_of_the_parts_without_normalisation():
    prediction, truth = pair()
    weights = {name: 0.5 + i for i, name in enumerate(LOSSES)}
    total, parts = WeightedLoss(weights)(prediction, truth)
    assert parts.keys() == weights.keys()
    for name, part in parts.items():
        assert part == LOSSES[name](prediction, truth)
    assert total.item() == pytest.approx(sum(weights[name] * parts[name].item() for name in weights), rel=1e-12)


def test_the_total_is_trained_and_the_parts_are_detached():
    prediction, truth = pair()
    total, parts = WeightedLoss({"l1": 2.0})(prediction.requires_grad_(), truth)
    total.backward()
    # The gradient of a mean absolute error is the sign over the count.
    torch.testing.assert_close(prediction.grad, 2 * torch.sign(prediction - truth).detach() / truth.numel())
    assert not parts["l1"].requires_grad


def test_the_default_weights_are_those_of_v4():
    assert V4_WEIGHTS == {"l1": 1.0, "sobel_gradient": 0.1, "highpass_chroma": 0.05}
    assert WeightedLoss().weights == V4_WEIGHTS


@pytest.mark.parametrize("weights", [{"l1": 1.0, "l2": 1.0}, {}])
def test_unknown_losses_are_refused_with_the_known_ones(weights):
    with pytest.raises(ValueError, match=r"charbonnier.*highpass_chroma.*sobel_gradient"):
        WeightedLoss(weights)


def test_autocast_and_a_bfloat16_prediction_do_not_coarsen_the_losses():
    prediction, truth = pair(dtype=torch.float32)
    prediction = prediction.bfloat16()
    expected, _ = WeightedLoss(dict.fromkeys(LOSSES, 1.0))(prediction.float(), truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = WeightedLoss(dict.fromkeys(LOSSES, 1.0))(prediction, truth)
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0)

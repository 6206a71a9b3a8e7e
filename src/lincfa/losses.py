"""Training losses: functions of (prediction, truth) -> scalar, and one weighted sum that reports its parts.

Both arguments are [B, 3, H, W] linear camera RGB of equal shape and any range; only srgb_l1 and srgb_log_mse clip. Each
loss is a mean, so it does not grow with batch or patch, and is 0 at equality. No loss pads, except the two SSIMs, which
reflect.
Filters act on prediction - truth, which is the same as the difference of the filtered images and costs half.
A prediction in bfloat16 is compared in the dtype of the truth, under autocast too.

All raise ValueError when the shapes differ: a broadcast would hide a bug.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from lincfa.color import linear_to_srgb

# k / asinh(k) = 13.2 is the slope at black: sRGB's is 12.9.
PERCEPTUAL_K = 64.0
MSE_FLOOR = 1e-5

# The first three of the five weights of Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216, scaled to sum to 1.
MS_SSIM_BETAS = tuple(beta / (0.0448 + 0.2856 + 0.3001) for beta in (0.0448, 0.2856, 0.3001))


def l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute error."""
    return _difference(prediction, truth).abs().mean()


def charbonnier(prediction: Tensor, truth: Tensor, eps: float = 1e-3) -> Tensor:
    """The mean of sqrt(d^2 + eps^2) - eps: L1 with a rounded tip, so smooth at d = 0.

    eps: where it turns from square to absolute, in units of the image.
    Source: Charbonnier et al. 1994, doi:10.1109/ICIP.1994.413553; less eps, so that equality costs nothing.
    """
    square = _difference(prediction, truth).square()
    # The same number as sqrt(d^2 + eps^2) - eps, without the cancellation that float32 suffers for d << eps.
    return (square / ((square + eps**2).sqrt() + eps)).mean()


def sobel_gradient(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of the horizontal and the vertical Sobel response, per channel; scaled so that a ramp of 1 per px gives 1.

    Blind to a constant. H, W >= 3.
    """
    difference = _difference(prediction, truth)
    across = _smooth(_central_slope(difference, -1), -2)
    down = _smooth(_central_slope(difference, -2), -1)
    return (across.abs().mean() + down.abs().mean()) / 2


def highpass_chroma(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of the high-pass of chroma R - G and B - G: false colour, zippers and CFA-period speckle.

    Filter: `highpass`. Blind to a constant cast and to errors that all channels share. H, W >= 5.
    """
    difference = _difference(prediction, truth)
    chroma = difference[:, ::2] - difference[:, 1:2]
    return highpass(chroma).abs().mean()


def perceptual_l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of values coded by `perceptual`."""
    return (perceptual(_matched(prediction, truth)) - perceptual(truth)).abs().mean()


def log_mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """ln(1 + MSE / floor) of each image, and their mean: what a mean of PSNRs measures, in which every image counts
    alike however large its errors are.

    floor: 1e-5, 50 dB at peak 1. It makes equality cost nothing, and images that are nearly right weigh less.
    Source: the PSNR loss of Chen et al. 2022 (NAFNet, arXiv:2204.04676), with a floor.
    """
    return torch.log1p(_difference(prediction, truth).square().mean((1, 2, 3)) / MSE_FLOOR).mean()


def perceptual_log_mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """`log_mse` of values coded by `perceptual`."""
    return log_mse(perceptual(_matched(prediction, truth)), perceptual(truth))


def srgb_log_mse(prediction: Tensor, truth: Tensor) -> Tensor:
    """`log_mse` of values clipped to [0, 1] and sRGB-coded: what a mean of sRGB-coded PSNRs measures.

    Blind above 1 and below 0, as `srgb_l1` is: another loss has to hold the highlights.
    """
    return log_mse(*(linear_to_srgb(image.clamp(0, 1)) for image in (_matched(prediction, truth), truth)))


def srgb_l1(prediction: Tensor, truth: Tensor) -> Tensor:
    """L1 of values clipped to [0, 1] and sRGB-coded, as training in sRGB space compares them (see models.srgb).

    Blind above 1 and below 0, by design: it loses highlights. The gradient is finite everywhere: at most 12.92, which
    it is from 0 on, and 0 outside the range, so that a prediction there is not pulled back.
    Source: the curve of IEC 61966-2-1:1999; the linear training targets of other losses are never coded.
    """
    prediction, truth = (linear_to_srgb(image.clamp(0, 1)) for image in (_matched(prediction, truth), truth))
    return (prediction - truth).abs().mean()


def ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 - SSIM, in [0, 2]: Gaussian windows of sigma 1.5 px (11 x 11), data range 1, reflected edges. H, W >= 6.

    Values above 1 and below 0 enter as they are: the data range sets only the two constants, which keep every quotient
    finite and within [-1, 1]. Areas that are dark against sqrt(c2) = 0.03 count as equal, and weigh little.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, by torchmetrics.
    """
    return 1 - _similarity(structural_similarity_index_measure, prediction, truth)


def ms_ssim(prediction: Tensor, truth: Tensor) -> Tensor:
    """1 - MS-SSIM over three scales, in [0, 1]: windows and ranges as in `ssim`.

    Three scales and not five, because the published five need 176 px with 11 x 11 windows: a training patch of 96 px
    has room for 96, 48 and 24. Smaller than 44 px is refused with ValueError. Similarities are mapped from [-1, 1] to
    [0, 1] by (s + 1) / 2 before their powers are multiplied (torchmetrics' "simple"): its other way, a ReLU, leaves an
    image without any gradient as soon as one scale is anti-correlated. So the values are not those of the paper.
    Source: Wang et al. 2003, doi:10.1109/ACSSC.2003.1292216, by torchmetrics.
    """
    measure = multiscale_structural_similarity_index_measure
    return 1 - _similarity(measure, prediction, truth, betas=MS_SSIM_BETAS, normalize="simple")


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    f.__name__: f
    for f in (
        l1,
        charbonnier,
        sobel_gradient,
        highpass_chroma,
        perceptual_l1,
        log_mse,
        perceptual_log_mse,
        srgb_l1,
        srgb_log_mse,
        ssim,
        ms_ssim,
    )
}

V4_WEIGHTS: dict[str, float] = {"l1": 1.0, "sobel_gradient": 0.1, "highpass_chroma": 0.05}


class WeightedLoss:
    """The sum of weight * loss over names of LOSSES. The weights are used as they are: they need not sum to 1.

    Calling it gives (total, {name: the loss before its weight, detached}).
    Raises ValueError for an unknown name, or no name at all.
    """

    def __init__(self, weights: Mapping[str, float] = V4_WEIGHTS) -> None:
        if not weights or not weights.keys() <= LOSSES.keys():
            raise ValueError(f"weights are needed for some of {sorted(LOSSES)}, not for {sorted(weights)}")
        self.weights = dict(weights)

    def __call__(self, prediction: Tensor, truth: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        parts = {name: LOSSES[name](prediction, truth) for name in self.weights}
        total = sum(weight * parts[name] for name, weight in self.weights.items())
        return total, {name: part.detach() for name, part in parts.items()}


def perceptual(linear: Tensor) -> Tensor:
    """asinh(k x) / asinh(k), k = 64: a coding of linear values of any shape that is 0 at 0, 1 at 1, and odd.

    Why: the eye sees ratios, so in linear light an error in the shadows costs too little; a logarithm restores it.
    asinh is that logarithm for large |x|, grows on above 1 (to 1.29 at 4) and, unlike a power or a logarithm, is smooth
    with the finite slope 13.2 through 0, so noise below black is coded like noise above it.
    """
    return torch.asinh(PERCEPTUAL_K * linear) / math.asinh(PERCEPTUAL_K)


def highpass(image: Tensor) -> Tensor:
    """[..., H, W] -> [..., H - 4, W - 4]: minus its 5 x 5 binomial blur, [1 4 6 4 1] / 16 both ways. H, W >= 5."""
    blurred = image
    for dim in (-1, -1, -2, -2):  # [1 2 1] / 4 twice is [1 4 6 4 1] / 16
        blurred = _smooth(blurred, dim)
    return image[..., 2:-2, 2:-2] - blurred


def _difference(prediction: Tensor, truth: Tensor) -> Tensor:
    return _matched(prediction, truth) - truth


def _matched(prediction: Tensor, truth: Tensor) -> Tensor:
    """The prediction, of truth's shape, in truth's dtype: one in bfloat16 must not coarsen what is compared."""
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction {tuple(prediction.shape)} and truth {tuple(truth.shape)} differ in shape")
    return prediction.to(truth.dtype)


def _central_slope(image: Tensor, dim: int) -> Tensor:
    """[-1 0 1] / 2 along dim, which gets 2 shorter."""
    n = image.shape[dim] - 2
    return (image.narrow(dim, 2, n) - image.narrow(dim, 0, n)) / 2


def _smooth(image: Tensor, dim: int) -> Tensor:
    """[1 2 1] / 4 along dim, which gets 2 shorter."""
    n = image.shape[dim] - 2
    return (image.narrow(dim, 0, n) + 2 * image.narrow(dim, 1, n) + image.narrow(dim, 2, n)) / 4


def _similarity(measure: Callable[..., Tensor], prediction: Tensor, truth: Tensor, **settings) -> Tensor:
    # Variances are differences of large numbers: the 8 bits of autocast's convolutions would ruin them.
    with torch.autocast(truth.device.type, enabled=False):
        return measure(_matched(prediction, truth), truth, sigma=1.5, data_range=1.0, **settings)

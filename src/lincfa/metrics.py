"""What a picture is worth: one number for one image, in float64.

Every image and truth is [H, W, 3], linear unless a name says srgb, any range: values above 1 and below 0 count as they
are. `border` pixels are cut off on each side before anything else; `peak` is the value of full scale. Neither has a
default, because a number without them cannot be compared. No filter here invents samples beyond the edge: each result
uses only the pixels whose whole window is inside.

luma = (R + 2 G + B) / 4, chroma = (R - G, B - G): neither needs a colour matrix, so camera RGB will do.

All raise ValueError when the arrays are not [H, W, 3], differ in shape, or are too small for border and filter.
"""

from __future__ import annotations

import numpy as np
from skimage.filters import gaussian
from skimage.metrics import structural_similarity

from lincfa.color import linear_to_srgb

TEXTURE_SIGMA_PX = 1.0  # passes 2 % of the energy at a period of 12 px, 18 % at 6, half at 4, 97 % at 2
FALSE_COLOUR_SIGMA_PX = 4.0  # colour moire is coarse: half of the error's energy still passes at a period of 16 px
MIN_HIGHLIGHT = 1e-4
MIN_TEXTURE = 3e-3
_TRUNCATE = 3.0  # Gaussian windows reach three sigmas


def psnr(image: np.ndarray, truth: np.ndarray, *, peak: float, border: int) -> float:
    """Peak signal to noise ratio in dB, from the MSE over all pixels and channels; inf at equality. Clips nothing."""
    error = _cut(image, border, truth) - _cut(truth, border, image)
    return float(_psnr_db(np.mean(error**2), peak))


def psnr_per_channel(image: np.ndarray, truth: np.ndarray, *, peak: float, border: int) -> np.ndarray:
    """[3]: the PSNR in dB of R, G and B, each from its own MSE; inf at equality. Clips nothing."""
    error = _cut(image, border, truth) - _cut(truth, border, image)
    return _psnr_db(np.mean(error**2, axis=(0, 1)), peak)


def psnr_srgb(image: np.ndarray, truth: np.ndarray, *, border: int) -> float:
    """PSNR in dB, peak 1, of linear values that are clipped to [0, 1] and then sRGB-coded: errors as a screen shows."""
    coded = [linear_to_srgb(np.clip(np.asarray(rgb, np.float64), 0, 1)) for rgb in (image, truth)]
    return psnr(*coded, peak=1.0, border=border)


def ssim(image: np.ndarray, truth: np.ndarray, *, peak: float, border: int) -> float:
    """Structural similarity in [-1, 1], 1 at equality: the mean over R, G and B.

    Gaussian weights of sigma 1.5 px in 11 x 11 windows, population covariance, K1 = 0.01, K2 = 0.03.
    Source: Wang et al. 2004, doi:10.1109/TIP.2003.819861, by scikit-image.
    """
    return float(
        structural_similarity(
            _cut(image, border, truth),
            _cut(truth, border, image),
            data_range=peak,
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def texture_score(image: np.ndarray, truth: np.ndarray, *, border: int) -> float:
    """High-frequency luma energy of the image over that of the truth.

    1 = all texture kept, below 1 = smoothed; above 1 = sharpened, noise or artefacts: energy alone cannot say which.
    Filter: luma minus its Gaussian blur of sigma 1 px; energy = the mean of squares. nan where the truth has hardly any
    texture (an RMS under `MIN_TEXTURE` of its mean luma), and a ratio would say nothing.
    """
    kept, wanted = (_highpass(_luma(_cut(a, border, b)), TEXTURE_SIGMA_PX) for a, b in ((image, truth), (truth, image)))
    if np.sqrt(np.mean(wanted**2)) <= MIN_TEXTURE * np.abs(np.mean(_luma(_cut(truth, border)))):
        return float("nan")
    return float(np.mean(kept**2) / np.mean(wanted**2))


def laplacian_variance(image: np.ndarray, *, border: int) -> float:
    """Variance of the 4-neighbour Laplacian of luma: a sharpness to rank pictures of equal exposure by.

    It grows with the square of exposure and with noise. Source: Pech-Pacheco et al. 2000, doi:10.1109/ICPR.2000.903548.
    """
    luma = _luma(_cut(image, border))
    if min(luma.shape) < 3:
        raise ValueError(f"{luma.shape} pixels are too few for a Laplacian")
    neighbours = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:]
    return float(np.var(neighbours - 4 * luma[1:-1, 1:-1]))


def highlights_kept(image: np.ndarray, truth: np.ndarray, *, border: int) -> float:
    """The light above 1.0 in the image over that in the truth, of max(value - 1, 0).

    1 = kept, 0 = clipped at white. Linear values are proportional to energy, so they are summed and not squared. nan
    where the truth has hardly any (`MIN_HIGHLIGHT` on average): rounding would decide.
    """
    kept, wanted = (np.maximum(_cut(a, border, b) - 1, 0).mean() for a, b in ((image, truth), (truth, image)))
    return float(kept / wanted) if wanted > MIN_HIGHLIGHT else float("nan")


def false_colour(image: np.ndarray, truth: np.ndarray, *, border: int) -> float:
    """RMS of the high-pass chroma error over both planes, in units of the image; 0 = none.

    Filter: each plane of chroma(image) - chroma(truth) minus its Gaussian blur of sigma 4 px, wide enough to count
    colour moire and zippers, and blind to a colour cast and to any error that R, G and B share.
    """
    error = _cut(image, border, truth) - _cut(truth, border, image)
    planes = [_highpass(error[..., c] - error[..., 1], FALSE_COLOUR_SIGMA_PX) for c in (0, 2)]
    return float(np.sqrt(np.mean(np.square(planes))))


def phase_ripple(image: np.ndarray, *, period: tuple[int, int], border: int) -> float:
    """How much of the CFA shows in a frame that should be flat, relative to its level; 0 = nothing.

    The RMS, over the p * q phases of a CFA of this period, of each phase's mean less the channel's mean, divided by the
    channel's mean; the worst of R, G and B. Rows and columns beyond the last whole period are left out. Independent
    noise of standard deviation s (relative) on N pixels gives about s * sqrt(p q / N). nan when a channel's mean is
    not above 0. Raises ValueError when less than one period is left.
    """
    image = _cut(image, border)
    (p, q), (height, width) = period, image.shape[:2]
    if height < p or width < q:
        raise ValueError(f"{height} x {width} pixels are less than one period of {p} x {q}")
    rows, cols = height // p, width // q
    phase_means = image[: rows * p, : cols * q].reshape(rows, p, cols, q, 3).mean(axis=(0, 2))
    level = phase_means.mean(axis=(0, 1))
    if not (level > 0).all():
        return float("nan")
    return float((phase_means.std(axis=(0, 1)) / level).max())


def _cut(image: np.ndarray, border: int, partner: np.ndarray | None = None) -> np.ndarray:
    """The float64 image without its border; refuses what is no image, or not of its partner's shape."""
    image = np.asarray(image, np.float64)
    if image.ndim != 3 or image.shape[2] != 3 or (partner is not None and np.shape(partner) != image.shape):
        partner_shape = "" if partner is None else f" and {np.shape(partner)}"
        raise ValueError(f"images are [H, W, 3] and alike in shape, not {image.shape}{partner_shape}")
    height, width, _ = image.shape
    if not 0 <= 2 * border < min(height, width):
        raise ValueError(f"a border of {border} leaves nothing of {height} x {width} pixels")
    return image[border : height - border, border : width - border]


def _psnr_db(mse: np.ndarray, peak: float) -> np.ndarray:
    with np.errstate(divide="ignore"):  # equality is inf dB, and no accident
        return 10 * np.log10(peak**2 / mse)


def _luma(rgb: np.ndarray) -> np.ndarray:
    return (rgb[..., 0] + 2 * rgb[..., 1] + rgb[..., 2]) / 4


def _highpass(plane: np.ndarray, sigma_px: float) -> np.ndarray:
    """[H, W] minus its Gaussian blur, [H - 2 r, W - 2 r] with r = 3 sigma: only where the window is inside."""
    radius = int(_TRUNCATE * sigma_px + 0.5)
    if min(plane.shape) <= 2 * radius:
        raise ValueError(f"{plane.shape} pixels are too few for a window of {2 * radius + 1}")
    high = plane - gaussian(plane, sigma_px, truncate=_TRUNCATE, mode="reflect")
    return high[radius:-radius, radius:-radius]

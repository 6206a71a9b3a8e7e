"""What a picture is worth: one number for one image, in float64.

Every image and truth is [H, W, 3], linear unless a name says srgb, any range: values above 1 and below 0 count as they
are. `border` pixels are cut off on each side before anything else; `peak` is the value of full scale. Neither has a
default, because a number without them cannot be compared. No filter here invents samples beyond the edge: each result
uses only the pixels whose whole window is inside.

luma = (R + 2 G + B) / 4, chroma = (R - G, B - G): neither needs a colour matrix, so camera RGB will do.

All raise ValueError when the arrays are not [H, W, 3], differ in shape, or are too small for border and filter.

The grid of a CFA is measured in two ways. `phase_ripple` is its size: how far the phases' means lie apart. That is all
there is to say of a flat frame; in a picture, the error's own noise adds to it. `grid_db` says whether there is one:
how far the error stands out at the CFA's frequencies, however large it is elsewhere. A faint grid in a very good
result has a high `grid_db` and a low `phase_ripple`.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.fft import rfft2
from scipy.signal.windows import hann
from skimage.filters import gaussian
from skimage.metrics import structural_similarity

from lincfa.cfa import CFA
from lincfa.color import linear_to_srgb

TEXTURE_SIGMA_PX = 1.0  # passes 2 % of the energy at a period of 12 px, 18 % at 6, half at 4, 97 % at 2
FALSE_COLOUR_SIGMA_PX = 4.0  # colour moire is coarse: half of the error's energy still passes at a period of 16 px
MIN_HIGHLIGHT = 1e-4
MIN_TEXTURE = 3e-3
GRID_BLOCK_PX = 48  # divided by the periods of X-Trans, Bayer and JPEG; 25 half-overlapping blocks in 144 x 144 px
GRID_NOISE = 1e-3  # of a block's level: finer than the noise of any photograph, so that nothing finer is called a grid
GRID_BLACK = 1e-3  # the least level of a block: near black, a share of nothing would be no noise at all
GRID_SMOOTH_SHARE = 0.25
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


def laplacian_ratio(image: np.ndarray, truth: np.ndarray, *, border: int) -> float:
    """`laplacian_variance` of the image over that of the truth: 1 = as sharp, and free of exposure.

    Below 1 = softer; above 1 = sharpened, noise or artefacts. Unlike `texture_score`, most of its weight is on the
    finest details: it passes the energy of a period of 2 px 16 times as well as that of 6 px. nan where the truth has
    hardly any (an RMS under `MIN_TEXTURE` of its mean luma).
    """
    kept, wanted = (laplacian_variance(_cut(a, border, b), border=0) for a, b in ((image, truth), (truth, image)))
    if np.sqrt(wanted) <= MIN_TEXTURE * np.abs(np.mean(_luma(_cut(truth, border)))):
        return float("nan")
    return kept / wanted


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


def mean_tile(
    image: np.ndarray, *, period: tuple[int, int], border: int, truth: np.ndarray | None = None
) -> np.ndarray:
    """[p, q, 3]: the picture folded into one period of the CFA: each phase's mean less the channel's, over its level.

    image: a frame that should be flat, or with a truth any picture: then the error is folded, and the level is the
    truth's. Rows and columns beyond the last whole period are left out; entry (0, 0) is the first pixel inside the
    border. nan for a channel whose mean is not above 0. Raises ValueError when less than one period is left.
    """
    image = _cut(image, border, truth)
    reference = image if truth is None else _cut(truth, border)
    (p, q), (height, width) = period, image.shape[:2]
    if height < p or width < q:
        raise ValueError(f"{height} x {width} pixels are less than one period of {p} x {q}")
    rows, cols = height // p, width // q
    whole = np.s_[: rows * p, : cols * q]
    folded = image[whole] if truth is None else image[whole] - reference[whole]
    tile = folded.reshape(rows, p, cols, q, 3).mean(axis=0).mean(axis=1)  # twice as fast as both at once
    level = reference[whole].mean(axis=(0, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(level > 0, (tile - tile.mean(axis=(0, 1))) / level, np.nan)


def phase_ripple(image: np.ndarray, *, period: tuple[int, int], border: int, truth: np.ndarray | None = None) -> float:
    """How much of the CFA shows in a frame that should be flat, relative to its level; 0 = nothing.

    The RMS of `mean_tile`, the worst of R, G and B; with a truth, of the error, relative to the truth's level.
    Independent noise (or error) of standard deviation s (relative) on N pixels gives about s * sqrt(p q / N). nan when
    a channel's mean is not above 0. Raises ValueError when less than one period is left.
    """
    tile = mean_tile(image, period=period, border=border, truth=truth)
    return float(tile.std(axis=(0, 1)).max())


def cfa_frequencies(cfa: CFA) -> np.ndarray:
    """[p, q] bool: entry (i, j) is True where a CFA can leave a pattern of i / p by j / q cycles per px; DC is False.

    Whoever knows nothing but the mosaic gives one answer in all places where the CFA is the same. On a flat frame that
    answer has the CFA's own translations t, and a wave k has them where k . t is a whole number. X-Trans is the same
    after (3, 3), so i + j is even: 17 of the 35 frequencies of a 6 x 6 tile; Bayer has all 3. The CFA's masks
    hold 12 of the 17, products of them the others. Energy at the other 18 comes from a network that itself counts in
    sixes (pixels packed 6 x 6), or strides.
    """
    p, q = cfa.period
    rows, cols = np.arange(p)[:, None], np.arange(q)
    allowed = np.ones((p, q), bool)
    for dy, dx in np.ndindex(p, q):
        if cfa.shift(dy, dx) == cfa:
            allowed &= (rows * dy * q + cols * dx * p) % (p * q) == 0
    allowed[0, 0] = False
    return allowed


def grid_db(image: np.ndarray, *, cfa: CFA, border: int, truth: np.ndarray | None = None) -> float:
    """How far a grid of the CFA's frequencies stands out of a picture's error, in dB: 0 = no grid.

    The mean of `lattice_db` over `cfa_frequencies`. 10 = the error's energy there is ten times that of its neighbours.
    The phase of the CFA does not matter. nan where not one block is left inside the border.
    """
    return float(lattice_db(image, period=cfa.period, border=border, truth=truth)[cfa_frequencies(cfa)].mean())


def lattice_db(
    image: np.ndarray, *, period: tuple[int, int], border: int, truth: np.ndarray | None = None
) -> np.ndarray:
    """[p, q]: how far each frequency (i / p, j / q) stands out of its neighbours, in dB; nan at DC.

    With a truth: of the error's `spectrum_db`. How far the truth itself stands out there is taken off, down to 0, so
    that an error in proportion to a periodic texture (a blur) is no grid. Without: of the picture, in its smoothest
    blocks; little is to be learnt so of Bayer, whose frequencies are the picture's highest.

    Neighbours lie two bins (1 / 24 cycle per px) away, where the main lobe of the window ends, along the row and
    the column of the spectrum, both of which errors at edges light up; for a frequency on an axis along that axis
    alone. Their mean is that of the logarithms: log |k|, hence every power law of a picture's spectrum (Field 1987,
    doi:10.1364/JOSAA.4.002379), is harmonic in the plane and its own mean over neighbours. The result is the mean over
    channels. nan where not one block is left. Raises ValueError for a period that does not fit the block.
    """
    (p, q), side = period, GRID_BLOCK_PX
    if side % p or side % q or max(p, q) > side // 4:  # closer, a neighbour would be in the next frequency's main lobe
        raise ValueError(f"a block of {side} px does not hold whole periods of {p} x {q}")
    found = _peaks(spectrum_db(image, period=period, border=border, truth=truth), period)
    if truth is None:
        return found
    truth = _cut(truth, border)
    return found - np.clip(_peaks(_spectrum_db(truth, truth, _corners(truth.shape)), period), 0, np.maximum(found, 0))


def spectrum_db(
    image: np.ndarray, *, period: tuple[int, int], border: int, truth: np.ndarray | None = None
) -> np.ndarray:
    """[48, 48, 3]: the power of the error at each frequency k / 48 cycles per px, in dB, DC at (0, 0).

    The mean over half-overlapping blocks of GRID_BLOCK_PX with a Hann window, of logarithms, so that each block counts
    alike: a grid in calm areas is not drowned by errors at edges. GRID_NOISE of the block's level is added as white
    noise. Without a truth: of the picture, in the GRID_SMOOTH_SHARE of blocks that change least from one period to the
    next, in which a grid has no part. nan where not one block is left.
    After Welch 1967, doi:10.1109/TAU.1967.1161901.
    """
    image = _cut(image, border, truth)
    corners = _corners(image.shape)
    if truth is None:
        return _spectrum_db(image, image, _smoothest(image, corners, period))
    truth = _cut(truth, border)
    return _spectrum_db(image - truth, truth, corners)


def _peaks(spectrum: np.ndarray, period: tuple[int, int]) -> np.ndarray:
    """[48, 48, 3] -> [p, q]: see `lattice_db`."""
    (p, q), side = period, GRID_BLOCK_PX
    mean, peaks = spectrum.mean(axis=2), np.full((p, q), np.nan)
    for i, j in list(np.ndindex(p, q))[1:]:
        y, x = i * side // p, j * side // q
        along = [mean[y, (x + d) % side] for d in (-2, 2)] if j else []
        across = [mean[(y + d) % side, x] for d in (-2, 2)] if i else []
        peaks[i, j] = mean[y, x] - np.mean(along + across)
    return peaks


def _spectrum_db(values: np.ndarray, reference: np.ndarray, corners: list[tuple[int, int]]) -> np.ndarray:
    side = GRID_BLOCK_PX
    if not corners:
        return np.full((side, side, 3), np.nan)
    window = np.outer(*[hann(side, sym=False)] * 2)
    # A wave that is its own mirror image has a real coefficient and not a complex one: the mean logarithm of its power
    # is less by ln 2 (digamma(1/2) - digamma(1) + ln 2), for noise of equal mean power.
    weight = np.ones((side, side // 2 + 1))
    weight[:: side // 2, :: side // 2] = 2
    planes, total = np.moveaxis(values, 2, 0), 0.0
    for y, x in corners:
        area = np.s_[y : y + side, x : x + side]
        noise = GRID_NOISE * max(_luma(reference[area]).mean(), GRID_BLACK)
        power = weight * np.abs(rfft2(planes[:, *area] * window)) ** 2
        total = total + np.log10(power + noise**2 * np.sum(window**2))
    half = np.moveaxis(total, 0, 2) * (10 / len(corners))  # [48, 25, 3]: the other half is its mirror image
    mirror = -np.arange(side) % side
    return np.concatenate([half, half[mirror][:, side // 2 - 1 : 0 : -1]], axis=1)


def _corners(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Where blocks begin: evenly from edge to edge, half a block apart or a little less; none in a small picture."""
    side = GRID_BLOCK_PX
    spare = [size - side for size in shape[:2]]
    if min(spare) < 0:
        return []
    starts = [np.linspace(0, s, -(-s // (side // 2)) + 1).round().astype(int) for s in spare]
    return [(y, x) for y in starts[0] for x in starts[1]]


def _smoothest(image: np.ndarray, corners: list[tuple[int, int]], period: tuple[int, int]) -> list[tuple[int, int]]:
    """The corners of blocks that differ least, relative to their level, from themselves a period further."""
    (p, q), side = period, GRID_BLOCK_PX

    def change(corner: tuple[int, int]) -> float:
        y, x = corner
        block = image[y : y + side, x : x + side]
        square = np.mean((block[p:] - block[:-p]) ** 2) + np.mean((block[:, q:] - block[:, :-q]) ** 2)
        return square / max(_luma(block).mean(), GRID_BLACK) ** 2

    return sorted(corners, key=change)[: math.ceil(GRID_SMOOTH_SHARE * len(corners))]


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

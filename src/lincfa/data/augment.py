"""What is done to a patch before the network sees it: drawn from numbers, applied in batches on any device."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from lincfa.cfa import CFA
from lincfa.color import encode_for_eyes, srgb_to_linear

OLPF_RADIUS = 3
"""Reach of the blur in pixels: patches are cut this much larger."""
JPEG_UNIT_PX = 16
"""Side of what a 4:2:0 JPEG codes as one: four blocks of luma, a block of each chroma."""
FAULTS = ("flip", "crop")
_LINEAR_OF_BYTE = srgb_to_linear(np.arange(256) / 255).astype(np.float32)


@dataclass(frozen=True)
class AugmentConfig:
    """Ranges are (low, high), drawn uniformly.

    phases: use all shifts of the CFA; otherwise all patches are in the family's phase 0.
    symmetries: of the square, by their numbers in `lincfa.cfa.dihedral`: (0, 1, 2, 3) are quarter turns, (0, 2, 5, 7)
    flips left-right and up-down, (0,) is none.

    exposure_ev: stops; the sensor still clips at its white. white_balance_ev: standard deviation, in stops, of the
    shift of red and of blue. read_noise, shot_noise: variance = read_noise^2 + shot_noise x signal, on white = 1.
    noise_share: of the patches that are noisy.
    olpf_share: of the patches that an optical low-pass filter blurs, olpf_sigma_px: its width. Like camera_share it is
    left out in the teacher regime, whose mosaics are the sensor's.
    camera_share: of the patches whose channels see each other's light, as a camera's do: each takes a share within
    camera_crosstalk of each other, and grey stays grey. Below 0 colours become more saturated instead.
    tint_share: of the patches that are seen as if in one colour, as most of a saturated object's texture is: each
    channel is darker by up to tint_ev stops, the brightest by none. Their channels do not see each other's light.
    white_spread_ev: red and blue clip up to so many stops above green, as they do on a sensor once they are balanced.
    jpeg_quality: photographs (remosaic regime only) are cut from an 8-bit sRGB JPEG file of this quality, 1..100, as
    cameras write it, balanced and before the other changes; its grid lies anywhere. None: no JPEG. See `through_jpeg`.
    coarse_images: coarse to fine (remosaic regime only): truth, and so its mosaic, is blurred by coarse_sigma_px at
    sample 0, linearly less from there on, and not at all from this sample on. 0: never. It adds to the OLPF's width.
    untracked: deliberate faults, to reproduce failures of the past. Samples are taken with the true CFA, and the masks
    that the network is given are of another one:
        'flip': the CFA of the picture before its mosaic was turned. Turning X-Trans by quarter turns about a
        patch of a multiple of 6 px changes nothing; left-right, up-down or transposed it is shift (0, 3): red and blue
        are swapped, green stays. Other sides add a shift of the grid.
        'crop': the CFA of the whole mosaic, as if the patch had been cut from its corner.
    Raises ValueError for an unknown fault, symmetries that are none, and an impossible quality.
    """

    symmetries: tuple[int, ...] = tuple(range(8))
    phases: bool = True
    exposure_ev: tuple[float, float] = (-2.0, 1.0)
    white_balance_ev: float = 0.15
    read_noise: tuple[float, float] = (0.0, 0.0)
    shot_noise: tuple[float, float] = (0.0, 0.0)
    noise_share: float = 1.0
    olpf_share: float = 0.1
    olpf_sigma_px: tuple[float, float] = (0.3, 0.6)
    camera_share: float = 0.0
    camera_crosstalk: tuple[float, float] = (0.0, 0.3)
    tint_share: float = 0.0
    tint_ev: float = 4.0
    white_spread_ev: float = 0.0
    jpeg_quality: int | None = None
    coarse_images: int = 0
    coarse_sigma_px: float = 1.5
    untracked: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not all(fault in FAULTS for fault in self.untracked):
            raise ValueError(f"untracked names some of {', '.join(FAULTS)}, not {self.untracked!r}")
        if not self.symmetries or not set(self.symmetries) <= set(range(8)):
            raise ValueError(f"symmetries are some of 0..7, and not {self.symmetries!r}")
        if self.jpeg_quality is not None and not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality lies in 1..100, and is not {self.jpeg_quality}")


@dataclass(frozen=True)
class Draw:
    """One sample's random choices. Each is drawn whether or not it is used, so that one factor can be switched off
    while the others stay as they were."""

    torture: bool
    image: float
    top: float
    left: float
    dihedral: int
    phase: int
    gain: float
    balance_gain: np.ndarray
    read_noise: float
    shot_noise: float
    olpf_sigma_px: float
    noise_seed: int
    hard: float
    crosstalk: np.ndarray | None
    coarse_sigma_px: float
    sharp: float
    jpeg_corner: tuple[int, int]
    crop: int
    averaged: float
    headroom: np.ndarray
    tint: np.ndarray


def draw(config: AugmentConfig, torture_fraction: float, seed: int, n: int) -> Draw:
    """The choices of training sample n: a pure function of (seed, n).

    image, top, left, hard, sharp, averaged, phase and crop are shares in 0..1 (phase, crop: a large integer) of what
    the source has. crosstalk: [3, 3] with rows that sum to 1, or None. headroom: [3], each channel's white over its
    own without white_spread_ev. tint: [3], what is left of each channel. jpeg_corner: px from the corner of a JPEG's
    unit to the patch's.
    """
    rng = np.random.default_rng([seed, n])
    torture, image, top, left, olpf = rng.random(5).tolist()
    dihedral, phase = int(rng.integers(8)), int(rng.integers(2**31))
    exposure = _between(config.exposure_ev, rng.random())
    red, blue = rng.standard_normal(2) * config.white_balance_ev
    read, shot, width = rng.random(3).tolist()
    noise_seed = int(rng.integers(2**63))
    hard, camera, noisy = rng.random(3).tolist()
    crosstalk = _between(config.camera_crosstalk, rng.random((3, 3)))
    np.fill_diagonal(crosstalk, 0)
    np.fill_diagonal(crosstalk, 1 - crosstalk.sum(1))
    sharp = rng.random()
    jpeg_corner = tuple(rng.integers(JPEG_UNIT_PX, size=2).tolist())
    crop = int(rng.integers(2**31))
    averaged = rng.random()
    red_white, blue_white = rng.random(2) * config.white_spread_ev
    tinted, stops = rng.random() < config.tint_share, rng.random(3) * config.tint_ev
    still_coarse = max(0.0, 1 - n / config.coarse_images) if config.coarse_images else 0.0
    return Draw(
        torture=bool(torture < torture_fraction),
        image=image,
        top=top,
        left=left,
        dihedral=config.symmetries[dihedral % len(config.symmetries)],
        phase=phase if config.phases else 0,
        gain=2.0**exposure,
        balance_gain=2.0 ** np.array([red, 0.0, blue]),
        read_noise=_between(config.read_noise, read) if noisy < config.noise_share else 0.0,
        shot_noise=_between(config.shot_noise, shot) if noisy < config.noise_share else 0.0,
        olpf_sigma_px=_between(config.olpf_sigma_px, width) if olpf < config.olpf_share else 0.0,
        noise_seed=noise_seed,
        hard=hard,
        crosstalk=crosstalk if camera < config.camera_share and not tinted else None,
        coarse_sigma_px=config.coarse_sigma_px * still_coarse,
        sharp=sharp,
        jpeg_corner=jpeg_corner,
        crop=crop if "crop" in config.untracked else 0,
        averaged=averaged,
        headroom=2.0 ** np.array([red_white, 0.0, blue_white]),
        tint=2.0 ** (stops.min() - stops) if tinted else np.ones(3),
    )


def _between(ends: tuple[float, float], share):
    return ends[0] + (ends[1] - ends[0]) * share


def phase_of(cfa: CFA, number: int) -> CFA:
    """The number-th shift of a CFA, counted round: 18 for X-Trans, 4 for Bayer; 0 is the CFA itself."""
    phases = _phases(cfa)
    return phases[number % len(phases)]


@lru_cache
def _phases(cfa: CFA) -> tuple[CFA, ...]:
    return tuple(cfa.phases)


def blur(rgb: torch.Tensor, sigma_px: torch.Tensor) -> torch.Tensor:
    """A Gaussian blur with a width of its own for each image, without the border it would need.

    rgb: [B, 3, H + 2r, W + 2r], sigma_px: [B], 0 for none -> [B, 3, H, W], r = OLPF_RADIUS. The reach cuts 2 % off a
    Gaussian of 1.5 px: its deviation becomes 1.41 px, its transfer changes by less than 0.03. Up to 1 px: by 0.0005.
    """
    reach = 2 * OLPF_RADIUS
    height, width = rgb.shape[2] - reach, rgb.shape[3] - reach
    offset = torch.arange(-OLPF_RADIUS, OLPF_RADIUS + 1, device=rgb.device, dtype=rgb.dtype)
    kernel = torch.exp(-0.5 * (offset / sigma_px.clamp_min(1e-3)[:, None]) ** 2)
    first, *others = (kernel / kernel.sum(1, keepdim=True)).T[..., None, None, None]
    # Shifted sums: a grouped convolution gives the same bits and takes twice as long on so few patches.
    rows = first * rgb[:, :, :height]
    for i, weight in enumerate(others, 1):
        rows.addcmul_(rgb[:, :, i : i + height], weight)
    both = first * rows[..., :width]
    for i, weight in enumerate(others, 1):
        both.addcmul_(rows[..., i : i + width], weight)
    return both


def through_jpeg(rgb: np.ndarray, quality: int) -> np.ndarray:
    """A picture as it comes out of a JPEG file: sRGB-coded, 8 bits, colour at half the resolution (4:2:0).

    rgb: [H, W, 3] linear sRGB, any range; values outside [0, 1] are clipped, as a camera's JPEG does. quality: 1..100,
    libjpeg's -> [H, W, 3] float32 in [0, 1], linear. The steps of 8 bits stay, undithered: they are a part of it.
    """
    file = io.BytesIO()
    Image.fromarray(encode_for_eyes(rgb)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return _LINEAR_OF_BYTE[np.asarray(Image.open(file))]


def sensor_noise(mosaic: torch.Tensor, draws: list[Draw], scale: torch.Tensor) -> torch.Tensor:
    """Poisson-Gaussian noise on a mosaic, pure in each draw's noise_seed (for one kind of device).

    mosaic: [B, 1, H, W]. scale: [B, 1, H, W] or broadcastable, the value of the sensor's white at each photosite.
    """
    read = torch.tensor([d.read_noise for d in draws], dtype=mosaic.dtype, device=mosaic.device)[:, None, None, None]
    shot = torch.tensor([d.shot_noise for d in draws], dtype=mosaic.dtype, device=mosaic.device)[:, None, None, None]
    normal = torch.stack(
        [
            torch.randn(
                mosaic.shape[1:],
                generator=torch.Generator(mosaic.device).manual_seed(d.noise_seed),
                device=mosaic.device,
                dtype=mosaic.dtype,
            )
            for d in draws
        ]
    )
    deviation = torch.sqrt(read**2 + shot * (mosaic / scale).clamp_min(0)) * scale
    return mosaic + deviation * normal

"""What is done to a patch before the network sees it: drawn from numbers, applied in batches on any device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from lincfa.cfa import CFA

OLPF_RADIUS = 3
"""Reach of the blur in pixels: patches are cut this much larger."""


@dataclass(frozen=True)
class AugmentConfig:
    """dihedral, phases: use all eight symmetries, all shifts of the CFA. Ranges are (low, high), drawn uniformly.

    exposure_ev: stops; the sensor still clips at its white. white_balance_ev: standard deviation, in stops, of the
    shift of red and of blue. read_noise, shot_noise: variance = read_noise^2 + shot_noise x signal, on white = 1.
    noise_share: of the patches that are noisy.
    olpf_share: of the patches that an optical low-pass filter blurs, olpf_sigma_px: its width.
    camera_share: of the patches whose channels see each other's light, as a camera's do: each takes a share within
    camera_crosstalk of each other, and grey stays grey. Below 0 colours become more saturated instead.
    """

    dihedral: bool = True
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


def draw(config: AugmentConfig, torture_fraction: float, seed: int, n: int) -> Draw:
    """The choices of training sample n: a pure function of (seed, n). image, top, left, hard and phase are shares in
    0..1 (phase: a large integer) of what the source has. crosstalk: [3, 3] with rows that sum to 1, or None."""
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
    return Draw(
        torture=bool(torture < torture_fraction),
        image=image,
        top=top,
        left=left,
        dihedral=dihedral if config.dihedral else 0,
        phase=phase if config.phases else 0,
        gain=2.0**exposure,
        balance_gain=2.0 ** np.array([red, 0.0, blue]),
        read_noise=_between(config.read_noise, read) if noisy < config.noise_share else 0.0,
        shot_noise=_between(config.shot_noise, shot) if noisy < config.noise_share else 0.0,
        olpf_sigma_px=_between(config.olpf_sigma_px, width) if olpf < config.olpf_share else 0.0,
        noise_seed=noise_seed,
        hard=hard,
        crosstalk=crosstalk if camera < config.camera_share else None,
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

    rgb: [B, 3, H + 2r, W + 2r], sigma_px: [B], 0 for none -> [B, 3, H, W], r = OLPF_RADIUS.
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

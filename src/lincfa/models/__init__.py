"""Networks by name, and what every network takes and gives.

    forward(mosaic [B, 1, H, W], masks [B, 3, H, W], inside=None) -> rgb [B, 3, H, W]
    forward(mosaic, masks, noise [B, 3, 2], inside=None) -> rgb, where `network.takes_noise`

Linear light, white balanced (grey is equal), black = 0, scaled by `normalising_gain`; H and W are multiples of
`network.multiple`, and samples further than `network.margin` from a pixel do not reach it. `network.cfa` is the CFA,
in its phase, that the network takes, or None where it takes any. noise: for each colour (read, shot) such that the
variance at a photosite of it is read^2 + shot x signal, all on the scale of the mosaic. inside: (rows, columns),
slices of the output that are asked for: these are as without it, and what is elsewhere is undefined.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lincfa.models.denoising import DenoisingNet
from lincfa.models.packed import PackedNet
from lincfa.models.srgb import InSRGB
from lincfa.models.unet import UNet

ARCHITECTURES = {"unet": UNet, "packed": PackedNet, "denoising": DenoisingNet}
SPACES = ("linear", "srgb")
MIDDLE_GREY = 0.18
MAX_STOPS = 16
"""A picture that is darker is noise, and is not brightened further."""


def build(name: str, space: str = "linear", **kwargs) -> nn.Module:
    """A network with fresh weights. space: 'linear', or 'srgb' for one that works on clipped sRGB-coded values inside
    (lincfa.models.srgb). Raises ValueError for an unknown name or space, or an argument it does not take."""
    if name not in ARCHITECTURES:
        raise ValueError(f"unknown network {name!r}; there are: {', '.join(ARCHITECTURES)}")
    if space not in SPACES:
        raise ValueError(f"space is one of {', '.join(SPACES)}, not {space!r}")
    try:
        network = ARCHITECTURES[name](**kwargs)
    except TypeError as error:
        raise ValueError(f"network {name!r}: {error}") from error
    return InSRGB(network) if space == "srgb" else network


def normalising_gain(mean: float) -> float:
    """The power of two that brings a picture's mean to within half a stop of middle grey; 1 for a black picture.

    A power of two, so that pictures that differ by whole stops give the same numbers to the network, bit for bit.
    """
    if not mean > 0:
        return 1.0
    return 2.0 ** min(MAX_STOPS, round(math.log2(MIDDLE_GREY / mean)))


def parameter_count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def gmac_per_megapixel(network: nn.Module) -> float:
    """Multiply-accumulates of convolutions and products for a megapixel, in 10^9: counted, on 240 x 240 pixels."""
    side, device = 240, next(network.parameters()).device
    shapes = [(1, 1, side, side), (1, 3, side, side), *([(1, 3, 2)] if network.takes_noise else [])]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*(torch.zeros(shape, device=device) for shape in shapes))
    return counter.get_total_flops() / 2 / side**2 / 1e3

"""Two trained packed networks in one: clean where there is no noise, and on from it to one that is told of noise."""

from __future__ import annotations

import math

import torch
from torch import nn

from lincfa.models.packed import PackedNet, Region

GREY = 0.18
"""The signal at which noise is judged: what `lincfa.models.normalising_gain` brings a picture's mean to."""
FULL_DEVIATION = 0.005
"""Standard deviation of the noise at GREY from which on the picture is wholly that of the network told of noise."""


class DenoisingNet(nn.Module):
    """A picture between those of `clean` and of `noisy`, which was trained on noise.

    Told of no noise it gives clean's picture, bit for bit; the more noise, the nearer to noisy's, linearly in the
    noise's deviation, until FULL_DEVIATION. At both ends it costs one network, between them two; an ONNX graph, which
    cannot choose, always costs two.

    Arguments: those of PackedNet, less noise; noisy: the same for the network of that name where it has another shape.
    Raises ValueError for two of different CFAs, and for a batch of several noises.
    """

    tolerates_bf16 = True
    takes_noise = True

    def __init__(self, noisy: dict | None = None, **kwargs):
        super().__init__()
        self.clean, self.noisy = PackedNet(**kwargs), PackedNet(**noisy or kwargs, noise=True)
        if self.clean.cfa != self.noisy.cfa:
            raise ValueError("the two networks are for one CFA")
        self.cfa, self.multiple = self.clean.cfa, math.lcm(self.clean.multiple, self.noisy.multiple)
        self.margin = max(self.clean.margin, self.noisy.margin)

    def forward(
        self, mosaic: torch.Tensor, masks: torch.Tensor, noise: torch.Tensor | None = None, inside: Region = None
    ) -> torch.Tensor:
        if noise is None:
            return self.clean(mosaic, masks, inside=inside)
        read, shot = noise[0].unbind(1)
        share = (torch.sqrt(read**2 + shot * GREY).mean() / FULL_DEVIATION).clamp(max=1)
        if not torch.jit.is_tracing():
            if (noise != noise[:1]).any():
                raise ValueError("the mosaics of a batch have one noise")
            if share == 0:
                return self.clean(mosaic, masks, inside=inside)
            if share == 1:
                return self.noisy(mosaic, masks, noise, inside)
        clean, noisy = self.clean(mosaic, masks, inside=inside), self.noisy(mosaic, masks, noise, inside)
        return torch.lerp(clean, noisy, share)

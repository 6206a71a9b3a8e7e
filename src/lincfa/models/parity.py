"""Features that are even or odd: at a quarter of the cost of mixing them, for networks of Bayer that are symmetric.

A mosaic of RGGB stays one when it is transposed (T), and when it is turned by half a turn about the middle of a cell
and red and blue are exchanged (S). A network should answer with the picture transposed, or turned and exchanged.
Features that come in four orientations, 1, T, S and TS, are sums and differences of features of four parities, even or
odd in T and even or odd in S. No mixing of channels that keeps the symmetry mixes parities (Schur's lemma), so 1x1
convolutions are of one parity each. Kernels of each channel and gates work on orientations.

Source: group-equivariant convolutions, Cohen and Welling 2016 (arXiv:1602.07576). Channels are ordered by parity, or by
orientation, first: 0 is even in both (the orientation 1), 1 odd in T (T), 2 odd in S (S), 3 odd in both (TS).
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from lincfa.models.gate import PARITIES

LEAST_CHANNELS, LEAST_CELLS = 64, 6
"""What `lincfa.models.parityproducts` takes: so many or more."""


def exchanged(features: torch.Tensor, count: int) -> torch.Tensor:
    """[B, 4C, H, W] of four parities -> of four orientations, or back: their Walsh-Hadamard transform. count: C."""
    a, b, c, d = (part / 2 for part in features.split(count, 1))
    even, odd, other_even, other_odd = a + b, a - b, c + d, c - d
    return torch.cat((even + other_even, odd + other_odd, even - other_even, odd - other_odd), 1)


def quads(features: torch.Tensor) -> torch.Tensor:
    """[B, 4C, 2H, 2W] -> [B, 16C, H, W], of four parities: four cells as one, by the sums and differences of those that
    T and S exchange."""
    parts = features.unflatten(1, (PARITIES, -1))
    here, right, below, across = (parts[..., dy::2, dx::2] for dy in (0, 1) for dx in (0, 1))
    diagonal, off = here - across, right - below  # odd in S, and odd in T and S
    kinds = (here + across, diagonal.roll(2, 1), right + below, off.flip(1))
    return torch.stack(kinds, 2).flatten(1, 3) * math.sqrt(0.5)


def of_quads(features: torch.Tensor) -> torch.Tensor:
    """[B, 16C, H, W] -> [B, 4C, 2H, 2W]: what `quads` made that of."""
    sums, diagonal, off_sums, off = features.unflatten(1, (PARITIES, 4, -1)).unbind(2)
    diagonal, off = diagonal.roll(2, 1), off.flip(1)
    cells = torch.stack((sums + diagonal, off_sums + off, off_sums - off, sums - diagonal), 3)
    return F.pixel_shuffle(cells.flatten(1, 3) * math.sqrt(0.5), 2)


class MixedByParity(nn.Module):
    """[B, C, H, W] -> [B, D, H, W]: a 1x1 convolution without a bias of each of four parities alone."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__()
        self.in_channels, self.out_channels = c_in, c_out
        bound = (c_in / PARITIES) ** -0.5  # as torch begins a convolution
        self.weight = nn.Parameter(torch.empty(PARITIES, c_out // PARITIES, c_in // PARITIES).uniform_(-bound, bound))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        fits = features.dtype == self.weight.dtype == torch.float32 and features[:, 0].numel() >= LEAST_CELLS
        fits = fits and min(self.in_channels, self.out_channels) >= LEAST_CHANNELS
        learns = self.training and torch.is_grad_enabled() and features.device.type == "cpu"
        if learns and fits and not torch.is_autocast_enabled("cpu"):
            return _Products.apply(features.permute(0, 2, 3, 1), self.weight).permute(0, 3, 1, 2)
        return F.conv2d(features, self.weight.view(self.out_channels, -1, 1, 1), groups=PARITIES)


class _Products(torch.autograd.Function):
    """[B, H, W, 4C] -> [B, H, W, 4D]: each parity's product."""

    @staticmethod
    def forward(ctx, features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        features = features.contiguous()
        ctx.save_for_backward(features, weight)
        return _multiplied(features, weight.detach().transpose(1, 2))

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        from lincfa.models.parityproducts import of_weight

        features, weight = ctx.saved_tensors
        gradient, to = gradient.contiguous(), torch.zeros_like(weight)
        arrays = (tensor.numpy() for tensor in (features.flatten(0, 2), gradient.flatten(0, 2), to))
        of_weight(weight.shape[2], weight.shape[1])(*arrays)
        return _multiplied(gradient, weight.detach()), to


def _multiplied(images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """[B, H, W, 4C] by [4, C, D] -> [B, H, W, 4D]."""
    from lincfa.models.parityproducts import forward  # not above: its compiler takes a second to load

    to = images.new_empty(*images.shape[:3], PARITIES * weight.shape[2])
    forward(*(t.numpy() for t in (images.flatten(0, 2), weight.contiguous(), to.flatten(0, 2))))
    return to

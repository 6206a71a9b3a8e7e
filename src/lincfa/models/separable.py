"""Separable blocks of a trained network, compiled, for inference on the CPU."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from lincfa.models.gated import GatedDepthwise, by_place
from lincfa.models.gatedkernels import KERNEL, REACH, block_rows
from lincfa.models.packed import Region, Residual
from lincfa.models.parity import LEAST_CHANNELS
from lincfa.models.products import COLUMNS, in_panels
from lincfa.models.threads import in_bands


def fits(part: nn.Module) -> bool:
    if not (isinstance(part, Residual) and isinstance(part[1], GatedDepthwise)):
        return False
    first, own, last = part
    if own.kernel_size != (KERNEL, KERNEL):
        return False
    if own.parities:
        return min(first.in_channels, last.in_channels) >= LEAST_CHANNELS
    return first.in_channels % COLUMNS == first.out_channels % COLUMNS == 0


class SeparableBlock(nn.Module):
    """As a packed network's separable block with kernels of 5 x 5, of a multiple of 16 channels, or with 64 or more of
    four parities: [B, C, H, W] -> [B, C, H, W], float32, channels last; beyond a region the output is 0."""

    reach = REACH

    def __init__(self, block: Residual):
        super().__init__()
        first, own, last = block
        self.width, self.products, self.parities = first.in_channels, last.in_channels, own.parities
        for name, mixed in (("first", first.weight.detach()), ("last", last.weight.detach())):
            turned = mixed.transpose(1, 2).contiguous() if self.parities else in_panels(mixed[:, :, 0, 0].T)
            self.register_buffer(name, turned)
        self.register_buffer("own", by_place(own.weight))

    def forward(self, features: torch.Tensor, region: Region = None) -> torch.Tensor:
        images = features.permute(0, 2, 3, 1).contiguous()
        height, width = images.shape[1:3]
        rows, columns = region or (slice(None), slice(None))
        (top, bottom, _), (left, right, _) = rows.indices(height), columns.indices(width)
        out = torch.empty_like(images)
        for beyond in (out[:, :top], out[:, bottom:], out[:, top:bottom, :left], out[:, top:bottom, right:]):
            beyond.zero_()  # not made, but seen by convolutions that take several cells at a time
        make = block_rows(self.width, self.products, self.parities)
        weights = [weight.numpy() for weight in (self.first, self.own, self.last)]
        for image, to in zip(images.flatten(2).numpy(), out.flatten(2).numpy(), strict=True):
            band = partial(make, image, *weights, to, left, right)
            in_bands(bottom - top, lambda first, last, band=band: band(top + first, top + last))
        return out.permute(0, 3, 1, 2)

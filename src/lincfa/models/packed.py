"""A residual network on packed mosaics: the pixels of a CFA cell become channels, and all convolutions run on cells."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from lincfa.cfa import RGGB, XTRANS

PACK = {"xtrans": (XTRANS, 3), "bayer": (RGGB, 2)}
MEAN_CELLS = 3
"""Samples are taken relative to the mean of this many cells squared."""


class PackedNet(nn.Module):
    """Residual blocks (He et al. 2016) of two 3x3 convolutions on cells of 3 x 3 (X-Trans) or 2 x 2 (Bayer) photosites.

    No layer has a bias, so scaling the mosaic scales the output exactly; and it sees samples relative to their local
    mean, which is added to the output, so flat grey comes out flat whatever the weights. Every cell of X-Trans holds 5
    green, 2 red and 2 blue photosites, so the mean of flat colour is flat as well.

    family: 'xtrans' or 'bayer'. width: channels of the features. blocks: number of residual blocks.
    Takes mosaics in phase 0 of the family (`cfa`). Raises ValueError for another family.
    """

    def __init__(self, family: str = "xtrans", width: int = 64, blocks: int = 5):
        super().__init__()
        if family not in PACK:
            raise ValueError(f"family is one of {', '.join(PACK)}, not {family!r}")
        self.cfa, self.pack = PACK[family]
        self.multiple = self.cfa.period[0]
        # One cell for each 3x3 convolution and for the mean, and a pixel's way to the far side of its own cell.
        self.margin = (2 * blocks + 2 + MEAN_CELLS // 2 + 1) * self.pack
        channels = 3 * self.pack**2
        self.head = _conv(channels, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width)) for _ in range(blocks)
        )
        self.tail = _conv(width, channels)
        self.linear = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, mosaic: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        cell_mean = F.avg_pool2d(mosaic, self.pack)
        local = F.avg_pool2d(cell_mean, MEAN_CELLS, 1, MEAN_CELLS // 2, count_include_pad=False)
        local = F.interpolate(local, scale_factor=self.pack, mode="nearest")
        samples = F.pixel_unshuffle((mosaic - local) * masks, self.pack)
        features = self.head(samples)
        for block in self.blocks:
            features = features + block(features)
        return local + F.pixel_shuffle(self.tail(features) + self.linear(samples), self.pack)


def _conv(c_in: int, c_out: int) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)

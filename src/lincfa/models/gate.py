"""A product in place of an activation, for networks without biases."""

from __future__ import annotations

import torch
from torch import nn

PARITIES = 4
"""Kinds of features that `lincfa.models.parity` is of."""
FLAT = 1e-18
"""What stands for the magnitude of features that are all 0, as they are where it is flat; its square is above 0."""


def least_size(dtype: torch.dtype) -> float:
    """What `Gate` divides by at least."""
    return max(FLAT, torch.finfo(dtype).tiny)


class Gate(nn.Module):
    """[B, 2C, H, W] -> [B, C, H, W]: the first half of the channels times the second, over the mean magnitude of all at
    their place. So it is homogeneous, as a ReLU is, and continuous. With it a block weighs one reading of its
    neighbourhood by another, as directional demosaicers weigh colours by gradients. groups: the channels come in so
    many groups, each with its values before its gates.

    Source: products instead of activations, Chen et al. 2022 (NAFNet, arXiv:2204.04676); the division is for exposure.
    """

    def __init__(self, products: int, groups: int = 1):
        super().__init__()
        self.products, self.groups = products, groups

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        values, gates = features.split(self.products, 1) if self.groups == 1 else self._halves(features)
        size = features.abs().sum(1, keepdim=True) / (2 * self.products)  # of mean the gradient takes twice as long
        return values * (gates * size.clamp_min(least_size(features.dtype)).reciprocal())

    def _halves(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = features.split(self.products // self.groups, 1)
        return torch.cat(parts[::2], 1), torch.cat(parts[1::2], 1)

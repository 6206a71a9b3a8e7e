"""Trained networks as they are computed on the CPU in float32."""

from __future__ import annotations

import copy

from torch import nn

from lincfa.models import separable, winograd


def for_cpu(network: nn.Module) -> nn.Module:
    """A copy that gives the same pictures, but for rounding, in less time, for inference on the CPU in float32: with
    the convolutions that `lincfa.models.winograd` has and packed networks' blocks with gates replaced. A network
    without such is given back as it is."""
    fast = copy.deepcopy(network)
    return fast if _replace_parts(fast) else network


def _replace_parts(module: nn.Module) -> int:
    """How many of its parts are replaced."""
    count = 0
    for name, part in module.named_children():
        for fits, replacement in REPLACEMENTS:
            if fits(part):
                setattr(module, name, replacement(part))
                count += 1
                break
        else:
            count += _replace_parts(part)
    return count


REPLACEMENTS = (
    (separable.fits, separable.SeparableBlock),
    (winograd.is_gated_block, winograd.GatedBlock),
    (winograd.fits, winograd.Convolution),
)
"""What a part is, and what stands for it: the first that fits."""

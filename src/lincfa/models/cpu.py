"""Trained networks as they are computed on the CPU in float32."""

from __future__ import annotations

import copy

from torch import nn

from lincfa.models import separable, winograd


def for_cpu(network: nn.Module) -> nn.Module:
    """A copy that gives the same pictures, but for rounding, in less time, for inference on the CPU in float32: with
    the convolutions that `lincfa.models.winograd` has and packed networks' blocks with gates replaced. A network
    without such is given back as it is."""
    if not any(_replacement(part) for part in network.modules()):
        return network
    fast = copy.deepcopy(network)
    _replace_parts(fast)
    return fast


def _replace_parts(module: nn.Module) -> None:
    for name, part in module.named_children():
        if replacement := _replacement(part):
            setattr(module, name, replacement(part))
        else:
            _replace_parts(part)


def _replacement(part: nn.Module) -> type[nn.Module] | None:
    if separable.fits(part):
        return separable.SeparableBlock
    if winograd.is_gated_block(part):
        return winograd.GatedBlock
    return winograd.Convolution if winograd.fits(part) else None

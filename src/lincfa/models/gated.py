"""Convolutions of each channel alone, and the gate after them, which on the CPU learn in a third of torch's time."""

from __future__ import annotations

import torch
from torch import nn

from lincfa.models.gate import PARITIES, Gate
from lincfa.models.parity import exchanged


class GatedDepthwise(nn.Conv2d):
    """[B, 2C, H, W] -> [B, C, H, W]: each channel with an odd kernel of its own, without a bias, then `Gate`. Only how
    float32 on the CPU learns, with kernels of 5 x 5, is not torch's: training would wait for that most.

    parities: what comes in and goes out is of four parities, and kernels and gates are of the orientations that they
    make (lincfa.models.parity)."""

    def __init__(self, products: int, kernel: int, parities: bool = False) -> None:
        channels = 2 * products
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
        self.parities = parities
        self.gate = Gate(products, PARITIES if parities else 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        learns = self.training and torch.is_grad_enabled() and self.weight.requires_grad
        here = features.device.type == "cpu" and features.dtype == torch.float32
        fits = here and self.kernel_size == (5, 5) and features.shape[3] >= 4
        if learns and fits and not torch.is_autocast_enabled("cpu"):
            return _Learning.apply(features, self.weight, self.parities)
        if self.parities:
            products = self.gate(super().forward(exchanged(features, self.out_channels // PARITIES)))
            return exchanged(products, self.gate.products // PARITIES)
        return self.gate(super().forward(features))


class _Learning(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: torch.Tensor, weight: torch.Tensor, parities: bool) -> torch.Tensor:
        from lincfa.models.gatedkernels import forward  # not above: its compiler takes a second to load

        features = _channels_last(features)
        sums = torch.empty_like(features)
        products = torch.empty(*features.shape[:3], features.shape[3] // 2)
        arrays = (tensor.numpy() for tensor in (sums, products))
        forward(products.shape[3], parities)(features.numpy(), by_place(weight).numpy(), *arrays)
        ctx.save_for_backward(features, weight, sums)
        ctx.parities = parities
        return products.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        from lincfa.models.gatedkernels import backward

        features, weight, sums = ctx.saved_tensors
        gradient, own = _channels_last(gradient), by_place(weight)
        of_features, of_own = torch.empty_like(features), torch.zeros_like(own)
        arrays = (tensor.numpy() for tensor in (sums, gradient, of_features, of_own))
        backward(gradient.shape[3], ctx.parities)(features.numpy(), own.numpy(), *arrays)
        of_weight = of_own.view(*weight.shape[2:], len(weight)).permute(2, 0, 1)[:, None]
        return of_features.permute(0, 3, 1, 2), of_weight, None


def by_place(weight: torch.Tensor) -> torch.Tensor:
    """[C, 1, k, k] -> [k k C]: as `lincfa.models.gatedkernels` reads it."""
    return weight.detach()[:, 0].permute(1, 2, 0).flatten().contiguous()


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    return features.detach().permute(0, 2, 3, 1).contiguous()

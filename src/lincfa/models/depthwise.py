"""Convolutions of each channel alone whose gradient on the CPU takes a third of torch's time."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Depthwise(nn.Conv2d):
    """[B, C, H, W] -> [B, C, H, W], each channel with an odd kernel of its own, without a bias. Only how float32 on the
    CPU learns differs from nn.Conv2d: torch's gradient of such kernels (2.13) is what training would wait for most."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        learns = torch.is_grad_enabled() and self.weight.requires_grad and not torch.is_autocast_enabled("cpu")
        if learns and features.device.type == "cpu" and features.dtype == torch.float32:
            return _Learning.apply(features, self.weight)
        return super().forward(features)


class _Learning(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(features, weight)
        return _convolved(features, weight)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        from lincfa.models.kernelgradient import add_products  # not above: its compiler takes a second to load

        features, weight = ctx.saved_tensors
        reach = weight.shape[2] // 2
        padded = F.pad(features.permute(0, 2, 3, 1), (0, 0, reach, reach, reach, reach))
        of_weight = torch.zeros(*weight.shape[2:], len(weight))
        add_products(padded.numpy(), gradient.permute(0, 2, 3, 1).contiguous().numpy(), of_weight.numpy())
        return _convolved(gradient, weight.flip(2, 3)), of_weight.permute(2, 0, 1)[:, None]


def _convolved(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return F.conv2d(features, weight, padding=weight.shape[2] // 2, groups=len(weight))

"""The v4 network: a five-level U-Net on the mosaic and its masks (Ronneberger et al. 2015, with residual output)."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F

LEVELS = 5


class UNet(nn.Module):
    """Widths w, 2w, 4w, 8w, 16w; width 64 has 31,038,339 parameters.

    width: w. norm: 'batch' or 'none'; the 3x3 convolutions have no bias either way. See lincfa.models for forward.
    Raises ValueError for another norm.
    """

    cfa = None
    takes_noise = False
    multiple = 2 ** (LEVELS - 1)
    # Two 3x3 convolutions a level, down and up (the lowest once), each reaching 2^level pixels, and the pooling grid.
    margin = 112

    def __init__(self, width: int = 64, norm: str = "batch"):
        super().__init__()
        if norm not in ("batch", "none"):
            raise ValueError(f"norm is 'batch' or 'none', not {norm!r}")
        widths = [width * 2**level for level in range(LEVELS)]
        self.down = nn.ModuleList(
            _stage(c_in, c_out, norm) for c_in, c_out in zip([4, *widths[:-1]], widths, strict=True)
        )
        self.lift = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[:-1])
        self.up = nn.ModuleList(_stage(2 * w, w, norm) for w in widths[:-1])
        self.head = nn.Conv2d(width, 3, 1)

    def forward(self, mosaic: torch.Tensor, masks: torch.Tensor, inside=None) -> torch.Tensor:
        features = self.down[0](torch.cat([mosaic, masks], 1))
        skips = []
        for stage in self.down[1:]:
            skips.append(features)
            features = stage(F.max_pool2d(features, 2))
        for lift, stage in zip(reversed(self.lift), reversed(self.up), strict=True):
            features = stage(torch.cat([skips.pop(), lift(features)], 1))
        return mosaic + self.head(features)


def _stage(c_in: int, c_out: int, norm: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c in (c_in, c_out):
        layers.append(nn.Conv2d(c, c_out, 3, padding=1, bias=False))
        if norm == "batch":
            layers.append(BatchNorm(c_out))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalisation whose statistics are those of the global batch when training is distributed.

    torch.nn.SyncBatchNorm does this on CUDA only; here two CPU processes train as one does.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not (self.training and dist.is_initialized()):
            return super().forward(x)
        x32 = x.float()
        sums = torch.stack([x32.sum((0, 2, 3)), x32.square().sum((0, 2, 3))])
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean, square = _SumOverProcesses.apply(sums) / count
        variance = (square - mean**2).clamp_min(0)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (x32 * scale[:, None, None] + shift[:, None, None]).to(x.dtype)


class _SumOverProcesses(torch.autograd.Function):
    """All-reduce whose gradient is all-reduced as well: each process's loss depends on every process's samples."""

    @staticmethod
    def forward(ctx, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total

"""Packed networks that give the turned picture for a turned mosaic, by kernels that are alike in all quarter turns.

Source: group-equivariant convolutions, Cohen and Welling 2016 (arXiv:1602.07576). Here all kernels stay of full size,
and are kept among the symmetric ones: a trained network is an ordinary one.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from lincfa.models.packed import PackedNet

TOLERANCE = 1e-3
"""Of a kernel's norm: what float16 weights, and rounding since the last `Symmetry.of_weights`, may be off."""


class Symmetry:
    """What ties a packed network's kernels: its features come in four orientations, each a channel.

    To turn a picture turns the features and exchanges their orientations. X-Trans is turned about a cell's middle.
    Bayer is turned about a red photosite, as its cells of 2 x 2 have no symmetry: the last row and column of its
    kernels' pixels have no counterpart and stay zero, and so does what links different photosites in the linear layer.
    Raises ValueError for other networks, and a width or gate that is no multiple of 4.
    """

    def __init__(self, network: nn.Module):
        kernels = network.kernels_by_channels() if isinstance(network, PackedNet) else []
        if len(kernels) != len(list(network.parameters())):
            raise ValueError("symmetric is for packed networks of one level, without biases, norm and pixel layers")
        width = network.head.weight.shape[0]
        if width % 4 or network.gate % 4:
            raise ValueError(
                f"symmetric takes widths that are multiples of 4, not {width} and a gate of {network.gate}"
            )
        of_pixels = network.mean_of_pixels or network.mean_of_colours
        of_bayer = network.pack == 2 and of_pixels and not network.takes_noise
        if network.pack % 2 == 0 and not of_bayer:
            raise ValueError("symmetric takes cells of 2 x 2 and means of pixels for Bayer, and no noise")
        self._network, self._kernels, self._pack = network, kernels, network.pack

    @torch.no_grad()
    def begin(self) -> None:
        """Make fresh kernels symmetric, as large as they were."""
        for kernel, outputs, inputs in self._kernels:
            size = kernel.norm()
            kernel.copy_(self._part(kernel, outputs, inputs))
            kernel.mul_(size / kernel.norm().clamp_min(torch.finfo(kernel.dtype).tiny))

    @torch.no_grad()
    def check(self) -> None:
        """Raises ValueError for kernels that are not symmetric."""
        for kernel, outputs, inputs in self._kernels:
            if (kernel - self._part(kernel, outputs, inputs)).norm() > TOLERANCE * kernel.norm():
                raise ValueError("its kernels are not symmetric, as symmetric=true would have them")

    @torch.no_grad()
    def of_weights(self) -> None:
        """Undo what rounding did to them: gradients that are symmetric leave no more, so now and then is enough."""
        for kernel, outputs, inputs in self._kernels:
            kernel.copy_(self._part(kernel, outputs, inputs))

    @torch.no_grad()
    def of_gradients(self) -> None:
        for kernel, outputs, inputs in self._kernels:
            if kernel.grad is not None:
                kernel.grad.copy_(self._part(kernel.grad, outputs, inputs))

    def _part(self, kernel: torch.Tensor, outputs: str, inputs: str) -> torch.Tensor:
        if inputs != "measured":
            return symmetric_part(kernel, outputs, inputs, self._pack)
        whole = kernel.new_zeros(len(kernel), 3 * self._pack**2, *kernel.shape[2:])
        whole[:, self._network.measured] = kernel
        return symmetric_part(whole, outputs, "samples", self._pack)[:, self._network.measured]


def symmetric_part(kernel: torch.Tensor, outputs: str, inputs: str, pack: int) -> torch.Tensor:
    """The mean of a kernel's four turns: the nearest kernel that is symmetric.

    kernel: [out, in, 3, 3] of cells, of any side between features, or [out, in, 1, 1] from samples to samples. outputs,
    inputs: 'features', each in four orientations, one after the other; 'own', of a feature itself alone; 'samples', of
    three colours, each at a cell's photosites, in the order of `pixel_unshuffle`; or 'cells', which are not turned in
    themselves.
    """
    kernel = kernel.contiguous()
    if outputs == inputs == "samples":
        return _mean_linear(kernel, pack)
    if outputs == "samples":  # the way back
        back = symmetric_part(kernel.transpose(0, 1).flip(2, 3), inputs, outputs, pack)
        return back.transpose(0, 1).flip(2, 3)
    out, into, *sides = kernel.shape
    if inputs == "features":
        return _mean(kernel.reshape(out // 4, 4, into // 4, 4, *sides), (1, 3)).reshape(kernel.shape)
    if inputs == "own":
        return _mean(kernel.reshape(out // 4, 4, *sides), (1,)).reshape(kernel.shape)
    # Of cells and of the photosites in them, as one kernel of pixels.
    p = pack if inputs == "samples" else 1
    split = kernel.reshape(out // 4, 4, -1, p, p, 3, 3).permute(0, 1, 2, 5, 3, 6, 4)
    pixels, cut = split.reshape(out // 4, 4, -1, 3 * p, 3 * p), 1 - p % 2
    mean = F.pad(_mean(pixels[..., : 3 * p - cut, : 3 * p - cut], (1,)), (0, cut, 0, cut))
    return mean.view(split.shape).permute(0, 1, 2, 4, 6, 3, 5).reshape(kernel.shape)


def _mean(values: torch.Tensor, orientations: tuple[int, ...]) -> torch.Tensor:
    """values: [..., side, side], with axes of four orientations -> their mean, (1 + half)(1 + quarter turn) / 4."""
    for turns in (2, 1):
        turned = torch.rot90(values, turns, (-2, -1))
        values = (values + turned.roll([turns] * len(orientations), orientations)) / 2
    return values


def _mean_linear(kernel: torch.Tensor, pack: int) -> torch.Tensor:
    """[3 p p, 3 p p, 1, 1], from photosites to the photosites of their own cell."""
    values = kernel.reshape(3, pack, pack, 3, pack, pack)
    if pack % 2 == 0:  # about a photosite: each stays with itself, and a quarter turn exchanges the two greens
        itself = torch.eye(pack**2, dtype=kernel.dtype, device=kernel.device)
        values = values * itself.view(1, pack, pack, 1, pack, pack)
        return ((values + values.permute(0, 2, 1, 3, 5, 4)) / 2).reshape(kernel.shape)
    for turns in (2, 1):
        values = (values + torch.rot90(torch.rot90(values, turns, (1, 2)), turns, (4, 5))) / 2
    return values.reshape(kernel.shape)

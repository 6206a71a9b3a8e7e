"""Packed networks that give the changed picture for a changed mosaic, by kernels that are alike in all its changes.

Source: group-equivariant convolutions, Cohen and Welling 2016 (arXiv:1602.07576). Here all kernels stay of full size,
and are kept among the symmetric ones: a trained network is an ordinary one.
"""

from __future__ import annotations

import torch
from torch import nn

from lincfa.models.gate import PARITIES
from lincfa.models.packed import PackedNet

TOLERANCE = 1e-3
"""Of a kernel's norm: what float16 weights, and rounding since the last `Symmetry.of_weights`, may be off."""
TRANSPOSED, EXCHANGED = "transposed", "turned by half a turn, red and blue exchanged"
_ODD = {TRANSPOSED: (1, -1, 1, -1), EXCHANGED: (1, 1, -1, -1)}
_ORIENTATIONS = {TRANSPOSED: (1, 0, 3, 2), EXCHANGED: (2, 3, 0, 1)}


class Symmetry:
    """What ties a packed network's kernels.

    X-Trans is turned about a cell's middle, by quarter turns: features come in four orientations, each a channel, and
    to turn a picture turns the features and exchanges their orientations. Bayer's cells of 2 x 2 have two changes that
    leave RGGB, which are told in lincfa.models.parity: its features come in four parities.
    Raises ValueError for other networks, and a width or gate that is no multiple of 4.
    """

    def __init__(self, network: nn.Module):
        packed = isinstance(network, PackedNet)
        if packed and network.pack % 2 == 0 and not network.parities:
            raise ValueError("symmetric takes features of parities for Bayer, and odd cells for X-Trans")
        kernels = network.kernels_by_channels() if packed else []
        tied = [p for p in network.parameters() if p.ndim != 3]  # products of one parity are symmetric as they are
        if len(kernels) != len(tied):
            raise ValueError("symmetric is for packed networks without biases, norm, pixel layers and X-Trans's coarse")
        width = network.head.weight.shape[0]
        if width % 4 or network.gate % 4:
            raise ValueError(
                f"symmetric takes widths that are multiples of 4, not {width} and a gate of {network.gate}"
            )
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
        measured = self._network.measured
        if self._network.parities:
            return _even_part(kernel, outputs, inputs, measured)
        if inputs != "measured":
            return symmetric_part(kernel, outputs, inputs, self._pack)
        whole = kernel.new_zeros(len(kernel), 3 * self._pack**2, *kernel.shape[2:])
        whole[:, measured] = kernel
        return symmetric_part(whole, outputs, "samples", self._pack)[:, measured]


def _even_part(kernel: torch.Tensor, outputs: str, inputs: str, measured: torch.Tensor) -> torch.Tensor:
    """The mean of a Bayer kernel and what its changes make of it: the nearest that is symmetric. outputs, inputs:
    'parities' or 'orientations', as lincfa.models.parity orders them; 'own', 'samples' as in `symmetric_part`; or
    'measured', the samples of RGGB."""
    for change in (TRANSPOSED, EXCHANGED):
        changed = kernel.transpose(2, 3) if change == TRANSPOSED else kernel.flip(2, 3)
        for dim, kind in enumerate((outputs, inputs)):
            changed = _changed(changed.movedim(dim, 0), kind, change, measured).movedim(0, dim)
        kernel = (kernel + changed) / 2
    return kernel


def _changed(channels: torch.Tensor, kind: str, change: str, measured: torch.Tensor) -> torch.Tensor:
    """What a change of the mosaic makes of the channels that come first."""
    if kind == "parities":
        signs = torch.tensor(_ODD[change], dtype=channels.dtype, device=channels.device)
        return channels * signs.repeat_interleave(len(channels) // PARITIES).view(-1, *[1] * (channels.ndim - 1))
    if kind == "orientations":
        return channels.unflatten(0, (PARITIES, -1))[list(_ORIENTATIONS[change])].flatten(0, 1)
    if kind == "samples":
        samples = channels.unflatten(0, (3, 2, 2))
        return (samples.transpose(1, 2) if change == TRANSPOSED else samples.flip(0, 1, 2)).flatten(0, 2)
    if kind == "measured":
        whole = channels.new_zeros(12, *channels.shape[1:])
        whole[measured] = channels
        return _changed(whole, "samples", change, measured)[measured]
    return channels


def symmetric_part(kernel: torch.Tensor, outputs: str, inputs: str, pack: int) -> torch.Tensor:
    """The mean of an X-Trans kernel's four turns: the nearest kernel that is symmetric.

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
    mean = _mean(split.reshape(out // 4, 4, -1, 3 * p, 3 * p), (1,))
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
    for turns in (2, 1):
        values = (values + torch.rot90(torch.rot90(values, turns, (1, 2)), turns, (4, 5))) / 2
    return values.reshape(kernel.shape)

"""A residual network on packed mosaics: the pixels of a CFA cell become channels, and all convolutions run on cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lincfa.cfa import CFA, RGGB, XTRANS, batch_masks
from lincfa.models.gate import PARITIES, Gate
from lincfa.models.gated import GatedDepthwise
from lincfa.models.parity import MixedByParity, of_quads, quads
from lincfa.models.unet import BatchNorm

PACK = {"xtrans": (XTRANS, 3), "bayer": (RGGB, 2)}
MEAN_CELLS = 3
"""Samples are taken relative to the mean of this many cells squared."""
Region = tuple[slice, slice] | None
"""Rows and columns of a picture or of cells; None: all."""
LIGHT_REACH, COLOUR_REACH = 2, 3
"""Means of colours are of so many pixels to each side, and their differences from light of means of so many more."""


class PackedNet(nn.Module):
    """Residual blocks (He et al. 2016) of two convolutions on cells of 3 x 3 (X-Trans) or 2 x 2 (Bayer) photosites.

    It works on coded samples, sign(x) |x|^coding, and its output is decoded: at 0.5 an edge weighs as much in the
    shadows as in the lights. No layer has a bias, and a power is homogeneous, so scaling the mosaic scales the output
    exactly. It sees samples relative to their local mean, which is added to the output, so flat grey comes out flat
    whatever the weights. Every cell of X-Trans holds 5 green, 2 red and 2 blue photosites, so the mean of flat colour
    is flat as well; with mean_of_colours it comes out flat, too.

    family: 'xtrans' or 'bayer'. width: channels of the features. blocks: number of residual blocks. coding: exponent,
    in (0, 1]. pack: side of a cell in photosites, instead of the family's. bias: of the convolutions; it ends the
    promises on exposure and grey. relative: whether samples are taken relative to their local mean. noise: whether the
    network is told how strong the noise is, and takes it away; told 0, it answers as without. norm: 'none', or 'batch'
    for batch normalisation after the first convolution of each block; it ends the promises on exposure and grey.
    coarse_blocks, coarse_width: more blocks, halfway through the others, on cells of twice the side. They see further,
    and at equal width cost a quarter; but a picture then depends on which of its cells come together, and so a little
    on where the frame begins: for X-Trans, whose tile is its own shift by (3, 3), on its phase as well.
    gate: 0, or the channels of a product in each block, where otherwise a ReLU is (`Gate`); coarse blocks keep it, but
    where they are separable: those have as many products as channels, or coarse_gates, one number for each.
    separable: whether a block with a gate mixes channels by 1x1 convolutions alone, and places by one kernel of each
    channel between them (NAFNet, Chen et al. 2022, arXiv:2204.04676): at equal cost it has more and wider blocks.
    kernel: side of the blocks' kernels on cells of 2 x 2 or 3 x 3, odd. tail_width: channels of a last 3x3 convolution
    on pixels instead of cells; 0: none. mean_of_pixels (Bayer only): samples are relative to the mean around each
    pixel, where it is otherwise that around their cell. mean_of_colours: samples are relative to the mean of their own
    colour around each pixel, so what a saturated colour differs from grey by does not drown its texture; the colours'
    differences from their mean are means of more pixels.
    parities (Bayer with separable blocks and mean_of_pixels only): features are of four parities, which 1x1
    convolutions do not mix (lincfa.models.parity): a quarter of their cost. It is for training that keeps the network
    symmetric (lincfa.models.symmetry), where no other mixing would be symmetric.
    Takes mosaics in phase 0 of the family (`cfa`). Raises ValueError for another family or norm, a gate beside
    biases or norm, separable blocks without one, coarse_gates that do not fit the blocks, parities elsewhere or of
    channels that are no multiple of 4, and pixels' means for X-Trans: 7 x 7 of its photosites are not of each colour as
    often as any others.
    """

    def __init__(
        self,
        family: str = "xtrans",
        width: int = 64,
        blocks: int = 5,
        coding: float = 1.0,
        pack: int | None = None,
        bias: bool = False,
        relative: bool = True,
        noise: bool = False,
        norm: str = "none",
        coarse_blocks: int = 0,
        coarse_width: int = 64,
        kernel: int = 3,
        tail_width: int = 0,
        mean_of_pixels: bool = False,
        mean_of_colours: bool = False,
        gate: int = 0,
        separable: bool = False,
        coarse_gates: Sequence[int] = (),
        parities: bool = False,
    ):
        super().__init__()
        if family not in PACK:
            raise ValueError(f"family is one of {', '.join(PACK)}, not {family!r}")
        if norm not in ("batch", "none"):
            raise ValueError(f"norm is 'batch' or 'none', not {norm!r}")
        if gate and (bias or norm != "none"):
            raise ValueError("gate is for networks without biases and norm")
        if separable and not gate:
            raise ValueError("separable is for blocks with a gate")
        if coarse_gates and not (separable and len(coarse_gates) == coarse_blocks):
            raise ValueError(f"coarse_gates are for separable blocks, one for each of {coarse_blocks} coarse ones")
        if mean_of_pixels and family != "bayer":
            raise ValueError(f"mean_of_pixels is for Bayer, not {family}")
        if parities and not (separable and mean_of_pixels and pack in (None, PACK[family][1]) and not noise):
            raise ValueError("parities are for Bayer, with separable blocks, mean_of_pixels and no noise")
        if parities and any(n % PARITIES for n in (width, gate, coarse_width, *coarse_gates)):
            raise ValueError(f"parities are of as many channels each: widths and gates are multiples of {PARITIES}")
        self.cfa, usual = PACK[family]
        self.coding, self.pack, self.relative, self.takes_noise = coding, pack or usual, relative, noise
        self.mean_of_pixels, self.mean_of_colours = mean_of_pixels, mean_of_colours
        self.gate, self.separable, self.parities = gate, separable, parities
        self.tolerates_bf16 = not parities  # torch makes passes over memory of their sums, the compiled blocks do not
        self.multiple = math.lcm(self.cfa.period[0], self.pack * (2 if coarse_blocks else 1))
        # One cell for each 3x3 convolution (two for 5x5) and for the mean, and a pixel's way to the far side of its own
        # cell; twice as many for each on coarse cells, and a cell's way to the far side of its coarse one.
        beside = MEAN_CELLS // 2 + 1
        if mean_of_colours:
            beside = math.ceil((LIGHT_REACH + COLOUR_REACH + self.pack - 1) / self.pack)
        self.margin = ((2 - separable) * blocks * (kernel // 2) + 2 + beside) * self.pack + bool(tail_width)
        if coarse_blocks:
            self.margin += ((2 * (kernel // 2) if separable else 4) * coarse_blocks + 1) * self.pack
        channels = 3 * self.pack**2
        measured = _measured(self.cfa, self.pack)
        self.register_buffer("measured", measured, persistent=False)
        self.register_load_state_dict_pre_hook(_without_unmeasured)
        self.head = _conv(len(measured), width, bias)
        self.blocks = nn.ModuleList(
            _separable_block(width, kernel, gate, parities) if separable else _block(width, bias, norm, kernel, gate)
            for _ in range(blocks)
        )
        self.coarse = nn.ModuleList()
        if coarse_blocks:
            mixed = MixedByParity if parities else Mixed
            self.down, self.up = mixed(4 * width, coarse_width), mixed(coarse_width, 4 * width)
            self.coarse = nn.ModuleList(
                _separable_block(coarse_width, kernel, products, parities)
                if separable
                else _block(coarse_width, bias, norm)
                for products in coarse_gates or [coarse_width] * coarse_blocks
            )
        self.tail = _conv(width, tail_width * self.pack**2 or channels, bias)
        if tail_width:
            self.pixels = _conv(tail_width, 3, bias)
        self.linear = nn.Conv2d(len(measured), channels, 1, bias=False)
        if noise:
            self.noise = nn.Conv2d(3, width, 3, padding=1, bias=False)
            nn.init.zeros_(self.noise.weight)

    def forward(
        self, mosaic: torch.Tensor, masks: torch.Tensor, noise: torch.Tensor | None = None, inside: Region = None
    ) -> torch.Tensor:
        """noise: [B, 3, 2], read and shot noise of each colour (see `lincfa.models`), for a network that takes it; None
        stands for none. inside: what of the output is asked for, in pixels (see `lincfa.models`)."""
        coded = _power(mosaic, self.coding)
        local = self._local_mean(coded, masks) if self.relative else torch.zeros_like(coded)
        samples = F.pixel_unshuffle((coded - local) * masks, self.pack)[:, self.measured]
        features = self.head(samples)
        if self.takes_noise and noise is not None:
            features = features + self.noise(self._noise_map(mosaic, noise))
        half = len(self.blocks) // 2
        last = grown(_of_cells(inside, self.pack), 2 if hasattr(self, "pixels") else 1)
        middle = grown(last, _reach(self.blocks[half:]))
        if self.coarse:
            features = _through(self.blocks[:half], features, grown(middle, 2 * _reach(self.coarse) + 1))
            together, apart = (quads, of_quads) if self.parities else (_unshuffled, _shuffled)
            coarse = _through(self.coarse, self.down(together(features)), _of_cells(middle, 2))
            features = features + apart(self.up(coarse))
        else:
            features = _through(self.blocks[:half], features, middle)
        features = _through(self.blocks[half:], features, last)
        with torch.autocast(samples.device.type, enabled=False):  # what the residual is added to keeps its bits
            linear = self.linear(samples)
        if hasattr(self, "pixels"):
            residual = self.pixels(F.relu(F.pixel_shuffle(self.tail(features), self.pack)))
            rgb = local + residual + F.pixel_shuffle(linear, self.pack)
        else:
            rgb = local + F.pixel_shuffle(self.tail(features) + linear, self.pack)
        return _power(rgb, 1 / self.coding)

    def kernels_by_channels(self) -> list[tuple[nn.Parameter, str, str]]:
        """The kernels of cells of 2 x 2 or 3 x 3, with what their outputs and inputs are (lincfa.models.symmetry)."""
        features = "parities" if self.parities else "features"
        told = [(self.noise.weight, "features", "cells")] if self.takes_noise else []
        outer = [(self.head.weight, features, "measured"), (self.tail.weight, "samples", features)]
        outer += [(self.linear.weight, "samples", "measured"), *told]
        if self.parities:  # what mixes channels is symmetric as it is
            return outer + [(block[1].weight, "orientations", "own") for block in (*self.blocks, *self.coarse)]
        between = [(conv.weight, "features", "features") for block in self.blocks for conv in (block[0], block[-1])]
        own = [(block[1].weight, "features", "own") for block in self.blocks] if self.separable else []
        return outer + between + own

    def _local_mean(self, coded: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """[B, 1, H, W], or [B, 3, H, W] with mean_of_colours."""
        if self.mean_of_colours:
            own = _pixel_mean(coded * masks, LIGHT_REACH) / _pixel_mean(masks, LIGHT_REACH)
            light = (own * masks.mean((2, 3), keepdim=True)).sum(1, keepdim=True)
            return light + _pixel_mean(own - light, COLOUR_REACH)  # colours change more slowly than light
        return _pixel_mean(coded, 3) if self.mean_of_pixels else self._spread(self._cell_mean(coded))

    def _spread(self, cells: torch.Tensor) -> torch.Tensor:
        return F.interpolate(cells, scale_factor=self.pack, mode="nearest")

    def _cell_mean(self, samples: torch.Tensor) -> torch.Tensor:
        cells = F.avg_pool2d(samples, self.pack)
        return F.avg_pool2d(cells, MEAN_CELLS, 1, MEAN_CELLS // 2, count_include_pad=False)

    def _noise_map(self, mosaic: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """[B, 3, cells, cells]: what a standard deviation above the local mean adds to its code, for each colour."""
        mean = self._cell_mean(mosaic).clamp_min(0)
        read, shot = noise[..., None, None].unbind(2)
        deviation = torch.sqrt(read**2 + shot * mean)
        return (mean + deviation) ** self.coding - mean**self.coding


class Residual(nn.Sequential):
    """Layers, and what went into them added to what comes out. reach: cells to each side that an output depends on.
    region: of the output, what is asked for; all of it is made here, as torch would copy the part, and that part alone
    by `lincfa.models.cpu`."""

    def __init__(self, *layers: nn.Module):
        super().__init__(*layers)
        self.reach = sum(layer.kernel_size[0] // 2 for layer in layers if isinstance(layer, nn.Conv2d))

    def forward(self, features: torch.Tensor, region: Region = None) -> torch.Tensor:
        change = super().forward(features)
        return features + change if change.requires_grad else change.add_(features)


class Mixed(nn.Conv2d):
    """[B, C, H, W] -> [B, D, H, W]: a 1x1 convolution without a bias, which learns as a product of matrices: torch's
    convolutions take longer on one CPU core, and lincfa.runtime.products_in_bf16 is for products."""

    def __init__(self, c_in: int, c_out: int):
        super().__init__(c_in, c_out, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(features)
        return F.linear(features.permute(0, 2, 3, 1), self.weight.flatten(1)).permute(0, 3, 1, 2)


def _measured(cfa: CFA, pack: int) -> torch.Tensor:
    """Of the colours at a cell's photosites, in the order of `pixel_unshuffle`, those that the CFA sees in any cell."""
    side = math.lcm(cfa.period[0], pack)
    return F.pixel_unshuffle(batch_masks([cfa], side, side), pack).amax((0, 2, 3)).nonzero().flatten()


def _without_unmeasured(network: PackedNet, weights: dict, prefix: str, *_: object) -> None:
    """Take from older weights what they have for samples that are always 0."""
    for name in ("head", "linear"):
        key = f"{prefix}{name}.weight"
        if key in weights and weights[key].shape[1:2] == (3 * network.pack**2,):
            weights[key] = weights[key][:, network.measured.to(weights[key].device)]


def _pixel_mean(samples: torch.Tensor, reach: int) -> torch.Tensor:
    """Of 2 reach + 1 pixels squared, of which the outermost count half: each phase of Bayer alike."""
    means = F.pad(samples, (reach,) * 4, "reflect")
    for dim in (2, 3):  # sums of slices: by pooling it takes six times as long
        pairs = _neighbours(means, dim)
        boxes = sum(pairs.narrow(dim, 2 * n, samples.shape[dim] + 1) for n in range(reach))
        means = _neighbours(boxes, dim)
    return means / (4 * reach) ** 2


def _neighbours(image: torch.Tensor, dim: int) -> torch.Tensor:
    """Each pixel plus the next along dim, which gets 1 shorter."""
    n = image.shape[dim] - 1
    return image.narrow(dim, 0, n) + image.narrow(dim, 1, n)


def _block(width: int, bias: bool, norm: str, kernel: int = 3, gate: int = 0) -> Residual:
    return Residual(
        _conv(width, 2 * gate or width, bias, kernel),
        *([BatchNorm(width)] if norm == "batch" else []),
        Gate(gate) if gate else nn.ReLU(inplace=True),
        _conv(gate or width, width, bias, kernel),
    )


def _separable_block(width: int, kernel: int, gate: int, parities: bool) -> Residual:
    own, mixed = GatedDepthwise(gate, kernel, parities), MixedByParity if parities else Mixed
    with torch.no_grad():  # it begins near to letting its channel through
        own.weight *= 0.3
        own.weight[:, :, kernel // 2, kernel // 2] += 1
    return Residual(mixed(width, 2 * gate), own, mixed(gate, width))


def _through(blocks: nn.ModuleList, features: torch.Tensor, region: Region) -> torch.Tensor:
    """region: what of the last block's output is asked for."""
    for number, block in enumerate(blocks, 1):
        features = block(features, grown(region, _reach(blocks[number:])))
    return features


def _reach(blocks: nn.ModuleList) -> int:
    return sum(block.reach for block in blocks)


def grown(region: Region, by: int) -> Region:
    """With so many cells more to each side; it may end beyond the picture."""
    return region and tuple(slice(max(0, side.start - by), side.stop + by) for side in region)


def _of_cells(region: Region, side: int) -> Region:
    """The cells of so many a side that hold a region."""
    return region and tuple(slice(part.start // side, -(-part.stop // side)) for part in region)


def _unshuffled(features: torch.Tensor) -> torch.Tensor:
    return F.pixel_unshuffle(features, 2)


def _shuffled(features: torch.Tensor) -> torch.Tensor:
    return F.pixel_shuffle(features, 2)


def _conv(c_in: int, c_out: int, bias: bool, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, bias=bias)


def _power(x: torch.Tensor, exponent: float) -> torch.Tensor:
    """sign(x) |x|^exponent; the gradient at 0 is finite for exponents from 1."""
    if exponent == 1:
        return x
    if exponent == 2:
        return x * x.abs()
    return x.sign() * x.abs() ** exponent

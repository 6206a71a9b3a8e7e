"""A larger network that begins as a smaller one, so that training goes on instead of from the start."""

from __future__ import annotations

import torch
from torch import nn

from lincfa.models.denoising import DenoisingNet
from lincfa.models.packed import PackedNet
from lincfa.models.srgb import InSRGB


@torch.no_grad()
def grow(network: nn.Module, smaller: nn.Module) -> None:
    """Give network, whose weights are fresh, the weights of smaller: it then gives the same pictures.

    Both have the same parameters, of equal shape; or both are packed networks, and network has more channels, more
    blocks, twice the products in its gates (but those of separable blocks), or an input of noise that smaller lacks.
    Where smaller has coarse blocks it may have more of them, and only so many others that these stay halfway.
    What is new reads what is old, and not yet the other way: a new channel begins with its fresh weights and adds
    nothing to an old one, and a new block adds nothing at all. Only products are doubled by copies, as a gate's mean is
    over all of them. Of a denoising network it is the one that was trained on noise that goes on. mean_of_colours may
    be new: training has to make up for the pictures that it changes.
    Source: function-preserving growth, Chen et al. 2016 (Net2Net, arXiv:1511.05641); here new channels are not copies
    of old ones, so nothing has to break a symmetry.
    Raises ValueError where network cannot hold smaller.
    """
    if isinstance(network, InSRGB) and isinstance(smaller, InSRGB):
        network, smaller = network.network, smaller.network
    if isinstance(smaller, DenoisingNet):
        smaller = smaller.noisy
    own, given = network.state_dict(), smaller.state_dict()
    packed = isinstance(network, PackedNet) and isinstance(smaller, PackedNet)
    dense = packed and not (network.separable or smaller.separable)
    doubled = dense and network.gate == 2 * smaller.gate > 0 and len(network.blocks) >= len(smaller.blocks)
    if doubled:
        given = _with_products_twice(given, own)
    shapes_fit = all(
        key in own and _fits(own[key].shape, tensor.shape, packed and tensor.ndim == 4) for key, tensor in given.items()
    )
    alike = not packed or (
        _kind(network) == _kind(smaller)
        and (network.mean_of_colours or _means(network) == _means(smaller))
        and (doubled or network.gate == smaller.gate)
        and _coarse(network, smaller) == _coarse(smaller, smaller)
    )
    if not shapes_fit or not alike:
        raise ValueError("the network cannot hold the one that it is to start from")
    new_blocks = _new_blocks(network, smaller) if packed else {}
    for block in new_blocks.values():
        for parameter in block[-1].parameters():
            parameter.zero_()
    for key, tensor in own.items():
        if key in given:
            source = given[key]
            if tensor.ndim == 4:
                tensor[: len(source), source.shape[1] :] = 0
            tensor[tuple(slice(n) for n in source.shape)] = source
        elif tensor.any() and not key.startswith(tuple(new_blocks)):
            raise ValueError(f"the network to start from has no {key}")


def _new_blocks(network: PackedNet, smaller: PackedNet) -> dict[str, nn.Module]:
    """By what the names of their weights begin with."""
    new = {}
    for level in ("blocks", "coarse"):
        had = len(getattr(smaller, level))
        for number, block in enumerate(getattr(network, level)[had:], had):
            new[f"{level}.{number}."] = block
    return new


def _with_products_twice(given: dict, fresh: dict) -> dict:
    """A gated network's weights, each of its products there twice. What reads the copies is fresh, and what reads the
    products is less by as much: so the two do not learn the same."""
    twice = dict(given)
    for key, kernel in given.items():
        if key.startswith("blocks.") and key.endswith(".0.weight"):
            values, gates = kernel.chunk(2)
            twice[key] = torch.cat((values, values, gates, gates))
        elif key.startswith("blocks."):
            copies = fresh[key][: kernel.shape[0], kernel.shape[1] : 2 * kernel.shape[1]]
            twice[key] = torch.cat((kernel - copies, copies), 1)
    return twice


def _fits(own: torch.Size, given: torch.Size, may_grow: bool) -> bool:
    """Kernels never grow, channels may."""
    if own[2:] != given[2:] or len(own) != len(given):
        return False
    return own == given or (may_grow and own[0] >= given[0] and own[1] >= given[1])


def _kind(network: PackedNet) -> tuple:
    """What cannot change without changing the pictures."""
    return (
        network.cfa,
        network.coding,
        network.pack,
        network.relative,
        network.parities,
        network.head.bias is None,
    )


def _coarse(network: PackedNet, smaller: PackedNet) -> list[int]:
    """After how many blocks the coarse ones come, and how many products each has, of those that smaller has."""
    if not smaller.coarse:
        return []
    had = network.coarse[: len(smaller.coarse)] if network.separable else ()
    return [len(network.blocks) // 2, *(block[-1].in_channels for block in had)]


def _means(network: PackedNet) -> tuple[bool, bool]:
    return network.mean_of_pixels, network.mean_of_colours

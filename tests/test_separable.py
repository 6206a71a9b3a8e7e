"""Compiled separable blocks give torch's pictures."""

import copy

import numpy as np
import pytest
import torch

from lincfa.cfa import RGGB, batch_masks
from lincfa.infer import Demosaicer
from lincfa.models import build
from lincfa.models.cpu import for_cpu
from lincfa.models.packed import PackedNet
from lincfa.models.separable import SeparableBlock

SEPARABLE = {"gate": 8, "separable": True, "kernel": 5}
COARSE = {"coarse_blocks": 1, "coarse_width": 16}
PARITIES = {"family": "bayer", "mean_of_pixels": True, "width": 76, "gate": 64, "parities": True}
PARITIES |= {"coarse_blocks": 1, "coarse_width": 64}


def block(**options):
    torch.manual_seed(0)
    return PackedNet(**SEPARABLE | {"width": 16, "blocks": 1} | options).blocks[0]


def close(given, wanted):
    torch.testing.assert_close(given.double(), wanted.double(), rtol=0, atol=2e-6 * float(wanted.abs().max()))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (13, 64), (7, 65), (33, 130)], ids=str)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize("options", [{"width": 16}, PARITIES], ids=["", "parities"])
@torch.no_grad()
def test_a_block_is_the_one_that_it_stands_for(size, memory, options):
    """Of widths below, at and above its strips', by one thread and by several."""
    own, width = block(**options), options["width"]
    features = torch.randn(2, width, *size).contiguous(memory_format=memory)
    before = features.clone()
    wanted = copy.deepcopy(own).double()(features.double())
    threads = torch.get_num_threads()
    for count in (1, 3):
        torch.set_num_threads(count)
        try:
            close(SeparableBlock(own)(features), wanted)
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(features, before)


@pytest.mark.parametrize("region", [(slice(4, 9), slice(3, 70)), (slice(0, 2), slice(100, 101))], ids=str)
@torch.no_grad()
def test_a_block_makes_what_is_asked_for_and_zeros(region):
    own = SeparableBlock(block())
    features = torch.randn(1, 16, 12, 130)
    given = own(features, region)
    close(given[:, :, *region], own(features)[:, :, *region])
    given[:, :, *region] = 0
    assert not given.any()


@torch.no_grad()
def test_nothing_stays_nothing_and_powers_of_two_pass_through_exactly():
    """Exposure and grey depend on it: what is flat reaches the blocks as zeros."""
    own = SeparableBlock(block())
    features = torch.randn(1, 16, 20, 20)
    assert not own(torch.zeros_like(features)).any()
    assert torch.equal(own(features * 2.0**-12), own(features) * 2.0**-12)


@pytest.mark.parametrize(
    "options", [{"family": "bayer"}, {"family": "xtrans"}, {"family": "bayer"} | COARSE, PARITIES], ids=str
)
@torch.no_grad()
def test_a_network_gives_the_same_pictures_and_stays_what_it_was(options):
    torch.manual_seed(0)
    network = build("packed", **{"width": 16, "blocks": 2, "coding": 0.5} | SEPARABLE | options).eval()
    before = copy.deepcopy(network.state_dict())
    mosaic, masks = torch.rand(1, 1, 48, 60), torch.from_numpy(network.cfa.masks(48, 60))[None]
    fast = for_cpu(network)
    blocks = 2 + options.get("coarse_blocks", 0)
    assert sum(isinstance(part, SeparableBlock) for part in fast.modules()) == blocks
    torch.testing.assert_close(fast(mosaic, masks), network(mosaic, masks), rtol=0, atol=2e-5)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize("options", [{"kernel": 3}, {"width": 18}, {"gate": 6}, PARITIES | {"gate": 60}], ids=str)
def test_other_blocks_stay_torchs(options):
    network = PackedNet(**{"width": 16, "blocks": 1} | SEPARABLE | options)
    assert not any(isinstance(part, SeparableBlock) for part in for_cpu(network).blocks)


@pytest.mark.parametrize("coarse", [{}, COARSE], ids=["", "coarse"])
def test_tiles_give_what_the_whole_frame_gives(coarse):
    torch.manual_seed(0)
    network = build("packed", family="bayer", width=16, blocks=2, coding=0.5, **SEPARABLE | coarse)
    mosaic = np.random.default_rng(0).random((190, 210), np.float32)
    whole, tiled = (Demosaicer(network, precision="fp32", tile_px=px)(mosaic, RGGB) for px in (400, 60))
    assert np.abs(whole - tiled).max() < 1e-5 * np.abs(whole).max()


def test_a_separable_network_that_learns_gives_the_same_pictures():
    """Its 1x1 convolutions are products of matrices then."""
    torch.manual_seed(0)
    net = build("packed", family="bayer", width=8, blocks=2, **SEPARABLE)
    mosaic, masks = torch.rand(2, 1, 24, 24), batch_masks([RGGB, RGGB], 24, 24)
    learning, done = net.train()(mosaic, masks), net.eval()(mosaic, masks)
    assert learning.requires_grad
    torch.testing.assert_close(learning, done)

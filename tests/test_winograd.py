import copy
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lincfa.cfa import XTRANS
from lincfa.infer import Demosaicer
from lincfa.models import build
from lincfa.models.cpu import for_cpu
from lincfa.models.packed import PackedNet
from lincfa.models.winograd import LEAST_CHANNELS, MOST_CHANNELS, OUT, Convolution, GatedBlock

ROUNDING = 2e-5
"""Of the largest value: the transforms add values of up to 8 times the outputs' in float32 (7 to 8 digits)."""


def convolution(taken, given, **options):
    return nn.Conv2d(taken, given, 3, **{"padding": 1, "bias": False} | options)


def close(given, wanted):
    torch.testing.assert_close(given.double(), wanted.double(), rtol=0, atol=ROUNDING * float(wanted.abs().max()))


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (4, 4), (5, 6), (13, 7), (33, 50)])
@pytest.mark.parametrize("channels", [(1, 1), (3, 64), (27, 20), (40, 27)])
@torch.no_grad()
def test_it_is_the_convolution_that_it_stands_for(size, channels):
    torch.manual_seed(0)
    whole = convolution(*channels)
    features = torch.randn(2, channels[0], *size)
    close(Convolution(whole)(features), F.conv2d(features.double(), whole.weight.double(), padding=1))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_a_gated_block_is_the_block_that_it_stands_for(memory):
    torch.manual_seed(0)
    block = PackedNet(width=24, blocks=1, gate=20).blocks[0]
    features = torch.randn(2, 24, 19, 22).contiguous(memory_format=memory)
    close(GatedBlock(block)(features.clone()), block.double()(features.double()))


@pytest.mark.parametrize(
    "kind",
    [
        {"family": "xtrans", "gate": 20},
        {"family": "bayer", "gate": 16, "mean_of_pixels": True},
        {"family": "bayer", "gate": 16, "mean_of_colours": True},
        {"family": "xtrans"},
        {"family": "xtrans", "coarse_blocks": 1, "coarse_width": 16},
        {"family": "bayer", "tail_width": 4},
    ],
    ids=str,
)
@torch.no_grad()
def test_a_network_gives_the_same_pictures_and_stays_what_it_was(kind):
    torch.manual_seed(0)
    network = build("packed", width=16, blocks=2, coding=0.5, **kind).eval()
    before = copy.deepcopy(network)
    mosaic, masks = torch.rand(1, 1, 48, 60), torch.from_numpy(network.cfa.masks(48, 60))[None]
    wanted = network(mosaic, masks)
    fast = for_cpu(network)
    close(fast(mosaic, masks), wanted)
    assert any(isinstance(part, Convolution | GatedBlock) for part in fast.modules())
    assert str(network) == str(before)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), before.parameters(), strict=True))


@pytest.mark.parametrize("region", [(slice(4, 9), slice(3, 23)), (slice(0, 2), slice(20, 21))], ids=str)
@torch.no_grad()
def test_a_gated_block_makes_what_is_asked_for_and_little_more(region):
    """Whatever its memory holds beforehand: what it makes is of its input alone."""
    torch.manual_seed(0)
    block = PackedNet(width=24, blocks=1, gate=20).blocks[0]
    features = torch.randn(1, 24, 19, 31).contiguous(memory_format=torch.channels_last)
    given, wanted = GatedBlock(block)(features.clone(), region), GatedBlock(block)(features.clone())
    close(given[:, :, *region], wanted[:, :, *region])
    made = (given != features).any(1)[0].nonzero()
    for axis, side in enumerate(region):
        assert side.start <= made[:, axis].min() <= made[:, axis].max() < side.stop + OUT


@pytest.mark.parametrize(
    "kind",
    [
        {"family": "xtrans", "gate": 20},
        {"family": "xtrans", "gate": 20, "coarse_blocks": 1, "coarse_width": 16},
        {"family": "bayer", "gate": 16, "mean_of_colours": True, "tail_width": 4},
        {"family": "bayer", "gate": 16, "separable": True, "kernel": 5, "coarse_blocks": 2, "coarse_width": 12},
        {"family": "xtrans"},
    ],
    ids=str,
)
@torch.no_grad()
def test_what_is_asked_for_of_a_picture_is_as_in_the_whole(kind):
    torch.manual_seed(0)
    network = for_cpu(build("packed", width=16, blocks=3, coding=0.5, **kind).eval())
    mosaic, masks = torch.rand(1, 1, 120, 132), torch.from_numpy(network.cfa.masks(120, 132))[None]
    whole = network(mosaic, masks)
    for inside in [(slice(47, 72), slice(50, 91)), (slice(0, 40), slice(60, 132)), (slice(119, 120), slice(0, 1))]:
        close(network(mosaic, masks, inside=inside)[:, :, *inside], whole[:, :, *inside])


@pytest.mark.parametrize(
    "part",
    [
        convolution(16, 16, bias=True),
        convolution(16, 16, stride=2),
        convolution(16, 16, dilation=2),
        convolution(16, 16, groups=2),
        convolution(16, 16, padding=0),
        convolution(16, 16, padding_mode="reflect"),
        convolution(16, MOST_CHANNELS + 1),
        nn.Conv2d(16, 16, 5, padding=2, bias=False),
        convolution(LEAST_CHANNELS - 1, 64),
        convolution(64, LEAST_CHANNELS - 1),
    ],
    ids=str,
)
def test_other_convolutions_are_left_as_they_are(part):
    network = nn.Sequential(part)
    assert for_cpu(network) is network


@torch.no_grad()
def test_nothing_stays_nothing_and_powers_of_two_pass_through_exactly():
    """Exposure and grey depend on it: what is flat reaches the convolutions as zeros."""
    torch.manual_seed(0)
    whole = Convolution(convolution(27, 32))
    features = torch.randn(1, 27, 30, 30)
    assert not whole(torch.zeros_like(features)).any()
    assert torch.equal(whole(features * 2.0**-12), whole(features) * 2.0**-12)


@torch.no_grad()
def test_calls_from_several_threads_do_not_disturb_each_other_and_later_threads_are_not_slowed():
    torch.manual_seed(0)
    whole = Convolution(convolution(16, 16))
    several = [torch.randn(1, 16, 40, 44) for _ in range(6)]
    wanted = [whole(features) for features in several]
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(3) as pool:
        given = list(pool.map(whole, several))
        assert pool.submit(torch.get_num_threads).result() == threads
    for a, b in zip(given, wanted, strict=True):
        assert torch.equal(a, b)
    assert torch.get_num_threads() == threads


def _in_a_fork(answers):
    answers.put(float(Convolution(convolution(4, 4))(torch.zeros(1, 4, 8, 8)).detach().sum()))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_a_forked_process_computes_as_well():
    Convolution(convolution(4, 4))(torch.zeros(1, 4, 8, 8))  # so that the parent's threads are there
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    process = context.Process(target=_in_a_fork, args=(answers,))
    process.start()
    assert answers.get(timeout=60) == 0
    process.join()


def test_frames_are_demosaiced_with_it_in_float32_only():
    network = build("packed", family="xtrans", width=16, blocks=1, gate=16, coding=0.5)
    kinds = {p: {type(m) for m in Demosaicer(network, precision=p).network.modules()} for p in ("fp32", "bf16")}
    assert GatedBlock in kinds["fp32"]
    assert GatedBlock not in kinds["bf16"]
    mosaic = np.random.default_rng(0).random((50, 70), np.float32)
    fast, slow = (Demosaicer(network, precision="fp32") for _ in range(2))
    slow.network = network
    given, wanted = fast(mosaic, XTRANS), slow(mosaic, XTRANS)
    assert 0 < np.abs(given - wanted).max() < ROUNDING * np.abs(wanted).max()

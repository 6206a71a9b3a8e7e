import os
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lincfa.cfa import RGGB, XTRANS
from lincfa.data.torture import torture_scene
from lincfa.infer import Demosaicer
from lincfa.models import build
from lincfa.models.packed import PackedNet

PHASES = [pytest.param(cfa, id=f"{cfa.family}{cfa.phase}") for cfa in (*XTRANS.phases, *RGGB.phases)]


class MeanOfNeighbours(nn.Module):
    """Each colour is the mean of its samples within 3 px that the network is shown; zeros beyond what it is shown.

    It makes a constant frame constant if and only if masks and mosaic agree and every window holds real samples. What
    is not asked for is not a number.
    """

    cfa, multiple, margin, takes_noise = None, 8, 3, False

    def __init__(self):
        super().__init__()
        self.register_buffer("box", torch.ones(3, 1, 7, 7))

    def forward(self, mosaic, masks, inside=None):
        assert all(n % self.multiple == 0 for n in mosaic.shape[2:])
        samples, counts = (F.conv2d(x, self.box, padding=3, groups=3) for x in (mosaic * masks, masks))
        means = torch.full_like(samples, torch.nan)
        asked = (..., *(inside or ()))
        means[asked] = (samples / counts)[asked]
        return means


def unet(norm="none"):
    torch.manual_seed(0)
    network = build("unet", width=2, norm=norm)
    if norm == "batch":  # statistics that are not the trivial ones
        network.train()
        network(torch.rand(2, 1, 64, 64), torch.rand(2, 3, 64, 64))
    return network


def packed():
    torch.manual_seed(3)
    return build("packed", width=16, blocks=2)


def scene(height, width):
    return torture_scene(2, max(height, width))[:height, :width]


def test_a_tiled_frame_equals_the_whole_one():
    """Weights that are not negative let every level of the network speak, with random ones the deepest whispers.

    Nothing cancels then, so the tolerance is that of sums in another order, for convolutions of another size.
    """
    network, cfa = unet(), XTRANS.shift(2, 1)
    with torch.no_grad():
        for p in network.parameters():
            p.abs_()
    mosaic = cfa.mosaic(scene(330, 290))
    whole = Demosaicer(network, tile_px=4096)(mosaic, cfa)
    np.testing.assert_allclose(Demosaicer(network, tile_px=64)(mosaic, cfa), whole, rtol=1e-5)
    network.margin = 48  # too little: the tiles must then show, or this test sees nothing
    assert (np.abs(Demosaicer(network, tile_px=64)(mosaic, cfa) - whole) / whole).max() > 1e-4


@pytest.mark.parametrize("cfa", PHASES)
def test_a_constant_frame_stays_constant_up_to_the_border(cfa):
    colour, balance = np.array([0.11, 0.42, 0.23], np.float32), np.array([1.9, 1.0, 1.4])
    mosaic = cfa.per_photosite(colour, 45, 38)
    rgb = Demosaicer(MeanOfNeighbours(), tile_px=16)(mosaic, cfa, balance)
    np.testing.assert_allclose(rgb, np.broadcast_to(colour, (45, 38, 3)), rtol=2e-6)


def test_a_wrong_phase_would_not_keep_a_constant_frame():
    mosaic = XTRANS.per_photosite(np.array([0.11, 0.42, 0.23], np.float32), 45, 38)
    rgb = Demosaicer(MeanOfNeighbours())(mosaic, XTRANS.shift(1, 0))
    assert np.abs(rgb - [0.11, 0.42, 0.23]).max() > 0.05


@pytest.mark.parametrize("stops", [-6, -1, 3])
def test_a_frame_that_is_scaled_by_whole_stops_scales_its_output_exactly(stops):
    mosaic = XTRANS.mosaic(scene(50, 61))
    demosaic, factor = Demosaicer(unet("batch")), np.float32(2.0**stops)
    balance = (1.7, 1.0, 1.3)
    np.testing.assert_array_equal(
        demosaic(mosaic * factor, XTRANS, balance), demosaic(mosaic, XTRANS, balance) * factor
    )


def test_the_network_sees_balanced_samples_and_the_output_is_unbalanced_again():
    rgb, balance = scene(48, 60), np.array([2.0, 1.0, 0.5])  # powers of two: nothing is rounded
    demosaic = Demosaicer(unet())
    grey = demosaic(XTRANS.mosaic(rgb), XTRANS)
    tinted = demosaic(XTRANS.mosaic((rgb / balance).astype(np.float32)), XTRANS, balance)
    np.testing.assert_array_equal(tinted * balance, grey)


@pytest.mark.parametrize("shape", [(6, 6), (7, 101), (97, 33), (64, 64)])
def test_any_size_from_a_period_up_keeps_its_size(shape):
    rgb = Demosaicer(unet(), tile_px=32)(np.full(shape, 0.2, np.float32), XTRANS)
    assert rgb.shape == (*shape, 3)
    assert rgb.dtype == np.float32
    assert np.isfinite(rgb).all()


def test_values_below_black_and_above_white_pass():
    """A flat frame with a little colour of each kind: the stand-in returns its levels as they are."""
    colour = np.array([-0.02, 3.5, 0.4], np.float32)
    rgb = Demosaicer(MeanOfNeighbours())(XTRANS.per_photosite(colour, 40, 40), XTRANS)
    np.testing.assert_allclose(rgb, np.broadcast_to(colour, rgb.shape), rtol=2e-6)


@pytest.mark.parametrize("level", [0.0, -0.01])
def test_a_frame_without_light_gives_what_it_holds(level):
    rgb = Demosaicer(MeanOfNeighbours())(np.full((24, 24), level, np.float32), XTRANS)
    np.testing.assert_allclose(rgb, level, rtol=2e-6)


@pytest.mark.parametrize(
    ("mosaic", "said"),
    [
        (np.zeros((8, 8, 3)), r"finite \[H, W\]"),
        (np.full((8, 8), np.nan), r"finite \[H, W\]"),
        (np.full((8, 8), np.inf), r"finite \[H, W\]"),
        (np.zeros((5, 40)), "padded in phase"),
    ],
)
def test_what_is_no_mosaic_is_refused(mosaic, said):
    with pytest.raises(ValueError, match=said):
        Demosaicer(MeanOfNeighbours())(mosaic, XTRANS)


def test_a_white_balance_that_is_no_three_positive_numbers_is_refused():
    for balance in ((1, 0, 1), (1, -2, 1), (np.nan, 1, 1), (1, 1, 1, 1)):
        with pytest.raises(ValueError, match="three positive"):
            Demosaicer(MeanOfNeighbours())(np.ones((40, 40), np.float32), XTRANS, balance)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tile_px", [1, 50, 123])
def test_tiles_of_a_packed_network_equal_the_whole_frame_in_any_precision(precision, tile_px):
    """One pixel: the margin is far larger than the tile."""
    network, cfa = packed(), XTRANS.shift(1, 2)
    mosaic = cfa.mosaic(scene(9, 14) if tile_px == 1 else scene(190, 230))
    whole = Demosaicer(network, precision=precision, tile_px=4096)(mosaic, cfa, (2.1, 1, 1.4))
    tiled = Demosaicer(network, precision=precision, tile_px=tile_px)(mosaic, cfa, (2.1, 1, 1.4))
    assert np.abs(tiled - whole).max() <= 1e-5


def test_bf16_rounds_and_no_more():
    """Eight bits of mantissa: a few thousandths of what the convolutions add, and nothing where they add nothing."""
    mosaic, cfa = XTRANS.mosaic(scene(120, 150)), XTRANS
    exact, rounded = (Demosaicer(packed(), precision=p)(mosaic, cfa) for p in ("fp32", "bf16"))
    assert 0 < np.abs(rounded - exact).max() < 0.02 * np.abs(exact).max()
    grey = Demosaicer(packed(), precision="bf16")(np.full((40, 50), 0.18, np.float32), cfa)
    np.testing.assert_allclose(grey, 0.18, rtol=1e-6)


def test_auto_rounds_only_networks_that_do_not_mind():
    network = packed()
    network.tolerates_bf16 = False
    assert Demosaicer(network).precision == "fp32"
    network.tolerates_bf16 = True
    has = torch.cpu.get_capabilities()
    assert Demosaicer(network).precision == ("bf16" if has.get("avx512_bf16") or has.get("amx_bf16") else "fp32")
    with pytest.raises(ValueError, match="fp32, bf16, fp16, not 'int8'"):
        Demosaicer(network, precision="int8")


@pytest.mark.parametrize("cfa", [XTRANS.shift(2, 1), RGGB.shift(0, 1)], ids=["xtrans", "bayer"])
def test_samples_that_are_kept_are_the_mosaic_and_the_rest_is_as_without(cfa):
    network, balance = unet(), (1.9, 1.0, 1.4)
    mosaic = cfa.mosaic(scene(80, 70))
    plain, kept = (Demosaicer(network, tile_px=33, keep_samples=k)(mosaic, cfa, balance) for k in (False, True))
    np.testing.assert_array_equal(cfa.mosaic(kept), mosaic)
    others = cfa.masks(*mosaic.shape).transpose(1, 2, 0) == 0
    np.testing.assert_array_equal(kept[others], plain[others])
    assert (cfa.mosaic(plain) != mosaic).any()


def test_progress_is_told_after_each_tile():
    told = []
    mosaic = np.full((90, 100), 0.2, np.float32)
    Demosaicer(MeanOfNeighbours(), tile_px=40)(mosaic, XTRANS, progress=lambda *step: told.append(step))
    assert told == [(n, len(told)) for n in range(1, len(told) + 1)]
    assert len(told) > 4


def test_an_error_in_progress_stops_the_work():
    def stop(done, total):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Demosaicer(MeanOfNeighbours())(np.ones((40, 40), np.float32), XTRANS, progress=stop)


def test_one_demosaicer_serves_several_threads():
    demosaic = Demosaicer(packed(), precision="bf16", tile_px=60)
    cfas = [XTRANS.shift(k, 2 * k) for k in range(6)]
    jobs = [(cfa.mosaic(scene(100 + 7 * k, 120) * (k + 1)), cfa) for k, cfa in enumerate(cfas)]
    alone = [demosaic(*job) for job in jobs]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda job: demosaic(*job), jobs))
    for expected, rgb in zip(alone, together, strict=True):
        np.testing.assert_array_equal(rgb, expected)


@pytest.mark.parametrize("keep_samples", [False, True])
def test_a_large_frame_needs_its_output_and_a_tile(keep_samples):
    """Arrays of numpy only; what torch holds is of the size of a tile, as it is made from them."""
    mosaic = np.full((2400, 600), 0.2, np.float32)
    demosaic = Demosaicer(MeanOfNeighbours(), tile_px=100, keep_samples=keep_samples)
    tracemalloc.start()
    try:
        rgb = demosaic(mosaic, XTRANS, (2.0, 1.0, 1.5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - rgb.nbytes < 0.3 * mosaic.nbytes


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="this system has no huge pages to ask for"
)
def test_memory_of_a_tiles_size_is_asked_for_in_huge_pages():
    """In a process of its own, as torch decides once; the kernel lists the wish as `hg` of the memory's mapping."""
    program = """
import lincfa, torch
memory, here = torch.zeros(16 << 20), False
for line in open("/proc/self/smaps"):
    first, *rest = line.split()
    if not first.endswith(":"):
        start, end = (int(number, 16) for number in first.split("-"))
        here = start <= memory.data_ptr() < end
    elif here and first == "VmFlags:":
        print(*rest)
"""
    own = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    done = subprocess.run([sys.executable, "-c", program], env=own, capture_output=True, text=True, check=True)
    assert "hg" in done.stdout.split()


def test_a_tile_is_smaller_for_a_network_that_needs_more_memory():
    sides = [Demosaicer(build("packed", width=width, blocks=1), precision="fp32").tile_px for width in (16, 64, 256)]
    assert sides == sorted(sides, reverse=True)
    assert 200 < sides[-1] < sides[0] < 2000


def test_noise_reaches_the_network_on_the_scale_of_its_samples():
    """The deviation that the network computes is that of the noise in what it gets, colour by colour."""
    seen = {}

    class Listener(PackedNet):
        def forward(self, mosaic, masks, noise=None, inside=None):
            seen.update(mosaic=mosaic, masks=masks, noise=noise)
            return super().forward(mosaic, masks, noise, inside)

    demosaicer = Demosaicer(Listener(width=4, blocks=0, noise=True), tile_px=600)
    level, read, shot, balance = np.array([0.1, 0.2, 0.05]), 0.003, 0.002, np.array([2.0, 1.0, 4.0])
    rng = np.random.default_rng(0)
    flat = XTRANS.mosaic(np.broadcast_to(level, (240, 240, 3)))
    mosaic = flat + rng.normal(0, 1, flat.shape) * np.sqrt(read**2 + shot * flat)
    demosaicer(mosaic.astype(np.float32), XTRANS, balance, noise=(read, shot))
    read_c, shot_c = seen["noise"][0].T.numpy()
    for c in range(3):
        samples = seen["mosaic"][0, 0][seen["masks"][0, c] > 0].numpy()
        assert samples.std() == pytest.approx(np.sqrt(read_c[c] ** 2 + shot_c[c] * samples.mean()), rel=0.03)


def test_no_strength_or_no_noise_is_the_clean_answer_and_a_deaf_network_refuses():
    torch.manual_seed(0)
    network = PackedNet(width=4, blocks=1, noise=True)
    torch.nn.init.normal_(network.noise.weight)
    demosaicer, mosaic = Demosaicer(network), np.random.default_rng(0).random((60, 60), np.float32)
    clean = demosaicer(mosaic, XTRANS)
    assert np.array_equal(demosaicer(mosaic, XTRANS, noise=(0.01, 0.01), strength=0.0), clean)
    half, full = (demosaicer(mosaic, XTRANS, noise=(0.01, 0.01), strength=s) for s in (0.5, 1.0))
    assert not np.allclose(half, clean, atol=1e-4)
    assert not np.allclose(half, full, atol=1e-4)
    with pytest.raises(ValueError, match="not told of noise"):
        Demosaicer(PackedNet(width=4, blocks=1))(mosaic, XTRANS, noise=(0.01, 0.0))
    with pytest.raises(ValueError, match="not negative"):
        demosaicer(mosaic, XTRANS, noise=(-0.01, 0.0))

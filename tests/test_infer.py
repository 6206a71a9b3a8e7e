import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lincfa.cfa import RGGB, XTRANS
from lincfa.data.torture import torture_scene
from lincfa.infer import Demosaicer
from lincfa.models import build

PHASES = [pytest.param(cfa, id=f"{cfa.family}{cfa.phase}") for cfa in (*XTRANS.phases, *RGGB.phases)]


class MeanOfNeighbours(nn.Module):
    """Each colour is the mean of its samples within 3 px that the network is shown; zeros beyond what it is shown.

    It makes a constant frame constant if and only if masks and mosaic agree and every window holds real samples.
    """

    cfa, multiple, margin = None, 8, 3

    def __init__(self):
        super().__init__()
        self.register_buffer("box", torch.ones(3, 1, 7, 7))

    def forward(self, mosaic, masks):
        assert all(n % self.multiple == 0 for n in mosaic.shape[2:])
        samples, counts = (F.conv2d(x, self.box, padding=3, groups=3) for x in (mosaic * masks, masks))
        return samples / counts


def unet(norm="none"):
    torch.manual_seed(0)
    network = build("unet", width=2, norm=norm)
    if norm == "batch":  # statistics that are not the trivial ones
        network.train()
        network(torch.rand(2, 1, 64, 64), torch.rand(2, 3, 64, 64))
    return network


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

"""Networks whose kernels are kept symmetric: the picture of a changed mosaic is the changed picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import in_one_phase, tiny_config

from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import load_weights
from lincfa.data.torture import torture_scene
from lincfa.infer import Demosaicer
from lincfa.models import build
from lincfa.models.growth import grow
from lincfa.models.symmetry import Symmetry
from lincfa.train import train
from lincfa.trainconfig import TrainingError

GATED = {"gate": 4}
SEPARABLE = GATED | {"separable": True, "kernel": 5}
XTRANS_SHAPES = {"plain": {}, "colours": {"mean_of_colours": True}, "gated": GATED, "separable": SEPARABLE}
PARITIES = {"family": "bayer", "mean_of_pixels": True, "parities": True} | SEPARABLE
COARSE = PARITIES | {"coarse_blocks": 2, "coarse_width": 8, "coarse_gates": (4, 8)}
BAYER_SHAPES = {"one level": PARITIES, "coarse blocks": COARSE}
SIDE = 84


def network(symmetric=True, seed=0, **shape):
    torch.manual_seed(seed)
    net = build("packed", **{"width": 8, "blocks": 2, "coding": 0.5, **shape})
    if symmetric:
        Symmetry(net).begin()
    return net


def change_by_turning(net, turns, **noise):
    """The largest difference between the turned picture and the picture of the turned mosaic, away from the border."""
    mosaic = XTRANS.mosaic(torture_scene(4, SIDE))
    turned = XTRANS.dihedral(turns, *mosaic.shape)
    return change(net, XTRANS, lambda image: np.rot90(image, turns), turned, mosaic, **noise)


def change(net, cfa, act, acted_cfa, mosaic, **noise):
    demosaicer, inner = Demosaicer(net, precision="fp32"), slice(net.margin, -net.margin)
    straight = demosaicer(mosaic, cfa, **noise)
    acted = demosaicer(act(mosaic).copy(), acted_cfa, **noise)
    return np.abs(act(straight) - acted)[inner, inner].max()


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("shape", XTRANS_SHAPES)
def test_a_turned_mosaic_gives_the_turned_picture_and_only_of_symmetric_kernels(shape, turns):
    assert change_by_turning(network(**XTRANS_SHAPES[shape]), turns) < 1e-5
    assert change_by_turning(network(**XTRANS_SHAPES[shape], symmetric=False), turns) > 1e-2


def transposed(image):
    return image.swapaxes(0, 1)


def exchanged(image):
    turned = image[::-1, ::-1]
    return turned[..., ::-1] if image.ndim == 3 else turned


@pytest.mark.parametrize("shape", BAYER_SHAPES)
@pytest.mark.parametrize("act", [transposed, exchanged, lambda image: exchanged(transposed(image))])
def test_a_bayer_mosaic_transposed_or_turned_with_red_as_blue_gives_the_picture_so(shape, act):
    mosaic = RGGB.mosaic(torture_scene(4, 2 * SIDE))
    assert np.array_equal(RGGB.mosaic(act(torture_scene(4, 2 * SIDE))), act(mosaic)), "RGGB stays RGGB"
    assert change(network(**BAYER_SHAPES[shape]), RGGB, act, RGGB, mosaic) < 1e-5
    assert change(network(**BAYER_SHAPES[shape], symmetric=False), RGGB, act, RGGB, mosaic) > 1e-2


def test_a_network_that_is_told_of_noise_is_symmetric_in_it_too():
    net = network(noise=True)
    torch.nn.init.normal_(net.noise.weight)
    assert change_by_turning(net, 1, noise=(0.01, 0.01)) > 1e-3
    Symmetry(net).of_weights()
    assert change_by_turning(net, 1, noise=(0.01, 0.01)) < 1e-5


@pytest.mark.parametrize("shape", [*XTRANS_SHAPES.values(), *BAYER_SHAPES.values()])
def test_the_symmetric_part_is_a_projection(shape):
    """What it takes away is orthogonal to what it leaves, of which it takes nothing more."""
    net = network(**shape, symmetric=False)
    symmetry = Symmetry(net)
    for kernel, outputs, inputs in net.kernels_by_channels():
        part = symmetry._part(kernel.detach(), outputs, inputs)
        torch.testing.assert_close(symmetry._part(part, outputs, inputs), part)
        assert 0 < (part * kernel).sum().item() == pytest.approx(part.square().sum().item(), rel=1e-4)


def test_beginning_leaves_the_size_of_kernels_as_it_was():
    before, after = network(symmetric=False), network()
    for a, b in zip(before.parameters(), after.parameters(), strict=True):
        assert b.norm().item() == pytest.approx(a.norm().item(), rel=1e-5)
        assert not torch.allclose(a, b)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"bias": True},
        {"norm": "batch"},
        {"coarse_blocks": 1},
        {"tail_width": 4},
        {"width": 6},
        {"gate": 6},
        {"family": "bayer"},
        {"family": "bayer", "mean_of_pixels": True, "noise": True},
        {"pack": 6},
    ],
)
def test_networks_that_cannot_be_symmetric_are_refused(kwargs):
    with pytest.raises(ValueError, match="symmetric"):
        Symmetry(build("packed", **{"width": 8, "blocks": 1, **kwargs}))
    with pytest.raises(ValueError, match="symmetric is for packed networks"):
        Symmetry(build("unet", width=2))


def test_means_of_pixels_are_for_bayer():
    with pytest.raises(ValueError, match="mean_of_pixels is for Bayer"):
        build("packed", family="xtrans", mean_of_pixels=True)


@pytest.mark.parametrize("gates", [(0, 0), (4, 4), (4, 8)])
def test_a_network_grown_from_a_symmetric_one_is_symmetric(gates):
    small, large = network(gate=gates[0]), network(width=12, blocks=2, seed=1, gate=gates[1])
    grow(large, small)
    Symmetry(large).check()
    assert change_by_turning(large, 1) < 1e-5


MODEL = {"name": "packed", "width": 4, "blocks": 1, "coding": 0.5}


def symmetric_config(data, **changes):
    config = tiny_config(data, model=MODEL, symmetric=True, precision="bf16", channels_last=True, **changes)
    return replace(in_one_phase(config), optim=replace(config.optim, lr=1e-2, muon=("head", "blocks", "tail")))


def test_training_keeps_a_network_symmetric(tiny_data, tmp_path):
    train(symmetric_config(tiny_data), tmp_path)
    trained, begun = load_weights(tmp_path / "checkpoints/tiny/best.pt").network, network(width=4)
    assert change_by_turning(trained, 1) < 1e-4
    assert not torch.allclose(trained.head.weight, begun.head.weight, atol=1e-3)


def test_training_goes_on_from_symmetric_weights_and_refuses_others(tiny_data, tmp_path):
    config = symmetric_config(tiny_data, steps=3)
    train(config, tmp_path)
    first, plain = (str(tmp_path / "checkpoints" / name / "best.pt") for name in ("tiny", "plain"))
    train(replace(config, name="next", checkpoint_folder="next", start_from=first), tmp_path)
    train(replace(config, name="plain", checkpoint_folder="plain", symmetric=False, start_from=first), tmp_path)
    with pytest.raises(TrainingError, match=r"plain/best\.pt.*not symmetric"):
        train(replace(config, name="no", checkpoint_folder="no", start_from=plain), tmp_path)
    with pytest.raises(TrainingError, match="tiny: symmetric is for packed networks"):
        train(tiny_config(tiny_data, symmetric=True), tmp_path)


@pytest.mark.parametrize("name", ["xtrans-s", "xtrans-l", "bayer-s"])
def test_released_networks_are_symmetric(name):
    Symmetry(load_weights(name).network).check()

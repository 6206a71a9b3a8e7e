import pytest
import torch

from lincfa.cfa import XTRANS, batch_masks, batch_mosaic
from lincfa.models import build
from lincfa.models.growth import grow

SMALL = {"name": "packed", "width": 6, "blocks": 2, "coding": 0.5}


def inputs(side=36):
    truth = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(3))
    masks = batch_masks([XTRANS] * 2, side, side, "cpu")
    return batch_mosaic(truth, masks), masks


@pytest.mark.parametrize("gate", [0, 3])
@pytest.mark.parametrize("larger", [{"width": 9}, {"blocks": 4}, {"width": 8, "blocks": 3, "noise": True}, {}])
def test_a_grown_network_gives_the_pictures_of_the_smaller(larger, gate):
    torch.manual_seed(1)
    small = SMALL | {"gate": gate}
    smaller, network = build(**small), build(**(small | larger))
    with torch.no_grad():
        before = network(*inputs())
        grow(network, smaller)
        expected = smaller(*inputs())
        torch.testing.assert_close(network(*inputs()), expected, atol=1e-5, rtol=1e-5)
    if larger:
        assert not torch.allclose(before, expected, atol=1e-3)


def test_after_one_step_every_new_weight_has_moved_or_can_move():
    """New channels read the old at once; what reads them has a gradient at once, and they have one a step later."""
    torch.manual_seed(1)
    smaller, network = build(**SMALL), build(**(SMALL | {"width": 9, "blocks": 3}))
    grow(network, smaller)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    for _ in range(2):
        optimizer.zero_grad()
        network(*inputs()).square().mean().backward()
        optimizer.step()
    for name, parameter in network.named_parameters():
        assert (parameter.grad != 0).flatten(1).any(1).all(), name


@pytest.mark.parametrize(
    "other",
    [
        {"width": 5},
        {"blocks": 1},
        {"coding": 1.0},
        {"pack": 6},
        {"family": "bayer", "pack": 3},
        {"relative": False},
        {"bias": True},
        {"gate": 8},
    ],
)
def test_a_network_that_cannot_hold_the_smaller_is_refused(other):
    with pytest.raises(ValueError, match="start from"):
        grow(build(**(SMALL | other)), build(**SMALL))


def test_another_architecture_takes_only_its_own_weights():
    small, other = build("unet", width=2, norm="batch"), build("unet", width=3, norm="batch")
    with pytest.raises(ValueError, match="cannot hold"):
        grow(other, small)
    same = build("unet", width=2, norm="batch")
    grow(same, small)
    for key, tensor in small.state_dict().items():
        assert torch.equal(same.state_dict()[key], tensor)

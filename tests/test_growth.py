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


GATED = SMALL | {"gate": 3}
LARGER = [{"width": 9}, {"blocks": 4}, {"width": 8, "blocks": 3, "noise": True}, {}]
PAIRS = [(small, larger) for small in (SMALL, GATED) for larger in LARGER]
PAIRS += [(GATED, {"gate": 6}), (GATED, {"gate": 6, "width": 9, "blocks": 3})]
SEPARABLE = GATED | {"separable": True, "kernel": 5}
PAIRS += [(SEPARABLE, larger) for larger in LARGER]
COARSE = SEPARABLE | {"coarse_blocks": 1, "coarse_width": 8}
PAIRS += [(COARSE, {"coarse_blocks": 2}), (COARSE, {"coarse_blocks": 3, "coarse_gates": (8, 4, 4), "width": 8})]


@pytest.mark.parametrize(("small", "larger"), PAIRS)
def test_a_grown_network_gives_the_pictures_of_the_smaller(small, larger):
    torch.manual_seed(1)
    smaller, network = build(**small), build(**(small | larger))
    with torch.no_grad():
        before = network(*inputs())
        grow(network, smaller)
        expected = smaller(*inputs())
        torch.testing.assert_close(network(*inputs()), expected, atol=1e-5, rtol=1e-5)
    if larger:
        assert not torch.allclose(before, expected, atol=1e-3)


def test_of_a_denoising_network_the_one_that_was_trained_on_noise_goes_on():
    torch.manual_seed(1)
    released = build(**(SMALL | {"name": "denoising"}))
    torch.nn.init.normal_(released.noisy.noise.weight)
    network, noise = build(**(SMALL | {"noise": True})), torch.full((2, 3, 2), 0.1)
    with torch.no_grad():
        grow(network, released)
        assert torch.equal(network(*inputs(), noise), released.noisy(*inputs(), noise))
        assert not torch.allclose(network(*inputs(), noise), released.clean(*inputs()), atol=1e-3)


@pytest.mark.parametrize(("small", "gate"), [(SMALL, 0), (GATED, 3), (GATED, 6)])
def test_after_one_step_every_new_weight_has_moved_or_can_move(small, gate):
    """New channels read the old at once; what reads them has a gradient at once, and they have one a step later."""
    torch.manual_seed(1)
    smaller, network = build(**small), build(**(small | {"width": 9, "blocks": 3, "gate": gate}))
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
        {"gate": 6},
    ],
)
def test_a_network_that_cannot_hold_the_smaller_is_refused(other):
    with pytest.raises(ValueError, match="start from"):
        grow(build(**(SMALL | other)), build(**SMALL))


def test_means_of_colours_may_be_new_and_never_lost():
    """With them the pictures change; all weights are the smaller's."""
    plain, colours = build(**GATED), build(**GATED, mean_of_colours=True)
    grow(colours, plain)
    assert all(torch.equal(own, given) for own, given in zip(colours.parameters(), plain.parameters(), strict=True))
    with pytest.raises(ValueError, match="start from"):
        grow(plain, colours)


@pytest.mark.parametrize("gate", [2, 5, 9])
def test_gates_grow_to_twice_their_products_or_not_at_all(gate):
    with pytest.raises(ValueError, match="start from"):
        grow(build(**(GATED | {"gate": gate})), build(**GATED))


def test_copies_of_products_do_not_learn_the_same():
    torch.manual_seed(1)
    smaller, network = build(**GATED), build(**(GATED | {"gate": 6}))
    grow(network, smaller)
    network(*inputs()).square().mean().backward()
    of_products, of_copies = network.blocks[0][0].weight.grad[:6].chunk(2)
    assert not torch.allclose(of_products, of_copies, rtol=0.1)


@pytest.mark.parametrize(("small", "other"), [(SEPARABLE, {"gate": 6}), (GATED, {"separable": True})])
def test_separable_blocks_grow_in_width_alone_and_only_from_separable_ones(small, other):
    with pytest.raises(ValueError, match="start from"):
        grow(build(**(small | other)), build(**small))


def test_another_architecture_takes_only_its_own_weights():
    small, other = build("unet", width=2, norm="batch"), build("unet", width=3, norm="batch")
    with pytest.raises(ValueError, match="cannot hold"):
        grow(other, small)
    same = build("unet", width=2, norm="batch")
    grow(same, small)
    for key, tensor in small.state_dict().items():
        assert torch.equal(same.state_dict()[key], tensor)


OTHER_COARSE = [{"coarse_gates": (12,)}, {"coarse_gates": (12, 4), "coarse_blocks": 2}, {"coarse_width": 12}]


@pytest.mark.parametrize("other", [*OTHER_COARSE, {"blocks": 4}], ids=str)
def test_coarse_blocks_keep_their_products_and_their_place(other):
    """Values and gates lie one after the other: with more of them old gates would become values."""
    with pytest.raises(ValueError, match="start from"):
        grow(build(**(COARSE | other)), build(**COARSE))


def test_wider_coarse_blocks_of_as_many_products_give_the_same_pictures():
    smaller, network = build(**COARSE), build(**COARSE | {"coarse_width": 12, "coarse_gates": (8,), "blocks": 3})
    with torch.no_grad():
        grow(network, smaller)
        torch.testing.assert_close(network(*inputs()), smaller(*inputs()), atol=1e-5, rtol=1e-5)

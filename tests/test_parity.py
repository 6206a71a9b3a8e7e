"""Features of four parities: sums and differences, and products that do not mix them."""

import pytest
import torch
from torch.nn import functional as F

from lincfa.models.gated import GatedDepthwise
from lincfa.models.parity import MixedByParity, exchanged, of_quads, quads


def test_orientations_and_parities_are_each_others_transform():
    features = torch.randn(2, 12, 5, 6)
    close(exchanged(exchanged(features, 3), 3), features)
    even = torch.zeros(1, 8, 1, 1)
    even[:, :2] = torch.tensor([1.0, 3.0])[:, None, None]
    assert exchanged(even, 2).flatten().tolist() == [0.5, 1.5] * 4, "what is even is the same in all orientations"


def close(given, wanted):
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-5)


def test_four_cells_are_one_and_come_back():
    features = torch.randn(2, 12, 4, 6)
    together = quads(features)
    assert together.shape == (2, 48, 2, 3)
    close(together.square().sum(), features.square().sum())
    close(of_quads(together), features)


@pytest.mark.parametrize("act", ["transposed", "turned"])
def test_cells_together_have_the_parity_that_their_order_says(act):
    """Odd ones change their sign, even ones do not, as those of a cell."""
    signs = torch.tensor((1.0, -1, 1, -1) if act == "transposed" else (1.0, 1, -1, -1))

    def changed(features):
        moved = features.transpose(2, 3) if act == "transposed" else features.flip(2, 3)
        return moved * signs.repeat_interleave(features.shape[1] // 4)[:, None, None]

    features = torch.randn(1, 8, 6, 6)
    close(quads(changed(features)), changed(quads(features)))


@pytest.mark.parametrize(
    ("c_in", "c_out", "side"), [(64, 128, 7), (128, 64, 11), (64, 64, 2), (112, 76, 9), (8, 12, 5)]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
def test_products_and_their_gradients_are_those_of_a_convolution_in_groups(c_in, c_out, side, layout):
    """Compiled where both are 64 or more and there are six cells or more."""
    torch.manual_seed(0)
    mixed = MixedByParity(c_in, c_out).train()
    found = []
    for learns in (True, False):
        mixed.zero_grad()
        features = torch.randn(2, c_in, side, side, generator=torch.Generator().manual_seed(1))
        features = features.contiguous(memory_format=layout).requires_grad_()
        kernel = mixed.weight.flatten(0, 1)[..., None, None]
        out = mixed(features) if learns else F.conv2d(features, kernel, groups=4)
        out.square().sum().backward()
        found.append((out.detach(), features.grad, mixed.weight.grad.clone()))
    for own, reference in zip(*found, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("products", [4, 16])
def test_a_gate_of_parities_learns_as_torchs_does(products):
    layer, found = GatedDepthwise(products, 5, parities=True), []
    for learns in (True, False):
        layer.train(learns).zero_grad()
        features = torch.randn(2, 2 * products, 6, 9, generator=torch.Generator().manual_seed(1)).requires_grad_()
        out = layer(features)
        out.square().sum().backward()
        found.append((out.detach(), features.grad, layer.weight.grad.clone()))
    for own, reference in zip(*found, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-4)

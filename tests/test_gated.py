"""Kernels of each channel and the gate after them learn as torch's do."""

import pytest
import torch
from torch import nn

from lincfa.models.gated import GatedDepthwise


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize(("products", "kernel"), [(3, 3), (5, 5)])
@pytest.mark.parametrize("size", [(7, 10), (1, 2), (5, 16)], ids=str)
def test_pictures_and_gradients_are_torchs(products, kernel, size, layout):
    torch.manual_seed(0)
    ours = GatedDepthwise(products, kernel)
    channels = 2 * products
    theirs = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, nn.Sequential(theirs, ours.gate)):
        features = torch.randn(2, channels, *size, generator=torch.Generator().manual_seed(1))
        features[0, :, 0, 0] = 0  # as where it is flat
        features = features.contiguous(memory_format=layout).requires_grad_()
        out = layer(features)
        out.square().sum().backward()
        found.append((out.detach(), features.grad, layer.get_parameter("weight" if layer is ours else "0.weight").grad))
    for own, reference in zip(*found, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-5)


def test_what_is_nothing_everywhere_stays_nothing_and_its_gradients_are_finite():
    layer = GatedDepthwise(5, 5)
    features = torch.zeros(1, 10, 6, 6, requires_grad=True)
    out = layer(features)
    assert not out.any()
    out.sum().backward()
    assert features.grad.isfinite().all()
    assert layer.weight.grad.isfinite().all()


def test_under_autocast_it_is_torchs_own():
    layer = GatedDepthwise(4, 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.randn(1, 8, 6, 6))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.isfinite().all()

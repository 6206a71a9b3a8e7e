"""Convolutions of each channel alone learn as torch's do."""

import pytest
import torch
from torch import nn

from lincfa.models.depthwise import Depthwise


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["contiguous", "channels last"])
@pytest.mark.parametrize(("channels", "kernel"), [(6, 3), (17, 5)])
def test_pictures_and_gradients_are_torchs(channels, kernel, layout):
    torch.manual_seed(0)
    ours = Depthwise(channels, kernel)
    theirs = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)
    theirs.load_state_dict(ours.state_dict())
    found = []
    for layer in (ours, theirs):
        features = torch.randn(2, channels, 7, 10, generator=torch.Generator().manual_seed(1))
        features = features.contiguous(memory_format=layout).requires_grad_()
        out = layer(features)
        out.square().sum().backward()
        found.append((out.detach(), features.grad, layer.weight.grad))
    for own, reference in zip(*found, strict=True):
        torch.testing.assert_close(own, reference, rtol=1e-4, atol=1e-5)


def test_under_autocast_it_is_torchs_own():
    layer = Depthwise(4, 3)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(torch.randn(1, 4, 6, 6))
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert layer.weight.grad.isfinite().all()

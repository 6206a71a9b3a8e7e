"""The quick means of colours against torch's."""

import pytest
import torch

from lincfa.cfa import RGGB, XTRANS
from lincfa.infer import Demosaicer
from lincfa.models import build
from lincfa.models.means import QuickMeans, with_quick_means
from lincfa.models.packed import ColourMeans


@pytest.mark.parametrize("cfa", [XTRANS, RGGB])
@pytest.mark.parametrize(("height", "width"), [(6, 6), (12, 90), (66, 48)])
@pytest.mark.parametrize("threads", [1, 2])
def test_quick_means_are_the_means(cfa, height, width, threads):
    coded = torch.randn(2, 1, height, width)
    masks = torch.from_numpy(cfa.masks(height, width)).expand(2, -1, -1, -1)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        torch.testing.assert_close(QuickMeans()(coded, masks), ColourMeans()(coded, masks), rtol=1e-5, atol=1e-6)
    finally:
        torch.set_num_threads(before)


def test_means_are_replaced_where_they_are_and_in_a_copy():
    network, plain = build("packed", width=4, blocks=1, mean_of_colours=True), build("packed", width=4, blocks=1)
    assert with_quick_means(plain) is plain
    assert isinstance(with_quick_means(network).means, QuickMeans)
    assert isinstance(network.means, ColourMeans)
    both = build("denoising", width=4, blocks=1, mean_of_colours=True)
    assert isinstance(with_quick_means(both).noisy.means, QuickMeans)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_inference_on_the_cpu_has_quick_means(precision):
    network = build("packed", width=4, blocks=1, mean_of_colours=True)
    assert isinstance(Demosaicer(network, precision=precision).network.means, QuickMeans)

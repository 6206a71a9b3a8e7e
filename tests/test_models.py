import pytest
import torch
from torch import nn

from lincfa.cfa import XTRANS, batch_masks, batch_mosaic
from lincfa.data.torture import torture_scene
from lincfa.models import build, gmac_per_megapixel, normalising_gain, parameter_count
from lincfa.models.unet import BatchNorm


def patch(number=2, size=32):
    """(mosaic, masks, truth) of a torture scene, as networks take them."""
    truth = torch.from_numpy(torture_scene(number, size)).permute(2, 0, 1)[None]
    masks = batch_masks([XTRANS], size, size)
    return batch_mosaic(truth, masks), masks, truth


def test_the_unet_of_width_64_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert parameter_count(build("unet", width=64, norm="batch")) == 31_038_339


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_every_parameter_gets_a_gradient(norm):
    torch.manual_seed(0)
    network = build("unet", width=4, norm=norm)
    mosaic, masks, truth = patch()
    (network(mosaic, masks) - truth).square().mean().backward()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_small_network_learns_one_patch_by_heart(norm):
    torch.manual_seed(0)
    network = build("unet", width=8, norm=norm)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    mosaic, masks, truth = patch()
    losses = []
    for _ in range(200):
        loss = (network(mosaic, masks) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 5


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 48, 32)])
def test_the_output_has_three_channels_and_the_size_of_the_mosaic(shape):
    batch, height, width = shape
    mosaic = torch.rand(batch, 1, height, width)
    output = build("unet", width=2).eval()(mosaic, batch_masks([XTRANS] * batch, height, width))
    assert output.shape == (batch, 3, height, width)


@pytest.fixture
def group_of_one(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def test_batch_norm_in_a_process_group_is_that_of_torch(group_of_one):
    """Statistics are computed as mean and mean of squares, which costs some digits: hence 1e-4 and not 1e-6."""
    torch.manual_seed(0)
    ours, reference = BatchNorm(5), nn.BatchNorm2d(5)
    with torch.no_grad():
        for norm in (ours, reference):
            norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5, -1.0, 0.1]))
            norm.bias.copy_(torch.arange(5.0))
    for _ in range(3):
        x = torch.randn(2, 5, 6, 7) * 3 + 2
        mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        wanted = torch.randn_like(x)
        for norm, inputs in ((ours, mine), (reference, theirs)):
            norm.zero_grad()
            (norm(inputs) - wanted).square().sum().backward()
        torch.testing.assert_close(ours(mine), reference(theirs), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours.weight.grad, reference.weight.grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(ours.running_mean, reference.running_mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.running_var, reference.running_var, rtol=1e-4, atol=1e-5)
    assert ours.num_batches_tracked == reference.num_batches_tracked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "unet2"}, "unknown network 'unet2'; there are: unet, packed"),
        ({"name": "packed", "family": "foveon"}, "'foveon'"),
        ({"name": "unet", "widht": 8}, "widht"),
        ({"name": "unet", "norm": "group"}, "'group'"),
        ({"name": "packed", "norm": "group"}, "'group'"),
        ({"name": "unet", "space": "lab"}, "space is one of linear, srgb, not 'lab'"),
    ],
)
def test_an_unknown_network_or_argument_is_refused_by_name(arguments, said):
    with pytest.raises(ValueError, match=said):
        build(**arguments)


def test_the_margin_is_what_reaches_a_pixel_and_hardly_more():
    """With weights that are not negative nothing cancels, no ReLU is shut, and a very bright sample wins every pool:
    the pixels that it moves are then all that it can move."""
    torch.manual_seed(0)
    network = build("unet", width=2, norm="none").double()
    with torch.no_grad():
        for p in network.parameters():
            p.abs_()
    size, reached = 304, 0
    masks = batch_masks([XTRANS], size, size).double()
    dark = torch.full((1, 1, size, size), 0.1, dtype=torch.float64)
    with torch.no_grad():
        before = network(dark, masks)
        for at in (144, 151, 159):  # both ends and the middle of a cell of the coarsest grid
            bright = dark.clone()
            bright[0, 0, at, at] = 1e6
            moved = (network(bright, masks) != before).any(1)[0].nonzero()
            reached = max(reached, (moved - at).abs().max().item())
    assert network.margin - network.multiple < reached <= network.margin


@pytest.mark.parametrize("mean", [1e-4, 0.0123, 0.12, 0.18, 0.3, 1.0, 7.0])
def test_the_normalising_gain_is_a_power_of_two_that_brings_the_mean_near_middle_grey(mean):
    gain = normalising_gain(mean)
    assert 2.0 ** round(torch.log2(torch.tensor(gain)).item()) == gain
    assert 0.18 / 2**0.5 <= mean * gain <= 0.18 * 2**0.5
    assert normalising_gain(mean / 8) == 8 * gain


def test_a_black_frame_is_not_brightened_without_bound():
    assert normalising_gain(1e-12) == 2.0**16


@pytest.mark.parametrize("mean", [0.0, -0.01, float("nan")])
def test_a_picture_without_light_is_left_as_it_is(mean):
    assert normalising_gain(mean) == 1


def test_cost_is_counted_where_the_network_is():
    """On another device than the CPU a training ended with its first validation, which notes the cost."""
    network = build("unet", width=2)
    assert gmac_per_megapixel(network.to("meta")) == gmac_per_megapixel(build("unet", width=2)) > 0

"""What the packed network promises, with weights that nobody trained: it holds for all that anybody trains."""

import numpy as np
import pytest
import torch

from lincfa.cfa import RGGB, XTRANS, batch_masks, batch_mosaic
from lincfa.data.torture import torture_scene
from lincfa.infer import Demosaicer
from lincfa.models import build, gmac_per_megapixel
from lincfa.models.gate import Gate

FAMILIES = {"xtrans": XTRANS, "bayer": RGGB}
COARSE = {"coarse_blocks": 2, "coarse_width": 10}
SHAPES = {"plain": {}, "coarse": COARSE, "large kernels": {"kernel": 5}, "pixels at last": {"tail_width": 4}}
SHAPES["gated"] = {"gate": 5}
SHAPES["separable"] = {"gate": 5, "separable": True, "kernel": 5}
SHAPES["separable, coarse"] = SHAPES["separable"] | COARSE
SHAPES["separable, other coarse gates"] = SHAPES["separable, coarse"] | {"coarse_gates": (4, 7)}
KINDS = {f"{family}, {name}": (family, shape) for family in FAMILIES for name, shape in SHAPES.items()}
KINDS["bayer, means of pixels"] = ("bayer", {"mean_of_pixels": True})
KINDS |= {f"{family}, means of colours": (family, {"mean_of_colours": True}) for family in FAMILIES}
PARITIES = {"mean_of_pixels": True, "gate": 4, "separable": True, "kernel": 5, "parities": True}
COARSE_PARITIES = {"coarse_blocks": 2, "coarse_width": 12, "coarse_gates": (4, 8)}
KINDS |= {"bayer, parities": ("bayer", PARITIES), "bayer, parities, coarse": ("bayer", PARITIES | COARSE_PARITIES)}
OF_ALL_KINDS = pytest.mark.parametrize(("family", "shape"), list(KINDS.values()), ids=list(KINDS))


def network(family="xtrans", **kwargs):
    torch.manual_seed(0)
    return build("packed", family=family, **{"width": 8, "blocks": 2, **kwargs})


WITH_NORM = [(family, shape | {"norm": "batch"}) for family, shape in KINDS.values() if "gate" not in shape]


@pytest.mark.parametrize(("family", "shape"), [*KINDS.values(), *WITH_NORM])
def test_every_parameter_gets_a_gradient(family, shape):
    truth = torch.from_numpy(torture_scene(2, 36)).permute(2, 0, 1)[None]
    masks = batch_masks([FAMILIES[family]], 36, 36)
    net = network(family, **shape)
    (net(batch_mosaic(truth, masks), masks) - truth).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert net.head.weight.grad.abs().sum((0, 2, 3)).all()  # no input is always 0


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_for_samples_that_are_always_0_are_left_out(family):
    """As older files have them: for each colour at each photosite of a cell."""
    net, masks = network(family), batch_masks([FAMILIES[family]], 36, 36)
    mosaic, older = batch_mosaic(torch.rand(1, 3, 36, 36), masks), net.state_dict()
    expected = net(mosaic, masks)
    for name in ("head.weight", "linear.weight"):
        kernel = older[name]
        older[name] = torch.randn(len(kernel), 3 * net.pack**2, *kernel.shape[2:])
        older[name][:, net.measured] = kernel
    again = network(family)
    again.load_state_dict(older)
    assert torch.equal(again(mosaic, masks), expected)


@OF_ALL_KINDS
@pytest.mark.parametrize("level", [0.001, 0.18, 0.9, 3.0])
def test_flat_grey_comes_out_flat_in_every_phase(family, level, shape):
    demosaicer = Demosaicer(network(family, coding=0.5, **shape))
    for cfa in FAMILIES[family].phases:
        rgb = demosaicer(np.full((61, 67), level, np.float32), cfa)
        assert np.abs(rgb / level - 1).max() < 2e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_flat_colours_come_out_flat_with_means_of_colours(family):
    demosaicer = Demosaicer(network(family, coding=0.5, mean_of_colours=True, gate=5))
    colour = np.array([0.9, 0.02, 0.3], np.float32)
    for cfa in FAMILIES[family].phases:
        mosaic = cfa.mosaic(np.broadcast_to(colour, (61, 67, 3)))
        assert np.abs(demosaicer(mosaic, cfa) / colour - 1).max() < 1e-5


UNMOVED = ("xtrans, plain", "bayer, plain", "bayer, coarse", "bayer, means of pixels", "bayer, means of colours")


@pytest.mark.parametrize(("family", "shape"), [KINDS[name] for name in UNMOVED], ids=UNMOVED)
def test_all_phases_give_the_same_picture_shifted(family, shape):
    """Away from the border, where the frame is padded; float32 sums in another order differ in the last bits."""
    demosaicer, scene = Demosaicer(network(family, **shape)), torture_scene(4, 140)
    reference = FAMILIES[family]
    whole = demosaicer(reference.mosaic(scene), reference)
    for dy, dx in reference.phases.values():
        cut = demosaicer(reference.mosaic(scene)[dy:, dx:], reference.shift(dy, dx))
        inner = slice(demosaicer.network.margin, -demosaicer.network.margin)
        assert np.abs(cut[inner, inner] - whole[dy:, dx:][inner, inner]).max() < 1e-5


@pytest.mark.parametrize("shape", list(SHAPES.values()), ids=list(SHAPES))
@pytest.mark.parametrize("coding", [1.0, 0.5])
def test_exposure_scales_the_output_exactly_without_normalisation(coding, shape):
    net, masks = network(coding=coding, **shape).double(), batch_masks([XTRANS], 36, 36).double()
    mosaic = torch.rand(1, 1, 36, 36, dtype=torch.float64)
    assert torch.allclose(net(mosaic * 0.01, masks), net(mosaic, masks) * 0.01, rtol=1e-12, atol=0)


def test_batch_normalisation_ends_the_promise_on_exposure():
    """A fresh one divides by 1, nearly; once its statistics are those of light, darkness comes out otherwise."""
    plain, net = network(), network(norm="batch").eval()
    masks, mosaic = batch_masks([XTRANS], 36, 36), torch.rand(1, 1, 36, 36)
    moved = {key.replace(".2.", ".3."): value for key, value in plain.state_dict().items()}
    assert net.load_state_dict(moved, strict=False).unexpected_keys == []
    with torch.no_grad():
        torch.testing.assert_close(net(mosaic, masks), plain(mosaic, masks), rtol=1e-4, atol=1e-5)
        net.train()(mosaic, masks)
        net.eval()
        assert not torch.allclose(net(mosaic * 0.01, masks), net(mosaic, masks) * 0.01, rtol=1e-3, atol=0)


@OF_ALL_KINDS
def test_tiles_give_what_the_whole_frame_gives(family, shape):
    cfa = FAMILIES[family].shift(1, 2)
    mosaic = cfa.mosaic(torture_scene(6, 230))
    # bfloat16 turns a mean's last bit, which may depend on where a tile begins, into one of its own.
    of_tiles = (Demosaicer(network(family, **shape), tile_px=t, precision="fp32") for t in (600, 60))
    whole, tiled = (demosaicer(mosaic, cfa) for demosaicer in of_tiles)
    assert np.abs(whole - tiled).max() < 1e-5


@OF_ALL_KINDS
def test_the_margin_is_what_reaches_a_pixel_and_hardly_more(family, shape):
    """Weights that are not negative and a bright sample: nothing cancels and no ReLU is shut."""
    net, size, at = network(family, **shape).double(), 180, 90
    with torch.no_grad():
        for p in net.parameters():
            p.abs_()
        masks, mosaic = batch_masks([FAMILIES[family]], size, size).double(), torch.rand(1, 1, size, size).double()
        before, reached = net(mosaic, masks), 0
        for offset in range(net.multiple):
            bright = mosaic.clone()
            bright[0, 0, at + offset, at + offset] = 1e6
            moved = (net(bright, masks) != before).any(1)[0].nonzero()
            reached = max(reached, (moved - at - offset).abs().max().item())
    assert net.margin - net.pack <= reached <= net.margin


def test_a_mosaic_of_another_family_is_refused():
    with pytest.raises(ValueError, match="for xtrans mosaics, and not for bayer"):
        Demosaicer(network())(np.ones((40, 40), np.float32), RGGB)


def test_cost_is_counted_as_by_hand():
    # X-Trans has samples of green at 5 places of a cell, of red at 4 and of blue at 4.
    width, blocks, measured, channels = 8, 2, 13, 27
    by_hand = (9 * (measured + channels) * width + blocks * 2 * 9 * width**2 + measured * channels) / 9 / 1e3
    assert gmac_per_megapixel(network(width=width, blocks=blocks)) == pytest.approx(by_hand, rel=1e-9)
    gated = network(width=width, blocks=blocks, gate=6)
    by_hand_gated = by_hand + blocks * 9 * width * (3 * 6 - 2 * width) / 9 / 1e3
    assert gmac_per_megapixel(gated) == pytest.approx(by_hand_gated, rel=1e-9)
    separable = network(width=width, blocks=blocks, gate=6, separable=True, kernel=5)
    by_hand_separable = by_hand + blocks * (width * 3 * 6 + 2 * 6 * 25 - 2 * 9 * width**2) / 9 / 1e3
    assert gmac_per_megapixel(separable) == pytest.approx(by_hand_separable, rel=1e-9)
    coarse = (2 * 4 * width * 10 + 2 * 2 * 9 * 10**2) / 36 / 1e3
    found = gmac_per_megapixel(network(width=width, blocks=blocks, **COARSE))
    assert found == pytest.approx(by_hand + coarse, rel=1e-9)
    both, gates = {"gate": 6, "separable": True, "kernel": 5} | COARSE, (4, 7)
    more = (3 * 10 + 2 * 25) * (sum(gates) - 2 * 10) / 36 / 1e3
    found = gmac_per_megapixel(network(coarse_gates=gates, **both)) - gmac_per_megapixel(network(**both))
    assert found == pytest.approx(more, rel=1e-9)


def test_separable_blocks_have_a_gate():
    with pytest.raises(ValueError, match="separable is for blocks with a gate"):
        network(separable=True)


@pytest.mark.parametrize("other", [{"bias": True}, {"norm": "batch"}])
def test_a_gate_beside_what_ends_the_promise_on_exposure_is_refused(other):
    with pytest.raises(ValueError, match="gate is for networks without biases and norm"):
        network(gate=4, **other)


def test_a_gate_is_a_product_that_grows_as_its_factors_do():
    both = torch.randn(2, 6, 4, 5, generator=torch.Generator().manual_seed(0))
    values, gates = both[:, :3], both[:, 3:]
    torch.testing.assert_close(Gate(3)(both), values * gates / both.abs().mean(1, keepdim=True))
    torch.testing.assert_close(Gate(3)(both * 7), Gate(3)(both) * 7)
    assert not Gate(3)(torch.zeros(1, 6, 2, 2)).any()


def test_a_network_that_is_told_of_noise_answers_as_without_when_told_none():
    net, told = network(), network(noise=True)
    told.load_state_dict(net.state_dict(), strict=False)
    with torch.no_grad():
        told.noise.weight.normal_(generator=torch.Generator().manual_seed(1))
    masks, mosaic = batch_masks([XTRANS], 36, 36), torch.rand(1, 1, 36, 36)
    assert torch.equal(told(mosaic, masks, torch.zeros(1, 3, 2)), net(mosaic, masks))
    assert not torch.allclose(told(mosaic, masks, torch.full((1, 3, 2), 0.01)), net(mosaic, masks), rtol=1e-3)


def test_exposure_scales_the_output_of_a_network_that_is_told_of_noise():
    """Light times s: a deviation of read noise scales by s, and the factor of shot noise too."""
    net, masks = network(noise=True, coding=0.5).double(), batch_masks([XTRANS], 36, 36).double()
    torch.nn.init.normal_(net.noise.weight)
    mosaic, noise = torch.rand(1, 1, 36, 36, dtype=torch.float64), torch.rand(1, 3, 2, dtype=torch.float64) * 0.01
    assert torch.allclose(net(mosaic * 0.01, masks, noise * 0.01), net(mosaic, masks, noise) * 0.01, rtol=1e-9, atol=0)


@pytest.mark.parametrize("shape", [COARSE, SHAPES["separable, coarse"], SHAPES["separable"]])
def test_gates_of_coarse_blocks_are_one_for_each_separable_block(shape):
    with pytest.raises(ValueError, match="coarse_gates"):
        network(**shape, coarse_gates=(4,))


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mean_of_pixels": False},
        {"separable": False, "coarse_gates": ()},
        {"noise": True},
        {"width": 6},
        {"coarse_gates": (4, 6)},
    ],
    ids=str,
)
def test_parities_are_for_what_can_be_symmetric(kwargs):
    family = "bayer" if kwargs else "xtrans"
    shape = (PARITIES if kwargs else PARITIES | {"mean_of_pixels": False}) | COARSE_PARITIES
    with pytest.raises(ValueError, match="parities are"):
        network(family, **shape | kwargs)


def test_parities_cost_a_quarter_of_what_mixes_channels():
    """As many as are compiled in training."""
    shape = PARITIES | {"width": 64, "gate": 64, "coarse_blocks": 1, "coarse_width": 128}
    mixed = 2 * (64 * 128 + 64 * 64) / 4 + (128 * 256 + 128 * 128) / 16 + 2 * 256 * 128 / 16
    dense = gmac_per_megapixel(network("bayer", **shape | {"parities": False}))
    assert gmac_per_megapixel(network("bayer", **shape)) == pytest.approx(dense - 0.75 * mixed / 1e3, rel=1e-9)

"""A network in sRGB space is a network like any other, but for what it loses by design."""

import pytest
import torch
from torch import nn

from lincfa.cfa import XTRANS, batch_masks, batch_mosaic
from lincfa.checkpoint import load_weights, save_weights
from lincfa.data.torture import torture_scene
from lincfa.infer import Demosaicer
from lincfa.models import build, gmac_per_megapixel
from lincfa.models.growth import grow
from lincfa.models.srgb import InSRGB
from lincfa.portable.graph import to_onnx
from lincfa.portable.session import OnnxNetwork

PACKED = {"name": "packed", "width": 6, "blocks": 2, "space": "srgb"}
UNET = {"name": "unet", "width": 2, "norm": "batch", "space": "srgb"}
on_both = pytest.mark.parametrize("model", [PACKED, UNET], ids=["packed", "unet"])


class Seen(nn.Module):
    """Gives each sample in all three colours, and keeps what it was given."""

    cfa, multiple, margin, takes_noise = None, 1, 0, False

    def forward(self, mosaic, masks, inside=None):
        self.mosaic = mosaic
        return mosaic.expand(-1, 3, -1, -1)


def test_the_network_sees_coded_values_and_what_is_outside_the_range_is_lost():
    inner = Seen()
    mosaic = torch.tensor([-0.1, 0.0, 0.001, 0.18, 0.5, 1.0, 4.0], dtype=torch.float64).view(1, 1, 1, 7)
    rgb = InSRGB(inner)(mosaic, torch.ones(1, 3, 1, 7))
    coded = [0, 0, 0.01292, 1.055 * 0.18 ** (1 / 2.4) - 0.055, 1.055 * 0.5 ** (1 / 2.4) - 0.055, 1, 1]
    assert inner.mosaic.flatten().tolist() == pytest.approx(coded)
    for colour in rgb[0]:
        assert colour.flatten().tolist() == pytest.approx([0, 0, 0.001, 0.18, 0.5, 1, 1], abs=1e-7)


@on_both
def test_every_parameter_gets_a_gradient_and_the_patch_is_learnt(model):
    torch.manual_seed(0)
    network = build(**model)
    truth = torch.from_numpy(torture_scene(2, 48)).permute(2, 0, 1)[None]
    masks = batch_masks([XTRANS], 48, 48)
    mosaic = batch_mosaic(truth, masks)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = (network(mosaic, masks) - truth).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        if not losses:
            assert [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@on_both
def test_what_others_ask_of_a_network_is_answered_as_by_the_one_inside(model):
    network, plain = build(**model), build(**(model | {"space": "linear"}))
    for name in ("cfa", "multiple", "margin", "takes_noise"):
        assert getattr(network, name) == getattr(plain, name)
    assert network.tolerates_bf16 == getattr(plain, "tolerates_bf16", False)
    assert gmac_per_megapixel(network) == gmac_per_megapixel(plain)


def test_its_file_loads_and_demosaics_in_tiles_and_as_onnx(tmp_path):
    torch.manual_seed(1)
    path = tmp_path / "srgb.pt"
    save_weights(path, PACKED, build(**PACKED).state_dict(), "xtrans", {})
    mosaic, cfa = XTRANS.shift(1, 2).mosaic(torture_scene(6, 110)), XTRANS.shift(1, 2)
    network = load_weights(path).network
    whole, tiled = (Demosaicer(network, precision="fp32", tile_px=t)(mosaic, cfa) for t in (300, 40))
    torch.testing.assert_close(torch.from_numpy(tiled), torch.from_numpy(whole), rtol=0, atol=1e-5)
    exported = OnnxNetwork(to_onnx(str(path)).SerializeToString(), device="cpu")
    given = Demosaicer(exported, tile_px=exported.tile_px)(mosaic, cfa)
    torch.testing.assert_close(torch.from_numpy(given), torch.from_numpy(whole), rtol=0, atol=1e-5)


def test_a_network_that_is_told_of_noise_is_refused():
    with pytest.raises(ValueError, match="noise, which is linear"):
        build(**PACKED, noise=True)


def test_it_grows_from_one_of_its_own_space_and_kind_only():
    torch.manual_seed(1)
    smaller, network = build(**PACKED), build(**(PACKED | {"width": 9}))
    grow(network, smaller)
    mosaic, masks = torch.rand(1, 1, 36, 36), batch_masks([XTRANS], 36, 36)
    with torch.no_grad():
        torch.testing.assert_close(network(mosaic, masks), smaller(mosaic, masks), rtol=1e-4, atol=1e-5)
    for other in ({"space": "linear"}, {"coding": 0.5}):
        with pytest.raises(ValueError, match="start from"):
            grow(build(**(PACKED | other)), smaller)

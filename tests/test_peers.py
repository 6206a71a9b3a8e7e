"""Demosaicers of other packages give here what they give at home, at every phase of the CFA."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from lincfa import peers
from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.color import linear_to_srgb, srgb_to_linear
from lincfa.data import torture
from lincfa.data.dataset import Scene
from lincfa.evaluate import load_model
from lincfa.peers import DEMOSAICNET, PEERS, load_peer

NAMES = {"xtrans": ["demosaicnet"], "bayer": list(PEERS)}
BALANCE = np.array([2.0, 1.0, 1.6])
ALL_PHASES = [*XTRANS.phases, *RGGB.phases]


def picture(height=90, width=77):
    """[height, width, 3] float32 linear, nowhere black; the zone plate of the torture set."""
    return 0.02 + torture.torture_scene(4, 96)[:height, :width].astype(np.float32)


def needs(package):
    """Skips, and says why, without the package."""
    try:
        return peers._import_demosaicnet() if package == "demosaicnet" else pytest.importorskip(package)
    except ModuleNotFoundError as error:
        pytest.skip(f"the extra 'peers' is not installed: {error}")


@pytest.fixture
def seen(monkeypatch):
    """Networks in place of demosaicnet's that note their input and give it back less their reach."""
    inputs, package = [], ModuleType("demosaicnet")

    def stand_in(reach):
        class Network(torch.nn.Module):
            def forward(self, planes):
                inputs.append(planes)
                return planes[:, :, reach:-reach, reach:-reach]

        return Network

    for class_name, _, reach in DEMOSAICNET.values():
        setattr(package, class_name, stand_in(reach))
    monkeypatch.setitem(sys.modules, "demosaicnet", package)
    monkeypatch.setattr(peers, "version", lambda name: "0")
    return inputs


@pytest.mark.parametrize("cfa", ALL_PHASES, ids=str)
def test_demosaicnet_sees_coded_balanced_samples_in_its_own_layout_and_the_frame_comes_back_whole(
    cfa, seen, monkeypatch
):
    monkeypatch.setattr(peers, "STRIPE_PX", 36)
    rgb = picture()
    rgb *= 1.7 / rgb.max()  # highlights too
    demosaic, _ = load_peer("demosaicnet", cfa.family)
    found = demosaic(cfa.mosaic(rgb / BALANCE), cfa, BALANCE)
    expected = cfa.masks(*rgb.shape[:2]).transpose(1, 2, 0) * rgb / BALANCE
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert len(seen) == 3
    layout = DEMOSAICNET[cfa.family][1]
    for planes in seen:
        assert planes.shape[2] % 2 == planes.shape[3] % 2 == 0
        np.testing.assert_array_equal(planes[0].numpy() > 0, layout.masks(*planes.shape[2:]) > 0)
    assert max(planes.max() for planes in seen) == pytest.approx(1)


@pytest.mark.parametrize("family", ["xtrans", "bayer"])
def test_the_layouts_are_those_of_the_packages_own_mosaics(family):
    package = needs("demosaicnet")
    mask = getattr(package, family)(np.ones((3, 12, 12), np.float32), return_mask=True)
    assert CFA.from_colors(mask.argmax(0)) == DEMOSAICNET[family][1]


@pytest.mark.parametrize("cfa", [XTRANS, XTRANS.shift(2, 5), RGGB, RGGB.shift(0, 1), RGGB.shift(1, 1)], ids=str)
def test_demosaicnet_gives_what_its_package_gives_on_its_own_mosaic(cfa, monkeypatch):
    package = needs("demosaicnet")
    monkeypatch.setattr(peers, "STRIPE_PX", 48)
    class_name, layout, reach = DEMOSAICNET[cfa.family]
    rgb = picture(96, 96)
    coded = torch.from_numpy(np.ascontiguousarray(linear_to_srgb(rgb).transpose(2, 0, 1)))[None]
    with torch.inference_mode():
        own = getattr(package, class_name)()(getattr(package, cfa.family)(coded))[0].permute(1, 2, 0).numpy()
    dy, dx = layout.phases[cfa]  # the frame begins so far into the picture
    frame = rgb[dy:, dx:]
    found = load_peer("demosaicnet", cfa.family)[0](cfa.mosaic(frame), cfa, np.ones(3))
    assert found.shape == frame.shape
    inside = slice(reach, -reach)
    margin = 36  # of the padding, which the package does not have
    own, found = (a[margin:-margin, margin:-margin] for a in (own, found[reach - dy :, reach - dx :][inside, inside]))
    np.testing.assert_allclose(found, srgb_to_linear(own), atol=1e-5)


@pytest.mark.parametrize("cfa", list(RGGB.phases), ids=str)
@pytest.mark.parametrize("name", ["menon2007", "menon2007-srgb"])
def test_menon_gives_what_its_package_gives_on_its_own_mosaic(name, cfa):
    package = needs("colour_demosaicing")
    pattern = str(cfa).replace(" ", "").replace("\n", "")
    rgb = picture()
    rgb /= rgb.max()
    code, decode = (linear_to_srgb, srgb_to_linear) if name.endswith("srgb") else (np.asarray, np.asarray)
    own = package.mosaicing_CFA_Bayer(code(rgb.astype(np.float64)), pattern)
    own = decode(package.demosaicing_CFA_Bayer_Menon2007(own, pattern))
    found = load_peer(name, "bayer")[0](cfa.mosaic(rgb / BALANCE), cfa, BALANCE)
    np.testing.assert_allclose(found * BALANCE, own, atol=2e-6)


@pytest.mark.parametrize(("family", "name"), [(f, n) for f in NAMES for n in NAMES[f]])
def test_peers_keep_the_light_of_a_tinted_ramp_that_ends_above_white(family, name):
    needs(PEERS[name].replace("-", "_"))
    cfa = {"xtrans": XTRANS.shift(1, 4), "bayer": RGGB.shift(1, 0)}[family]
    ramp = (np.linspace(0.1, 1.5, 96)[:, None, None] * np.ones((96, 96, 1)) / BALANCE).astype(np.float32)
    model = load_model(name, family)
    rgb = model.demosaic(Scene("ramp", cfa.mosaic(ramp), ramp, cfa, BALANCE, None))
    assert rgb.dtype == np.float32
    np.testing.assert_allclose(rgb[8:-8, 8:-8], ramp[8:-8, 8:-8], rtol=0.05)
    assert model.algorithm.startswith(PEERS[name])


@pytest.mark.parametrize("name", PEERS)
def test_without_the_package_one_line_says_what_to_install(name, monkeypatch):
    monkeypatch.setitem(sys.modules, PEERS[name].replace("-", "_"), None)
    with pytest.raises(ValueError, match=rf'^{name} needs other packages: pip install "lincfa\[peers\]" \(.*\)$'):
        load_model(name, "bayer")


def test_importing_a_peer_leaves_numpy_and_the_modules_as_they_were():
    for package in ("demosaicnet", "colour_demosaicing"):
        needs(package)
        sys.modules.pop(package)
    options, known = np.get_printoptions(), "pkg_resources" in sys.modules
    for name in PEERS:
        load_peer(name, "bayer")
    assert np.get_printoptions() == options
    assert ("pkg_resources" in sys.modules) == known


def test_menon_is_not_run_on_xtrans():
    with pytest.raises(ValueError, match="menon2007 is an algorithm for Bayer, and this CFA is xtrans"):
        load_model("menon2007", "xtrans")

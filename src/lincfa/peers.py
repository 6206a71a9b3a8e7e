"""Demosaicers of others, from their own packages (extra 'peers'), so that evaluations can run them beside LibRaw's.

demosaicnet     Gharbi, Chaurasia, Paris, Durand 2016, "Deep Joint Demosaicking and Denoising", ACM TOG 35(6), 191: the
                authors' networks for X-Trans and Bayer. Package demosaicnet, code and weights in it, MIT. It was
                trained on sRGB photographs and is given sRGB-coded samples.
menon2007       Menon, Andriani, Calvagno 2007, "Demosaicing With Directional Filtering and a posteriori Decision", IEEE
                TIP 16(1), 132-141, doi:10.1109/TIP.2006.884928: Bayer. Package colour-demosaicing, BSD-3-Clause. Given
                linear samples.
menon2007-srgb  the same on sRGB-coded samples, such as those of most publications.

All get white-balanced samples. A frame with values above 1 is darkened until its brightest sample is 1 before it is
sRGB-coded, and brightened again afterwards: no highlight is clipped. To let the curve go on above 1 would not do:
demosaicnet never saw such values, and loses more there than by the darker exposure.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from lincfa.cfa import CFA, LETTERS, RGGB, XTRANS
from lincfa.color import linear_to_srgb, srgb_to_linear

PEERS = {"demosaicnet": "demosaicnet", "menon2007": "colour-demosaicing", "menon2007-srgb": "colour-demosaicing"}
"""Name -> the package that it comes in."""
DEMOSAICNET = {"xtrans": ("XTransDemosaick", XTRANS, 12), "bayer": ("BayerDemosaick", RGGB.shift(0, 1), 31)}
"""Family -> class, the CFA of demosaicnet.mosaic as it begins at the top left, pixels that the network takes off each
side (12 convolutions of 3 x 3; 15 at half resolution and one)."""
STRIPE_PX = 240
"""Rows of output at a time, whole periods: 64 channels of a whole camera frame would not fit."""


def load_peer(name: str, family: str, device: str = "cpu") -> tuple[Callable, str]:
    """name: one of PEERS; family: 'xtrans' or 'bayer'; device: of the networks -> (demosaic, package and version).

    demosaic(mosaic [H, W], cfa, white_balance [3]) -> linear camera RGB [H, W, 3] float32, not clipped; it raises
    ValueError when a side is shorter than a period of the CFA.

    Raises ValueError for a family that the peer does not have, and when a package is missing.
    """
    if family != "bayer" and name != "demosaicnet":
        raise ValueError(f"{name} is an algorithm for Bayer, and this CFA is {family}")
    try:
        run = _demosaicnet(family, device) if name == "demosaicnet" else _menon2007()
    except ModuleNotFoundError as error:
        raise ValueError(f'{name} needs other packages: pip install "lincfa[peers]" ({error})') from error

    def demosaic(mosaic: np.ndarray, cfa: CFA, white_balance: np.ndarray) -> np.ndarray:
        balanced = mosaic * cfa.per_photosite(white_balance, *mosaic.shape)
        if name == "menon2007":
            rgb = run(balanced, cfa)
        else:
            peak = max(1.0, balanced.max())
            rgb = peak * srgb_to_linear(run(linear_to_srgb(balanced / peak), cfa))
        return (rgb / white_balance).astype(np.float32)

    return demosaic, f"{PEERS[name]} {version(PEERS[name])}"


def _demosaicnet(family: str, device: str) -> Callable[[np.ndarray, CFA], np.ndarray]:
    class_name, layout, reach = DEMOSAICNET[family]
    network = getattr(_import_demosaicnet(), class_name)().to(device).eval()

    def run(mosaic: np.ndarray, cfa: CFA) -> np.ndarray:
        height, width = mosaic.shape
        # Begun as the network's own mosaics begin, of even size, with all that its convolutions take off.
        (top, bottom), (left, right) = (
            (reach + -reach % 6 + shift, reach + (shift + size + reach) % 2)
            for shift, size in zip(layout.phases[cfa], mosaic.shape, strict=True)
        )
        padded = cfa.pad(mosaic, top, bottom, left, right).astype(np.float32)
        planes = torch.from_numpy(layout.masks(*padded.shape) * padded)[None]
        with torch.inference_mode():
            stripes = [
                network(planes[:, :, y : y + STRIPE_PX + 2 * reach].to(device)).cpu()
                for y in range(0, len(padded) - 2 * reach, STRIPE_PX)
            ]
        rgb = torch.cat(stripes, 2)[0, :, top - reach :, left - reach :].permute(1, 2, 0).numpy()
        return rgb[:height, :width]

    return run


def _import_demosaicnet() -> ModuleType:
    """demosaicnet 0.0.14 finds its weights by pkg_resources, which setuptools has no longer since 82."""
    if find_spec("pkg_resources"):
        import demosaicnet

        return demosaicnet
    stand_in = ModuleType("pkg_resources")
    stand_in.resource_filename = lambda module, name: str(Path(sys.modules[module].__file__).parent / name)
    sys.modules["pkg_resources"] = stand_in
    try:
        import demosaicnet
    finally:
        del sys.modules["pkg_resources"]
    return demosaicnet


def _menon2007() -> Callable[[np.ndarray, CFA], np.ndarray]:
    # The import changes how numpy prints, and warns of packages that only its plots need.
    with np.printoptions(), warnings.catch_warnings(action="ignore"):
        from colour_demosaicing import demosaicing_CFA_Bayer_Menon2007

    return lambda mosaic, cfa: demosaicing_CFA_Bayer_Menon2007(mosaic, "".join(LETTERS[c] for c in cfa.array.flat))

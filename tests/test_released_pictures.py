"""What released networks make of a photograph: code that is meant to be faster does not make it worse unseen."""

import json
from pathlib import Path

import pytest

from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import find_weights, load_weights
from lincfa.data.demo import demo_scenes
from lincfa.infer import Demosaicer
from lincfa.metrics import psnr
from lincfa.raw import file_sha256

GOLDEN = Path(__file__).parent / "golden" / "released_pictures.json"
CFAS = {"xtrans": XTRANS.shift(1, 2), "bayer": RGGB.shift(1, 0)}
WHITE_BALANCE = (2.0, 1.0, 1.5)
MODELS = ("xtrans-s", "xtrans-l", "bayer-s", "xtrans-s-denoise")


def measured(name: str) -> dict:
    weights = load_weights(name)
    cfa, rgb = CFAS[weights.family], demo_scenes()["chelsea-0"]()[:150, :160] / WHITE_BALANCE
    told = {"noise": (0.002, 0.001)} if weights.network.takes_noise else {}  # there is none: texture is lost to it
    picture = Demosaicer(weights.network, precision="fp32", tile_px=90)(cfa.mosaic(rgb), cfa, WHITE_BALANCE, **told)
    return {
        "weights_sha256": file_sha256(find_weights(name)),
        "psnr_linear_db": round(psnr(picture, rgb, peak=1.0, border=0), 4),
    }


def test_pictures_are_as_exact_as_when_the_weights_were_released():
    found = {name: measured(name) for name in MODELS}
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if {n: f["weights_sha256"] for n, f in golden.items()} != {n: f["weights_sha256"] for n, f in found.items()}:
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n")
        pytest.fail("wrote the figures of new weights")
    for name, figures in found.items():
        assert figures["psnr_linear_db"] == pytest.approx(golden[name]["psnr_linear_db"], abs=0.005), name

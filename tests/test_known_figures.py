"""The evaluation against published-protocol figures: LINCFA_KODAK_DIR=DIR pytest -m data tests/test_known_figures.py"""

import os

import pytest

from lincfa.evaluate import evaluate, load_model, load_suite, summarise

FOLDER = os.environ.get("LINCFA_KODAK_DIR")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not FOLDER, reason="LINCFA_KODAK_DIR names no folder with the 24 Kodak images"),
]


@pytest.mark.parametrize(
    ("family", "model", "linear_db", "srgb_db"),
    [
        ("xtrans", "markesteijn3", 35.12, 33.73),
        ("xtrans", "vng", 33.64, 31.54),
        ("bayer", "ahd", 35.69, 33.75),
        ("bayer", "dht", 35.08, 35.25),
        ("bayer", "aahd", 36.02, 34.16),
    ],
)
def test_libraw_scores_on_kodak_as_it_did_in_another_harness(family, model, linear_db, srgb_db):
    mean = summarise(evaluate([load_model(model, family)], load_suite("truth", FOLDER, family)))["mean"][model]
    assert mean["images"] == 24
    assert mean["psnr_linear_db"] == pytest.approx(linear_db, abs=0.05)
    assert mean["psnr_srgb_db"] == pytest.approx(srgb_db, abs=0.05)

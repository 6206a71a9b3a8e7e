"""Real camera files, where there are some: LINCFA_RAW_DIR=DIR pytest -m data tests/test_real_raws.py"""

import os
from pathlib import Path

import numpy as np
import pytest

from lincfa.raw import RawError, demosaic_file, read_raw

FOLDER = os.environ.get("LINCFA_RAW_DIR")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not FOLDER, reason="LINCFA_RAW_DIR names no folder of real raw files"),
]


def files():
    return sorted(p for p in Path(FOLDER).iterdir() if p.is_file()) if FOLDER else [None]


@pytest.mark.parametrize("path", files(), ids=lambda p: p and p.name)
def test_a_real_file_is_read_and_libraw_keeps_its_samples(path):
    try:
        frame = read_raw(path)
    except RawError as error:
        pytest.fail(f"refused: {error}")
    assert frame.cfa.family in ("bayer", "xtrans")
    assert frame.make
    assert 0 < np.median(frame.mosaic) < 1
    rgb, name = demosaic_file(path, "linear")
    assert name == "linear"
    kept = np.abs(frame.cfa.mosaic(rgb) - np.maximum(frame.mosaic, 0))
    assert kept.max() < 1e-4  # 16 bits of white-balanced values

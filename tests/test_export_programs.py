"""Linear DNGs in other programs, where they are installed; scripts/utils/check_dng.py compares their colours."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import tifffile

from lincfa import export
from lincfa.cfa import XTRANS
from lincfa.raw import read_raw
from lincfa.rawwriter import expose, write_raf

SIDE = 540


@pytest.fixture(scope="module")
def grey_dng(tmp_path_factory):
    """A grey card by a camera of unequal sensitivities, with some noise below black in a corner."""
    folder = tmp_path_factory.mktemp("dng")
    rgb = np.full((SIDE, SIDE, 3), np.array([0.5, 1.0, 0.6]) * 0.18, np.float32)
    rgb[:40, :40] = -0.01
    write_raf(folder / "a.RAF", expose(rgb, XTRANS), XTRANS, white_balance=(2, 1, 1 / 0.6))
    export.write(folder / "a.dng", rgb, read_raw(folder / "a.RAF"))
    return folder / "a.dng"


def run(program, *arguments):
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True).stdout


def test_exiftool_finds_a_valid_dng(grey_dng):
    found = json.loads(run("exiftool", "-j", "-validate", "-error", "-warning", "-a", "-DNGVersion", grey_dng))[0]
    assert found["DNGVersion"] == "1.4.0.0"
    assert "Error" not in found
    assert found["Validate"] == "OK"


def test_exiv2_reads_the_camera_and_the_levels(grey_dng):
    found = run("exiv2", "-K", "Exif.Image.Model", "-K", "Exif.SubImage1.WhiteLevel", "-Pv", "print", grey_dng)
    assert found.split("\n")[:2] == ["X-T2", "16640 16640 16640"]


@pytest.mark.slow
@pytest.mark.parametrize("program", ["darktable-cli", "rawtherapee-cli"])
def test_a_grey_card_is_grey_in_a_raw_converter(grey_dng, tmp_path, program):
    """It is pink where the black level is ignored, as RawSpeed does with BlackLevel alone."""
    target = tmp_path / "a.tif"
    arguments = {
        "darktable-cli": [grey_dng, target, "--core", "--configdir", tmp_path, "--library", ":memory:"],
        "rawtherapee-cli": ["-t", "-o", target, "-c", grey_dng],
    }[program]
    run(program, *arguments)
    picture = tifffile.imread(target)[100:400, 100:400, :3].astype(np.float64)
    red, green, blue = picture.mean((0, 1))
    assert abs(red / green - 1) < 0.02
    assert abs(blue / green - 1) < 0.02
    assert picture.std((0, 1)).max() < 0.01 * green

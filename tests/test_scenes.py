"""The demo's camera: scenes with known truth in RAF files."""

import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from lincfa.cfa import RGGB, XTRANS
from lincfa.data.build import area_downsample
from lincfa.data.demo import demo_scenes
from lincfa.data.scenes import Camera, enlarge, write_scene_dng, write_scene_raf
from lincfa.data.torture import torture_scene
from lincfa.raw import read_raw

SCRIPT = Path(__file__).resolve().parents[1] / "scripts/utils/make_rafs.py"


def smooth_photograph(height=40, width=36):
    y, x = np.mgrid[0:height, 0:width] / 20
    return np.stack([0.4 + 0.3 * np.sin(y + x), 0.5 + 0.4 * np.cos(2 * y), 0.5 + 0.3 * np.sin(3 * x)], -1)


@pytest.mark.parametrize("factor", [2, 4])
def test_an_enlarged_picture_has_the_photographs_pixels_as_its_area_means(factor):
    rgb = smooth_photograph()
    large = enlarge(rgb, factor)
    assert large.shape == (40 * factor, 36 * factor, 3)
    assert large.min() >= 0
    assert np.abs(area_downsample(large, factor) - rgb).max() < 2e-3


def test_an_enlarged_picture_is_smooth_and_not_made_of_blocks():
    large = enlarge(smooth_photograph(), 4)[8:-8, 8:-8]
    steps = np.abs(np.diff(large, axis=1)).max((0, 2))
    assert steps.max() < 2 * np.median(steps)


@pytest.mark.parametrize(
    ("write", "name", "phase", "cfa"),
    [
        (write_scene_raf, "a.RAF", (2, 4), XTRANS.shift(2, 4)),
        (write_scene_dng, "a.dng", (1, 0), RGGB.shift(1, 0)),
    ],
)
def test_a_scene_file_holds_the_scene_in_its_phase_within_its_noise(tmp_path, write, name, phase, cfa):
    camera, scene = Camera(), torture_scene(9, 96).clip(0, 1)
    write(tmp_path / name, scene, camera, phase=phase, seed=1)
    frame = read_raw(tmp_path / name)
    assert frame.cfa == cfa
    assert np.allclose(frame.white_balance, [2.0, 1.0, 1 / 0.6], atol=0.002)
    expected = frame.cfa.mosaic(scene * camera.gains)
    noise = (frame.mosaic - expected) / np.sqrt(
        camera.read_noise**2 + camera.shot_noise * expected + (1 / 15359) ** 2 / 12
    )
    unclipped = expected < 0.95
    assert noise[unclipped].std() == pytest.approx(1, abs=0.05)
    assert abs(noise[unclipped].mean()) < 0.05


def test_the_same_seed_writes_the_same_file(tmp_path):
    for name in ("a", "b"):
        write_scene_raf(tmp_path / name, torture_scene(3, 48), Camera(), phase=(0, 0), seed=5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_demos_scenes_are_there_without_a_network():
    scenes = demo_scenes()
    assert len(scenes) >= 18
    for name in ("procedural-0", "astronaut-1", "rocket-0"):
        rgb = scenes[name]()
        assert rgb.ndim == 3
        assert np.isfinite(rgb).all()
        assert rgb.min() >= 0


def test_a_broken_photograph_is_named_and_the_others_are_written(tmp_path):
    photos = tmp_path / "photos"
    (photos / "day").mkdir(parents=True)
    imagecodecs.imwrite(photos / "a.png", np.full((96, 96, 3), 90, np.uint8))
    imagecodecs.imwrite(photos / "day" / "a.png", np.full((96, 96, 3), 50, np.uint8))
    (photos / "b.png").write_bytes(b"no picture")
    command = [sys.executable, SCRIPT, "--photos", photos, "--out", tmp_path / "rafs", "--factor", "1", "--jobs", "1"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 1
    assert "b.png: unreadable image" in done.stderr
    assert sorted(p.name for p in (tmp_path / "rafs").iterdir()) == ["a.RAF", "day-a.RAF"]

"""One thread each, before torch and LibRaw load OpenMP: Markesteijn is then the same from run to run."""

import importlib.util
import os
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
from tiny import split_by_name, write_photographs
from tiny_release import write_release

from lincfa import checkpoint, released
from lincfa.cfa import XTRANS
from lincfa.data import build as build_module
from lincfa.data.torture import torture_scene
from lincfa.rawwriter import expose, write_raf

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
GAINS = (0.5, 1.0, 0.6)
SIDE = 240


def in_process(function, items, jobs):
    """lincfa.data.workers.map_isolated without its processes, which take seconds to start."""
    for item in items:
        try:
            yield item, function(item)
        except Exception as error:
            yield item, error


def smooth_scene(seed):
    """A ramp in each channel that no symmetry of the square leaves as it is: [SIDE, SIDE, 3] in 0.1..0.9."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.stack([0.1 + 0.5 * x + 0.1 * y, 0.2 + 0.1 * x + 0.6 * y, 0.9 - 0.4 * x - 0.1 * y * seed], -1)


def write_scene(path, scene, phase=(0, 0)):
    cfa = XTRANS.shift(*phase)
    balance = [1 / g for g in GAINS]
    write_raf(path, expose(scene, cfa, gains=GAINS), cfa, white_balance=balance)


@pytest.fixture(scope="session")
def raf_folder(tmp_path_factory):
    """Four good RAFs, each in another phase: two smooth scenes and two torture scenes."""
    folder = tmp_path_factory.mktemp("rafs")
    write_scene(folder / "smooth-0.RAF", smooth_scene(0), (0, 0))
    write_scene(folder / "smooth-1.RAF", smooth_scene(1), (1, 4))
    write_scene(folder / "circles.RAF", torture_scene(2, SIDE).clip(0, 1), (2, 1))
    write_scene(folder / "polygons.RAF", torture_scene(9, SIDE).clip(0, 1), (1, 2))
    return folder


def build_in_process(source, out, **settings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "map_isolated", in_process)
        return build_module.build(source, out, build_module.BuildSettings(**settings))


@pytest.fixture(scope="session")
def remosaic_set(raf_folder, tmp_path_factory):
    """(folder, manifest): the four files, averaged 2 x 2."""
    out = tmp_path_factory.mktemp("data") / "remosaic"
    return out, build_in_process(raf_folder, out, downsample=2, validation_share=0.3)


@pytest.fixture(scope="session")
def teacher_set(raf_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "teacher"
    return out, build_in_process(raf_folder, out, regime="teacher", validation_share=0.3)


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """The dataset of tiny.tiny_config, for all who only read it."""
    folder = tmp_path_factory.mktemp("tiny")
    build_in_process(write_photographs(folder / "photographs"), folder / "v4", validation_share=0.2)
    split_by_name(folder / "v4")
    return folder / "v4"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with one tiny released model and no others."""
    monkeypatch.chdir(tmp_path)
    for module in (released, checkpoint):
        monkeypatch.setattr(module, "model_places", lambda root=None: [tmp_path / "models"])
    write_release(tmp_path, "tiny", "xtrans")
    return tmp_path


@pytest.fixture
def run_script(monkeypatch, capsys):
    """run(its path in scripts/, *arguments) -> (exit status, stdout, stderr), without a process of its own, which takes
    seconds to load torch."""

    def run(path, *arguments):
        spec = importlib.util.spec_from_file_location("script", SCRIPTS / path)
        program = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(program)
        monkeypatch.setattr("sys.argv", [f"scripts/{path}", *map(str, arguments)])
        try:
            status = program.main()
        except SystemExit as stop:
            status = stop.code
        return (status, *capsys.readouterr())

    return run


@pytest.fixture
def builder():
    """build(source, out, **settings) in this process."""
    return build_in_process


@pytest.fixture
def scene_writer():
    """write(path, scene [H, W, 3], phase) as a RAF of a camera with unequal gains."""
    return write_scene

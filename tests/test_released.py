import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_denoiser import write_denoiser
from tiny_release import write_release

from lincfa import released
from lincfa.checkpoint import find_weights
from lincfa.released import ReleasedError, model_for, released_models

ROOT = Path(__file__).resolve().parents[1]


def test_models_of_the_working_folder_come_before_those_of_the_package(tmp_path):
    name = next(iter(released_models(ROOT)))
    assert released_models(tmp_path)[name].folder == ROOT / "models" / name
    own = write_release(tmp_path, name, "xtrans")
    assert released_models(tmp_path)[name].folder == own
    assert find_weights(name, tmp_path).parent == own


def test_a_released_model_is_found_from_any_folder(tmp_path):
    name = next(iter(released_models(ROOT)))
    assert find_weights(name, tmp_path).parent == ROOT / "models" / name


def test_auto_is_the_cheapest_model_of_the_family(tmp_path):
    for name, family, gmac in (("b", "xtrans", 0.2), ("a", "xtrans", 0.3), ("c", "bayer", 0.1)):
        write_release(tmp_path, name, family, gmac)
    assert model_for("xtrans", tmp_path).id == "b"
    assert model_for("bayer", tmp_path).id == "c"
    assert model_for("other", tmp_path) is None


def test_noise_is_left_to_a_model_that_takes_it_away_only_where_that_is_asked_for_or_no_other_is(tmp_path, monkeypatch):
    monkeypatch.setattr(released, "model_places", lambda root: [root / "models"])
    write_denoiser(tmp_path, "cheap-denoise", gmac=0.1)
    assert model_for("xtrans", tmp_path).id == "cheap-denoise"
    write_release(tmp_path, "clean", "xtrans", gmac=0.2)
    write_denoiser(tmp_path, "dear-denoise", gmac=0.3)
    assert model_for("xtrans", tmp_path).id == "clean"
    assert model_for("xtrans", tmp_path, denoise=True).id == "cheap-denoise"
    write_release(tmp_path, "bayer", "bayer")
    assert model_for("bayer", tmp_path, denoise=True) is None


def test_other_programs_metrics_are_not_taken_for_models(tmp_path):
    for name, content in (("resnet", {"accuracy": 0.9}), ("list", [1])):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "metrics.json").write_text(json.dumps(content))
    assert released_models(tmp_path) == released_models(ROOT)


def test_a_broken_card_is_named(tmp_path):
    folder = write_release(tmp_path, "broken", "xtrans")
    (folder / "metrics.json").write_text('{"family": ')
    with pytest.raises(ReleasedError, match=r"broken.metrics\.json: cannot be read"):
        released_models(tmp_path)


def test_a_built_package_holds_every_released_model_and_finds_it(tmp_path):
    """As `pip install` builds it, and run from another folder than the repository."""
    pytest.importorskip("setuptools", reason="setuptools builds the package, and this environment has none")
    source, built = tmp_path / "source", tmp_path / "built"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("src", "models"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "setup.py", "-q", "build", "--build-lib", str(built)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    shutil.rmtree(source)
    for name in released_models(ROOT):
        shipped = built / "lincfa" / "released_models" / name
        assert {p.name: p.read_bytes() for p in shipped.iterdir()} == {
            p.name: p.read_bytes() for p in (ROOT / "models" / name).iterdir()
        }
    program = "import lincfa.released as r; print(*(m.folder for m in r.released_models().values()))"
    environment = {**os.environ, "PYTHONPATH": str(built)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == [str(built / "lincfa" / "released_models" / n) for n in released_models(ROOT)]

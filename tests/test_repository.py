"""What must be true of the tree as a whole."""

import ast
import importlib.util
import os
import re
from functools import cache
from pathlib import Path

import pytest

from lincfa.config import from_dict, to_dict
from lincfa.models import build
from lincfa.trainconfig import TrainConfig

ROOT = Path(__file__).resolve().parents[1]
SRC = ROOT / "src" / "lincfa"
MODULES = sorted(SRC.rglob("*.py"))
RECIPES = sorted((ROOT / "scripts" / "train").rglob("*.py"))
PROGRAMS = [*MODULES, *sorted((ROOT / "scripts").rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))

ORDER = [
    "cfa",
    "color config noise provenance released runtime runfiles recordtext terminal doctables",
    "rawwriter metrics peers losses "
    "models.gate models.products models.parityproducts models.parity models.gatedkernels models.gated models.unet "
    "models.packed models.denoising models.srgb models.growth models.symmetry models.threads models.winograd "
    "models.separable models.cpu models",
    "raw",
    "checkpoint data data.augment data.torture_patterns data.torture data.manifest data.health data.sharpness "
    "data.hard data.workers data.build data.dataset data.scenes data.demo data infer blend "
    "export.levels export.tiles export.pictures export.metadata export.dng export.images export",
    "plan describe evaluate adaptive figures compare comparepage robustness robustness.scenes robustness.mtf "
    "robustness.probes robustness.report benchmark",
    "trainconfig ledger runlog adversary optim terms trainstate answers charts dashboard entries experiments release",
    "portable portable.graph portable.precision portable.session portable.parity portable.quality "
    "portable.darktable_convert portable.darktable_demo portable.darktable",
    "train rerun",
    "__init__",
    "batch cli app",
]
"""Lowest first. A module may import what stands before it; a new module must be given its place here."""

RANK = {module: number for number, module in enumerate(" ".join(ORDER).split())}


def module_name(path):
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


@cache
def parsed(path):
    return ast.parse(path.read_text())


def imported(path):
    """The modules that a file imports anywhere, as dotted names; `if TYPE_CHECKING` is for readers and left out."""
    tree = parsed(path)
    skipped = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (n if n.removeprefix("lincfa.") in RANK else node.module for n in names)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_point_down(path):
    name = module_name(path)
    assert name in RANK, f"give {name} its place in ORDER"
    own = {n.removeprefix("lincfa.") for n in imported(path) if n.startswith("lincfa.")}
    assert own <= RANK.keys()
    assert [n for n in own if RANK[n] >= RANK[name]] == []


@pytest.mark.parametrize("path", [*PROGRAMS, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_imports_scripts_or_bends_the_path(path):
    assert not [n for n in imported(path) if n.split(".")[0] in ("scripts", "tests")]
    attributes = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Attribute)]
    assert not [n for n in attributes if n.attr == "path" and getattr(n.value, "id", "") == "sys"]


def test_only_the_raw_reader_imports_rawpy():
    assert [module_name(p) for p in MODULES if "rawpy" in {n.split(".")[0] for n in imported(p)}] == ["raw"]
    assert not [p for p in PROGRAMS if p not in MODULES and "rawpy" in set(imported(p))]


def test_data_and_models_hold_no_python():
    assert [p for folder in ("data", "models") for p in (ROOT / folder).rglob("*.py")] == []


def test_there_is_a_recipe():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_builds_its_config_and_says_how_to_run_it(path):
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)  # must define, and not train
    assert isinstance(recipe.CONFIG, TrainConfig)
    assert from_dict(TrainConfig, to_dict(recipe.CONFIG)) == recipe.CONFIG
    assert recipe.CONFIG.images % recipe.CONFIG.batch == 0
    sides = {recipe.CONFIG.data.patch_px, recipe.CONFIG.data.first_patch_px or recipe.CONFIG.data.patch_px}
    assert not [side for side in sides if side % build(**recipe.CONFIG.model).multiple]
    assert f"python {path.relative_to(ROOT)}" in recipe.__doc__
    assert len(path.read_text().splitlines()) <= 40


def test_recipes_do_not_share_a_name_or_a_checkpoint_folder():
    """Either would mix two runs' files."""
    texts = [p.read_text() for p in RECIPES]
    for key in ("name", "checkpoint_folder"):
        values = [m for text in texts for m in re.findall(rf'^    {key}="(.+?)"', text, re.M)]
        assert len(values) == len(set(values)) == len(RECIPES)


def test_the_training_loop_can_be_read_in_ten_minutes():
    assert len((SRC / "train.py").read_text().splitlines()) <= 300


@pytest.mark.parametrize("path", [*PROGRAMS, *TESTS], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_path_of_a_machine_is_written_down(path):
    """A fixed absolute path works for one person only. Tests may name one to show that it is not published."""
    texts = [n.value for n in ast.walk(parsed(path)) if isinstance(n, ast.Constant)]
    roots = ("home", "Users", "work", "root", "mnt", "media", "tmp")
    found = [t for t in texts if isinstance(t, str) and re.search(rf"(^|[\s'\"=])/({'|'.join(roots)})/\w", t)]
    assert found == [] or path.name == "test_experiments.py"
    assert os.sep.join(ROOT.parts[:3])[1:] not in path.read_text()


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.stem)
def test_names_of_tests_are_sentences_and_unique(path):
    names = [n.name for n in ast.walk(parsed(path)) if isinstance(n, ast.FunctionDef)]
    tests = [n for n in names if n.startswith("test_")]
    assert len(tests) == len(set(tests)), "the later of two tests of one name hides the earlier"
    assert [n for n in tests if n.count("_") < 3] == []

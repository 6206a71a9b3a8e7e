"""A recorded run is repeated from its YAML, and what comes out is compared with what was recorded."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from tiny import tiny_config
from tiny_ledger import HAND

from lincfa.checkpoint import save_weights
from lincfa.config import to_dict
from lincfa.evaluate import evaluate, json_safe, load_model, load_suite, summarise
from lincfa.ledger import load, record
from lincfa.models import build
from lincfa.raw import file_sha256
from lincfa.rerun import Figure, check_weights, choose, config_again, repeat, scores
from lincfa.runfiles import Evaluation, LedgerError, Run
from lincfa.train import train
from lincfa.trainconfig import TrainConfig

START, WEIGHTS = "checkpoints/start.pt", "checkpoints/tiny/best.pt"
COMMAND = f"python scripts/utils/evaluate.py --models {WEIGHTS} vng --suite raf=data/v4 --json e.json"


def write_weights(path, seed=0):
    model = tiny_config(Path()).model
    torch.manual_seed(seed)
    save_weights(Path(path), model, build(**model).state_dict(), "xtrans", {})


@pytest.fixture(scope="module")
def recorded(tiny_data, tmp_path_factory):
    """A repository in which a tiny run was trained from other weights, evaluated on two suites, and recorded."""
    root = tmp_path_factory.mktemp("recorded")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        shutil.copytree(tiny_data, "data/v4")
        write_weights(START)
        train(tiny_config(Path("data/v4"), steps=3, start_from=START))
        rows = evaluate([load_model(WEIGHTS, "xtrans")], load_suite("raf", "data/v4", "xtrans"))
        facts = {"suite": "raf", "set": "v4", "cfa": "xtrans", "command": COMMAND, "commit": "c", "rows": rows}
        Path("e.json").write_text(json.dumps(json_safe(facts | summarise(rows))))
        gone = facts | {"suite": "truth", "set": "gone", "command": COMMAND.replace("raf=data/v4", "truth=data/gone")}
        Path("gone.json").write_text(json.dumps(json_safe(gone | summarise(rows))))
        folder = root / "docs/experiments"
        folder.mkdir(parents=True)
        (folder / "v5.0_probe.yaml").write_text(HAND)
        record(folder / "v5.0_probe.yaml", Path("logs/tiny"), [Path("e.json"), Path("gone.json")])
    return root


@pytest.fixture
def repo(recorded, tmp_path, monkeypatch):
    """A copy of it, which is the working directory."""
    root = tmp_path / "repo"
    shutil.copytree(recorded, root)
    monkeypatch.chdir(root)
    return root


def ledger():
    return load(Path("docs/experiments"))


def test_a_run_repeats_from_its_yaml_beside_the_recorded_one_and_agrees(repo):
    before = {p: p.read_bytes() for p in (*Path("logs/tiny").iterdir(), Path(WEIGHTS))}
    said = []
    assert repeat(ledger(), "v5.0_probe", say=said.append)
    text = "\n".join(said)
    assert said[0] == f"start_from: {START}"
    assert said[1].endswith(" s")
    assert "12 images; recorded cost" in said[1]
    assert "AGREES  raf:v4, xtrans psnr_linear_db" in text
    assert "AGREES  validation psnr_linear_db" in text
    assert "not repeated: truth:gone, xtrans" in text
    assert "DIFFERS" not in text
    assert before == {p: p.read_bytes() for p in before}
    assert Path("checkpoints/experiments/tiny-again/best.pt").is_file()

    path = Path("docs/experiments/v5.0_probe.yaml")
    facts = yaml.safe_load(path.read_text())
    facts["runs"][0]["best_psnr_linear_db"] += 1
    path.write_text(yaml.safe_dump(facts))
    said.clear()
    assert not repeat(ledger(), "v5.0_probe", say=said.append)  # nothing is trained twice
    assert "DIFFERS validation psnr_linear_db" in "\n".join(said)


def test_other_data_are_refused_with_both_hashes_and_how_they_are_made(repo):
    manifest = Path("data/v4/manifest.json")
    facts = json.loads(manifest.read_text())
    recorded_hash, facts["data_sha256"] = facts["data_sha256"], "ab" * 32
    manifest.write_text(json.dumps(facts))
    with pytest.raises(LedgerError) as error:
        repeat(ledger(), "v5.0_probe", say=lambda _: None)
    for part in (recorded_hash, "ab" * 32, "build_dataset_v4.py --raw DIR --out data/v4", "--data DIR"):
        assert part in str(error.value)
    path = Path("docs/experiments/v5.0_probe.yaml")
    facts = yaml.safe_load(path.read_text())
    facts["runs"][0]["config"]["data"] |= {"torture_folder": "data/gone", "torture_fraction": 0.5}
    path.write_text(yaml.safe_dump(facts))
    with pytest.raises(LedgerError, match=r"data/gone holds no finished torture set(.|\n)*Data are made by"):
        repeat(ledger(), "v5.0_probe", say=lambda _: None)
    shutil.rmtree("data/v4")
    with pytest.raises(LedgerError, match=r"no such file(.|\n)*build_dataset_v4\.py"):
        repeat(ledger(), "v5.0_probe", say=lambda _: None)
    assert not Path("logs/tiny-again").exists()


def test_other_weights_to_start_from_are_refused_with_both_hashes_and_an_older_record_has_none(repo):
    recorded_hash = file_sha256(Path(START))
    write_weights(START, seed=1)
    with pytest.raises(LedgerError) as error:
        repeat(ledger(), "v5.0_probe", say=lambda _: None)
    for part in (f"start_from {START}: other weights", file_sha256(Path(START)), f"trained with {recorded_hash}"):
        assert part in str(error.value)
    assert not Path("logs/tiny-again").exists()
    path = Path("docs/experiments/v5.0_probe.yaml")
    facts = yaml.safe_load(path.read_text())
    assert facts["runs"][0].pop("start_sha256") == recorded_hash
    path.write_text(yaml.safe_dump(facts))
    _, run = choose(ledger(), "v5.0_probe", 0, None)
    check_weights(run, config_again(ledger(), run))


def test_released_weights_of_a_run_without_their_hash_are_refused_with_the_commit_that_has_them(repo):
    write_weights("models/net-s/weights.safetensors")
    for key, fact in (("start_from", "start_sha256"), ("teacher", "teacher_sha256")):
        run = a_run(**{key: "net-s"})
        with pytest.raises(LedgerError, match=rf"{key} net-s: released.*no hash.*commit c0ffee(.|\n)*python r\.py"):
            check_weights(run, config_again([], run))
        known = replace(run, **{fact: file_sha256(Path("models/net-s/weights.safetensors"))})
        check_weights(known, config_again([], known))


def test_the_recipe_says_how_data_are_made_where_it_is_there(repo):
    facts = yaml.safe_load(Path("docs/experiments/v5.0_probe.yaml").read_text())
    facts["runs"][0]["command"] = "python scripts/train/probe.py"
    Path("docs/experiments/v5.0_probe.yaml").write_text(yaml.safe_dump(facts))
    Path("scripts/train").mkdir(parents=True)
    Path("scripts/train/probe.py").write_text('"""x\n\n    python scripts/utils/torture_v2.py --seed 7\n"""\n')
    with pytest.raises(LedgerError, match=r"torture_v2\.py --seed 7"):
        repeat(ledger(), "v5.0_probe", data="data/elsewhere", say=lambda _: None)


def a_run(name="net_0", seed=0, **config):
    config = to_dict(replace(TrainConfig(name, f"experiments/{name}", 16), seed=seed)) | config
    return Run(name, "c0ffee", "python r.py", {"path": "d", "sha256": "0"}, seed, config, images=16)


def an_experiment(*runs):
    (e,) = (e for e in ledger() if e.id == "v5.0_probe")
    return replace(e, runs=runs, evaluations=())


def test_arm_and_seed_choose_the_run_and_others_are_refused_with_what_there_is(repo):
    e = an_experiment(a_run("a0"), a_run("a1", 1), a_run("b1", 1, ewc=2.0))
    assert choose([e], e.id, 0, None)[1].name == "a0"
    assert choose([e], e.id, 0, 1)[1].name == "a1"
    assert choose([e], e.id, 1, 1)[1].name == "b1"
    for arguments, reason in (
        (("z", 0, None), "no such experiment; there are: v5.0_probe"),
        ((e.id, 2, None), "no arm 2; there are: 0: the first arm; 1: ewc 0.0 → 2.0"),
        ((e.id, 1, 0), "no seed 0; there are: 1"),
    ):
        with pytest.raises(LedgerError, match=reason):
            choose([e], *arguments)


def test_weights_to_start_from_are_those_named_or_a_repeat_and_else_it_is_said_who_makes_them(repo):
    start = "checkpoints/experiments/net_0/best.pt"
    tuned = a_run("tuned_0", start_from=start)
    e = an_experiment(a_run("other_0", seed=3), a_run("net_0", ewc=1.0), tuned)
    with pytest.raises(LedgerError, match=r"experiments\.py --run v5\.0_probe --arm 1 --seed 0"):
        config_again([e], tuned)
    again = Path("checkpoints/experiments/net_0-again/best.pt")
    again.parent.mkdir(parents=True)
    again.touch()
    assert config_again([e], tuned).start_from == str(again)
    kept = replace(tuned, start_sha256="ab" * 32)
    check_weights(kept, config_again([e], kept))  # a repeat is another file always
    Path(start).parent.mkdir()
    Path(start).touch()
    config = config_again([e], tuned)
    assert (config.start_from, config.name) == (start, "tuned_0-again")
    taught = replace(a_run(teacher=start), teacher_sha256="cd" * 32)
    for run, said in ((kept, f"start_from {start}"), (taught, f"teacher {start}")):
        with pytest.raises(LedgerError, match=said):
            check_weights(run, config_again([e], run))
    with pytest.raises(LedgerError, match=r"nowhere\.pt.*no experiment of the record made it"):
        config_again([e], a_run(teacher="nowhere.pt"))


def test_runs_that_this_program_cannot_repeat_are_refused(repo):
    with pytest.raises(LedgerError, match="stopped after 8 of 16 images"):
        config_again([], replace(a_run(), images=8))
    with pytest.raises(LedgerError, match=r"unknown setting sharpen.*commit c0ffee can repeat it"):
        config_again([], a_run(sharpen=True))


def test_symmetries_that_were_all_or_none_are_so_again(repo):
    for dihedral, symmetries in ((True, tuple(range(8))), (False, (0,))):
        run = a_run(data={"folder": "d", "augment": {"dihedral": dihedral}})
        assert config_again([], run).data.augment.symmetries == symmetries


def test_a_crosstalk_of_one_number_is_the_range_from_0_that_it_meant(repo):
    run = a_run(data={"folder": "d", "augment": {"camera_crosstalk": 0.25, "phases": False}})
    assert config_again([], run).data.augment.camera_crosstalk == (0.0, 0.25)
    assert config_again([], run, data="e").data.folder == "e"
    assert config_again([], run).data.augment.phases is False


@pytest.mark.parametrize(
    ("metric", "recorded_value", "repeated", "spread", "agrees"),
    [
        ("psnr_linear_db", 40.0, 40.09, None, True),
        ("psnr_linear_db", 40.0, 40.11, None, False),
        ("psnr_linear_db", 40.0, 40.39, 0.2, True),  # twice the spread
        ("psnr_linear_db", 40.0, 39.59, 0.2, False),
        ("psnr_linear_db", 40.0, 40.09, 0.001, True),  # seeds that lie close by luck
        ("false_colour", 0.02, 0.0209, None, True),
        ("false_colour", 0.02, 0.0211, None, False),
        ("ssim", 0.98, float("nan"), None, False),
    ],
)
def test_figures_agree_within_twice_the_spread_or_the_tolerance(metric, recorded_value, repeated, spread, agrees):
    assert Figure("truth:x", metric, recorded_value, repeated, spread).agrees is agrees


def test_a_suite_of_another_length_and_a_command_of_another_program_are_not_compared(repo):
    def evaluation(command):
        return Evaluation("raf:v4", "xtrans", "e.json", "0", command, "c", {})

    with pytest.raises(LedgerError, match="data/v4 has 2 scenes, and 5 were recorded"):
        scores(evaluation(COMMAND), 5, "checkpoints/tiny", {})
    for command in ("python scripts/utils/robustness.py --suite raf=data/v4", f"{COMMAND} --new-option 3"):
        with pytest.raises(LedgerError, match="cannot repeat the command"):
            scores(evaluation(command), 1, "checkpoints/tiny", {})
    noise = scores(evaluation(f"{COMMAND} --count 1 --noise 0.05 0.001"), 1, "checkpoints/tiny", {})
    clean = scores(evaluation(COMMAND.replace("data/v4", "elsewhere")), 2, "checkpoints/tiny", {"elsewhere": "data/v4"})
    assert noise["psnr_linear_db"] != clean["psnr_linear_db"]

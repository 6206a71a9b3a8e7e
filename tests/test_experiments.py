import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tiny_ledger import HAND

from lincfa.config import to_dict
from lincfa.evaluate import LIBRAW_MODELS, json_safe, summarise
from lincfa.experiments import FIGURES, LedgerError, check, load, record, render, write
from lincfa.ledger import FACTS
from lincfa.runfiles import BASELINE
from lincfa.trainconfig import LAB

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURES = "docs/EXPERIMENTS.md", list(FIGURES)
PICTURE = """picture: figures/probe.png
picture_note: |-
  A is sharp.

  ```sh
  python compare.py
  ```
"""


@pytest.fixture(scope="module")
def entries():
    return load(ROOT / "docs/experiments")


@pytest.fixture
def repo(tmp_path):
    """A repository with one measured and one seed experiment and a README, its pages fresh."""
    folder = tmp_path / "docs/experiments"
    folder.mkdir(parents=True)
    (tmp_path / "scripts/train").mkdir(parents=True)
    (tmp_path / "scripts/train/probe.py").touch()
    for name in ("_intro.md", "_questions.md", "_naming.md", "v4.yaml"):
        shutil.copy(ROOT / "docs/experiments" / name, folder / name)
    (folder / "v5.0_probe.yaml").write_text(HAND)
    (folder / "_answers.md").write_text("- Does it work? Open.\n")
    (tmp_path / "README.md").write_text("# x\n<!-- results:begin -->\n<!-- results:end -->\nlast words\n")
    write(tmp_path)
    return tmp_path


def write_log(root, name="v5.0_probe", seed=0, width=60, **changes):
    folder = root / "logs" / name
    folder.mkdir(parents=True, exist_ok=True)
    provenance = {
        "commit": "c0ffeec0ffee",
        "command": f"python {root}/scripts/train/probe.py --data /home/someone/sets/photos",
        "data": {"path": "/home/someone/sets/photos", "sha256": "d1" * 32},
        "seed": seed,
        "device": "cpu",
        "machine": "m",
        "started": "2026-03-01T10:00:00",
        "parameters": 123456,
        "images": 48000,
        "seconds": 180.5,
        "best_images": 32000,
        "best_psnr_linear_db": 41.375,
    } | changes
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"checkpoint_folder": f"experiments/{name}", "seed": seed, "model": {"width": width}})
    )
    (folder / "provenance.yaml").write_text(yaml.safe_dump({k: v for k, v in provenance.items() if v is not None}))
    return folder


def write_evaluation(root, psnrs, file="a.json", name="kodak24", **more):
    """psnrs: {model: [dB of each image]}."""
    rows = [{"model": m, "image": f"{i}.png", "psnr_linear_db": v} for m, vs in psnrs.items() for i, v in enumerate(vs)]
    mean = {m: {"psnr_linear_db": sum(vs) / len(vs), "ssim": 0.98765, "images": len(vs)} for m, vs in psnrs.items()}
    spread = {m: {"psnr_linear_db": 1.23456, "ssim": 0.001} for m in psnrs}
    found = {"suite": "truth", "set": name, "cfa": "xtrans", "command": "evaluate", "commit": "ab" * 20, "rows": rows}
    (root / file).write_text(json.dumps(found | {"mean": mean, "spread": spread} | more))
    return root / file


def page(root):
    return render(load(root / "docs/experiments"), root)


def line_with(text, *words):
    lines = [line for line in text.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_pages_of_this_repository_are_fresh_whatever_the_hash_seed(hash_seed):
    code = "import sys; from lincfa.experiments import check; sys.exit(', '.join(check(sys.argv[1])))"
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code, str(ROOT)], env=environment, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_a_changed_figure_makes_the_pages_that_show_it_stale(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    log = write_log(repo, gmac_per_megapixel=10.0)
    record(path, log, [write_evaluation(repo, {"v5.0_probe": [40.0, 42.0]})])
    assert check(repo) == [PAGE, PICTURES[0], "README.md"]
    write(repo)
    assert check(repo) == []
    path.write_text(path.read_text().replace("41.375", "51.375"))
    assert check(repo) == [PAGE]
    path.write_text(
        path.read_text().replace("51.375", "41.375").replace("psnr_linear_db: 41.0", "psnr_linear_db: 43.0")
    )
    assert check(repo) == [PAGE, PICTURES[0], "README.md"]


def test_a_picture_edited_by_hand_or_missing_is_stale(repo):
    for name in PICTURES:
        (repo / name).write_text((repo / name).read_text() + " ")
    assert check(repo) == PICTURES
    for name in PICTURES:
        (repo / name).unlink()
    assert check(repo) == PICTURES
    assert all(f"]({name.removeprefix('docs/')})" in page(repo) for name in PICTURES)


def test_a_page_edited_by_hand_or_missing_is_stale(repo):
    (repo / "docs/EXPERIMENTS.md").write_text(page(repo).replace("48.21", "49.21"))
    assert check(repo) == ["docs/EXPERIMENTS.md"]
    (repo / "docs/EXPERIMENTS.md").unlink()
    assert check(repo) == ["docs/EXPERIMENTS.md"]


def test_text_outside_the_marks_of_the_readme_is_kept_and_one_mark_alone_is_refused(repo):
    text = (repo / "README.md").read_text()
    assert text.startswith("# x\n")
    assert text.endswith("\nlast words\n")
    (repo / "README.md").write_text("<!-- results:begin -->")
    with pytest.raises(LedgerError, match=r"README\.md"):
        check(repo)
    (repo / "README.md").write_text("no marks")
    assert check(repo) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("title: a probe", "titel: a probe", "unknown key titel"),
        ("status: analysis", "status: great", "unknown status 'great'"),
        ("id: v5.0_probe\n", "", "missing id"),
        ("id: v5.0_probe", "id: v5.0_other", "not the file's name"),
        ("origin: measured", "origin: measured\nreported: {psnr_db: 60}", "for the seed's entries alone"),
        ("origin: measured", "origin: hearsay", "unknown origin"),
        ('version: "5.0"', "version: 5.0", "version is 5.0, not str"),
        ("readme: true", "follows: [v9]", "follows v9"),
        ("readme: true", "shown: gone_0", "shown names 'gone_0', of which no run is recorded"),
        ("id: v5.0_probe", "id: [", "while parsing"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name(repo, old, new, reason):
    (repo / "docs/experiments/v5.0_probe.yaml").write_text(HAND.replace(old, new))
    with pytest.raises(LedgerError, match=rf"^v5\.0_probe\.yaml: (.|\n)*{reason}"):
        load(repo / "docs/experiments")


def test_a_picture_stands_in_its_section_above_the_note_that_says_how_it_was_made(repo):
    (repo / "docs/figures/probe.png").touch()
    (repo / "docs/experiments/v5.0_probe.yaml").write_text(HAND + PICTURE)
    section = page(repo).split('<a id="v5.0_probe"></a>')[1].split("<a id=")[0]
    assert "\n\n![a probe](figures/probe.png)\n\nA is sharp.\n\n```sh\npython compare.py\n```\n" in section
    (repo / "docs/experiments/v5.0_probe.yaml").write_text(HAND)
    assert "figures/probe.png" not in page(repo)


def test_a_picture_that_is_not_there_or_that_nothing_is_said_of_is_refused(repo):
    path, picture = repo / "docs/experiments/v5.0_probe.yaml", repo / "docs/figures/probe.png"
    path.write_text(HAND + PICTURE)
    for refuses in (lambda: load(path.parent), lambda: check(repo), lambda: write(repo)):
        with pytest.raises(LedgerError, match=r"^v5\.0_probe\.yaml: picture 'figures/probe\.png': there is no"):
            refuses()
    picture.touch()
    load(path.parent)
    for half in PICTURE.split("picture_note")[0], PICTURE.removeprefix("picture: figures/probe.png\n"):
        path.write_text(HAND + half)
        with pytest.raises(LedgerError, match=r"^v5\.0_probe\.yaml: picture and picture_note go together"):
            load(path.parent)


def test_an_id_does_not_carry_a_status(repo):
    text = HAND.replace("id: v5.0_probe", "id: v5.0_probe_failed")
    (repo / "docs/experiments/v5.0_probe_failed.yaml").write_text(text)
    with pytest.raises(LedgerError, match="carries a status"):
        load(repo / "docs/experiments")


def test_a_seed_entry_cannot_hold_runs_of_this_project(repo):
    path = repo / "docs/experiments/v4.yaml"
    before = path.read_text()
    with pytest.raises(LedgerError, match=r"v4\.yaml: a seed entry holds no runs"):
        record(path, write_log(repo, "v4"), [])
    assert path.read_text() == before


def test_the_display_name_follows_the_status_and_the_id_does_not(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    path.write_text(HAND.replace("status: analysis", "status: failed"))
    (probe,) = (e for e in load(path.parent) if e.origin == "measured")
    assert probe.display_name == "v5.0_probe_failed"
    assert probe.id == "v5.0_probe"
    assert '<a id="v5.0_probe"></a>\n\n### ✗ v5.0_probe_failed: a probe' in page(repo)


def test_every_seed_row_and_entry_says_that_it_was_not_measured_here(entries):
    seed = [e for e in entries if e.origin == "seed"]
    assert {"v3", "v4", "v4_ft", "torture", "v4_ssim", "fullres_ssim", "v4_ft_artifacts", "mixed"} == {
        e.id for e in seed
    }
    text = page(ROOT)
    for e in seed:
        assert "(seed, not measured here)" in line_with(text, f"| [{e.display_name}](#{e.id})")
        assert "(seed, not measured here)" in line_with(text, "###", f"{e.display_name}: ")
    assert "48.21" in line_with(text, "| [v4.0_linear_success](#v4)")
    assert "39.1" in line_with(text, "| [v3.0_srgb_archived](#v3)")


def test_record_keeps_the_hand_written_part_byte_for_byte_even_twice(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    log, evaluation = write_log(repo), write_evaluation(repo, {"v5.0_probe": [40.0, 42.0]})
    record(path, log, [evaluation])
    once = path.read_text()
    assert once.split(FACTS)[0].rstrip() == HAND.rstrip()
    record(path, log, [evaluation])
    assert path.read_text() == once


def test_recorded_figures_are_those_of_the_files(repo):
    psnrs = {
        "v5.0_probe": [40.0, 42.0, 35.0],
        "markesteijn3": [36.0, 36.0, 36.0],
        "v9": [30.0, 30.0, 30.0],
    }
    evaluation = write_evaluation(repo, psnrs)
    probe = record(repo / "docs/experiments/v5.0_probe.yaml", write_log(repo), [evaluation])
    (run,) = probe.runs
    assert (run.seed, run.parameters, run.images, run.seconds, run.config["model"]) == (
        0,
        123456,
        48000,
        180.5,
        {"width": 60},
    )
    facts = probe.evaluations[0].models["v5.0_probe"]
    assert facts["mean"] == {"psnr_linear_db": 39.0, "ssim": 0.98765}
    assert facts["images"] == 3
    # Differences 4, 6 and -1: mean 3, and standard deviation sqrt((1 + 9 + 16) / 3).
    difference = facts["against"]["markesteijn3"]
    assert difference == {"mean_db": 3.0, "spread_db": pytest.approx((26 / 3) ** 0.5), "worse": 1, "images": 3}
    row = line_with(page(repo), "| **v5.0_probe** |")
    assert row == "| **v5.0_probe** | 39.00 ± 1.23 | 0.9877 ± 0.0010 | 3 | +3.00 ± 2.94; worse on 1 of 3 |"
    assert line_with(page(repo), "| markesteijn3 | 36.00 ± 1.23")


def test_the_entry_shows_where_its_figures_come_from(repo):
    log = write_log(repo, commit="c0ffeec0ffee+")
    record(repo / "docs/experiments/v5.0_probe.yaml", log, [write_evaluation(repo, {"v5.0_probe": [40.0]})])
    text = page(repo)
    row = line_with(text, "| v5.0_probe | 0 |")
    for fact in (
        "`c0ffeec0ffee` and uncommitted changes",
        "`d1d1d1d1d1d1`",
        "48,000",
        "180",
        "cpu",
        "41.38 dB at 32,000",
    ):
        assert fact in row
    assert "python scripts/train/probe.py --data photos" in text
    assert "model.width: 60" in text
    assert "[`scripts/train/probe.py`](../scripts/train/probe.py), `scripts/train/gone.py`" in text


def test_no_absolute_path_of_a_machine_is_recorded(repo):
    evaluation = write_evaluation(
        repo,
        {f"{repo}/checkpoints/experiments/v5.0_probe/best.pt": [40.0]},
        command="evaluate --suite truth=/home/someone/sets/kodak24",
    )
    path = repo / "docs/experiments/v5.0_probe.yaml"
    probe = record(path, write_log(repo), [evaluation])
    assert "someone" not in path.read_text()
    assert str(repo) not in path.read_text()
    assert list(probe.evaluations[0].models) == ["checkpoints/experiments/v5.0_probe/best.pt"]


def test_one_seed_is_called_no_claim_and_three_give_mean_and_spread_over_seeds(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    libraw = {"vng": [34.0, 34.0]}
    for seed, value in enumerate((39.0, 40.0, 41.0)):
        name = f"v5.0_probe_s{seed}"
        psnrs = {f"checkpoints/experiments/{name}/best.pt": [value - 1, value + 1]} | libraw
        record(path, write_log(repo, name, seed), [write_evaluation(repo, psnrs, f"{seed}.json")])
        if seed == 0:
            row = line_with(page(repo), "| [v5.0_probe_analysis](#v5.0_probe) |")
            assert "39.00 ± 1.23" in row
            assert "1 (no claim)" in row
    text = page(repo)
    row = line_with(text, "| [v5.0_probe_analysis](#v5.0_probe) |")
    assert "truth:kodak24, xtrans | 2 | 40.00 ± 1.00 |" in row
    assert "| 3 |" in row
    assert "seed: 0 | 1 | 2" in text
    write(repo)
    readme = (repo / "README.md").read_text().splitlines()
    ranked = [line.split(" | ")[0] for line in readme if "truth:kodak24" in line]
    assert ranked == ["| [v5.0_probe_analysis](docs/EXPERIMENTS.md#v5.0_probe)", "| vng"]


def test_runs_that_differ_in_more_than_the_seed_are_arms_and_the_dashboard_shows_the_first_or_the_named(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    for name, width, psnr in (("a0", 60, 40.0), ("a1", 60, 41.0), ("b0", 80, 42.0), ("b1", 80, 42.5)):
        log = write_log(repo, name, int(name[1]), width, gmac_per_megapixel=width / 2)
        score = write_evaluation(repo, {f"checkpoints/experiments/{name}/best.pt": [psnr, psnr]})
        record(path, log, [score])
    text = page(repo)
    assert "| the first arm | 2 | 30 | 180 | 40.50 ± 0.71 |" in text
    assert "| model.width 60 → 80 | 2 | 40 | 180 | 42.25 ± 0.35 (+1.75) |" in text
    assert "40.50 ± 0.71" in line_with(text, "[v5.0_probe_analysis](#v5.0_probe)", "kodak24")  # of the first arm alone
    path.write_text(path.read_text().replace("readme: true", "readme: true\nshown: b1"))
    row = "| [v5.0_probe_analysis](#v5.0_probe): model.width 60 → 80 | truth:kodak24, xtrans | 2 | 42.25 ± 0.35 |"
    assert row in page(repo)
    write(repo)
    assert "40.50 ± 0.71" in line_with((repo / "README.md").read_text(), "v5.0_probe_analysis")


def test_a_setting_that_an_older_run_did_not_know_is_no_factor(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    config = to_dict(LAB)
    old = to_dict(LAB) | {"data": config["data"] | {"augment": {**config["data"]["augment"], "dihedral": True}}}
    for key in ("averaged_fraction", "averaged_by"):
        del old["data"][key]
    del old["data"]["augment"]["symmetries"], old["adversarial"]
    turned = replace(LAB, data=replace(LAB.data, augment=replace(LAB.data.augment, symmetries=(0, 1, 2, 3))))
    for seed, settings in enumerate((old, config, to_dict(turned))):
        log = write_log(repo, f"r{seed}", seed)
        (log / "config.yaml").write_text(yaml.safe_dump(settings))
        record(path, log, [])
    first, second = load(repo / "docs/experiments")[0].arms()
    assert [run.name for run in first[1]] == ["r0", "r1"]
    assert second[0] == "data.augment.symmetries [0, 1, 2, 3, 4, 5, 6, 7] → [0, 1, 2, 3]"


def test_a_benchmark_is_shown_from_its_file_and_a_column_that_it_lacks_is_refused(repo):
    (repo / "docs/benchmarks").mkdir()
    rows = [
        {"model": "a", "suites": {"k": {"db": -0.0001}}, "s": 1.23456},
        {"model": "b", "suites": {"k": {"db": 2}}, "s": 3},
    ]
    facts = {"rows": rows, "command": "python measure.py", "commit": "ab" * 20}
    (repo / "docs/benchmarks/x.json").write_text(json.dumps(facts))
    path = repo / "docs/experiments/v5.0_probe.yaml"
    table = "benchmarks:\n- file: docs/benchmarks/x.json\n  columns: {Network: model, dB: suites.k.db, seconds: s}\n"
    path.write_text(HAND + table)
    text = page(repo)
    assert "| Network | dB | seconds |\n| --- | --- | --- |\n| a | -0.0001 | 1.235 |\n| b | 2 | 3 |" in text
    assert "commit `abababababab`: `python measure.py`" in text
    (repo / "docs/benchmarks/x.json").write_text(json.dumps(facts | {"models": {"a": {"s": 5}, "b": {"s": 6}}}))
    path.write_text(HAND + table.replace("  columns", "  rows: models\n  columns").replace("dB: suites.k.db, ", ""))
    assert "| Network | seconds |\n| --- | --- |\n| a | 5 |\n| b | 6 |" in page(repo)
    path.write_text(HAND + table.replace("k.db", "m.db"))
    with pytest.raises(LedgerError, match=r"x\.json: a row has no suites\.m\.db"):
        page(repo)
    path.write_text(HAND + table.replace("x.json", "y.json"))
    with pytest.raises(LedgerError, match="benchmarks name a file that is not there"):
        page(repo)


def test_the_greatest_fall_of_validation_is_recorded_where_there_were_several(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    for name, values in (("r0", (30.0, 32.0, 31.5, 31.75)), ("r1", (30.0, 31.0))):
        log = write_log(repo, name, int(name[1]))
        rows = [{"kind": "val", "images": n, "psnr_linear_db": value} for n, value in enumerate(values)]
        (log / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in [{"kind": "train"}, *rows]))
        record(path, log, [])
    first, second = load(repo / "docs/experiments")[0].runs
    assert (first.greatest_fall_db, second.greatest_fall_db) == (0.5, None)
    assert "| Greatest fall between validations (dB) |" in page(repo)


def test_newer_figures_of_a_model_on_a_suite_replace_older_ones(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    log = write_log(repo)
    record(path, log, [write_evaluation(repo, {"v5.0_probe": [40.0], "vng": [33.0]}, "old.json")])
    probe = record(path, log, [write_evaluation(repo, {"v5.0_probe": [41.0]}, "new.json")])
    held = {(Path(v.file).name, m): f["mean"]["psnr_linear_db"] for v in probe.evaluations for m, f in v.models.items()}
    assert held == {("old.json", "vng"): 33.0, ("new.json", "v5.0_probe"): 41.0}


def test_an_evaluation_of_other_models_only_is_refused_and_nothing_is_written(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    with pytest.raises(LedgerError, match=r"a\.json: no model is v5\.0_probe"):
        record(path, write_log(repo), [write_evaluation(repo, {"v5.0_probe_s7": [40.0]})])
    assert path.read_text() == HAND


def test_a_model_named_by_the_id_or_by_the_written_checkpoint_is_the_experiments_own(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    path.write_text(HAND + "checkpoint: models/probe\n")
    log = write_log(repo, "v5.0_probe_s0")
    for model in ("v5.0_probe", "models/probe"):
        probe = record(path, log, [write_evaluation(repo, {model: [40.0]})])
        assert probe.run_of(model).name == "v5.0_probe_s0"


def test_a_released_models_name_stands_for_the_run_that_it_was_released_from(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    path.write_text(HAND + "checkpoint: models/probe-s/weights.safetensors\n")
    probe = record(path, write_log(repo, "v5.0_probe_s0"), [write_evaluation(repo, {"probe-s": [40.0]})])
    assert probe.run_of("probe-s").name == "v5.0_probe_s0"


def test_a_run_without_a_hash_of_its_data_is_refused(repo):
    with pytest.raises(LedgerError, match=r"provenance\.yaml: data needs path and sha256"):
        record(repo / "docs/experiments/v5.0_probe.yaml", write_log(repo, data={"path": "data/v4"}), [])


def test_a_run_without_commit_is_refused_and_an_interrupted_one_is_kept(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    with pytest.raises(LedgerError, match=r"provenance\.yaml: missing commit"):
        record(path, write_log(repo, commit=None), [])
    (run,) = record(path, write_log(repo, best_images=None, best_psnr_linear_db=None, seconds=None), []).runs
    assert run.best_psnr_linear_db is None
    assert "- dB at - images" in line_with(page(repo), "| v5.0_probe | 0 |")


def test_a_torture_suite_shows_each_type(repo):
    types = {"v5.0_probe": {"stripes": {"psnr_linear_db": 22.0}, "julia": {"psnr_linear_db": 27.5}}}
    file = write_evaluation(repo, {"v5.0_probe": [25.0]}, by_type=types)
    record(repo / "docs/experiments/v5.0_probe.yaml", write_log(repo), [file])
    assert "| PSNR linear (dB) by type | v5.0_probe |\n| --- | --- |\n| stripes | 22.00 |\n| julia | 27.50 |" in page(
        repo
    )


def test_two_sets_of_one_suite_stay_apart(repo):
    files = [write_evaluation(repo, {"v5.0_probe": [p]}, f"{n}.json", n) for n, p in (("kodak24", 40.0), ("mc", 41.0))]
    probe = record(repo / "docs/experiments/v5.0_probe.yaml", write_log(repo), files)
    psnrs = {suite: models["v5.0_probe"]["mean"]["psnr_linear_db"] for (suite, _), models in probe.suites().items()}
    assert psnrs == {"truth:kodak24": 40.0, "truth:mc": 41.0}


def test_every_libraw_model_of_the_evaluation_is_known_as_one():
    assert {name for name in LIBRAW_MODELS if not BASELINE.fullmatch(name)} == set()


def test_the_files_of_the_real_evaluation_are_read(repo):
    rows = [
        {"model": m, "image": i, "type": t, "psnr_linear_db": p, "highlights_kept": h}
        for m, gain in (("checkpoints/v4_production/best.pt", 3.0), ("markesteijn3", 0.0))
        for i, t, p, h in (("a", "star", 30.0 + gain, float("nan")), ("b", "julia", 34.0 + gain, 0.5))
    ]
    facts = {"suite": "torture", "set": "v2", "cfa": "xtrans", "command": "c", "commit": "ab" * 6, "rows": rows}
    (repo / "real.json").write_text(json.dumps(json_safe(facts | summarise(rows))))
    log = write_log(repo)
    (log / "config.yaml").write_text("checkpoint_folder: v4_production\n")
    probe = record(repo / "docs/experiments/v5.0_probe.yaml", log, [repo / "real.json"])
    means, spreads, runs = probe.score(probe.suites()["torture:v2", "xtrans"])
    assert (means["psnr_linear_db"], spreads["psnr_linear_db"], [r.seed for r in runs]) == (35.0, 2.0, [0])
    assert "| julia | 37.00 | 34.00 |" in page(repo)
    assert "| 0.500" in line_with(page(repo), "| **checkpoints/v4_production/best.pt** |")


def test_the_dashboard_has_a_row_for_each_libraw_algorithm_from_the_newest_evaluation_on_most_images(repo):
    path = repo / "docs/experiments/v5.0_probe.yaml"
    psnrs = {"v5.0_probe": [40.0, 40.0], "vng": [33.0, 33.0], "bilinear": [30.0, 30.0]}
    record(path, write_log(repo), [write_evaluation(repo, psnrs)])
    later = path.with_name("v5.10_probe.yaml")
    later.write_text(HAND.replace("v5.0_probe", "v5.10_probe").replace('"5.0"', '"5.10"'))
    newer = {"v5.10_probe": [41.0, 41.0], "vng": [33.5, 33.5]}
    few = write_evaluation(repo, {"v5.10_probe": [50.0], "bilinear": [50.0]}, "b.json")
    log = write_log(repo, "v5.10_probe")
    record(later, log, [few])
    record(later, log, [write_evaluation(repo, newer)])
    assert "| truth:kodak24, xtrans | 2 | 33.50 ± 1.23 |" in line_with(page(repo), "| LibRaw vng |")
    assert "| truth:kodak24, xtrans | 2 | 30.00 ± 1.23 |" in line_with(page(repo), "| LibRaw bilinear |")


def test_the_dashboard_shows_sharpness_grid_and_ripple_where_they_were_measured(repo):
    mean = {"psnr_linear_db": 40.0, "laplacian_ratio": 0.931, "grid_db": 4.56, "phase_ripple": 0.01234, "images": 1}
    file = write_evaluation(repo, {"v5.0_probe": [40.0]}, mean={"v5.0_probe": mean}, spread={})
    record(repo / "docs/experiments/v5.0_probe.yaml", write_log(repo), [file])
    row = line_with(page(repo), "| [v5.0_probe_analysis](#v5.0_probe) |")
    assert "| 40.00 | - | - | - | 0.931 | - | 4.56 | - | 0.0123 |" in row


def test_the_dashboard_takes_highlights_from_the_hdr_scenes_alone(repo):
    path, psnrs = repo / "docs/experiments/v5.0_probe.yaml", {"v5.0_probe": [40.0], "vng": [40.0]}

    def rows_with(suite, name, kept):
        mean = {m: {"psnr_linear_db": 40.0, "highlights_kept": kept, "images": 1} for m in psnrs}
        record(path, write_log(repo), [write_evaluation(repo, psnrs, suite=suite, name=name, mean=mean, spread={})])
        found = page(repo).split("## Metrics dashboard")[1].split("## Experiments by date")[0]
        return sum(f"| {kept} |" in line for line in found.splitlines())

    assert rows_with("torture", "torture_v2", 0.987) == 0
    assert rows_with("truth", "kodak24", 0.876) == 0
    assert rows_with("truth", "hdr", 0.765) == 2  # the run's and LibRaw's
    assert "| Highlights kept on truth:hdr |" in page(repo)


def test_the_script_names_stale_pages_with_exit_code_1_then_makes_them(repo):
    (repo / "scripts/utils").mkdir()
    script = shutil.copy(ROOT / "scripts/utils/experiments.py", repo / "scripts/utils")

    def run(*args):
        environment = os.environ | {"PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [sys.executable, script, *map(str, args)], capture_output=True, text=True, env=environment
        )

    assert run("--check").returncode == 0
    log, file = write_log(repo), write_evaluation(repo, {"v5.0_probe": [40.0]})
    (repo / "docs/EXPERIMENTS.md").write_text("old")
    stale = run("--check")
    assert (stale.returncode, "docs/EXPERIMENTS.md" in stale.stdout) == (1, True)
    done = run("--record", repo / "docs/experiments/v5.0_probe.yaml", "--log", log, "--eval", file)
    assert done.returncode == 0, done.stderr
    assert check(repo) == []
    assert "40.00" in (repo / "README.md").read_text()


def test_a_days_experiments_stand_in_the_order_of_their_versions(entries):
    versions = [e.version for e in entries if e.date == "2026-11-21"]
    assert versions == sorted(versions, key=lambda v: tuple(map(int, v.split("."))))
    assert {"5.9", "5.10"} <= set(versions)

"""The ledger of experiments: one docs/experiments/<id>.yaml each, read, validated, and filled from the files of runs.

A YAML has two parts. Above the line `FACTS` people write; below it `record` puts what a run and its evaluations left in
files. An experiment is `measured` here, or comes from the `seed`, the record that this project grew from: only a seed
entry may hold typed figures (`reported`), only a measured one may hold runs and evaluations.
"""

from __future__ import annotations

import datetime
import json
import re
import statistics
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import yaml

from lincfa.config import ConfigError, difference, to_dict
from lincfa.runfiles import (
    BASELINE,
    Evaluation,
    LedgerError,
    Run,
    build,
    flatten,
    is_number,
    parse_mapping,
    read_evaluation,
    read_run,
)
from lincfa.trainconfig import config_now

FACTS = "# Facts, written by scripts/utils/experiments.py --record from files of the runs. Do not edit below this line."
STATUSES = {
    "success": ("✓", "works, and may be used"),
    "wip": ("⚠️", "begun, not complete"),
    "failed": ("✗", "run to its end and broken or worse: do not use; kept for what it teaches"),
    "analysis": ("📊", "run to its end, results being studied"),
    "planned": ("🔍", "not begun"),
    "archived": ("📦", "replaced by a later experiment (a word of the seed's dashboard that its legend lacks)"),
}
OWN_TO_A_RUN = {"name", "checkpoint_folder", "seed"}
REPORTED = {"suite", "psnr_db", "ssim", "texture", "hdr"}


@dataclass(frozen=True)
class Benchmark:
    """A file of docs/benchmarks whose rows an entry shows.

    file: its path in the repository. columns: heading -> key of a row, dotted where the value lies deeper. rows: the
    key of the rows: a list, or a mapping from each row's `model` to its other values.
    """

    file: str
    columns: dict
    rows: str = "rows"

    def read(self, root: Path) -> dict:
        """rows, each a flat mapping, command and commit. root: the repository."""
        found = json.loads((Path(root) / self.file).read_text(encoding="utf-8"))
        rows = found[self.rows]
        if isinstance(rows, dict):
            rows = [{"model": name} | values for name, values in rows.items()]
        return found | {"rows": [flatten(row) for row in rows]}


@dataclass(frozen=True)
class Experiment:
    """One file of the ledger.

    headline: the suite that the dashboard and the README quote. shown: a run of the arm that the dashboard, and nothing
    else, shows; None: the first arm. follows: ids of the experiments that this one takes up.
    priority: place among the next experiments. reported: the seed's figures, as it gave them.
    picture: a PNG in docs/, by its path from there. picture_note: what it shows, and the command that made it.
    benchmarks: tables of files in docs/benchmarks, which are the facts where speed is part of the question.
    """

    id: str
    title: str
    status: str
    origin: str
    date: str
    version: str
    variant: str
    date_note: str | None = None
    status_note: str | None = None
    scripts: tuple = ()
    checkpoint: str | None = None
    log: str | None = None
    question: str | None = None
    approach: str | None = None
    problem: str | None = None
    lesson: str | None = None
    caveat: str | None = None
    next: str | None = None
    picture: str | None = None
    picture_note: str | None = None
    artifacts: str = "-"
    priority: int | None = None
    follows: tuple = ()
    headline: str = "truth:kodak24"
    shown: str | None = None
    readme: bool = False
    reported: dict | None = None
    runs: tuple = ()
    evaluations: tuple = ()
    benchmarks: tuple = ()

    @property
    def display_name(self) -> str:
        """v{major}.{minor}_{variant}_{status}: for people; folders and logs carry the id, which has no status."""
        return f"v{self.version}_{self.variant}_{self.status}"

    @property
    def released(self) -> str | None:
        """The id of the released model whose weights are this experiment's."""
        return Path(self.checkpoint).parent.name if (self.checkpoint or "").startswith("models/") else None

    def run_of(self, model: str) -> Run | None:
        """The run that a model of an evaluation comes from: a file of its checkpoints.

        The experiment's id, its checkpoint, or the name of a model released from it stands for the first run.
        """
        for run in self.runs:
            if model in (run.folder, f"{run.folder}/best.pt"):
                return run
        return self.runs[0] if self.runs and model in (self.id, self.checkpoint, self.released) else None

    def arms(self) -> list[tuple[str, tuple[Run, ...]]]:
        """(what differs from the first arm, its runs): runs that differ in nothing but the seed and their names."""
        return self._arms

    @cached_property  # a page asks for them some hundred times
    def _arms(self) -> list[tuple[str, tuple[Run, ...]]]:
        arms: list[tuple[dict, list[Run]]] = []
        for run in self.runs:
            config = {key: value for key, value in _config_now(run).items() if key not in OWN_TO_A_RUN}
            same = next((runs for other, runs in arms if other == config), None)
            if same is None:
                arms.append((config, same := []))
            same.append(run)
        named = []
        for config, runs in arms:
            changed = difference(arms[0][0], config)
            text = ", ".join(f"{key} {_short(old)} → {_short(new)}" for key, (old, new) in changed.items())
            named.append((text or "the first arm", tuple(runs)))
        return named

    def suites(self) -> dict[tuple[str, str], dict[str, dict]]:
        """(suite, cfa) -> model -> its facts, from all evaluations."""
        suites: dict[tuple[str, str], dict[str, dict]] = {}
        for evaluation in self.evaluations:
            suites.setdefault((evaluation.suite, evaluation.cfa), {}).update(evaluation.models)
        return suites

    def score(self, models: dict[str, dict]) -> tuple[dict, dict, list[Run]]:
        """(mean, spread, runs) of one suite's models that are runs of this experiment's first arm."""
        return self.score_of(models, self.arms()[0][1] if self.runs else ())

    def score_of(self, models: dict[str, dict], arm: tuple[Run, ...]) -> tuple[dict, dict, list[Run]]:
        """(mean, spread, runs) of one suite's models that are runs of an arm.

        Mean and spread {metric: value} are over runs where there are several, else over images.
        """
        own = self.facts_of(models, arm)
        runs = [run for run in arm if run.name in own]
        if len(runs) < 2:
            facts = next(iter(own.values()), {"mean": {}, "spread": {}})
            return facts["mean"], facts["spread"], runs
        means = [facts["mean"] for facts in own.values()]
        columns = {key: [mean.get(key) for mean in means] for key in means[0]}
        whole = {key: values for key, values in columns.items() if all(map(is_number, values))}
        mean = {key: statistics.fmean(values) for key, values in whole.items()}
        return mean, {key: statistics.stdev(values) for key, values in whole.items()}, runs

    def facts_of(self, models: dict[str, dict], arm: tuple[Run, ...]) -> dict[str, dict]:
        """{name of a run of the arm: the facts of its model} in one suite's models."""
        own: dict[str, dict] = {}
        for model, facts in models.items():
            if run := self.run_of(model):
                own.setdefault(run.name, facts)
        return {run.name: own[run.name] for run in arm if run.name in own}

    @property
    def age(self) -> tuple:
        """To sort by: later experiments are greater."""
        return self.date, tuple(map(int, self.version.split(".")))


def load(folder: Path) -> list[Experiment]:
    """Every experiment of docs/experiments, newest day first and a day's by version. Raises LedgerError, naming the
    file."""
    paths = sorted(Path(folder).glob("*.yaml"))
    experiments = [_parse(path.read_text(encoding="utf-8"), path) for path in paths]
    known = {e.id for e in experiments}
    for e in experiments:
        if missing := sorted(set(e.follows) - known):
            raise LedgerError(f"{e.id}.yaml: follows {', '.join(missing)}, of which there is no file")
    by_version = sorted(experiments, key=lambda e: (e.age[1], e.id))
    return sorted(by_version, key=lambda e: e.date, reverse=True)


def baselines(experiments: list[Experiment]) -> dict[tuple[str, str], dict[str, dict]]:
    """(suite, cfa) -> LibRaw's algorithm -> its facts: of the evaluations on most images, those of the newest."""
    best: dict[tuple[str, str], dict[str, dict]] = {}
    for e in sorted(experiments, key=lambda e: e.age):
        for evaluation in e.evaluations:
            known = best.setdefault((evaluation.suite, evaluation.cfa), {})
            for model, facts in evaluation.models.items():
                if BASELINE.fullmatch(model) and facts["images"] >= known.get(model, facts)["images"]:
                    known[model] = facts
    return best


def record(path: Path, log_dir: Path, evaluation_files: list[Path]) -> Experiment:
    """Write the facts of one run into docs/experiments/<id>.yaml; what people wrote there stays byte for byte.

    log_dir: logs/<name>, with config.yaml and provenance.yaml; an earlier run of that name is replaced in its place, so
    each seed takes one call. evaluation_files: JSON of scripts/utils/evaluate.py; a model's newest figures for a suite
    win.
    Raises LedgerError, and writes nothing, when a file lacks a fact or no evaluation holds the run's model.
    """
    path = Path(path).resolve()
    root = path.parents[2]
    text = path.read_text(encoding="utf-8")
    old = _parse(text, path)
    run = read_run(Path(log_dir).resolve(), root)
    runs = list({r.name: r for r in (*old.runs, run)}.values())
    evaluations = list(old.evaluations)
    added = [read_evaluation(Path(file).resolve(), root) for file in evaluation_files]
    for new in added:
        evaluations = [*(_without(v, new) for v in evaluations), new]
    facts = {"runs": [asdict(r) for r in runs], "evaluations": [asdict(v) for v in evaluations if v.models]}
    dumped = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True, width=1000)
    text = f"{text.split(FACTS)[0].rstrip()}\n\n{FACTS}\n{dumped}"
    experiment = _parse(text, path)
    if added and run not in [experiment.run_of(model) for new in added for model in new.models]:
        files = ", ".join(new.file for new in added)
        raise LedgerError(f"{files}: no model is {run.name} or {run.folder}/best.pt")
    path.write_text(text, encoding="utf-8")
    return experiment


def _parse(text: str, path: Path) -> Experiment:
    found = parse_mapping(text, path)
    if isinstance(found.get("date"), datetime.date):
        found["date"] = found["date"].isoformat()
    for key, cls in (("runs", Run), ("evaluations", Evaluation), ("benchmarks", Benchmark)):
        found[key] = [build(cls, part, path) for part in found.get(key) or ()]
    e = build(Experiment, found, path)
    docs = path.resolve().parents[1]
    requirements = {
        f"id {e.id!r} is not the file's name": e.id == path.stem,
        f"id {e.id!r} carries a status": not e.id.endswith(tuple(f"_{s}" for s in STATUSES)),
        f"unknown status {e.status!r}": e.status in STATUSES,
        f"unknown origin {e.origin!r}": e.origin in ("measured", "seed"),
        f"version {e.version!r} is not major.minor": re.fullmatch(r"\d+\.\d+", e.version),
        f"variant {e.variant!r} is not in small letters": re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", e.variant),
        f"date {e.date!r} is not year-month-day": re.fullmatch(r"\d{4}-\d\d-\d\d", e.date),
        "typed figures (reported) are for the seed's entries alone": e.origin == "seed" or e.reported is None,
        f"reported holds other keys than {', '.join(sorted(REPORTED))}": set(e.reported or ()) <= REPORTED,
        f"picture {e.picture!r}: there is no such file in docs": not e.picture or (docs / e.picture).is_file(),
        f"shown names {e.shown!r}, of which no run is recorded": e.shown in (None, *(r.name for r in e.runs)),
        "benchmarks name a file that is not there": all((docs.parent / b.file).is_file() for b in e.benchmarks),
        "picture and picture_note go together": bool(e.picture) == bool(e.picture_note),
        "a seed entry holds no runs of this project": e.origin == "measured"
        or not (e.runs or e.evaluations or e.benchmarks),
    }
    for message, holds in requirements.items():
        if not holds:
            raise LedgerError(f"{path.name}: {message}")
    return e


def _config_now(run: Run) -> dict:
    """All settings of today, so that a setting which a run is older than is no factor; as recorded, where some of the
    run's are no more."""
    try:
        return to_dict(config_now(run.config))
    except ConfigError:
        return run.config


def _short(value) -> str:
    return "none" if value is None else str(value)


def _without(old: Evaluation, new: Evaluation) -> Evaluation:
    """An evaluation less the models whose figures for the same suite are in a newer one."""
    same = (old.suite, old.cfa) == (new.suite, new.cfa)
    return replace(old, models={m: facts for m, facts in old.models.items() if not (same and m in new.models)})

"""One run of the record again: from its YAML to figures beside the recorded ones.

The settings are those of `runs[].config`; the command is for people. Paths are relative to the repository's root, where
this must run, as training does.
"""

from __future__ import annotations

import argparse
import ast
import math
import shlex
import statistics
from dataclasses import dataclass, replace
from pathlib import Path

from lincfa.checkpoint import BEST, RELEASED, CheckpointError, find_weights
from lincfa.config import ConfigError
from lincfa.evaluate import evaluate, load_model, load_suite, noisy, options_parser, summarise
from lincfa.ledger import Experiment
from lincfa.raw import file_sha256
from lincfa.recordtext import METRICS
from lincfa.runfiles import Evaluation, LedgerError, Run, is_number, read_run
from lincfa.train import train, training_patches
from lincfa.trainconfig import TrainConfig, config_now

TOLERANCES = {"psnr_linear_db": 0.1, "psnr_srgb_db": 0.1, "grid_db": 1.0, "ssim": 0.002}
RELATIVE_TOLERANCE = 0.05
"""What agrees at least: the first of a metric in its own units, the second of all others, times the recorded value.

Chosen, not measured: on another machine the same seed takes another path, because sums are rounded in another order.
0.1 dB is ten steps of a table's last digit: whether a smaller effect is there again, one repeat does not say.
"""
VALIDATION = "validation"
WEIGHTS = {"start_from": "start_sha256", "teacher": "teacher_sha256"}
"""Settings that name weights -> what a run keeps of their file."""


@dataclass(frozen=True)
class Figure:
    """suite: as in the record, or 'validation'. spread: over the seeds of the arm, None where there is one."""

    suite: str
    metric: str
    recorded: float
    repeated: float
    spread: float | None

    @property
    def allowed(self) -> float:
        """The largest difference that agrees: twice the spread, as two runs that differ by chance alone are apart by
        sqrt(2) spreads; but no less than the tolerance, because few seeds may lie close by luck."""
        tolerance = TOLERANCES.get(self.metric, RELATIVE_TOLERANCE * abs(self.recorded))
        return max(tolerance, 2 * (self.spread or 0.0))

    @property
    def agrees(self) -> bool:
        return abs(self.repeated - self.recorded) <= self.allowed

    def __str__(self) -> str:
        form = METRICS[self.metric][1]
        spread = "one seed" if self.spread is None else f"{self.spread:{form}}"
        values = f"{self.recorded:{form}} -> {self.repeated:{form}} ({self.repeated - self.recorded:+{form}})"
        verdict = "AGREES" if self.agrees else "DIFFERS"
        return f"{verdict:7} {self.suite} {self.metric}: {values}, spread {spread}, allowed {self.allowed:{form}}"


def repeat(
    experiments: list[Experiment], name: str, arm: int = 0, seed: int | None = None, data: str | None = None, say=print
) -> bool:
    """Train and evaluate a recorded run again, say what comes out, and return whether every figure agrees.

    name: id of an experiment. arm: its place in the table of arms, from 0. seed: a recorded one; None: the arm's first.
    data: where the dataset lies, if not where it was. Writes logs/<run>-again and checkpoints/experiments/<run>-again;
    an interrupted repeat goes on. Raises LedgerError where something is missing, and says how to get it; errors of
    training and evaluation are ValueError too.
    """
    e, run = choose(experiments, name, arm, seed)
    config = config_again(experiments, run, data)
    check_data(run, config)
    check_weights(run, config)
    for key in WEIGHTS:
        if weights := getattr(config, key):
            named = run.config[key]
            say(f"{key}: {weights}" + ("" if weights == named else f", a repeat, since {named} is not there"))
    cost = f"{run.seconds:,.0f} s" if is_number(run.seconds) else "not recorded"
    say(f"{run.name}, seed {run.seed}, commit {run.commit}: {config.images:,} images; recorded cost {cost}")
    say(f"recorded on {run.device}, {run.machine}; evaluation comes on top; into logs/{config.name}")
    train(config)
    again = read_run(Path("logs") / config.name, Path().resolve())
    figures = _validation(e, run, again)
    for evaluation in e.evaluations:
        facts = next((f for model, f in evaluation.models.items() if e.run_of(model) is run), None)
        if facts is None:
            continue
        try:
            means = scores(evaluation, facts["images"], again.folder, {run.data["path"]: config.data.folder})
        except (ValueError, OSError) as error:
            say(f"not repeated: {evaluation.suite}, {evaluation.cfa}: {error}")
            continue
        figures += _figures(e, run, evaluation, facts["mean"], means)
    for figure in figures:
        say(str(figure))
    if any(figure.spread is None for figure in figures):
        say("one seed gives no spread: the tolerance is one that was chosen (lincfa.rerun.TOLERANCES)")
    wrong = sum(not figure.agrees for figure in figures)
    cost = f"{again.seconds:,.0f} s of training" if is_number(again.seconds) else "training"
    say(f"{e.id}, {run.name}: {len(figures) - wrong} of {len(figures)} figures agree; it took {cost}")
    return bool(figures) and not wrong


def choose(experiments: list[Experiment], name: str, arm: int, seed: int | None) -> tuple[Experiment, Run]:
    """Raises LedgerError, with what there is."""
    e = next((e for e in experiments if e.id == name), None)
    if e is None or not e.runs:
        there = ", ".join(e.id for e in experiments if e.runs)
        raise LedgerError(f"{name}: {'no such experiment' if e is None else 'no run is recorded'}; there are: {there}")
    arms = e.arms()
    if not 0 <= arm < len(arms):
        there = "; ".join(f"{number}: {text}" for number, (text, _) in enumerate(arms))
        raise LedgerError(f"{name} has no arm {arm}; there are: {there}")
    runs = arms[arm][1]
    found = [run for run in runs if seed in (None, run.seed)]
    if not found:
        raise LedgerError(f"{name}, arm {arm}: no seed {seed}; there are: {', '.join(str(r.seed) for r in runs)}")
    return e, found[0]


def config_again(experiments: list[Experiment], run: Run, data: str | None = None) -> TrainConfig:
    """The recorded config under a name of its own. What a run is older than has its default, as when one is resumed.

    Raises LedgerError for a run that was stopped early, settings that this program does not know, and weights to start
    from that are not there.
    """
    if run.images != run.config.get("images"):
        raise LedgerError(
            f"{run.name}: stopped after {run.images} of {run.config.get('images')} images: not repeatable"
        )
    try:
        config = config_now(run.config)
    except ConfigError as error:
        raise LedgerError(f"{run.name}: {error}; the program of commit {run.commit} can repeat it") from error
    name = f"{run.name}-again"
    config = replace(config, name=name, checkpoint_folder=f"experiments/{name}")
    config = replace(config, data=replace(config.data, folder=data or config.data.folder))
    weights = {key: _weights(experiments, getattr(config, key)) for key in WEIGHTS}
    return replace(config, **weights)


def check_data(run: Run, config: TrainConfig) -> None:
    """Raises LedgerError, saying how the data are made, when they are not those that the run was trained on."""
    try:
        found = training_patches(config).data_sha256
    except (ValueError, OSError) as error:
        raise LedgerError(f"{error}\n{_recipe(run)}") from error
    if found != run.data["sha256"]:
        raise LedgerError(
            f"{config.data.folder}: with lists and torture scenes of the config, the data have sha256 {found}, and "
            f"{run.name} was trained on {run.data['sha256']}\n{_recipe(run)}"
        )


def check_weights(run: Run, config: TrainConfig) -> None:
    """Raises LedgerError, with both hashes, when weights that the run names are not those that it was trained with; and
    when they are a released model's, which may have been replaced, and the run is older than the record of hashes.

    Not held to it: a repeat in the place of weights that are not there, which is another file always, and other weights
    of a run that is older than the hashes.
    """
    for key, fact in WEIGHTS.items():
        name, recorded = getattr(config, key), getattr(run, fact)
        if name is None or name != run.config[key]:
            continue
        path = find_weights(name)
        if recorded is None and path.name == RELEASED:
            raise LedgerError(
                f"{key} {name}: released weights may have been replaced since, and no hash is recorded of those that "
                f"{run.name} was trained with. They are the weights of commit {run.commit}; in a checkout of it this "
                f"trains the run:\n  {run.command}"
            )
        if recorded is not None and (found := file_sha256(path)) != recorded:
            raise LedgerError(
                f"{key} {path}: other weights lie there now: sha256 {found}, and {run.name} was trained with {recorded}"
            )


def scores(evaluation: Evaluation, images: int, folder: str, moved: dict[str, str]) -> dict[str, float]:
    """The means of a run's best weights on the suite of a recorded evaluation, by its command.

    images: as many as were recorded. folder: of the weights. moved: datasets that lie elsewhere now. Raises LedgerError
    for another suite than the recorded one, and what the suite raises where it is not there.
    """
    options = _options(evaluation.command)
    suite, _, path = options.suite.partition("=")
    scenes = list(load_suite(suite, moved.get(path, path), evaluation.cfa, options.count, options.phase))
    if len(scenes) != images:
        raise LedgerError(f"{path} has {len(scenes)} scenes, and {images} were recorded")
    if options.noise:
        scenes = [noisy(scene, *options.noise, seed) for seed, scene in enumerate(scenes)]
    weights = f"{folder}/{BEST}"
    model = load_model(weights, evaluation.cfa, "cpu", options.strength, options.keep_samples)
    return summarise(evaluate([model], scenes))["mean"][weights]


def _options(command: str) -> argparse.Namespace:
    """Of a command of scripts/utils/evaluate.py. Raises LedgerError for another program's, or an unknown option."""
    program, *words = shlex.split(command)[1:] or [""]
    if Path(program).name == "evaluate.py":
        options, unknown = options_parser(allow_abbrev=False).parse_known_args(words)
        if not unknown:
            return options
    raise LedgerError(f"cannot repeat the command {command!r}")


def _validation(e: Experiment, run: Run, again: Run) -> list[Figure]:
    values = (run.best_psnr_linear_db, again.best_psnr_linear_db)
    spread = _spread([other.best_psnr_linear_db for other in _arm(e, run)])
    return [Figure(VALIDATION, "psnr_linear_db", *values, spread)] if all(map(is_number, values)) else []


def _figures(e: Experiment, run: Run, evaluation: Evaluation, recorded: dict, repeated: dict) -> list[Figure]:
    key = (evaluation.suite, evaluation.cfa)
    own = e.facts_of(e.suites()[key], _arm(e, run))
    figures = []
    for metric in METRICS:
        values = (recorded.get(metric), repeated.get(metric, math.nan))
        if is_number(values[0]):
            spread = _spread([facts["mean"].get(metric) for facts in own.values()])
            figures.append(Figure(", ".join(key), metric, *values, spread))
    return figures


def _spread(values: list) -> float | None:
    return statistics.stdev(values) if len(values) > 1 and all(map(is_number, values)) else None


def _arm(e: Experiment, run: Run) -> tuple[Run, ...]:
    return next(runs for _, runs in e.arms() if run in runs)


def _weights(experiments: list[Experiment], name: str | None) -> str | None:
    """Weights to start from or to be taught by: as named, or where those are not there, the repeat of the run that made
    them. Raises LedgerError, saying how they are made."""
    if name is None:
        return None
    try:
        find_weights(name)
        return name
    except CheckpointError as error:
        for e in sorted(experiments, key=lambda e: e.age, reverse=True):
            for number, (_, runs) in enumerate(e.arms()):
                for run in (run for run in runs if name == f"{run.folder}/{BEST}"):
                    again = f"checkpoints/experiments/{run.name}-again/{BEST}"
                    if Path(again).is_file():
                        return again
                    command = f"python scripts/utils/experiments.py --run {e.id} --arm {number} --seed {run.seed}"
                    text = (
                        f"{name} is not there. {e.id} made it, and this makes it again, to be used then:\n  {command}"
                    )
                    raise LedgerError(text) from error
        raise LedgerError(f"{error}; no experiment of the record made it") from error


def _recipe(run: Run) -> str:
    """How a run's data are made: the commands before training in the docstring of its recipe."""
    script = Path([*shlex.split(run.command), "", ""][1])
    doc = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "") if script.is_file() else ""
    steps = [line.strip() for line in doc.splitlines() if line.strip().startswith("python scripts/utils/")]
    steps = steps or [f"python scripts/utils/build_dataset_v4.py --raw DIR --out {run.data['path']}"]
    text = "\n".join(f"  {step}" for step in steps)
    return (
        f"Data are made by (recipe {script}; if they lie elsewhere: --data DIR):\n{text}\nThe run was:\n  {run.command}"
    )

"""Answers in prose whose figures come from the ledger: docs/experiments/_answers.md with its {placeholders} filled in.

A placeholder is {METRIC of SUBJECT on SUITE}, {METRIC of SUBJECT minus SUBJECT on SUITE}, of the training run itself
{FACT of SUBJECT}, or of a benchmark {KEY of ID where KEY=VALUE}: see the comment at the top of that file. Nothing is
evaluated: a placeholder can only quote.
"""

from __future__ import annotations

import re
import statistics
from dataclasses import fields
from pathlib import Path

from lincfa.ledger import Experiment, baselines
from lincfa.recordtext import METRICS, rounded
from lincfa.runfiles import BASELINE, LedgerError, Run, is_number

FILE = "_answers.md"
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
FORM = re.compile(r"(?P<metric>\w+) of (?P<subject>\S+)(?: minus (?P<other>\S+))?(?: on (?P<suite>.+))?")
OF_ROW = re.compile(r"(?P<key>\S+) of (?P<name>\S+) where (?P<row>\S+=\S+(?: \S+=\S+)*)")
FACTS = {
    "seconds": (",.0f", " s"),
    "images": (",.0f", ""),
    "parameters": (",.0f", ""),
    "gmac_per_megapixel": (".4g", ""),
    "best_psnr_linear_db": (".2f", " dB"),
}
ONE_SEED = " *(One seed: no claim.)*"


def resolve(text: str, experiments: list[Experiment], root: Path) -> str:
    """The text without its comments: each placeholder is a figure, each list item or paragraph one line, and one that
    quotes a single seed says so. root: the repository, for the benchmarks' files.

    Raises LedgerError, naming the placeholder, for what the ledger does not hold, and for a PSNR that is typed.
    """
    blocks = re.split(r"\n(?=\s*- |#|\n)", re.sub(r"<!--.*?-->", "", text, flags=re.S).strip())
    return "\n".join(_block(block, experiments, root) for block in blocks)


def _block(text: str, experiments: list[Experiment], root: Path) -> str:
    if typed := re.search(r"\d[\d.]*\s*dB", PLACEHOLDER.sub("", text)):
        raise LedgerError(f"{FILE}: {typed[0]!r} is typed; quote it from the ledger")
    counts = []

    def figure(match: re.Match) -> str:
        try:
            shown, seeds = _figure(match[1], experiments, root)
        except LedgerError as error:
            raise LedgerError(f"{FILE}: {match[0]}: {error}") from error
        counts.append(seeds)
        return shown

    text = PLACEHOLDER.sub(figure, text)
    if stray := re.search(r"[{}]", text):
        raise LedgerError(f"{FILE}: a {stray[0]!r} without its partner in {text.strip()[:60]!r}")
    return re.sub(r"(?<=\S)\s*\n\s*(?=\S)", " ", text) + ONE_SEED * (1 in counts)


def _figure(text: str, experiments: list[Experiment], root: Path) -> tuple[str, int]:
    """(the figure as text, the number of seeds behind it; 0 where seeds do not matter)."""
    text = " ".join(text.split())
    if found := OF_ROW.fullmatch(text):
        return _of_row(*found.groups(), experiments, root), 0
    found = FORM.fullmatch(text)
    if not found:
        raise LedgerError("is not METRIC of SUBJECT [minus SUBJECT] [on SUITE], nor KEY of ID where KEY=VALUE")
    metric, subject, other, suite = found.groups()
    if suite is None:
        if metric not in FACTS or metric not in {f.name for f in fields(Run)}:
            raise LedgerError(f"of a run, without a suite, there are: {', '.join(FACTS)}")
        form, unit = FACTS[metric]
        means = [statistics.fmean(_of_runs(metric, name, experiments)) for name in (subject, other) if name]
        return _written(means, form) + unit, 0
    form = METRICS.get(metric, ("", ".4g"))[1]
    unit = " dB" if metric.endswith("_db") else ""
    key = _suite(suite, subject, experiments)
    values = _of_suite(metric, subject, key, experiments)
    if other is None:
        return _written([statistics.fmean(values.values())], form, list(values.values())) + unit, _seeds(values)
    others = _of_suite(metric, other, key, experiments, beside=subject)
    means = [statistics.fmean(v.values()) for v in (values, others)]
    if None in others or _is_start(other, subject, experiments):  # LibRaw has no seeds, and a start is shared by all
        others = dict.fromkeys(values, means[1])
    pairs = [values[s] - others[s] for s in values] if values.keys() == others.keys() else []
    return _written(means, form, pairs) + unit, min(filter(None, (_seeds(values), _seeds(others))), default=0)


def _written(means: list[float], form: str, values: list[float] = ()) -> str:
    """One mean, or the signed difference of two; with the spread of values where there are several."""
    text = format(means[0], form) if len(means) == 1 else format(means[0] - means[1], f"+{form}")
    return text + (f" ± {statistics.stdev(values):{form}}" if len(values) > 1 else "")


def _seeds(values: dict) -> int:
    return 0 if None in values else len(values)


def _is_start(name: str, subject: str, experiments: list[Experiment]) -> bool:
    """Whether a subject is the one run from whose best weights another's arm started."""
    if BASELINE.fullmatch(subject):
        return False
    runs, started = (_arm(part, experiments)[1] for part in (name, subject))
    return len(runs) == 1 and started[0].config.get("start_from") == f"{runs[0].folder}/best.pt"


def _of_row(key: str, name: str, where: str, experiments: list[Experiment], root: Path) -> str:
    """A value of the one row of an experiment's benchmarks that says all that `where` says."""
    e = _experiment(name, experiments)
    wanted = [part.split("=", 1) for part in where.split()]
    rows = [row for benchmark in e.benchmarks for row in benchmark.read(root)["rows"]]
    found = [row for row in rows if all(str(row.get(k)) == value for k, value in wanted)]
    if len(found) != 1:
        raise LedgerError(f"{len(found)} rows of {name}'s benchmarks have {where}")
    if not is_number(found[0].get(key)):
        raise LedgerError(f"the row has no number {key}; it has: {', '.join(found[0])}")
    return rounded(found[0][key]) + (" dB" if key.endswith("_db") else "")


def _experiment(name: str, experiments: list[Experiment]) -> Experiment:
    e = next((e for e in experiments if e.id == name), None)
    if e is None:
        raise LedgerError(f"there is no experiment {name}")
    return e


def _arm(subject: str, experiments: list[Experiment]) -> tuple[Experiment, tuple[Run, ...]]:
    """'ID' is an experiment's first arm, 'ID/RUN' the arm that the run is in."""
    name, _, run = subject.partition("/")
    e = _experiment(name, experiments)
    for _, runs in e.arms():
        if not run or run in [r.name for r in runs]:
            return e, runs
    raise LedgerError(f"{name} has no run {run}; there are: {', '.join(r.name for r in e.runs) or 'none'}")


def _of_runs(fact: str, subject: str, experiments: list[Experiment]) -> list[float]:
    values = [getattr(run, fact) for run in _arm(subject, experiments)[1]]
    if not values or not all(map(is_number, values)):
        raise LedgerError(f"{fact} of {subject} is not recorded")
    return values


def _suite(text: str, subject: str, experiments: list[Experiment]) -> tuple[str, str]:
    """'SUITE' or 'SUITE, CFA' -> (suite, cfa), of the suites that the subject was measured on."""
    known = baselines(experiments) if BASELINE.fullmatch(subject) else _arm(subject, experiments)[0].suites()
    keys = [key for key in known if text in (key[0], ", ".join(key))]
    if len(keys) != 1:
        there = "; ".join(", ".join(key) for key in known) or "none"
        raise LedgerError(f"{text} is {'several' if keys else 'no'} suite(s) of {subject}; there are: {there}")
    return keys[0]


def _of_suite(metric: str, subject: str, key: tuple[str, str], experiments: list[Experiment], beside="") -> dict:
    """{seed: value} of an arm, or {None: value} of a LibRaw algorithm: as it was measured beside an experiment's runs,
    where it was."""
    if BASELINE.fullmatch(subject):
        near = _arm(beside, experiments)[0].suites()[key] if beside and not BASELINE.fullmatch(beside) else {}
        facts = near.get(subject) or baselines(experiments).get(key, {}).get(subject)
        values = {None: facts["mean"].get(metric)} if facts else {}
    else:
        e, runs = _arm(subject, experiments)
        own = e.facts_of(e.suites().get(key, {}), runs)
        values = {run.seed: own[run.name]["mean"].get(metric) for run in runs if run.name in own}
    if not values or not all(map(is_number, values.values())):
        raise LedgerError(f"{metric} of {subject} on {', '.join(key)} is not recorded")
    return values

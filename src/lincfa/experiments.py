"""The pages made from the ledger: docs/EXPERIMENTS.md with its pictures, and the results table of README.md.

All can be wholly made again from docs/experiments/: the facts from its YAML files, the prose from those and from
_answers.md, _intro.md, _questions.md and _naming.md there. `check` names the pages that are out of date.
"""

from __future__ import annotations

from pathlib import Path

from lincfa import charts
from lincfa.answers import resolve
from lincfa.dashboard import dashboard
from lincfa.entries import entry
from lincfa.ledger import STATUSES, Experiment, load, record
from lincfa.recordtext import IN_README, METRICS, SPREAD_NOTE, cell, line, link, seeds, table
from lincfa.runfiles import BASELINE, LedgerError

__all__ = ["Experiment", "LedgerError", "check", "generate", "load", "record", "render", "render_readme", "write"]

README_MARKS = ("<!-- results:begin -->", "<!-- results:end -->")
NO_RUN = "No run of this project is recorded yet."
FIGURES = {
    "docs/figures/quality_against_cost.svg": (
        charts.quality_against_cost,
        "Quality against cost",
        "the released models, the v4 baseline, and the arms of experiments that change the cost. LibRaw's algorithms "
        "have no such count and are lines; their seconds beside a network's stand in the models' cards.",
    ),
    "docs/figures/torture_against_photographs.svg": (
        charts.torture_against_photographs,
        "Torture against photographs",
        "each arm of each experiment, the mean over its seeds. Up is gain; up and to the left is forgetting.",
    ),
}
"""Path in the repository -> (what draws it from the ledger, its title, what it shows)."""


def render(experiments: list[Experiment], root: Path) -> str:
    """The text of docs/EXPERIMENTS.md. root: the repository, for the hand-written sections and links to recipes."""
    folder = Path(root) / "docs/experiments"
    prose = {name: (folder / f"_{name}.md").read_text("utf-8") for name in ("answers", "intro", "questions", "naming")}
    measured = [e for e in experiments if e.origin == "measured"]
    seed = [e for e in experiments if e.origin == "seed"]
    lessons = [f"- {line(e.question)} {line(e.lesson)} ({link(e)})" for e in measured if e.question and e.lesson]
    pictures = [
        f"![{title}]({path.removeprefix('docs/')})\n\n**{title}**: {text}" for path, (_, title, text) in FIGURES.items()
    ]
    parts = [
        "<!-- Made by scripts/utils/experiments.py from docs/experiments/. Do not edit. -->",
        "# Experiments",
        "## Answers",
        resolve(prose["answers"], experiments, Path(root)),
        "## Status legend",
        table(("Status", "Meaning"), [(f"{mark} {status}", text) for status, (mark, text) in STATUSES.items()]),
        "## Overview",
        prose["intro"],
        "\n".join(["What each experiment asked and taught:", "", *lessons]) if lessons else "",
        "## Metrics dashboard",
        dashboard(experiments),
        *pictures,
        "## Experiments by date",
        *([entry(e, Path(root)) for e in measured] or [NO_RUN]),
        "## The seed's experiments",
        "Reported by the seed and not measured here. Its scripts, checkpoints and logs are not in this repository.",
        *(entry(e, Path(root)) for e in seed),
        "## Open research questions",
        prose["questions"],
        "## Naming",
        prose["naming"],
        "## Next experiments",
        _next(experiments),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def render_readme(experiments: list[Experiment]) -> str:
    """The README's results: the experiments with `readme: true` on their headline suite, LibRaw beside, best first."""
    rows = {}
    for e in (e for e in experiments if e.readme):
        for (suite, cfa), models in e.suites().items():
            means, spreads, runs = e.score(models)
            if suite != e.headline or not runs:
                continue
            section = f"[{e.display_name}](docs/EXPERIMENTS.md#{e.id})"
            own = f"[**{e.released}**](models/{e.released}/README.md), {section}" if e.released else section
            candidates = {own: (means, spreads, seeds(runs))}
            candidates |= {m: (f["mean"], f["spread"], "-") for m, f in models.items() if BASELINE.fullmatch(m)}
            for name, (mean, spread, number) in candidates.items():
                cells = [cell(key, mean.get(key), spread.get(key)) for key in IN_README]
                rows[suite, cfa, name] = (-(mean.get("psnr_linear_db") or 0), (name, suite, cfa, *cells, number))
    if not rows:
        return NO_RUN
    ordered = [row for _, (_, row) in sorted(rows.items(), key=lambda item: (*item[0][:2], item[1][0], item[0][2]))]
    header = ("Model", "Suite", "CFA", *(METRICS[key][0] for key in IN_README), "Seeds")
    return f"{table(header, ordered)}\n\n{SPREAD_NOTE}"


def generate(root: Path) -> dict[str, str]:
    """What each page and picture should hold: path in the repository -> text. A README without marks is left out.

    Raises LedgerError when a file of the ledger is wrong, an answer quotes a figure that is not there, or README.md has
    one mark without the other.
    """
    root = Path(root)
    experiments = load(root / "docs/experiments")
    pages = {"docs/EXPERIMENTS.md": render(experiments, root)}
    pages |= {path: draw(experiments, root) for path, (draw, *_) in FIGURES.items()}
    readme = (root / "README.md").read_text(encoding="utf-8") if (root / "README.md").exists() else ""
    if any(mark in readme for mark in README_MARKS):
        before, begin, rest = readme.partition(README_MARKS[0])
        _, end, after = rest.partition(README_MARKS[1])
        if not end:
            raise LedgerError(f"README.md: needs {README_MARKS[0]} and then {README_MARKS[1]}")
        pages["README.md"] = f"{before}{begin}\n\n{render_readme(experiments)}\n\n{end}{after}"
    return pages


def write(root: Path) -> None:
    """Make the pages and pictures. Raises LedgerError as `generate` does, and then writes nothing."""
    for name, text in generate(root).items():
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def check(root: Path) -> list[str]:
    """The pages and pictures, by path in the repository, that are not what the ledger makes of them."""
    pages = {Path(root) / name: (name, text) for name, text in generate(root).items()}
    return [name for path, (name, text) in pages.items() if not path.exists() or path.read_text("utf-8") != text]


def _next(experiments: list[Experiment]) -> str:
    """What is to be run, by priority, with the experiments that have taken it up."""
    lines = []
    for n, e in enumerate(sorted((e for e in experiments if e.priority), key=lambda e: (e.priority, e.id)), 1):
        taken = ", ".join(link(other) for other in experiments if e.id in other.follows)
        by = " Proposed by the seed." if e.origin == "seed" else ""
        lines.append(f"{n}. {link(e)}: {e.title}.{by}" + (f" Taken up by {taken}." if taken else " Open."))
    return "\n".join(lines) or "None is written down."

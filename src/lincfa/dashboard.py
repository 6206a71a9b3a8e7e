"""The metrics dashboard of docs/EXPERIMENTS.md: a row for each experiment and for each of LibRaw's algorithms."""

from __future__ import annotations

from lincfa.ledger import STATUSES, Experiment, baselines
from lincfa.recordtext import KEPT, METRICS, SPREAD_NOTE, cell, line, link, seeds, table

HDR = "truth:hdr"
"""The suite that highlights are read from: what is kept in another does not compare with it."""
SEED_MARK = "(seed, not measured here)"
NOTES = (
    "Of an experiment with several arms: the one that is named beside it, else the first. Images: of the row's suite; "
    "rows of different numbers do not compare. "
    "Laplacian variance: of the picture over the truth's; 1 = as sharp. Grid: how far the CFA's frequencies stand out "
    "of the error (0 = not at all). Ripple: the CFA in the mean error, relative to the level. '-': the evaluation did "
    f"not measure it. Highlights are those of {HDR} alone. Rows of the seed: as it reported them, "
    "each by a protocol of its own. LibRaw: the newest evaluation. "
)


def dashboard(experiments: list[Experiment]) -> str:
    """The table and its notes. experiments: in the order of their rows; those of the seed come last."""
    labels = [f"{label} on {HDR}" if key == KEPT else label for key, (label, _) in METRICS.items()]
    head = ("Experiment", "Suite", "Images", *labels, "Artifacts", "Seeds", "Status")
    rows = [_measured(e) for e in experiments if e.origin == "measured"]
    rows += _libraw(experiments)
    rows += [_reported(e) for e in experiments if e.origin == "seed"]
    return f"{table(head, rows)}\n\n{NOTES}{SPREAD_NOTE}"


def _measured(e: Experiment) -> tuple:
    """Of the arm that is shown, on the headline suite."""
    arms = e.arms() or [("", ())]
    text, arm = next((named for named in arms if e.shown in [run.name for run in named[1]]), arms[0])
    suites = e.suites()
    key = next((key for key in suites if key[0] == e.headline), next(iter(suites), ("-", "-")))
    models = suites.get(key, {})
    *score, runs = e.score_of(models, arm)
    *highlights, _ = e.score_of(suites.get((HDR, key[1]), {}), arm)
    images = sorted({facts["images"] for facts in e.facts_of(models, arm).values()})
    name = link(e) + (f": {text}" if e.shown else "")
    places = (", ".join(key) if suites else "-", ", ".join(map(str, images)) or "-")
    return name, *places, *_cells(score, highlights), e.artifacts, seeds(runs or arm), _status(e)


def _libraw(experiments: list[Experiment]) -> list[tuple]:
    known = baselines(experiments)
    nothing = {"mean": {}, "spread": {}}
    rows = []
    for (suite, cfa), models in sorted(known.items()):
        for name, facts in models.items() if suite == Experiment.headline else ():
            others = known.get((HDR, cfa), {}).get(name, nothing)
            cells = _cells(*([found["mean"], found["spread"]] for found in (facts, others)))
            rows.append((f"LibRaw {name}", f"{suite}, {cfa}", facts["images"], *cells, "-", "-", "reference"))
    return rows


def _reported(e: Experiment) -> tuple:
    found = e.reported or {}
    coded = "srgb" in found.get("suite", "").lower()
    places = {"psnr_srgb_db" if coded else "psnr_linear_db": "psnr_db", "ssim": "ssim", "texture": "texture"}
    places[KEPT] = "hdr"
    cells = [found.get(places.get(key, ""), "-") for key in METRICS]
    return f"{link(e)} {SEED_MARK}", found.get("suite", "-"), "-", *cells, e.artifacts, "not given", _status(e)


def _cells(score: list[dict], highlights: list[dict]) -> list[str]:
    """score, highlights: [mean, spread] on the suite of the row, and on HDR."""
    cells = []
    for key in METRICS:
        mean, spread = highlights if key == KEPT else score
        cells.append(cell(key, mean.get(key), spread.get(key)))
    return cells


def _status(e: Experiment) -> str:
    return f"{STATUSES[e.status][0]} {e.status}" + (f": {line(e.status_note)}" if e.status_note else "")

"""The metrics dashboard of docs/EXPERIMENTS.md: a row for each experiment and for each of LibRaw's algorithms."""

from __future__ import annotations

from lincfa.ledger import STATUSES, Experiment, baselines
from lincfa.recordtext import KEPT, METRICS, SPREAD_NOTE, cell, line, link, seeds, table
from lincfa.runfiles import is_number

SEED_MARK = "(seed, not measured here)"
NOTES = (
    "Laplacian variance: of the picture over the truth's; 1 = as sharp. Grid: how far the CFA's frequencies stand out "
    "of the error (0 = not at all). Ripple: the CFA in the mean error, relative to the level. '-': the evaluation did "
    "not measure it. Highlights are from another suite where this one has none. Rows of the seed: as it reported them, "
    "each by a protocol of its own. LibRaw: the newest evaluation. "
)


def dashboard(experiments: list[Experiment]) -> str:
    """The table and its notes. experiments: in the order of their rows; those of the seed come last."""
    head = ("Experiment", "Suite", *(label for label, _ in METRICS.values()), "Artifacts", "Seeds", "Status")
    rows = [_measured(e) for e in experiments if e.origin == "measured"]
    rows += _libraw(experiments)
    rows += [_reported(e) for e in experiments if e.origin == "seed"]
    return f"{table(head, rows)}\n\n{NOTES}{SPREAD_NOTE}"


def _measured(e: Experiment) -> tuple:
    """Of the first arm, on the headline suite."""
    suites = e.suites()
    found = next((key for key in suites if key[0] == e.headline), next(iter(suites), None))
    means, spreads, runs = e.score(suites.get(found, {}))
    scores = [(means, spreads), *(e.score(models)[:2] for models in suites.values())]
    return link(e), ", ".join(found or "-"), *_cells(scores), e.artifacts, seeds(runs or e.runs), _status(e)


def _libraw(experiments: list[Experiment]) -> list[tuple]:
    known = baselines(experiments)
    rows = []
    for (suite, cfa), models in sorted(known.items()):
        for name, facts in models.items() if suite == Experiment.headline else ():
            others = [found[name] for (_, family), found in sorted(known.items()) if family == cfa and name in found]
            scores = [(f["mean"], f["spread"]) for f in (facts, *others)]
            rows.append((f"LibRaw {name}", f"{suite}, {cfa}", *_cells(scores), "-", "-", "reference"))
    return rows


def _reported(e: Experiment) -> tuple:
    found = e.reported or {}
    coded = "srgb" in found.get("suite", "").lower()
    places = {"psnr_srgb_db" if coded else "psnr_linear_db": "psnr_db", "ssim": "ssim", "texture": "texture"}
    places[KEPT] = "hdr"
    cells = [found.get(places.get(key, ""), "-") for key in METRICS]
    return f"{link(e)} {SEED_MARK}", found.get("suite", "-"), *cells, e.artifacts, "not given", _status(e)


def _cells(scores: list[tuple[dict, dict]]) -> list[str]:
    """scores: (mean, spread) on the suite of the row, then on others, which may show kept highlights instead."""
    mean, spread = scores[0]
    kept = next(((m[KEPT], s.get(KEPT)) for m, s in scores if is_number(m.get(KEPT))), (None, None))
    return [cell(key, *(kept if key == KEPT else (mean.get(key), spread.get(key)))) for key in METRICS]


def _status(e: Experiment) -> str:
    return f"{STATUSES[e.status][0]} {e.status}" + (f": {line(e.status_note)}" if e.status_note else "")

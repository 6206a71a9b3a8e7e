"""The pages made from the ledger: docs/EXPERIMENTS.md, and the results table of README.md.

Both can be wholly made again from docs/experiments/: the facts from its YAML files, the prose from those and from
_intro.md, _questions.md and _naming.md there. `check` names the pages that are out of date.
"""

from __future__ import annotations

from pathlib import Path

from lincfa.ledger import STATUSES, Experiment, load, record
from lincfa.runfiles import LIBRAW, LedgerError, Run, is_number

__all__ = ["Experiment", "LedgerError", "check", "generate", "load", "record", "render", "render_readme"]

README_MARKS = ("<!-- results:begin -->", "<!-- results:end -->")
NO_RUN = "No run of this project is recorded yet."
SEED_MARK = "(seed, not measured here)"
KEPT = "highlights_kept"
METRICS = {
    "psnr_linear_db": ("PSNR linear (dB)", ".2f"),
    "psnr_srgb_db": ("PSNR sRGB (dB)", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "texture": ("Texture score", ".3f"),
    KEPT: ("Highlights kept", ".3f"),
}
"""The columns of the dashboard and the README, with how they are written; other metrics go by their own names."""
SPREAD_NOTE = "Mean ± spread: over seeds where there are several, else over images. One seed is no ground for a claim."


def render(experiments: list[Experiment], root: Path) -> str:
    """The text of docs/EXPERIMENTS.md. root: the repository, for the hand-written sections and links to recipes."""
    folder = Path(root) / "docs/experiments"
    intro, questions, naming = ((folder / f"_{k}.md").read_text("utf-8") for k in ("intro", "questions", "naming"))
    measured = [e for e in experiments if e.origin == "measured"]
    seed = [e for e in experiments if e.origin == "seed"]
    answers = [f"- {_line(e.question)} {_line(e.lesson)} ({_link(e)})" for e in measured if e.question and e.lesson]
    head = ("Experiment", "Suite", "PSNR (dB)", "SSIM", "Texture score", "HDR", "Artifacts", "Seeds", "Status")
    parts = [
        "<!-- Made by scripts/utils/experiments.py from docs/experiments/. Do not edit. -->",
        "# Experiments",
        "## Status legend",
        _table(("Status", "Meaning"), [(f"{mark} {status}", text) for status, (mark, text) in STATUSES.items()]),
        "## Overview",
        intro,
        "\n".join(["Answers so far:", "", *answers]) if answers else "Answers so far: none.",
        "## Metrics dashboard",
        _table(head, [_dashboard_row(e) for e in [*measured, *seed]]),
        f"PSNR of rows measured here is on linear values; each seed row has a protocol of its own. {SPREAD_NOTE}",
        "## Experiments by date",
        *([_entry(e, Path(root)) for e in measured] or [NO_RUN]),
        "## The seed's experiments",
        "Reported by the seed and not measured here. Its scripts, checkpoints and logs are not in this repository.",
        *(_entry(e, Path(root)) for e in seed),
        "## Open research questions",
        questions,
        "## Naming",
        naming,
        "## Next experiments",
        _next(experiments),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def render_readme(experiments: list[Experiment]) -> str:
    """The README's results: the experiments with `readme: true` on their headline suite, LibRaw beside, best first."""
    rows = {}
    for e in (e for e in experiments if e.readme):
        for (suite, cfa), models in e.suites().items():
            means, spreads, runs = e.score(models)
            if suite != e.headline or not runs:
                continue
            link = f"[{e.display_name}](docs/EXPERIMENTS.md#{e.id})"
            own = f"[**{e.released}**](models/{e.released}/README.md), {link}" if e.released else link
            candidates = {own: (means, spreads, _seeds(runs))}
            candidates |= {m: (f["mean"], f["spread"], "-") for m, f in models.items() if LIBRAW.fullmatch(m)}
            for name, (mean, spread, seeds) in candidates.items():
                cells = [_cell(key, mean.get(key), spread.get(key)) for key in METRICS]
                rows[suite, cfa, name] = (-(mean.get("psnr_linear_db") or 0), (name, suite, cfa, *cells, seeds))
    if not rows:
        return NO_RUN
    ordered = [row for _, (_, row) in sorted(rows.items(), key=lambda item: (*item[0][:2], item[1][0], item[0][2]))]
    header = ("Model", "Suite", "CFA", *(label for label, _ in METRICS.values()), "Seeds")
    return f"{_table(header, ordered)}\n\n{SPREAD_NOTE}"


def generate(root: Path) -> dict[str, str]:
    """What each page should hold: path in the repository -> text. A README without marks is left out.

    Raises LedgerError when a file of the ledger is wrong or README.md has one mark without the other.
    """
    root = Path(root)
    experiments = load(root / "docs/experiments")
    pages = {"docs/EXPERIMENTS.md": render(experiments, root)}
    readme = (root / "README.md").read_text(encoding="utf-8") if (root / "README.md").exists() else ""
    if any(mark in readme for mark in README_MARKS):
        before, begin, rest = readme.partition(README_MARKS[0])
        _, end, after = rest.partition(README_MARKS[1])
        if not end:
            raise LedgerError(f"README.md: needs {README_MARKS[0]} and then {README_MARKS[1]}")
        pages["README.md"] = f"{before}{begin}\n\n{render_readme(experiments)}\n\n{end}{after}"
    return pages


def check(root: Path) -> list[str]:
    """The pages, by path in the repository, that are not what the ledger makes of them."""
    pages = {Path(root) / name: (name, text) for name, text in generate(root).items()}
    return [name for path, (name, text) in pages.items() if not path.exists() or path.read_text("utf-8") != text]


def _dashboard_row(e: Experiment) -> tuple:
    mark = f"{STATUSES[e.status][0]} {e.status}" + (f": {_line(e.status_note)}" if e.status_note else "")
    if e.origin == "seed":
        cells = [(e.reported or {}).get(key, "-") for key in ("suite", "psnr_db", "ssim", "texture", "hdr")]
        return f"{_link(e)} {SEED_MARK}", *cells, e.artifacts, "not given", mark
    suites = e.suites()
    found = next((key for key in suites if key[0] == e.headline), next(iter(suites), None))
    means, spreads, runs = e.score(suites.get(found, {}))
    cells = [_cell(key, means.get(key), spreads.get(key)) for key in ("psnr_linear_db", "ssim", "texture")]
    scores = [e.score(models)[:2] for models in suites.values()]
    hdr = next((_cell(KEPT, m[KEPT], s.get(KEPT)) for m, s in scores if is_number(m.get(KEPT))), "-")
    return _link(e), ", ".join(found or "-"), *cells, hdr, e.artifacts, _seeds(runs or e.runs), mark


def _entry(e: Experiment, root: Path) -> str:
    """The section of one experiment."""
    seed = e.origin == "seed"
    facts = {"Date": e.date_note or e.date, "Status": e.status + (f": {_line(e.status_note)}" if e.status_note else "")}
    links = [f"[`{s}`](../{s})" if not seed and (root / s).exists() else f"`{s}`" for s in e.scripts]
    facts["Script"] = ", ".join(links)
    checkpoints = [e.checkpoint] if e.checkpoint else [f"{run.folder}/best.pt" for run in e.runs]
    logs = [e.log] if e.log else [log for run in e.runs for log in (f"logs/train_{run.name}.log", f"logs/{run.name}/")]
    facts["Checkpoint"], facts["Log"] = (", ".join(f"`{path}`" for path in paths) for paths in (checkpoints, logs))
    facts["Seeds"] = _seeds(e.runs) + f": {', '.join(str(r.seed) for r in e.runs)}" if e.runs else ""
    facts["Follows"] = ", ".join(f"[{i}](#{i})" for i in e.follows)
    title = f"{STATUSES[e.status][0]} {e.display_name}: {e.title}" + (f" {SEED_MARK}" if seed else "")
    parts = [f'<a id="{e.id}"></a>\n\n### {title}', "\n".join(f"- {k}: {v}" for k, v in facts.items() if v)]
    parts += _prose(e, "question", "approach")
    parts += [_runs(e.runs)] if e.runs else []
    parts += [_arms(e)] if len(e.arms()) > 1 else []
    parts += [_results(e, suite, cfa, models) for (suite, cfa), models in e.suites().items()]
    if e.reported:
        names = {"suite": "on", "psnr_db": "PSNR (dB)", "ssim": "SSIM", "texture": "texture", "hdr": "HDR"}
        given = [f"{names[key]} {value}" for key, value in e.reported.items() if value not in ("?", "-")]
        parts.append(f"**Reported by the seed.** {'; '.join(given) or 'No figure'}.")
    parts += _prose(e, "problem", "lesson", "caveat", "next")
    return "\n\n".join(part.strip() for part in parts)


def _prose(e: Experiment, *keys: str) -> list[str]:
    texts = {key: (getattr(e, key) or "").strip() for key in keys}
    return [f"**{key.title()}.**" + ("\n\n" if "\n" in text else " ") + text for key, text in texts.items() if text]


def _runs(runs: tuple[Run, ...]) -> str:
    """Where each run came from and what it cost, its command, and the configuration; where runs differ, all values."""
    head = ("Run", "Seed", "Commit", "Data", "Images", "Seconds", "Device", "Parameters", "Best validation, linear")
    rows = []
    for r in runs:
        data = f"`{r.data['path']}`, sha256 `{str(r.data['sha256'])[:12]}`"
        best = f"{_cell('psnr_linear_db', r.best_psnr_linear_db)} dB at {_count(r.best_images)} images"
        device = ", ".join(part for part in (r.device, r.machine) if part)
        counts = [_count(value) for value in (r.images, r.seconds)]
        rows.append((r.name, r.seed, _commit(r.commit), data, *counts, device, _count(r.parameters), best))
    configs = [_flatten(r.config) for r in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: " | ".join(dict.fromkeys(config.get(key, "(absent)") for config in configs)) for key in keys}
    lines = "\n".join(f"{key}: {value}" for key, value in values.items())
    commands = "\n".join(r.command for r in runs)
    details = f"<details><summary>Configuration</summary>\n\n```text\n{lines}\n```\n\n</details>"
    return f"{_table(head, rows)}\n\n```sh\n{commands}\n```\n\n{details}"


def _arms(e: Experiment) -> str:
    """One factor at a time: a row for each arm, and what each suite says of it beside the first arm."""
    shown = ("psnr_linear_db", "psnr_srgb_db", "ssim")
    columns = [(suite, cfa, key) for suite, cfa in e.suites() for key in shown]
    labels = [f"{METRICS[key][0]}, {suite.partition(':')[2]} {cfa}" for suite, cfa, key in columns]
    head = ("Arm", "Seeds", "GMAC per MP", "Seconds a run", *labels)
    rows, first = [], {}
    for text, runs in e.arms():
        cells = []
        for suite, cfa, key in columns:
            mean, spread, found = e.score_of(e.suites()[suite, cfa], runs)
            value = mean.get(key)
            reference = first.setdefault((suite, cfa, key), value)
            cell = _cell(key, value, spread.get(key) if len(found) > 1 else None)
            if is_number(value) and is_number(reference) and value != reference:
                cell += f" ({value - reference:+{METRICS[key][1]}})"
            cells.append(cell)
        seconds = [run.seconds for run in runs if is_number(run.seconds)]
        cost = (_cell("", runs[0].gmac_per_megapixel), _count(sum(seconds) / len(seconds)) if seconds else "-")
        rows.append((text, _seeds(runs), *cost, *cells))
    note = "Mean ± spread over seeds (no spread with one seed); in brackets the difference from the first arm."
    return f"**Arms.** {note}\n\n{_table(head, rows)}"


def _results(e: Experiment, suite: str, cfa: str, models: dict[str, dict]) -> str:
    """One suite: a row for each model, the mean over seeds, and per-image differences from the best LibRaw method."""
    keys = list(dict.fromkeys([*METRICS, *(key for facts in models.values() for key in facts["mean"])]))
    keys = [key for key in keys if any(is_number(facts["mean"].get(key)) for facts in models.values())]
    libraw = {m: f["mean"].get("psnr_linear_db") or 0 for m, f in models.items() if LIBRAW.fullmatch(m)}
    best = max(libraw, key=libraw.__getitem__, default=None)
    rows = []
    for model, facts in models.items():
        d = facts["against"].get(best)
        against = f"{d['mean_db']:+.2f} ± {d['spread_db']:.2f}; worse on {d['worse']} of {d['images']}" if d else "-"
        cells = [_cell(key, facts["mean"].get(key), facts["spread"].get(key)) for key in keys]
        rows.append((f"**{model}**" if e.run_of(model) else model, *cells, facts["images"], against))
    means, spreads, runs = e.score(models)
    if len(runs) > 1 and len(e.arms()) == 1:
        name = f"**mean ± spread over runs, seeds: {_seeds(runs)}**"
        rows.append((name, *(_cell(key, means.get(key), spreads.get(key)) for key in keys)))
    labels = [METRICS.get(key, (key,))[0] for key in keys]
    head = ("Model", *labels, "Images", f"PSNR linear (dB) over {best}, by image" if best else "Over LibRaw")
    text = f"**Results on {suite}, {cfa}** (mean ± spread over images)\n\n{_table(head, rows)}"
    if types := dict.fromkeys(t for facts in models.values() for t in facts["by_type"]):
        by_type = {m: f["by_type"] for m, f in models.items() if f["by_type"]}
        cells = [(t, *(_cell("psnr_linear_db", f.get(t)) for f in by_type.values())) for t in types]
        text += "\n\n" + _table(("PSNR linear (dB) by type", *by_type), cells)
    for v in (v for v in e.evaluations if (v.suite, v.cfa) == (suite, cfa)):
        text += f"\n\nFrom `{v.file}` (sha256 `{v.sha256[:12]}`), commit {_commit(v.commit)}: `{v.command}`"
    return text


def _next(experiments: list[Experiment]) -> str:
    """What is to be run, by priority, with the experiments that have taken it up."""
    lines = []
    for n, e in enumerate(sorted((e for e in experiments if e.priority), key=lambda e: (e.priority, e.id)), 1):
        taken = ", ".join(_link(other) for other in experiments if e.id in other.follows)
        by = " Proposed by the seed." if e.origin == "seed" else ""
        lines.append(f"{n}. {_link(e)}: {e.title}.{by}" + (f" Taken up by {taken}." if taken else " Open."))
    return "\n".join(lines) or "None is written down."


def _flatten(config: dict, prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": str(value)}
    return flat


def _table(head: tuple, rows: list[tuple]) -> str:
    filled = [[*row, *["-"] * (len(head) - len(row))] for row in rows]
    lines = [head, ["---"] * len(head), *filled]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _cell(metric: str, mean, spread=None) -> str:
    if not is_number(mean):
        return "-"
    form = METRICS.get(metric, ("", ".4g"))[1]
    return f"{mean:{form}}" + (f" ± {spread:{form}}" if is_number(spread) else "")


def _commit(commit: str) -> str:
    return f"`{commit.rstrip('+')[:12]}`" + (" and uncommitted changes" if commit.endswith("+") else "")


def _count(value) -> str:
    return f"{value:,.0f}" if is_number(value) else "-"


def _seeds(runs) -> str:
    """How many seeds the runs have; one seed is no ground for a claim, and says so."""
    count = len({run.seed for run in runs})
    return "1 (no claim)" if count == 1 else str(count or "-")


def _link(e: Experiment) -> str:
    return f"[{e.display_name}](#{e.id})"


def _line(text: str) -> str:
    return " ".join(text.split())

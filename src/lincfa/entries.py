"""The section of one experiment in docs/EXPERIMENTS.md: prose, runs, arms, results and where they come from."""

from __future__ import annotations

from pathlib import Path

from lincfa.dashboard import SEED_MARK
from lincfa.ledger import STATUSES, Benchmark, Experiment
from lincfa.recordtext import METRICS, cell, count, line, rounded, seeds, table
from lincfa.runfiles import BASELINE, LedgerError, Run, flatten, is_number


def entry(e: Experiment, root: Path) -> str:
    """root: the repository, for the benchmarks' files and for links to the scripts that are still there. Raises
    LedgerError for a column that a benchmark does not have."""
    seed = e.origin == "seed"
    facts = {"Date": e.date_note or e.date, "Status": e.status + (f": {line(e.status_note)}" if e.status_note else "")}
    links = [f"[`{s}`](../{s})" if not seed and (root / s).exists() else f"`{s}`" for s in e.scripts]
    facts["Script"] = ", ".join(links)
    checkpoints = [e.checkpoint] if e.checkpoint else [f"{run.folder}/best.pt" for run in e.runs]
    logs = [e.log] if e.log else [log for run in e.runs for log in (f"logs/train_{run.name}.log", f"logs/{run.name}/")]
    facts["Checkpoint"], facts["Log"] = (", ".join(f"`{path}`" for path in paths) for paths in (checkpoints, logs))
    facts["Seeds"] = seeds(e.runs) + f": {', '.join(str(r.seed) for r in e.runs)}" if e.runs else ""
    facts["Follows"] = ", ".join(f"[{i}](#{i})" for i in e.follows)
    title = f"{STATUSES[e.status][0]} {e.display_name}: {e.title}" + (f" {SEED_MARK}" if seed else "")
    parts = [f'<a id="{e.id}"></a>\n\n### {title}', "\n".join(f"- {k}: {v}" for k, v in facts.items() if v)]
    parts += _prose(e, "question", "approach")
    if e.picture:
        parts += [f"![{line(e.title)}]({e.picture})", e.picture_note]
    parts += [_runs(e.runs)] if e.runs else []
    parts += _arms(e) if len(e.arms()) > 1 else []
    parts += [_results(e, suite, cfa, models) for (suite, cfa), models in e.suites().items()]
    parts += [_benchmark(benchmark, root) for benchmark in e.benchmarks]
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
    falls = any(is_number(r.greatest_fall_db) for r in runs)
    head += ("Greatest fall between validations (dB)",) if falls else ()
    rows = []
    for r in runs:
        data = f"`{r.data['path']}`, sha256 `{str(r.data['sha256'])[:12]}`"
        best = f"{cell('psnr_linear_db', r.best_psnr_linear_db)} dB at {count(r.best_images)} images"
        device = ", ".join(part for part in (r.device, r.machine) if part)
        counts = [count(value) for value in (r.images, r.seconds)]
        fall = [cell("psnr_linear_db", r.greatest_fall_db)] if falls else []
        rows.append((r.name, r.seed, _commit(r.commit), data, *counts, device, count(r.parameters), best, *fall))
    configs = [flatten(r.config) for r in runs]
    keys = dict.fromkeys(key for config in configs for key in config)
    values = {key: " | ".join(dict.fromkeys(str(config.get(key, "(absent)")) for config in configs)) for key in keys}
    lines = "\n".join(f"{key}: {value}" for key, value in values.items())
    commands = "\n".join(r.command for r in runs)
    details = f"<details><summary>Configuration</summary>\n\n```text\n{lines}\n```\n\n</details>"
    return f"{table(head, rows)}\n\n```sh\n{commands}\n```\n\n{details}"


def _arms(e: Experiment) -> list[str]:
    """One factor at a time: of each suite a table with a row for each arm, beside the first arm."""
    texts = []
    for (suite, cfa), models in e.suites().items():
        scores = [(text, runs, *e.score_of(models, runs)) for text, runs in e.arms()]
        keys = [key for key in METRICS if any(is_number(mean.get(key)) for _, _, mean, _, _ in scores)]
        if not keys:
            continue
        reference = scores[0][2]
        rows = []
        for text, runs, mean, spread, found in scores:
            cells = []
            for key in keys:
                value = mean.get(key)
                shown = cell(key, value, spread.get(key) if len(found) > 1 else None)
                if is_number(value) and is_number(reference.get(key)) and value != reference[key]:
                    shown += f" ({value - reference[key]:+{METRICS[key][1]}})"
                cells.append(shown)
            seconds = [run.seconds for run in runs if is_number(run.seconds)]
            cost = (cell("", runs[0].gmac_per_megapixel), count(sum(seconds) / len(seconds)) if seconds else "-")
            rows.append((text, seeds(runs), *cost, *cells))
        head = ("Arm", "Seeds", "GMAC per MP", "Seconds a run", *(METRICS[key][0] for key in keys))
        texts.append(f"**Arms on {suite}, {cfa}.**\n\n{table(head, rows)}")
    note = "Mean ± spread over seeds (no spread with one seed); in brackets the difference from the first arm."
    return [*texts, note] if texts else []


def _results(e: Experiment, suite: str, cfa: str, models: dict[str, dict]) -> str:
    """One suite: a row for each model, the mean over seeds, and per-image differences from the best LibRaw method."""
    keys = list(dict.fromkeys([*METRICS, *(key for facts in models.values() for key in facts["mean"])]))
    keys = [key for key in keys if any(is_number(facts["mean"].get(key)) for facts in models.values())]
    baselines = {m: f["mean"].get("psnr_linear_db") or 0 for m, f in models.items() if BASELINE.fullmatch(m)}
    best = max(baselines, key=baselines.__getitem__, default=None)
    rows = []
    for model, facts in models.items():
        d = facts["against"].get(best)
        against = f"{d['mean_db']:+.2f} ± {d['spread_db']:.2f}; worse on {d['worse']} of {d['images']}" if d else "-"
        cells = [cell(key, facts["mean"].get(key), facts["spread"].get(key)) for key in keys]
        rows.append((f"**{model}**" if e.run_of(model) else model, *cells, facts["images"], against))
    means, spreads, runs = e.score(models)
    if len(runs) > 1 and len(e.arms()) == 1:
        name = f"**mean ± spread over runs, seeds: {seeds(runs)}**"
        rows.append((name, *(cell(key, means.get(key), spreads.get(key)) for key in keys)))
    labels = [METRICS.get(key, (key,))[0] for key in keys]
    head = ("Model", *labels, "Images", f"PSNR linear (dB) over {best}, by image" if best else "Over LibRaw")
    text = f"**Results on {suite}, {cfa}** (mean ± spread over images)\n\n{table(head, rows)}"
    if types := dict.fromkeys(t for facts in models.values() for t in facts["by_type"]):
        by_type = {m: f["by_type"] for m, f in models.items() if f["by_type"]}
        cells = [(t, *(cell("psnr_linear_db", f.get(t)) for f in by_type.values())) for t in types]
        text += "\n\n" + table(("PSNR linear (dB) by type", *by_type), cells)
    for v in (v for v in e.evaluations if (v.suite, v.cfa) == (suite, cfa)):
        text += f"\n\nFrom `{v.file}` (sha256 `{v.sha256[:12]}`), commit {_commit(v.commit)}: `{v.command}`"
    return text


def _benchmark(benchmark: Benchmark, root: Path) -> str:
    """A row for each of the file's, with the columns that the experiment asks for."""
    found = benchmark.read(root)
    for key in benchmark.columns.values():
        if not all(key in row for row in found["rows"]):
            raise LedgerError(f"{benchmark.file}: a row has no {key}")
    cells = [tuple(rounded(row[key]) for key in benchmark.columns.values()) for row in found["rows"]]
    source = f"From [`{benchmark.file}`](../{benchmark.file}), commit {_commit(found['commit'])}: `{found['command']}`"
    return f"{table(tuple(benchmark.columns), cells)}\n\n{source}"


def _commit(commit: str) -> str:
    return f"`{commit.rstrip('+')[:12]}`" + (" and uncommitted changes" if commit.endswith("+") else "")

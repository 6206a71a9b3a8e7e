"""Measure demosaicers on scenes with known truth: per image, then mean and spread.

    python scripts/utils/evaluate.py --models checkpoints/v4_production/best.pt markesteijn3 vng \
        --suite raf=data/v4 --cfa xtrans --json out.json

A model is a checkpoint's path, a released model's name, one of LibRaw's demosaicers (bilinear vng markesteijn1
markesteijn3 ahd dht aahd), which get a CFA DNG of the same mosaic, or a peer's (demosaicnet menon2007 menon2007-srgb;
pip install "lincfa[peers]", see lincfa.peers). Suites: raf=DATASET (its validation images),
truth=FOLDER (sRGB images: linearised and mosaiced), torture=FOLDER (made by torture_v2.py); mosaics begin at --phase of
the CFA. --noise adds Poisson-Gaussian noise to every mosaic, and --strength says how much of it a network that is told
of it shall remove.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lincfa.evaluate import evaluate, json_safe, load_model, load_suite, noisy, options_parser, summarise
from lincfa.provenance import command_line, git_commit
from lincfa.release import HASHES, weights_hashes
from lincfa.terminal import table_console

COLUMNS = {
    "psnr_linear_db": ("linear dB", ".2f"),
    "psnr_srgb_db": ("sRGB dB", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "texture": ("texture", ".3f"),
    "laplacian_ratio": ("sharpness", ".3f"),
    "highlights_kept": ("highlights", ".3f"),
    "false_colour": ("false colour", ".4f"),
    "phase_ripple": ("ripple", ".4f"),
    "grid_db": ("grid dB", ".1f"),
    "worse_than_markesteijn3": ("worse than M3", "d"),
}


def main() -> int:
    args = options_parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    suite, _, path = args.suite.partition("=")
    try:
        models = [load_model(name, args.cfa, args.device, args.strength, args.keep_samples) for name in args.models]
        hashes = weights_hashes(args.models)
        scenes = list(load_suite(suite, path, args.cfa, args.count, args.phase))
        if args.noise:
            scenes = [noisy(scene, *args.noise, seed) for seed, scene in enumerate(scenes)]
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(f"{suite}, {args.cfa}", total=len(scenes))
            rows = evaluate(models, scenes, lambda name: bar.update(task, advance=1, description=name))
    except ValueError as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    summary = summarise(rows)
    table_console().print(summary_table(f"{args.suite}, {args.cfa}, {len(scenes)} scenes", summary["mean"]))
    if args.json:
        phase = f", phase {args.phase[0]} {args.phase[1]}" if any(args.phase) else ""
        noise = f", noise {args.noise[0]:g} {args.noise[1]:g}, strength {args.strength:g}" if args.noise else ""
        kept = ", samples kept" if args.keep_samples else ""
        facts = {"suite": suite, "set": Path(path).name + phase + noise + kept, "cfa": args.cfa}
        facts |= {"command": command_line(), "commit": git_commit()}
        facts[HASHES] = hashes
        facts["algorithms"] = {model.name: model.algorithm for model in models}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(json_safe({**facts, "rows": rows, **summary}), indent=1) + "\n")
    return 0


def summary_table(title: str, mean: dict[str, dict]) -> Table:
    table = Table(title=title)
    table.add_column("model")
    columns = {k: column for k, column in COLUMNS.items() if any(k in values for values in mean.values())}
    for label, _ in columns.values():
        table.add_column(label, justify="right")
    for name, values in sorted(mean.items(), key=lambda item: -item[1]["psnr_linear_db"]):
        cells = [format(values[k], spec) if k in values else "" for k, (_, spec) in columns.items()]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())

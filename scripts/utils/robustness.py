"""Measure where demosaicers break, on synthetic scenes: each line next to Markesteijn 3-pass (X-Trans) or AHD (Bayer).

    python scripts/utils/robustness.py --models xtrans-s markesteijn3 --json out.json --panel out.png

Models are those of evaluate.py; the reference is added when it is not named. Flat grey, noisy black, saturated edges,
exposure, phases, frame origins, a zone plate, a slanted edge, tile seams, bf16 and fp16; and on suites (--suite is
evaluate.py's and may be repeated; default: ../shared/data/truth/kodak24 and mcmaster18, where they are) the share of
images worse than the reference. Networks are held to limits; the exit status does not depend on them.
LibRaw takes integers: its mosaics are rounded to 14 bits and its output to 16, which shows on dark grey and at -6 EV.
What the rounding of the mosaic costs a network at each exposure stands next to it, as '14-bit steps'.
"""

import argparse
import json
import sys
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lincfa.evaluate import REFERENCES, json_safe, load_suite
from lincfa.provenance import command_line, git_commit, machine
from lincfa.release import HASHES, weights_hashes
from lincfa.robustness.report import (
    load_candidate,
    measure,
    panel,
    part_count,
    table,
    verdicts,
    worst_images,
)
from lincfa.terminal import table_console

DEFAULT_SUITES = ("truth=../shared/data/truth/kodak24", "truth=../shared/data/truth/mcmaster18")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL")
    parser.add_argument("--suite", action="append", metavar="NAME=PATH")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--count", type=int, help="only the first so many scenes of each suite")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--panel", type=Path, metavar="PNG")
    args = parser.parse_args()
    try:
        names = dict.fromkeys([*args.models, REFERENCES[args.cfa]])
        candidates = [load_candidate(name, args.cfa, args.device) for name in names]
        hashes = weights_hashes(names)
        suites = {}
        for suite, _, path in (text.partition("=") for text in args.suite or default_suites()):
            suites[f"{suite}:{Path(path).name}"] = list(load_suite(suite, path, args.cfa, args.count))
        print("suites:", ", ".join(suites) or "none, so no images are compared with the reference's", flush=True)
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("", total=part_count(candidates, suites))
            report = measure(candidates, args.cfa, suites, lambda text: bar.update(task, advance=1, description=text))
    except (ValueError, OSError) as error:
        print(f"robustness: {error}", file=sys.stderr)
        return 1
    show(report)
    if args.json:
        algorithms = {c.model.name: c.model.algorithm for c in candidates}
        facts = {"command": command_line(), "commit": git_commit(), "machine": machine(), "algorithms": algorithms}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(json_safe(facts | {HASHES: hashes} | report), indent=1) + "\n")
    if args.panel:
        args.panel.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(panel(candidates, report)).save(args.panel)
    return 0


def default_suites() -> list[str]:
    """Those of DEFAULT_SUITES whose folders are there; it says which are not."""
    there = {text: Path(text.partition("=")[2]).is_dir() for text in DEFAULT_SUITES}
    for text in (text for text, found in there.items() if not found):
        print(f"no such folder: the default suite {text} is left out", flush=True)
    return [text for text, found in there.items() if found]


def show(report: dict) -> None:
    head, rows = table(report)
    shown = Table(title=f"Robustness, {report['cfa']}, next to {report['reference']}")
    for number, title in enumerate(head):
        shown.add_column(title, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        shown.add_row(*row)
    console = table_console()
    console.print(shown)
    for name, limits in report["limits"].items():
        console.print(f"limits of {name}")
        for line in (*verdicts(limits), *worst_images(report, name)):
            console.print(f"  {line}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())

"""Networks in fp32, bf16, fp16 and 8-bit integers, by torch and onnxruntime on the CPU: quality against time.

    python scripts/utils/benchmark_precision.py --models xtrans-s bayer-s --calibration data/photographs \
        --suite truth=../shared/data/truth/kodak24 truth=../shared/data/truth/mcmaster18 \
        --json docs/benchmarks/precision.json --docs docs/export.md

Suites are those of evaluate.py, in each network's own CFA. Times are taken in turns on one frame. --calibration: see
`lincfa export`; its photographs should not be the suites'. bf16 is left out where the processor does not have it.
--docs puts the table into a text, between its marks.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress

from lincfa.checkpoint import load_weights
from lincfa.doctables import put
from lincfa.evaluate import json_safe, load_suite
from lincfa.portable.quality import ENGINES, markdown, measure
from lincfa.provenance import command_line, git_commit, machine
from lincfa.runtime import computes_in_bf16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL", help="networks")
    parser.add_argument("--suite", nargs="+", required=True, metavar="NAME=PATH")
    parser.add_argument("--calibration", required=True, metavar="DIR", help="of int8")
    parser.add_argument("--count", type=int, help="only the first so many scenes of each suite")
    parser.add_argument("--megapixels", type=float, default=6, metavar="N", help="of the timed frame (default 6)")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="a text with a place for the table")
    args = parser.parse_args()
    has_bf16 = computes_in_bf16(torch.device("cpu"))
    engines = [(engine, precision) for engine, precision in ENGINES if precision != "bf16" or has_bf16]
    rows = []
    try:
        with Progress(console=Console(stderr=True), transient=True) as bar:
            for model in args.models:
                family = load_weights(model).family
                named = [suite.partition("=") for suite in args.suite]
                suites = {Path(path).name: list(load_suite(name, path, family, args.count)) for name, _, path in named}
                steps = sum(map(len, suites.values())) + args.repetitions * len(engines)
                task = bar.add_task(model, total=steps)
                rows += measure(
                    model,
                    suites,
                    args.calibration,
                    args.megapixels,
                    args.repetitions,
                    lambda what, task=task: bar.update(task, advance=1, description=what),
                    engines,
                )
        found = {"rows": rows, "calibration": args.calibration, "threads": torch.get_num_threads()}
        found |= {"command": command_line(), "commit": git_commit(), "machine": machine()}
        print(markdown(found))
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(json_safe(found), indent=1) + "\n")
        if args.docs:
            put(args.docs, "precision", markdown(found))
    except (ValueError, OSError) as error:
        print(f"benchmark_precision: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Make docs/EXPERIMENTS.md and the README's results from docs/experiments/, or check that they are fresh.

    python scripts/utils/experiments.py
    python scripts/utils/experiments.py --check
    python scripts/utils/experiments.py --record docs/experiments/ID.yaml --log logs/NAME --eval a.json b.json

--record takes one run (one seed) and its evaluations into the YAML, then makes the pages. A few seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lincfa.experiments import LedgerError, check, generate, record

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the pages that are stale")
    parser.add_argument("--record", type=Path, metavar="YAML", help="the experiment that a run belongs to")
    parser.add_argument("--log", type=Path, metavar="FOLDER", help="logs/NAME of the run")
    parser.add_argument("--eval", type=Path, nargs="+", default=[], metavar="JSON", help="evaluations of the run")
    args = parser.parse_args()
    if (args.record is None) != (args.log is None) or (args.eval and not args.record):
        parser.error("--record and --log go together, and --eval with them")
    if args.check and args.record:
        parser.error("--check writes nothing, so it cannot go with --record")
    try:
        if args.check:
            stale = check(ROOT)
            print("\n".join(f"stale: {name} (run python scripts/utils/experiments.py)" for name in stale) or "fresh")
            return 1 if stale else 0
        if args.record:
            record(args.record, args.log, args.eval)
        for name, text in generate(ROOT).items():
            (ROOT / name).write_text(text, encoding="utf-8")
    except (LedgerError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

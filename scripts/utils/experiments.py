"""Make docs/EXPERIMENTS.md, its pictures and the README's results from docs/experiments/, or check that they are fresh.

    python scripts/utils/experiments.py
    python scripts/utils/experiments.py --check
    python scripts/utils/experiments.py --record docs/experiments/ID.yaml --log logs/NAME --eval a.json b.json
    python scripts/utils/experiments.py --run ID --arm 1 --seed 0

--record takes one run (one seed) and its evaluations into the YAML, then makes the pages. A few seconds.
--run trains one recorded run again, with its recorded config, seed and data, evaluates it on the recorded suites that
can be had, and says of each figure whether it agrees; exit status 1 if one does not. It says first what the run cost.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from lincfa.experiments import check, load, record, write

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name the pages that are stale")
    parser.add_argument("--record", type=Path, metavar="YAML", help="the experiment that a run belongs to")
    parser.add_argument("--log", type=Path, metavar="FOLDER", help="logs/NAME of the run")
    parser.add_argument("--eval", type=Path, nargs="+", default=[], metavar="JSON", help="evaluations of the run")
    parser.add_argument("--run", metavar="ID", help="the experiment that is repeated")
    parser.add_argument("--arm", type=int, default=0, help="its place in the table of arms, from 0 (default: 0)")
    parser.add_argument("--seed", type=int, help="a recorded seed (default: the arm's first)")
    parser.add_argument(
        "--data", metavar="DIR", help="the dataset, if it lies elsewhere than when the run was recorded"
    )
    args = parser.parse_args()
    if (args.record is None) != (args.log is None) or (args.eval and not args.record):
        parser.error("--record and --log go together, and --eval with them")
    if sum(map(bool, (args.check, args.record, args.run))) > 1:
        parser.error("--check, --record and --run do not go together")
    if not args.run and (args.arm or args.seed is not None or args.data):
        parser.error("--arm, --seed and --data go with --run")
    try:
        if args.check:
            stale = check(ROOT)
            print("\n".join(f"stale: {name} (run python scripts/utils/experiments.py)" for name in stale) or "fresh")
            return 1 if stale else 0
        if args.run:
            return _repeat(args)
        if args.record:
            record(args.record, args.log, args.eval)
        write(ROOT)
    except (ValueError, OSError) as error:
        print(f"experiments: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("experiments: stopped; the same command continues", file=sys.stderr)
        return 130
    return 0


def _repeat(args: argparse.Namespace) -> int:
    from lincfa.rerun import repeat  # torch takes seconds to load, and the pages do not need it

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data = Path(args.data).resolve() if args.data else None
    if data and data.is_relative_to(ROOT):  # the config of the repeat holds no path of this machine
        data = data.relative_to(ROOT)
    with contextlib.chdir(ROOT):
        agrees = repeat(load(Path("docs/experiments")), args.run, args.arm, args.seed, data and str(data))
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())

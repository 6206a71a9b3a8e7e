"""Make a released model's folder complete: weights, metrics, training data, card and checksums.

    python scripts/utils/release.py checkpoints/xtrans-s/best.pt --to models/xtrans-s
    python scripts/utils/release.py checkpoints/xtrans-s-denoise/best.pt --to models/xtrans-s-denoise --clean xtrans-s
    python scripts/utils/release.py models/xtrans-s/weights.safetensors --log logs/xtrans-s --eval a.json b.json \
        --data data/photographs --sources SOURCES.tsv --licence "CC BY-SA 4.0" --licence-reason "..." \
        --robustness robustness.json --benchmark one_machine.json another.json

The first command writes the weights; the second describes them, by what evaluate.py, robustness.py and benchmark.py
measured of them in between; evaluations and a robustness report of other weights are refused. --log takes the runs in
their order where one started from another's weights. limits.md beside the weights is written by hand first, in words:
figures stand in the card's tables. --card makes the README.md anew from the files that are there, and what metrics.json
says of the network itself.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from lincfa.checkpoint import load_weights
from lincfa.data.manifest import load_manifest
from lincfa.release import (
    BENCHMARKS,
    ROBUSTNESS,
    card,
    collect,
    convert,
    measured,
    of_network,
    training_data,
    write_sums,
    write_table,
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="only write the weights there, in the released format"
    )
    parser.add_argument("--clean", metavar="MODEL", help="with --to: what gives the pictures without noise")
    parser.add_argument(
        "--card", action="store_true", help="only the card, the checksums and what the code says of the network"
    )
    parser.add_argument("--log", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--eval", type=Path, nargs="+", default=[], metavar="JSON")
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--sources", type=Path, metavar="TSV")
    parser.add_argument("--licence")
    parser.add_argument("--licence-reason")
    parser.add_argument("--robustness", type=Path, metavar="JSON", help="with --card too")
    parser.add_argument("--benchmark", type=Path, nargs="+", default=[], metavar="JSON", help="with --card too")
    args = parser.parse_args()
    described = (args.log, args.eval, args.data, args.sources, args.licence, args.licence_reason)
    if not (args.card or args.to or all(described)):
        parser.error(
            "without --to or --card, all of --log --eval --data --sources --licence --licence-reason are needed"
        )
    try:
        if args.to:
            print(convert(args.weights, args.to, args.clean))
        else:
            _describe(args, args.weights.parent)
    except (ValueError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def _describe(args: argparse.Namespace, folder: Path) -> None:
    metrics, robustness = folder / "metrics.json", args.robustness
    if args.card:
        facts = json.loads(metrics.read_text()) | of_network(load_weights(args.weights).network)
    else:
        facts = collect(args.weights, args.log, args.eval, args.licence, args.licence_reason)
        if (folder / ROBUSTNESS).is_file():  # may be of the weights before
            robustness = robustness or folder / ROBUSTNESS
    if robustness:
        measured(robustness, args.weights, facts["name"])
    # A benchmark may be of other weights, or say of none: it holds times and memory, which are the shape's.
    if not args.card:
        write_table(folder / "training_data.tsv", training_data(load_manifest(args.data), args.sources))
        shutil.copyfile(args.log[-1] / "config.yaml", folder / "config.yaml")
    metrics.write_text(json.dumps(facts, indent=1) + "\n")
    if args.robustness:
        shutil.copyfile(args.robustness, folder / ROBUSTNESS)
    if args.benchmark:
        for old in folder.glob(BENCHMARKS):
            old.unlink()
    for number, source in enumerate(args.benchmark, 1):
        shutil.copyfile(source, folder / BENCHMARKS.replace("*", f"_{number}"))
    (folder / "README.md").write_text(card(folder))
    write_sums(folder)


if __name__ == "__main__":
    sys.exit(main())

"""Make a released model's folder complete: metrics, training data, card and checksums around its weights.

    python scripts/utils/release.py checkpoints/v4_production/best.pt --log logs/v4 --eval a.json b.json \
        --data data/v4 --sources SOURCES.tsv --licence "CC BY-SA 4.0" --licence-reason "..."

limits.md beside the weights is written by hand first. --card makes the README.md anew from the files that are there.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from lincfa.data.manifest import load_manifest
from lincfa.release import card, collect, training_data, write_sums, write_table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--card", action="store_true", help="only the card and the checksums")
    parser.add_argument("--log", type=Path, metavar="FOLDER")
    parser.add_argument("--eval", type=Path, nargs="+", default=[], metavar="JSON")
    parser.add_argument("--data", type=Path, metavar="DIR")
    parser.add_argument("--sources", type=Path, metavar="TSV")
    parser.add_argument("--licence")
    parser.add_argument("--licence-reason")
    args = parser.parse_args()
    if not args.card and not all((args.log, args.eval, args.data, args.sources, args.licence, args.licence_reason)):
        parser.error("without --card, all other options are needed")
    folder = args.weights.parent
    try:
        if not args.card:
            facts = collect(args.weights, args.log, args.eval, args.licence, args.licence_reason)
            write_table(folder / "training_data.tsv", training_data(load_manifest(args.data), args.sources))
            (folder / "metrics.json").write_text(json.dumps(facts, indent=1) + "\n")
            shutil.copyfile(args.log / "config.yaml", folder / "config.yaml")
        (folder / "README.md").write_text(card(folder))
        write_sums(folder)
    except (ValueError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

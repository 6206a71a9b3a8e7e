"""Build the torture set v2: synthetic scenes of 13 pattern types, with known linear truth.

    python scripts/utils/torture_v2.py --out data/torture_v2

Cost: 5,000 scenes of 128 px take about half a minute on one core and 0.5 GB of disk. Run the same command again after
an interruption: finished scenes are not made again. Writes scenes.npy, torture.json (parameters and a hash per scene)
and contact_sheet.png (the first six rounds of the 13 types; + marks highlights), and prints a summary per type.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lincfa.data.torture import TYPES, build, contact_sheet, load
from lincfa.terminal import table_console


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--size", type=int, default=128, help="side of a scene in px")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--corners", type=float, default=0.0, help="share of scenes between corners of the RGB cube")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args()
    rows: list[dict] = []
    try:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("scenes", total=args.count)

            def progress(row: dict) -> None:
                rows.append(row)
                bar.advance(task)

            build(args.out, args.count, args.size, args.seed, progress, args.jobs, args.corners)
        scenes, info = load(args.out)
    except ValueError as error:
        print(f"torture_v2: {error}", file=sys.stderr)
        return 1
    sheet = contact_sheet(range(min(args.count, 6 * len(TYPES))), args.size, args.seed)
    Image.fromarray(sheet).save(args.out / "contact_sheet.png")
    table_console().print(summary(rows, scenes, info["scale"]))
    return 0


def summary(rows: list[dict], scenes: np.ndarray, scale: float) -> Table:
    table = Table("type", "scenes", "mean ms", "values above 1")
    seconds = {row["index"]: row["seconds"] for row in rows}
    for number, name in enumerate(TYPES[: len(scenes)]):
        indices = range(number, len(scenes), len(TYPES))
        mean_ms = 1000 * np.mean([seconds[index] for index in indices])
        above = np.mean([(scenes[index] > scale).mean() for index in indices])
        table.add_row(name, str(len(indices)), f"{mean_ms:.1f}", f"{above:.1%}")
    return table


if __name__ == "__main__":
    sys.exit(main())

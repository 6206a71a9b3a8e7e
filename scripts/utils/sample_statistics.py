"""What a network is trained on, in numbers: the samples of datasets, by colour, next to each other.

    python scripts/utils/sample_statistics.py data/lab/photographs data/lab/teacher --json out.json

Patches as training takes them, without augmentation: balanced, and scaled by the normalising gain. Mean, standard
deviation, the darkest and the brightest hundredth, the share below black, and how far samples lie from the truth at
their photosites (RMS): nothing where the mosaic is made of the truth, noise and the teacher's errors where it is a
file's own.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from lincfa.cfa import batch_mosaic
from lincfa.data.augment import AugmentConfig
from lincfa.data.dataset import PatchSet
from lincfa.provenance import command_line, git_commit
from lincfa.terminal import table_console

PLAIN = AugmentConfig(symmetries=(0,), phases=False, exposure_ev=(0.0, 0.0), white_balance_ev=0.0, olpf_share=0.0)
BATCH = 16


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", metavar="DATASET")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--patches", type=int, default=1600, metavar="N")
    parser.add_argument("--patch-px", type=int, default=60, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    rows = []
    try:
        for folder in args.data:
            patches = PatchSet(folder, patch_px=args.patch_px, config=PLAIN, seed=0, family=args.cfa)
            rows += [
                {"data": folder, "colour": c, **figures} for c, figures in statistics(patches, args.patches).items()
            ]
    except ValueError as error:
        print(f"sample_statistics: {error}", file=sys.stderr)
        return 1
    table = Table(*rows[0], title=f"{args.patches} patches of {args.patch_px} px, {args.cfa}")
    for row in rows:
        table.add_row(*(f"{value:.4f}" if isinstance(value, float) else value for value in row.values()))
    table_console().print(table)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(
            json.dumps({"rows": rows, "command": command_line(), "commit": git_commit()}, indent=1) + "\n"
        )
    return 0


def statistics(patches: PatchSet, count: int) -> dict[str, dict[str, float]]:
    """{colour: {figure: value}} of the first so many patches."""
    samples = {colour: [] for colour in "RGB"}
    errors = {colour: [] for colour in "RGB"}
    for start in range(0, count, BATCH):
        batch = patches.batch(range(start, min(start + BATCH, count)))
        error = batch.mosaic - batch_mosaic(batch.truth, batch.masks)
        for i, colour in enumerate("RGB"):
            seen = batch.masks[:, i : i + 1] > 0
            samples[colour].append(batch.mosaic[seen])
            errors[colour].append(error[seen])
    found = {}
    for colour in "RGB":
        values, error = (torch.cat(parts[colour]).double().numpy() for parts in (samples, errors))
        low, high = np.percentile(values, (1, 99))
        found[colour] = {
            "mean": float(values.mean()),
            "deviation": float(values.std()),
            "darkest_1": float(low),
            "brightest_1": float(high),
            "below_black": float((values < 0).mean()),
            "from_truth_rms": float(np.sqrt((error**2).mean())),
        }
    return found


if __name__ == "__main__":
    sys.exit(main())

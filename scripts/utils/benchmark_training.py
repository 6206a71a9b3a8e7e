"""How much of the machine a training run used: its images per second against the peak of plain convolutions.

    python scripts/utils/benchmark_training.py logs/xtrans-s --json docs/benchmarks/training.json

The peak is measured now, so run it on the idle machine that trained: 3 x 3 convolutions of 64 and 128 channels, in the
run's precision, forward. A training step counts three times the network's forward pass. Images per second come from the
run's log: the median, and the best window, which other load on the machine disturbed least.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch
import yaml
from rich.table import Table

from lincfa.models import build, gmac_per_megapixel
from lincfa.provenance import command_line, git_commit, machine
from lincfa.terminal import table_console
from lincfa.train import PRECISIONS

SIDE, BATCH, ROUNDS = 32, 16, 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path, metavar="logs/NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    try:
        config = yaml.safe_load((args.log / "config.yaml").read_text())
        rows = [json.loads(line) for line in (args.log / "metrics.jsonl").read_text().splitlines()]
    except (OSError, ValueError) as error:
        print(f"benchmark_training: {args.log}: no log of a run ({error})", file=sys.stderr)
        return 1
    peak = max(convolution_gflops(channels, PRECISIONS[config["precision"]]) for channels in (64, 128))
    per_megapixel = 3 * 2 * gmac_per_megapixel(build(**config["model"]))
    data, found = config["data"], []
    first_images = data["first_share"] * config["images"] if data.get("first_patch_px") else 0
    for patch_px, windows in (
        (data.get("first_patch_px"), [r for r in rows if r["kind"] == "train" and r["images"] <= first_images]),
        (data["patch_px"], [r for r in rows if r["kind"] == "train" and r["images"] > first_images]),
    ):
        rates = [r["images_per_s"] for r in windows]
        if rates:
            speeds = {"median": statistics.median(rates), "best": max(rates)}
            gflops = {k: v * patch_px**2 / 1e6 * per_megapixel for k, v in speeds.items()}
            share = {k: v / peak for k, v in gflops.items()}
            found.append({"patch_px": patch_px, "images_per_s": speeds, "gflops": gflops, "share_of_peak": share})
    table = Table("patch px", "images/s, median", "best", "share of peak, median", "best", title=f"{args.log.name}")
    for row in found:
        cells = [
            *(f"{v:.0f}" for v in row["images_per_s"].values()),
            *(f"{v:.0%}" for v in row["share_of_peak"].values()),
        ]
        table.add_row(str(row["patch_px"]), *cells)
    table_console().print(
        table, f"convolution peak: {peak:.0f} GFLOP/s, {config['precision']}, {torch.get_num_threads()} threads"
    )
    if args.json:
        facts = {"run": args.log.name, "machine": machine(), "threads": torch.get_num_threads(), "peak_gflops": peak}
        facts |= {"precision": config["precision"], "rows": found, "command": command_line(), "commit": git_commit()}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def convolution_gflops(channels: int, dtype: torch.dtype | None) -> float:
    """Of a 3 x 3 convolution, the median of ROUNDS."""
    x = torch.randn(BATCH, channels, SIDE, SIDE).to(dtype or torch.float32, memory_format=torch.channels_last)
    weight = torch.randn(channels, channels, 3, 3).to(x.dtype, memory_format=torch.channels_last)
    seconds = []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            started = time.perf_counter()
            torch.nn.functional.conv2d(x, weight, padding=1)
            seconds.append(time.perf_counter() - started)
    return 2 * 9 * channels**2 * BATCH * SIDE**2 / statistics.median(seconds) / 1e9


if __name__ == "__main__":
    sys.exit(main())

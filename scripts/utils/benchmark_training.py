"""How much of the machine training runs used: their images per second against the peak of plain convolutions.

    OMP_NUM_THREADS=1 python scripts/utils/benchmark_training.py logs/NAME ... --json docs/benchmarks/training.json

The peak is measured now, so run it on the idle machine that trained, with the threads that the runs had: 3 x 3
convolutions of 64 and 128 channels, in each run's precision, forward. A training step counts three times the network's
forward pass; the optimizer's own products count as nothing. Images per second come from the runs' logs: the median, and
the best window, which other load on the machine disturbed least.
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
    parser.add_argument("logs", type=Path, nargs="+", metavar="logs/NAME")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    try:
        runs = [(log.name, *_read(log)) for log in args.logs]
    except (OSError, ValueError) as error:
        print(f"benchmark_training: no log of a run ({error})", file=sys.stderr)
        return 1
    peaks = {precision: _peak(precision) for precision in sorted({config["precision"] for _, config, _ in runs})}
    rows = [row for name, config, windows in runs for row in _rows(name, config, windows, peaks[config["precision"]])]
    table = Table("run", "patch px", "images/s, median", "best", "share of peak, median", "best")
    for row in rows:
        speeds = [f"{v:.0f}" for v in row["images_per_s"].values()]
        table.add_row(row["run"], str(row["patch_px"]), *speeds, *(f"{v:.0%}" for v in row["share_of_peak"].values()))
    said = ", ".join(f"{peak:.0f} GFLOP/s in {precision}" for precision, peak in peaks.items())
    table_console().print(table, f"peak of convolutions: {said}, {torch.get_num_threads()} threads")
    if args.json:
        facts = {"machine": machine(), "threads": torch.get_num_threads(), "peak_gflops": peaks, "rows": rows}
        facts |= {"command": command_line(), "commit": git_commit()}
        args.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def _read(log: Path) -> tuple[dict, list[dict]]:
    """(config, what was logged of training)."""
    config = yaml.safe_load((log / "config.yaml").read_text())
    rows = [json.loads(line) for line in (log / "metrics.jsonl").read_text().splitlines()]
    return config, [row for row in rows if row["kind"] == "train"]


def _rows(name: str, config: dict, windows: list[dict], peak: float) -> list[dict]:
    """One for each size of patches."""
    per_megapixel = 3 * 2 * gmac_per_megapixel(build(**config["model"]))
    data, found = config["data"], []
    first_images = data["first_share"] * config["images"] if data.get("first_patch_px") else 0
    for patch_px, mine in (
        (data.get("first_patch_px"), [w for w in windows if w["images"] <= first_images]),
        (data["patch_px"], [w for w in windows if w["images"] > first_images]),
    ):
        rates = [w["images_per_s"] for w in mine]
        if rates:
            speeds = {"median": statistics.median(rates), "best": max(rates)}
            gflops = {k: v * patch_px**2 / 1e6 * per_megapixel for k, v in speeds.items()}
            share = {k: v / peak for k, v in gflops.items()}
            facts = {"run": name, "optimizer": "Muon" if config["optim"].get("muon") else "AdamW", "patch_px": patch_px}
            found.append({**facts, "images_per_s": speeds, "gflops": gflops, "share_of_peak": share})
    return found


def _peak(precision: str) -> float:
    return max(convolution_gflops(channels, PRECISIONS[precision]) for channels in (64, 128))


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

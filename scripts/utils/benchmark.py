"""How long networks and LibRaw take for a frame, and how much memory: measured in turns, next to each other.

    python scripts/utils/benchmark.py --models xtrans-s markesteijn3 --megapixels 24 --json out.json
    python scripts/utils/benchmark.py --end-to-end --models xtrans-s markesteijn3 --megapixels 24
    python scripts/utils/benchmark.py --end-to-end --batch 6 --models xtrans-s markesteijn3 --json out.json

Each repetition is a fresh process; the frame is made for the occasion. By default a row's seconds are those of
demosaicing a decoded frame. With --end-to-end they are from raw file to linear DNG, and for LibRaw from file to array.
--batch adds what `lincfa demosaic` does with N such files by the first model: one after the other (--jobs 1) and with
decoding, network and writing overlapping (--jobs 2), in turns; 1.00 is no gain.
--noise READ SHOT tells it to networks that take noise: time may depend on it, and not on what the frame holds.
'process' is the program from start to end, with the loading of its modules.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from lincfa.batch import Engine, run
from lincfa.benchmark import Task, compare, make_frame
from lincfa.evaluate import REFERENCES
from lincfa.plan import Job
from lincfa.provenance import command_line, git_commit, machine
from lincfa.release import HASHES, weights_hashes
from lincfa.terminal import table_console

COLUMNS = {
    "seconds_median": ("seconds", ".2f"),
    "decode_s": ("decode", ".2f"),
    "demosaic_s": ("demosaic", ".2f"),
    "write_s": ("write", ".2f"),
    "process_s": ("process", ".2f"),
    "peak_mb": ("peak MB", ".0f"),
    "start_mb": ("at start", ".0f"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL")
    parser.add_argument("--megapixels", type=float, default=24, metavar="N")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), metavar="N")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of the networks")
    parser.add_argument("--device", default="cpu", help="of the networks")
    parser.add_argument("--noise", type=float, nargs=2, default=(0, 0), metavar=("READ", "SHOT"), help="on white = 1")
    parser.add_argument("--end-to-end", action="store_true", help="from raw file to linear DNG")
    parser.add_argument("--batch", type=int, default=0, metavar="N", help="with --end-to-end: also N files at a time")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.batch and not args.end_to_end:
        parser.error("--batch goes with --end-to-end")
    if args.batch and args.precision != "auto":
        parser.error("--batch runs as `lincfa demosaic` does: with --precision auto")
    if args.batch and any(args.noise):
        parser.error("--batch takes no --noise: its files have none")
    try:
        with (
            tempfile.TemporaryDirectory(prefix="lincfa-") as folder,
            Progress(console=Console(stderr=True), transient=True) as bar,
        ):
            path = str(make_frame(Path(folder), args.megapixels, args.cfa))
            options = {"precision": args.precision, "device": args.device, "write": args.end_to_end}
            options["noise"] = tuple(args.noise)
            tasks = [Task(model, path, args.cfa, **options) for model in dict.fromkeys(args.models)]
            hashes = weights_hashes(args.models)
            bars = bar.add_task("", total=args.repetitions * len(tasks))
            rows = compare(
                tasks, args.repetitions, args.threads, lambda model: bar.update(bars, advance=1, description=model)
            )
            torch.set_num_threads(args.threads)
            batch = overlap(args, Path(path)) if args.batch else None
    except (ValueError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    table_console().print(table(rows, args.end_to_end, args.noise))
    if batch:
        apart, together = batch["seconds_jobs_1"], batch["seconds_jobs_2"]
        times = f"{apart:.1f} s one after the other, {together:.1f} s overlapping, {together / apart:.2f} x"
        print(f"{args.batch} files by {args.models[0]}: {times}")
    if args.json:
        facts = {"end_to_end": args.end_to_end, "command": command_line(), "commit": git_commit(), "machine": machine()}
        facts[HASHES] = hashes
        facts |= {"batch": batch} if batch else {}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"rows": rows, **facts}, indent=1) + "\n")
    return 0


def overlap(args: argparse.Namespace, frame: Path) -> dict:
    """Median seconds of a batch of DNGs of a frame, by files in work at a time, in this process; the weights are loaded
    and tried before. Raises ValueError for a model or a file that fails."""
    model, work = args.models[0], [Job(frame, frame.with_name(f"batch-{n}.dng")) for n in range(args.batch)]
    engine = Engine(model, device=args.device)

    def seconds(jobs: list[Job], threads: int) -> float:
        started = time.perf_counter()
        for result in run(jobs, engine, overwrite=True, threads=threads):
            if result.outcome != "written":
                raise ValueError(result.text)
        return time.perf_counter() - started

    seconds(work[:1], threads=1)
    pairs = [(seconds(work, threads=1), seconds(work, threads=2)) for _ in range(args.repetitions)]
    apart, together = (median(column) for column in zip(*pairs, strict=True))
    return {"files": args.batch, "model": model, "seconds_jobs_1": apart, "seconds_jobs_2": together}


def table(rows: list[dict], end_to_end: bool, noise: Sequence[float]) -> Table:
    first, reference = rows[0], REFERENCES[rows[0]["family"]]
    what = "raw file to DNG (LibRaw: to array)" if end_to_end else "demosaicing"
    runs = len(first["seconds"])
    title = f"{what}, {first['megapixels']} MP {first['family']}, {first['threads']} threads, median of {runs}"
    shown = Table(title=title + (f", told noise {noise[0]:g} {noise[1]:g}" if any(noise) else ""))
    for label in ("model", "precision", *(label for label, _ in COLUMNS.values()), f"x {reference}"):
        shown.add_column(label, justify="left" if label == "model" else "right")
    for row in sorted(rows, key=lambda row: row["seconds_median"]):
        ratio = row.get(f"ratio_to_{reference}")
        cells = [format(row[key], spec) for key, (_, spec) in COLUMNS.items()]
        shown.add_row(row["model"], row["precision"] or "", *cells, "" if ratio is None else f"{ratio:.2f}")
    return shown


if __name__ == "__main__":
    sys.exit(main())

"""Seconds and peak memory of demosaicing one frame: networks next to LibRaw, each time in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

from lincfa import export
from lincfa.cfa import RGGB, XTRANS
from lincfa.checkpoint import CheckpointError, load_weights
from lincfa.data.torture import torture_scene
from lincfa.evaluate import LIBRAW_MODELS, REFERENCES
from lincfa.infer import Demosaicer
from lincfa.raw import ALGORITHMS, MIN_LIBRAW_SIDE, algorithm_that_runs, linear_postprocess, open_raw, read_raw
from lincfa.rawwriter import expose, write_dng, write_raf

STAGES = ("decode_s", "demosaic_s", "write_s")
SCENE_PX = 600
WARM_UP_PX = 192


class BenchmarkError(ValueError):
    """A model that could not be measured; the message names it and says why."""


@dataclass(frozen=True)
class Task:
    """model: one of LibRaw's (lincfa.evaluate.LIBRAW_MODELS), or a network by name or path. path: the raw file, of a
    family of CFAs. precision, device: of networks. write: the result is also written, as a linear DNG. noise: (read,
    shot) that networks which take it are told, all of it to be taken away; the frame itself has none."""

    model: str
    path: str
    family: str
    precision: str = "auto"
    device: str = "cpu"
    write: bool = False
    noise: tuple[float, float] = (0.0, 0.0)


def make_frame(folder: Path, megapixels: float, family: str) -> Path:
    """A raw file of about so many megapixels, 3 : 2, X-Trans (RAF) or Bayer (DNG), of test scenes side by side.

    Raises ValueError for one that LibRaw finds too small.
    """
    cfa = XTRANS if family == "xtrans" else RGGB
    period = cfa.period[0]
    height = round((megapixels * 1e6 / 1.5) ** 0.5 / period) * period
    width = round(height * 1.5 / period) * period
    if height < MIN_LIBRAW_SIDE:
        raise ValueError(f"{megapixels:g} megapixels are too few: LibRaw needs {MIN_LIBRAW_SIDE} px on a side")
    gains = (0.5, 1.0, 0.6)
    row = [expose(torture_scene(kind, SCENE_PX).clip(0, 1), cfa, gains=gains) for kind in (2, 4, 6, 9, 11)]
    adu = np.tile(np.hstack(row), (-(-height // SCENE_PX), -(-width // (SCENE_PX * len(row)))))[:height, :width]
    balance = [1 / g for g in gains]
    if family == "xtrans":
        path = folder / "frame.RAF"
        write_raf(path, adu, cfa, white_balance=balance)
    else:
        path = folder / "frame.dng"
        write_dng(path, adu, cfa, white_balance=balance)
    return path


def compare(
    tasks: list[Task], repetitions: int, threads: int, progress: Callable[[str], object] = lambda model: None
) -> list[dict]:
    """A row for each task, measured in turns (A B A B), so that other load on the machine meets all of them.

    Row: model, megapixels, family, threads, device, precision (None for LibRaw), seconds (of each repetition),
    seconds_median, the median of each stage in STAGES and of the whole process (process_s: Python and its modules
    start, weights are loaded and tried on a small frame, and all stages), peak_mb (10^6 bytes of resident memory of the
    process, the largest of the repetitions), start_mb (of it, before the file was opened), and ratio_to_<reference>
    where LibRaw's reference (lincfa.evaluate) is among the tasks. seconds are those of demosaicing a decoded frame, or
    with `write` of all stages from file to file (LibRaw: from file to array).
    Raises BenchmarkError.
    """
    found: dict[Task, list[dict]] = {task: [] for task in tasks}
    for _ in range(repetitions):
        for task in tasks:
            found[task].append(_measure_apart(task, threads))
            progress(task.model)
    rows = [_row(task, results, threads) for task, results in found.items()]
    for row in rows:
        reference = next((r for r in rows if r["model"] == REFERENCES[row["family"]]), None)
        if reference:
            row[f"ratio_to_{reference['model']}"] = row["seconds_median"] / reference["seconds_median"]
    return rows


def measure(task: Task) -> dict:
    """One repetition, in this process. Raises ValueError and OSError of what it runs."""
    libraw = task.model in LIBRAW_MODELS
    stages, facts = (_run_libraw if libraw else _run_network)(task)
    return {**facts, **dict(zip(STAGES, stages, strict=True)), "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process has had resident, in 10^6 bytes.

    Linux's VmHWM is this program's own; ru_maxrss would include what the parent had when it started it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _run_network(task: Task) -> tuple[list[float], dict]:
    weights = load_weights(task.model)
    if weights.family != task.family:
        raise CheckpointError(f"trained for {weights.family} mosaics, and these are {task.family}")
    demosaic = Demosaicer(weights.network, device=task.device, precision=task.precision)
    told = {"noise": task.noise} if weights.network.takes_noise else {}
    demosaic(np.full((WARM_UP_PX, WARM_UP_PX), 0.2, np.float32), XTRANS if task.family == "xtrans" else RGGB, **told)
    start_mb, watch = peak_mb(), _StopWatch()
    frame = read_raw(task.path)
    watch.lap()
    rgb = demosaic(frame.mosaic, frame.cfa, frame.white_balance, **told)
    frame = export.without_samples(frame)  # as `lincfa demosaic` does
    watch.lap()
    if task.write:
        with tempfile.TemporaryDirectory(prefix="lincfa-", dir=Path(task.path).parent) as folder:
            export.write(Path(folder) / "frame.dng", rgb, frame, format="dng", model=task.model)
    watch.lap()
    facts = {"megapixels": frame.mosaic.size / 1e6, "precision": demosaic.precision, "device": task.device}
    return watch.laps, {**facts, "start_mb": start_mb}


def _run_libraw(task: Task) -> tuple[list[float], dict]:
    algorithm = LIBRAW_MODELS[task.model]
    algorithm_that_runs(algorithm, task.family)
    start_mb, watch = peak_mb(), _StopWatch()
    with open_raw(Path(task.path)) as raw:
        watch.lap()
        rgb = linear_postprocess(raw, demosaic_algorithm=ALGORITHMS[algorithm], use_camera_wb=True)
        watch.lap()
    facts = {"megapixels": rgb[..., 0].size / 1e6, "precision": None, "device": "cpu", "start_mb": start_mb}
    return [*watch.laps, 0.0], facts


class _StopWatch:
    def __init__(self):
        self.laps, self._last = [], time.perf_counter()

    def lap(self) -> None:
        now = time.perf_counter()
        self.laps.append(now - self._last)
        self._last = now


def _measure_apart(task: Task, threads: int) -> dict:
    """`measure` in a fresh process, whose peak memory is then its own. Raises BenchmarkError."""
    command = [sys.executable, "-m", "lincfa.benchmark", json.dumps(asdict(task))]
    started = time.perf_counter()
    done = subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        reason = (done.stderr.strip().splitlines() or [f"ended with status {done.returncode}"])[-1]
        raise BenchmarkError(f"{task.model}: {reason.removeprefix(f'{task.model}: ')}")
    return {**json.loads(lines[-1]), "process_s": time.perf_counter() - started}


def _row(task: Task, results: list[dict], threads: int) -> dict:
    stages = STAGES if task.write else ("demosaic_s",)
    seconds = [sum(result[stage] for stage in stages) for result in results]
    first = results[0]
    return {
        "model": task.model,
        "megapixels": round(first["megapixels"], 2),
        "family": task.family,
        "threads": threads,
        "device": first["device"],
        "precision": first["precision"],
        "seconds": seconds,
        "seconds_median": median(seconds),
        **{stage: median(result[stage] for result in results) for stage in (*STAGES, "process_s")},
        "peak_mb": max(result["peak_mb"] for result in results),
        "start_mb": max(result["start_mb"] for result in results),
    }


def main() -> int:
    task = Task(**json.loads(sys.argv[1]))
    try:
        print(json.dumps(measure(task)))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

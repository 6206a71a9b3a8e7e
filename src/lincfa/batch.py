"""Many raw files to many results: decoding, network and writing overlap, and one bad file stops nobody.

Each of a few threads takes one file from decoding to writing, and the network has one of them at a time. So the next
file is decoded and the one before is written while the network works, and memory holds no more frames than threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from lincfa import export
from lincfa.checkpoint import load_weights
from lincfa.describe import FAMILIES, camera, failure, megapixels, noise_text
from lincfa.evaluate import LIBRAW_MODELS
from lincfa.infer import Demosaicer
from lincfa.noise import Noise, estimate_noise
from lincfa.plan import Job, check_source, check_target
from lincfa.raw import RawError, RawFrame, demosaic_frame, read_raw
from lincfa.released import model_for, released_models
from lincfa.runtime import pick_device

AUTO = "auto"
FEW_THREADS = 2
"""With so many, files overlapping gain a batch little (docs/benchmarks/batch_24mp.json), and take more memory."""
POLL_S = 0.2
"""How long the batch waits before it looks for Ctrl-C again, on systems that do not wake it."""


class Stopped(Exception):
    """The batch ends while this file is in work."""


@dataclass(frozen=True)
class Result:
    """outcome: 'written', 'skipped' (the target was there) or 'failed'. text: one line that names the file."""

    job: Job
    outcome: str
    text: str


class _Network(NamedTuple):
    family: str
    demosaic: Demosaicer
    name: str


class Engine:
    """What turns frames into pictures: 'auto' (the lightest released model for the file's CFA), a network by id or
    path, or one of LibRaw's demosaicers (lincfa.evaluate.LIBRAW_MODELS).

    engine: 'torch', or 'onnx', where a model may also be an ONNX file that lincfa wrote (lincfa.portable).
    device: 'auto', 'cpu', 'cuda' or 'mps'. strength: share of the frame's noise that is taken away, 0 to 1. Above 0 the
    network must be one that is told of noise (lincfa.models), and 'auto' is the lightest such model.
    Raises ValueError (ReleasedError, CheckpointError and OnnxError are) at once for a model, an engine or a device that
    cannot be used, and for a strength that nothing takes; ModuleNotFoundError where ONNX is not installed.
    """

    def __init__(self, model: str = AUTO, *, device: str = "auto", engine: str = "torch", strength: float = 0.0):
        if engine == "onnx" and model in LIBRAW_MODELS:
            raise ValueError(f"--engine onnx: {model} is no network, but one of LibRaw's")
        if strength and model in LIBRAW_MODELS:
            raise _no_strength(model)
        if strength and model == AUTO and not any(m.takes_noise for m in released_models().values()):
            raise ValueError("--strength: no released model takes noise away")
        self.model, self.engine, self.strength = model, engine, strength
        self.device = _usable_by_onnx(device) if engine == "onnx" else _usable(pick_device(device))
        self._networks: dict[str, _Network] = {}
        self.turn = nullcontext() if model in LIBRAW_MODELS else threading.Lock()
        if model not in (AUTO, *LIBRAW_MODELS):
            self._network(model)

    @property
    def files_at_a_time(self) -> int:
        """How many files in work at a time are quickest: 2, so that the next is read while the network works, but 1
        where the network runs on few threads of a processor, and reading and writing would only take them from it."""
        on_cpu = self.device in ("cpu", "auto")  # onnxruntime's auto is the CPU but for its GPU package
        few = torch.get_num_threads() <= FEW_THREADS
        return 1 if on_cpu and few and self.model not in LIBRAW_MODELS else 2

    def noise(self, frame: RawFrame) -> Noise | None:
        """What `__call__` is to be told: the frame's noise, or None where it does not matter or cannot be told."""
        return estimate_noise(frame.mosaic, frame.cfa) if self.strength else None

    def __call__(
        self, frame: RawFrame, noise: Noise | None, progress: Callable[[int, int], None]
    ) -> tuple[np.ndarray, str]:
        """(rgb [H, W, 3] linear camera RGB on the scale of the mosaic, name of what ran). progress(tiles done, tiles).
        noise: of the frame, which a strength takes its share of; None takes none away.
        Called with `turn` held, which is a lock where a network works. Raises ValueError (RawError is).
        """
        family = frame.cfa.family
        if family not in FAMILIES:
            rows, columns = frame.cfa.period
            raise RawError(f"{frame.path}: its CFA repeats every {rows} x {columns}: neither X-Trans nor Bayer")
        if self.model in LIBRAW_MODELS:
            rgb, ran = demosaic_frame(frame, LIBRAW_MODELS[self.model])
            return rgb, next(name for name, algorithm in LIBRAW_MODELS.items() if algorithm == ran)
        name = self.model if self.model != AUTO else _auto(family, self.strength > 0)
        network = self._network(name)
        if network.family != family:
            raise ValueError(f"model {name} is for {FAMILIES[network.family]}, and this is {FAMILIES[family]}")
        told = {"noise": (noise.read, noise.shot), "strength": self.strength} if noise else {}
        rgb = network.demosaic(frame.mosaic, frame.cfa, frame.white_balance, **told, progress=progress)
        return rgb, network.name

    def _network(self, name: str) -> _Network:
        if name not in self._networks:
            network = (_load_onnx if self.engine == "onnx" else _load)(name, self.device)
            if self.strength and not network.demosaic.network.takes_noise:
                raise _no_strength(name)
            self._networks[name] = network
        return self._networks[name]


def run(
    jobs: Sequence[Job],
    engine: Engine,
    *,
    format: str = "dng",
    render: bool = False,
    overwrite: bool = False,
    threads: int | None = None,
    watch: Callable[[Job, int, int], None] = lambda *_: None,
) -> Iterator[Result]:
    """Do the jobs, and yield a result for each as it ends, whatever happens to it.

    format, render: see lincfa.export. A target that is there is skipped unless overwrite, but fails where it is
    nothing to replace (lincfa.plan.check_target). threads: files in work at a time, 1 has no overlap; None for the
    engine's `files_at_a_time`. watch(job, tiles done, tiles) is called from the threads while the network works.
    When the caller stops (Ctrl-C, or no longer asks), files in work end at their next tile or with a whole result.
    """
    stop = threading.Event()

    def one(job: Job) -> Result:
        try:
            return _demosaic(job, engine, format, render, overwrite, stop, watch)
        except Exception as error:  # whatever a file does to a decoder or a driver, the others go on
            return Result(job, "failed", failure(error, job.source, job.target))

    pool = ThreadPoolExecutor(threads or engine.files_at_a_time, thread_name_prefix="lincfa")
    try:
        pending: set[Future] = {pool.submit(one, job) for job in jobs}
        while pending:
            done, pending = wait(pending, POLL_S, FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def _demosaic(
    job: Job, engine: Engine, format: str, render: bool, overwrite: bool, stop: threading.Event, watch: Callable
) -> Result:
    check_source(job.source)
    if job.target.exists():
        check_target(job)
        if not overwrite:
            whose = "" if format == "dng" else ", from this file or another of its name"
            text = f"{job.source}: skipped, {job.target} is there{whose} (--overwrite writes it again)"
            return Result(job, "skipped", text)

    def progress(done: int, total: int) -> None:
        if stop.is_set():
            raise Stopped
        watch(job, done, total)

    started = time.perf_counter()
    job.target.parent.mkdir(parents=True, exist_ok=True)
    frame = read_raw(job.source)
    noise = engine.noise(frame)
    waiting = time.perf_counter()
    with engine.turn:
        waited = time.perf_counter() - waiting
        progress(0, 1)
        rgb, name = engine(frame, noise, progress)
    frame = export.without_samples(frame)
    if stop.is_set():
        raise Stopped
    reduction = engine.strength if noise else 0.0
    made_by = f"{name}, noise reduction {reduction:g}" if reduction else name
    export.write(job.target, rgb, frame, format=format, render=render, model=made_by, noise_reduction=reduction)
    seconds = time.perf_counter() - started - waited
    facts = [job.source.name, camera(frame), f"{megapixels(frame):.1f} MP", name]
    facts += [_noise_fact(noise, engine.strength)] if engine.strength else []
    return Result(job, "written", "  ".join([*facts, f"{seconds:.1f} s", str(job.target)]))


def _noise_fact(noise: Noise | None, strength: float) -> str:
    if noise is None:
        return "noise not reduced: too few blocks that do not clip to tell it"
    return f"noise {noise_text(noise)}, strength {strength:g}"


def _load(name: str, device: str) -> _Network:
    if name.endswith(".onnx"):
        raise ValueError(f"{name}: ONNX files are for --engine onnx")
    weights = load_weights(name)
    return _Network(
        weights.family, Demosaicer(weights.network, device=device), weights.facts.get("name", Path(name).stem)
    )


def _load_onnx(name: str, device: str) -> _Network:
    from lincfa.portable.session import load_onnx  # an extra, which may not be installed

    network = load_onnx(name, device=device)
    return _Network(network.family, Demosaicer(network, tile_px=network.tile_px), network.label)


def _usable_by_onnx(device: str) -> str:
    from lincfa.portable import session

    session.providers(device)  # raises OnnxError; a network that auto takes is loaded later
    return device


def _usable(device: str) -> str:
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError(f"--device {device}: not usable here (torch finds no Metal, which is Apple's)")
    try:
        torch.empty(1, device=device)
    except (AssertionError, RuntimeError) as error:  # torch without CUDA asserts
        raise ValueError(f"--device {device}: not usable here ({str(error).splitlines()[0]})") from error
    return device


def _auto(family: str, denoise: bool) -> str:
    model = model_for(family, denoise=denoise)
    if model is None and denoise:
        raise ValueError(f"--strength: no released model takes noise away for {FAMILIES[family]}; leave it out")
    if model is None:
        raise ValueError(f"no model is released for {FAMILIES[family]} yet; choose one of LibRaw's, as --model ahd")
    return str(model.folder)


def _no_strength(name: str) -> ValueError:
    return ValueError(f"--strength: model {name} takes no noise away; `lincfa models` says which ones do")

"""The one training loop. Time is counted in images seen."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lincfa.config import override, to_dict
from lincfa.data.dataset import PatchSet, Scene, validation_scenes
from lincfa.evaluate import evaluate, network_model, summarise, torture_samples
from lincfa.figures import training_panel
from lincfa.infer import PRECISIONS, Demosaicer
from lincfa.losses import WeightedLoss
from lincfa.models import gmac_per_megapixel, parameter_count
from lincfa.provenance import command_line, machine
from lincfa.runlog import RunLog, Window
from lincfa.runtime import computes_in_bf16, join_group, pick_device, products_in_bf16
from lincfa.trainconfig import OptimConfig, TrainConfig, TrainingError
from lincfa.trainstate import TrainState


def main(config: TrainConfig, doc: str | None = None) -> int:
    """The command line of every recipe: --data DIR, --set key=value ..., then train. Returns an exit status."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", metavar="DIR", help=f"a built dataset (default: {config.data.folder})")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="e.g. model.width=32 images=1e6")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        changes = [f"data.folder={args.data}"] if args.data else []
        train(override(config, changes + args.set))
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train: stopped; the same command continues", file=sys.stderr)
        return 130
    return 0


def learning_rate(config: OptimConfig, images: float, total: int) -> float:
    """Warm-up from 0, then half a cosine down to last_lr_share."""
    if images < config.warmup_images:
        return config.lr * images / config.warmup_images
    done = min(1.0, (images - config.warmup_images) / max(1, total - config.warmup_images))
    return config.lr * (config.last_lr_share + (1 - config.last_lr_share) * (1 + math.cos(math.pi * done)) / 2)


def train(config: TrainConfig, root: Path = Path()) -> None:
    """Train, or continue, until config.images have been seen; see runlog and checkpoint for what is written.

    Raises TrainingError for a changed config, a loss that is not finite or settings that do not fit, DatasetError and
    CheckpointError for files. SIGTERM and Ctrl-C end the step and save the state first (KeyboardInterrupt).
    """
    if config.precision not in ("auto", *PRECISIONS):
        raise TrainingError(f"precision is auto, {', '.join(PRECISIONS)}, not {config.precision!r}")
    rank, world = join_group()
    if config.images % config.batch or config.batch % world:
        raise TrainingError(f"images ({config.images}) come in batches of {config.batch}, on {world} processes alike")
    device = pick_device(config.device, rank)
    if config.precision == "auto":
        config = replace(config, precision="bf16" if computes_in_bf16(torch.device(device)) else "fp32")
    data = config.data
    if bool(data.first_share) != bool(data.first_patch_px):
        raise TrainingError("data.first_share and data.first_patch_px go together")
    patches = training_patches(config, device if device.startswith("cuda") else "cpu")
    run = TrainState(config, device, root, patches.data_sha256)
    for key in ("patch_px", "first_patch_px"):
        side = getattr(data, key)
        if side is not None and (side % run.network.multiple or side > data.patch_px):
            bound = f"no multiple of {run.network.multiple}" if side <= data.patch_px else "larger than data.patch_px"
            raise TrainingError(f"data.{key} ({side}) is {bound}")
    if run.images >= config.images:
        print(f"{config.name}: all {config.images} images were seen before; nothing to do")
        return
    if "ewc" in run.terms and not run.images:
        run.terms["ewc"].measure(patches, WeightedLoss(config.loss), config.ewc_images)
    log = RunLog(root / "logs", config.name, to_dict(config), run.images) if rank == 0 else None
    try:
        _loop(config, run, patches, log, rank, world)
    finally:
        if log:
            log.close()
        if world > 1:
            dist.destroy_process_group()


def training_patches(config: TrainConfig, device: str = "cpu") -> PatchSet:
    """The patches that a config trains on. Raises DatasetError."""
    data = config.data
    return PatchSet(
        data.folder,
        patch_px=data.patch_px,
        config=data.augment,
        seed=config.seed,
        family=data.family,
        sharpest=data.sharpest,
        sharpest_fraction=data.sharpest_fraction,
        torture_folder=data.torture_folder,
        torture_fraction=data.torture_fraction,
        torture_types=data.torture_types,
        torture_ramp_images=data.torture_ramp_images,
        averaged_fraction=data.averaged_fraction,
        averaged_by=data.averaged_by,
        hard_fraction=data.hard_fraction,
        coloured_fraction=data.coloured_fraction,
        device=device,
    )


class _Steps(Dataset):
    """Step -> this process's share of its batch. Numbers go round the processes, so N does not change the order."""

    def __init__(self, patches: PatchSet, config: TrainConfig, rank: int, world: int):
        self.patches, self.batch, self.rank, self.world = patches, config.batch, rank, world
        self.first_px = config.data.first_patch_px
        self.first_images = config.data.first_share * config.images if self.first_px else 0

    def __getitem__(self, step: int):
        numbers = range(step * self.batch + self.rank, (step + 1) * self.batch, self.world)
        made = self.patches.batch(numbers, self.first_px if step * self.batch < self.first_images else None)
        return made.mosaic, made.masks, made.truth, made.noise


def _loop(config: TrainConfig, run: TrainState, patches: PatchSet, log: RunLog | None, rank: int, world: int) -> None:
    family, scenes = config.data.family, []
    if log:
        data = config.data
        scenes = validation_scenes(data.folder, family=family, side_px=data.validation_px, count=data.validation_count)
        started = datetime.now(UTC).isoformat(timespec="seconds")
        where = f"on {run.device} in {config.precision}, from {run.images} images"
        log.say(f"{config.name}: {parameter_count(run.network):,} parameters {where}")
    network = nn.parallel.DistributedDataParallel(run.network) if world > 1 else run.network
    criterion = WeightedLoss(config.loss)
    first, last = run.images // config.batch, config.images // config.batch
    on_device = patches.device.type != "cpu"
    loader = DataLoader(
        _Steps(patches, config, rank, world),
        batch_size=None,
        sampler=range(first, last),
        num_workers=0 if on_device else config.workers,
        worker_init_fn=_quiet_worker,
    )
    batches = iter(loader)
    kind, dtype = run.device.split(":")[0], PRECISIONS[config.precision]
    products = nullcontext
    if kind == "cpu" and dtype == torch.bfloat16 and getattr(run.network, "separable", False):
        products, dtype = products_in_bf16, None
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    window = Window()
    saved = time.monotonic()
    with _signals_held() as stop:
        for _ in range(first, last):
            clock = time.monotonic()
            mosaic, masks, truth, noise = (t.to(run.device) for t in next(batches))
            window.wait_s += time.monotonic() - clock
            run.train_mode()
            rate = learning_rate(config.optim, run.images + config.batch, config.images)
            for group in run.optimizer.param_groups:
                group["lr"] = rate
            inputs = (*(t.contiguous(memory_format=layout) for t in (mosaic, masks)), noise)
            with torch.autocast(kind, dtype, enabled=dtype is not None), products():
                output = network(*inputs[: 2 + run.network.takes_noise]).float()
            loss, parts = criterion(output, truth)
            for name, term in run.terms.items():
                extra = term(inputs, output, truth)
                loss, parts[name] = loss + term.weight * extra, extra.detach()
            with products():
                run.scaler.scale(loss).backward()
            run.scaler.unscale_(run.optimizer)
            if run.symmetry:
                run.symmetry.of_gradients()
            norm = nn.utils.clip_grad_norm_(run.network.parameters(), config.optim.clip_norm)
            # With fp16 the scaler skips a step whose gradient overflows.
            if not (loss.isfinite() and (norm.isfinite() or run.scaler.is_enabled())):
                raise TrainingError(f"{config.name}: loss {loss:g}, gradient {norm:g} after {run.images} images")
            run.scaler.step(run.optimizer)
            run.scaler.update()
            if run.symmetry and run.images % config.log_every_images < config.batch:
                run.symmetry.of_weights()
            run.optimizer.zero_grad(set_to_none=True)
            run.images += config.batch
            run.update_average()
            step_s = time.monotonic() - clock
            run.seconds += step_s
            window.add(step_s, {"loss": loss.detach(), **parts})
            if not log:
                continue
            if run.images % config.log_every_images < config.batch or run.images == config.images:
                values = window.close(config.batch) | {"lr": rate}
                log.metrics("train", run.images, values)
                left_s = (config.images - run.images) / values["images_per_s"]
                log.say(
                    f"{run.images:,}/{config.images:,} images, loss {values['loss']:.5f}, lr {rate:.2e}, "
                    f"{values['images_per_s']:.1f} images/s, data wait {100 * values['data_wait']:.1f} %, "
                    f"{left_s / 60:.0f} min left"
                )
            if config.outputs_every_images and run.images % config.outputs_every_images < config.batch:
                _keep_panel(config, run, scenes, log)
            if run.images % config.validate_every_images < config.batch or run.images == config.images:
                _validate(config, run, scenes, log)
                log.provenance(_facts(config, run, started))
                run.save()
                saved = time.monotonic()
            elif stop or time.monotonic() - saved > config.save_every_s:
                run.save()
                saved = time.monotonic()
            if stop:
                log.say(f"stopped after {run.images:,} images; the same command continues")
                raise KeyboardInterrupt


@contextmanager
def _signals_held():
    """Ctrl-C and SIGTERM as a list that is empty until one came: half a step must not be saved. The second interrupts
    at once. Of several processes the first decides, and the others lose it and end. What the shell had ignored (Ctrl-C
    for a job in the background) stays ignored."""
    came = []

    def note(number, _frame):
        came.append(number)
        signal.signal(number, before[number])

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in heard}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _validate(config: TrainConfig, run: TrainState, scenes: list[Scene], log: RunLog) -> None:
    demosaicer = _demosaicer(run)
    rows = evaluate([network_model(config.name, demosaicer)], scenes)
    mean = summarise(rows)["mean"][config.name]
    scores = {k: v for k, v in mean.items() if k != "images" and math.isfinite(v)}
    best = run.keep_if_best(scores)
    log.metrics("val", run.images, scores)
    log.say(
        f"validation: {scores['psnr_linear_db']:.2f} dB linear, {scores['psnr_srgb_db']:.2f} dB sRGB-coded, "
        f"SSIM {scores['ssim']:.4f}{' (best)' if best else ''}"
    )
    log.panel(run.images, _panel(config, demosaicer, scenes))


def _keep_panel(config: TrainConfig, run: TrainState, scenes: list[Scene], log: RunLog) -> None:
    folder = log.folder / "outputs"
    folder.mkdir(exist_ok=True)
    Image.fromarray(_panel(config, _demosaicer(run), scenes)).save(folder / f"{run.images:09d}.png")


def _demosaicer(run: TrainState) -> Demosaicer:
    return Demosaicer(run.average, device=run.device, precision="fp32")


def _panel(config: TrainConfig, demosaicer: Demosaicer, scenes: list[Scene]) -> np.ndarray:
    shown = scenes[:4] + torture_samples(config.data.family, config.data.validation_px)
    return training_panel(shown, [demosaicer(s.mosaic, s.cfa, s.white_balance) for s in shown])


def _facts(config: TrainConfig, run: TrainState, started: str) -> dict:
    return {
        "commit": ", ".join(run.commits),
        "command": command_line(),
        "data": {"path": config.data.folder, "sha256": run.identity["data_sha256"]},
        "start_sha256": run.start_sha256,
        "teacher_sha256": run.identity.get("teacher_sha256"),
        "seed": config.seed,
        "device": run.device,
        "machine": machine(),
        "started": started,
        "parameters": parameter_count(run.network),
        "gmac_per_megapixel": round(gmac_per_megapixel(run.average), 1),
        "images": run.images,
        "seconds": round(run.seconds, 1),
        "best_images": run.best["images"],
        "best_psnr_linear_db": run.best["psnr_linear_db"],
    }


def _quiet_worker(_: int) -> None:
    """A worker takes one core, and leaves signals to the process that saves: they are sent to its group."""
    torch.set_num_threads(1)
    os.setpgrp()

"""How fast are training patches made, and how long does a training step wait for them?

    python scripts/utils/benchmark_loader.py --data data/v4 --json out.json

Compares, in alternating rounds on one thread and the same images, the loader of the recipes (PatchSet.batch: batch 16,
96 px, default augmentation) with one that reads the whole float32 image for each patch, crops and mosaics it, without
any augmentation, as the first v4 did. Their ratio grows with the size of the images, so these are tiled to --megapixels
first (2.1: those of the first v4 set, 60 GB of float32 for 2,350). Then scripts/train/train_v4.py runs for some dozen
steps on the CPU (or --log names a run's folder) for the share of a step that waits for data. A minute; the images are
copied to a temporary folder (12 images of 2.1 megapixels: 0.45 GB).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, median

import numpy as np
import torch

from lincfa.cfa import XTRANS
from lincfa.data.augment import AugmentConfig, draw, phase_of
from lincfa.data.dataset import PatchSet
from lincfa.data.manifest import DatasetError, Manifest, StoredArray, load_manifest, make_manifest, save_manifest
from lincfa.models import normalising_gain
from lincfa.provenance import command_line, git_commit, machine

RECIPE = Path(__file__).resolve().parents[1] / "train" / "train_v4.py"
BATCH, PATCH_PX = 16, 96


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="a built dataset, remosaic regime")
    parser.add_argument("--megapixels", type=float, default=2.1, help="size that the images are tiled to")
    parser.add_argument("--images", type=int, default=12, help="at most so many training images")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60, help="training steps")
    parser.add_argument("--log", type=Path, metavar="FOLDER", help="logs/NAME of a run: read its waiting, train none")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory(prefix="lincfa-") as folder:
            data = Path(folder) / "data"
            manifest = tile_dataset(args.data, data, args.images, args.megapixels)
            megapixels = manifest.megapixels / len(manifest.images)
            result = compare(data, manifest, args.rounds)
            share = read_wait(args.log) if args.log else read_wait(train(data, Path(folder), args.steps))
    except (DatasetError, OSError, subprocess.CalledProcessError) as error:
        print(f"benchmark_loader: {error}", file=sys.stderr)
        return 1
    result = {"megapixels": round(megapixels, 3), **result, "data_wait": share}
    print(f"{len(manifest.images)} images of {megapixels:.2f} megapixels, {args.rounds} rounds, medians:")
    print(f"  PatchSet.batch    {result['patches_per_s']:8.0f} patches/s")
    print(f"  whole-image loads {result['whole_image_patches_per_s']:8.0f} patches/s")
    print(f"  ratio             {result['ratio']:8.1f}")
    print(f"a training step waits for data for {100 * share:.2f} % of its time")
    if args.json:
        facts = {"command": command_line(), "commit": git_commit(), "machine": machine()}
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(facts | result, indent=1) + "\n")
    return 0


def tile_dataset(source: Path, out: Path, count: int, megapixels: float) -> Manifest:
    """A dataset whose images repeat those of another one up to a size (larger ones are cut); one is for validation."""
    manifest = load_manifest(source)
    if manifest.settings["regime"] != "remosaic":
        raise DatasetError(f"{source}: both loaders need the remosaic regime")
    side = round((megapixels * 1e6) ** 0.5)
    images = []
    for record in manifest.split("train")[:count] + manifest.split("val")[:1]:
        stored = record.rgb.open(source)
        copies = (-(-side // stored.shape[0]), -(-side // stored.shape[1]), 1)
        tiled = np.tile(stored, copies)[:side, :side]
        (out / record.rgb.file).parent.mkdir(parents=True, exist_ok=True)
        np.save(out / record.rgb.file, tiled)
        images.append(replace(record, rgb=replace(record.rgb, shape=tiled.shape)))
    tiled_manifest = make_manifest(manifest.settings, images, [])
    save_manifest(out, tiled_manifest)
    return tiled_manifest


def compare(data: Path, manifest: Manifest, rounds: int) -> dict:
    """Patches per second of both loaders, taken in turns, so that other load on the machine meets both."""
    config = AugmentConfig()
    patches = PatchSet(data, patch_px=PATCH_PX, config=config, seed=0)
    files = [write_float32(data, record.rgb, record) for record in manifest.split("train")]
    loaders = {
        "quick": lambda first: patches.batch(range(first, first + BATCH)),
        "slow": lambda first: whole_image_batch(files, config, range(first, first + BATCH)),
    }
    # A long run has met every page of its files: so does the warm-up, three times over.
    rate(loaders["quick"], 0, batches=int(3e6 * manifest.megapixels / PATCH_PX**2 / BATCH))
    rate(loaders["slow"], 0, batches=3)
    quick, slow = [], []
    for number in range(1, rounds + 1):
        quick.append(rate(loaders["quick"], number * 10**6, batches=40))
        slow.append(rate(loaders["slow"], number * 10**6, batches=3))
    return {
        "patches_per_s": median(quick),
        "whole_image_patches_per_s": median(slow),
        "ratio": median(a / b for a, b in zip(quick, slow, strict=True)),
        "rounds": {"patches_per_s": quick, "whole_image_patches_per_s": slow},
    }


def rate(make, first: int, batches: int) -> float:
    started = time.perf_counter()
    for k in range(batches):
        make(first + k * BATCH)
    return batches * BATCH / (time.perf_counter() - started)


def write_float32(data: Path, array: StoredArray, record) -> Path:
    """The image as the network takes it, uncompressed float32."""
    path = (data / array.file).with_suffix(".float32.npy")
    gains = np.array(record.white_balance) * normalising_gain(record.mean)
    np.save(path, array.decode(array.open(data)) * gains.astype(np.float32))
    return path


def whole_image_batch(files: list[Path], config: AugmentConfig, numbers) -> tuple[torch.Tensor, ...]:
    """(mosaic, masks, truth): samples at the places that PatchSet would draw, from whole images."""
    made = []
    for number in numbers:
        d = draw(config, 0.0, 0, number)
        rgb = np.load(files[int(d.image * len(files))])
        top, left = (int(share * (n - PATCH_PX + 1)) for share, n in zip((d.top, d.left), rgb.shape[:2], strict=True))
        truth = rgb[top : top + PATCH_PX, left : left + PATCH_PX]
        cfa = phase_of(XTRANS, d.phase)
        mosaic, masks = cfa.mosaic(truth)[None], cfa.masks(PATCH_PX, PATCH_PX)
        made.append((mosaic, masks, np.ascontiguousarray(truth.transpose(2, 0, 1))))
    return tuple(torch.from_numpy(np.stack(parts)) for parts in zip(*made, strict=True))


def train(data: Path, folder: Path, steps: int) -> Path:
    """Run the recipe for some steps in a temporary folder; returns the folder of its log."""
    images = BATCH * max(20, steps // 10 * 10)
    settings = [f"images={images}", f"log_every_images={10 * BATCH}", "data.validation_count=1", "device=cpu"]
    command = [sys.executable, str(RECIPE), "--data", str(data), "--set", "name=wait", *settings]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "logs" / "wait"


def read_wait(log: Path) -> float:
    """The mean share of a step that waited for data, without the first log line: there the worker starts."""
    rows = [json.loads(line) for line in (log / "metrics.jsonl").read_text().splitlines()]
    shares = [row["data_wait"] for row in rows if row["kind"] == "train"]
    if len(shares) < 2:
        raise DatasetError(f"{log}: fewer than two lines of training")
    return mean(shares[1:])


if __name__ == "__main__":
    sys.exit(main())

"""Photographs that are made in a blink, and a training config for a dataset of them (conftest.tiny_data)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from lincfa.color import linear_to_srgb
from lincfa.data.manifest import write_json
from lincfa.data.torture import torture_scene
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

SIDE = 96
BATCH = 4


def write_photographs(folder: Path, numbers=(0, 1, 2, 3, 6, 11), side: int = SIDE) -> Path:
    """Torture scenes as 16-bit sRGB images: TIFF, because bytes of a PNG (and so their hash) depend on zlib."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.rint(linear_to_srgb(torture_scene(number, side).clip(0, 1)) * 65535).astype(np.uint16)
        tifffile.imwrite(folder / f"scene{number:02d}.tiff", pixels, photometric="rgb", metadata=None, software=False)
    return folder


def split_by_name(dataset: Path, validation=("scene01.tiff", "scene06.tiff")) -> None:
    """A dataset is split by its files' hashes, and the last bit of a scene's pixels depends on the processor."""
    path = dataset / "manifest.json"
    manifest = json.loads(path.read_text())
    for record in manifest["images"]:
        record["split"] = "val" if record["source"] in validation else "train"
    write_json(path, manifest)


def tiny_config(data: Path, steps: int = 6, **changes) -> TrainConfig:
    """Everything that has a state is in it: batch normalisation, warm-up, noise, two validations, a save each step."""
    config = TrainConfig(
        name="tiny",
        checkpoint_folder="tiny",
        images=steps * BATCH,
        batch=BATCH,
        model={"name": "unet", "width": 2, "norm": "batch"},
        data=DataConfig(folder=str(data), patch_px=32, validation_px=80, validation_count=2),
        optim=OptimConfig(lr=1e-3, warmup_images=3 * BATCH),
        log_every_images=BATCH,
        validate_every_images=3 * BATCH,
        device="cpu",
        workers=0,
        save_every_s=0.0,
    )
    return replace(config, **changes)


def in_one_phase(config: TrainConfig) -> TrainConfig:
    """For packed networks: patches in phase 0, of whole cells."""
    data = replace(config.data, patch_px=36, augment=replace(config.data.augment, phases=False))
    return replace(config, data=data)

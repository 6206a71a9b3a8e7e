"""Training batches and fixed validation scenes from a built dataset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lincfa.cfa import CFA, RGGB, XTRANS, batch_masks, batch_mosaic, dihedral
from lincfa.data import augment, torture
from lincfa.data.augment import OLPF_RADIUS, AugmentConfig, Draw
from lincfa.data.manifest import DatasetError, ImageRecord, load_manifest
from lincfa.models import normalising_gain


@dataclass(frozen=True)
class Batch:
    """mosaic: [B, 1, P, P], masks: [B, 3, P, P], truth: [B, 3, P, P]; float32, as networks take them."""

    mosaic: torch.Tensor
    masks: torch.Tensor
    truth: torch.Tensor


@dataclass(frozen=True)
class _Source:
    """One image in the form that patches are cut from; arrays are uint16, on disk or on the device."""

    rgb: np.ndarray | torch.Tensor
    mosaic: np.ndarray | torch.Tensor | None
    rgb_coding: tuple[float, float]
    mosaic_coding: tuple[float, float]
    cfa: CFA
    gains: np.ndarray
    clip: np.ndarray


class PatchSet:
    """Training patches of a dataset.

    folder: a built dataset. patch_px: side of a patch, a multiple of the network's. family: 'xtrans' or 'bayer', the
    CFA of re-mosaiced patches (images of the other family keep their truth and take this CFA); the teacher regime takes
    files of that family only. sharpest: a JSON list of image ids to train on, or None for all training images.
    torture: a folder of torture scenes, mixed in at torture_fraction.
    device: where the images lie and patches are made; on CUDA all of them are copied there.
    Raises DatasetError for an empty selection or images smaller than a patch.
    """

    def __init__(
        self,
        folder,
        *,
        patch_px: int,
        config: AugmentConfig,
        seed: int,
        family: str = "xtrans",
        sharpest: str | None = None,
        torture_folder: str | None = None,
        torture_fraction: float = 0.0,
        device: str = "cpu",
    ):
        self.patch_px, self.config, self.seed = patch_px, config, seed
        self.torture_fraction, self.device = torture_fraction, torch.device(device)
        manifest = load_manifest(folder)
        self.data_sha256 = manifest.data_sha256
        self.teacher = manifest.settings["regime"] == "teacher"
        self.cfa = _reference(family)
        records = [r for r in manifest.split("train") if not self.teacher or r.pattern.family == family]
        if sharpest:
            kept = {row["id"] for row in json.loads(Path(sharpest).read_text())}
            records = [r for r in records if r.id in kept]
        if not records:
            raise DatasetError(f"{folder}: no {family} training image is left after filtering")
        self._reach = 0 if self.teacher else OLPF_RADIUS
        side = patch_px + 2 * self._reach
        small = [r.id for r in records if min(r.rgb.shape[:2]) < side]
        if small:
            raise DatasetError(f"{folder}: smaller than a patch of {side} px: {', '.join(small[:5])}")
        self._sources = [self._load(Path(folder), r) for r in records]
        area = np.array([r.rgb.shape[0] * r.rgb.shape[1] for r in records], np.float64)
        self._cumulative = np.cumsum(area / area.sum())
        self._torture = self._load_torture(torture_folder, side) if torture_fraction else []

    def batch(self, numbers) -> Batch:
        """The samples with these numbers; each is a pure function of (seed, number)."""
        draws = [augment.draw(self.config, self.torture_fraction, self.seed, int(n)) for n in numbers]
        picked = [self._pick(d) for d in draws]
        cuts = [self._cut(source, d) for source, d in zip(picked, draws, strict=True)]
        gains = self._tensor([s.gains * d.gain * d.balance_gain for s, d in zip(picked, draws, strict=True)])
        clip = self._tensor([s.clip for s in picked])
        truth = torch.stack([rgb for rgb, _, _ in cuts]) * gains
        masks = batch_masks([cfa for _, _, cfa in cuts], self.patch_px, self.patch_px, self.device)
        if self.teacher:
            samples = torch.stack([mosaic for _, mosaic, _ in cuts])[:, None]
            mosaic = samples * (masks * gains).sum(1, keepdim=True)
        else:
            sigma = torch.tensor([d.olpf_sigma_px for d in draws], device=self.device)
            truth = torch.minimum(augment.blur(truth, sigma), clip)
            mosaic = batch_mosaic(truth, masks)
        white = (masks * clip).sum(1, keepdim=True)
        if any(d.read_noise or d.shot_noise for d in draws):
            finite = torch.where(white.isfinite(), white, torch.ones_like(white))
            mosaic = augment.sensor_noise(mosaic, draws, finite)
        return Batch(torch.minimum(mosaic, white), masks, torch.minimum(truth, clip))

    def _pick(self, d: Draw) -> _Source:
        if d.torture:
            return self._torture[int(d.image * len(self._torture))]
        return self._sources[min(int(np.searchsorted(self._cumulative, d.image, "right")), len(self._sources) - 1)]

    def _cut(self, source: _Source, d: Draw):
        """(rgb [3, P + 2r, P + 2r], mosaic [P, P] or None, cfa) of one sample."""
        side = self.patch_px + 2 * self._reach
        top, left = (int(share * (n - side + 1)) for share, n in zip((d.top, d.left), source.rgb.shape, strict=False))
        area = (slice(top, top + side), slice(left, left + side))
        rgb = dihedral(self._decode(source.rgb[area], source.rgb_coding).permute(2, 0, 1), d.dihedral)
        if not self.teacher:
            return rgb, None, augment.phase_of(self.cfa, d.phase)
        mosaic = dihedral(self._decode(source.mosaic[area], source.mosaic_coding), d.dihedral)
        return rgb, mosaic, source.cfa.shift(top, left).dihedral(d.dihedral, side, side)

    def _decode(self, values, coding: tuple[float, float]) -> torch.Tensor:
        if isinstance(values, np.ndarray):
            values = torch.from_numpy(values.astype(np.float32))
        return values.to(self.device, torch.float32) * coding[0] + coding[1]

    def _load(self, folder: Path, record: ImageRecord) -> _Source:
        arrays = [None if a is None else self._place(a.open(folder)) for a in (record.rgb, record.mosaic)]
        normal = normalising_gain(record.mean)
        balance = np.asarray(record.white_balance)
        mosaic = record.mosaic or record.rgb
        return _Source(
            rgb=arrays[0],
            mosaic=arrays[1],
            rgb_coding=(record.rgb.scale, record.rgb.offset),
            mosaic_coding=(mosaic.scale, mosaic.offset),
            cfa=record.pattern,
            gains=balance * normal,
            clip=balance * normal,
        )

    def _load_torture(self, folder, side: int) -> list[_Source]:
        """Torture scenes have no sensor behind them: they keep their highlights, unclipped."""
        scenes, info = torture.load(folder)
        if scenes.shape[1] < side:
            raise DatasetError(f"{folder}: scenes of {scenes.shape[1]} px are smaller than a patch of {side} px")
        scenes = self._place(scenes)
        coding, ones = (1 / info["scale"], 0.0), np.ones(3)
        return [_Source(s, None, coding, coding, self.cfa, ones, np.full(3, np.inf)) for s in scenes]

    def _place(self, array: np.ndarray):
        """Memory-mapped for the CPU; a copy on the device otherwise."""
        return array if self.device.type == "cpu" else torch.from_numpy(np.array(array)).to(self.device)

    def _tensor(self, rows) -> torch.Tensor:
        return torch.from_numpy(np.array(rows, np.float32)).to(self.device)[:, :, None, None]


@dataclass(frozen=True)
class Scene:
    """A mosaic with its truth. mosaic: [H, W], rgb: [H, W, 3]; both linear camera values, unbalanced.

    group: the kind of scene where a suite reports kinds, else ''.
    """

    name: str
    mosaic: np.ndarray
    rgb: np.ndarray
    cfa: CFA
    white_balance: np.ndarray
    xyz_to_camera: np.ndarray | None
    group: str = ""


def validation_scenes(folder, *, family: str = "xtrans", side_px: int | None = None, count: int | None = None):
    """The validation images of a dataset, in the order of their ids: a list of Scene.

    side_px: cut the middle square of this side (or what there is); None keeps whole images. count: at most so many.
    Remosaic truth is mosaiced at the file's own phase if it is of the family, else at the family's phase 0.
    Raises DatasetError when there is none.
    """
    manifest = load_manifest(folder)
    teacher = manifest.settings["regime"] == "teacher"
    scenes = []
    for record in manifest.split("val"):
        if teacher and record.pattern.family != family:
            continue
        rgb = record.rgb.open(Path(folder))
        height, width = (min(side_px or n, n) for n in rgb.shape[:2])
        top, left = (rgb.shape[0] - height) // 2, (rgb.shape[1] - width) // 2
        area = (slice(top, top + height), slice(left, left + width))
        rgb = record.rgb.decode(rgb[area])
        if teacher:
            mosaic, cfa = record.mosaic.decode(record.mosaic.open(Path(folder))[area]), record.pattern.shift(top, left)
        else:
            cfa = record.pattern if record.pattern.family == family else _reference(family)
            mosaic = cfa.mosaic(rgb)
        matrix = None if record.xyz_to_camera is None else np.array(record.xyz_to_camera)
        scenes.append(Scene(record.id, mosaic, rgb, cfa, np.array(record.white_balance), matrix))
    if not scenes:
        raise DatasetError(f"{folder}: no {family} validation image")
    return scenes[:count]


def _reference(family: str) -> CFA:
    if family not in ("xtrans", "bayer"):
        raise DatasetError(f"family is 'xtrans' or 'bayer', not {family!r}")
    return XTRANS if family == "xtrans" else RGGB

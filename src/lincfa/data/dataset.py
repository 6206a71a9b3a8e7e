"""Training batches and fixed validation scenes from a built dataset."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from lincfa.cfa import CFA, RGGB, XTRANS, batch_masks, batch_mosaic, dihedral
from lincfa.data import augment, torture
from lincfa.data.augment import JPEG_UNIT_PX, OLPF_RADIUS, AugmentConfig, Draw
from lincfa.data.build import area_downsample
from lincfa.data.hard import coloured_places, hard_places
from lincfa.data.manifest import DatasetError, ImageRecord, load_manifest
from lincfa.models import normalising_gain


@dataclass(frozen=True)
class Batch:
    """mosaic: [B, 1, P, P], masks and truth: [B, 3, P, P], noise: [B, 3, 2]; float32, as networks take them."""

    mosaic: torch.Tensor
    masks: torch.Tensor
    truth: torch.Tensor
    noise: torch.Tensor


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


@dataclass(frozen=True)
class _Pool:
    """Images that patches are drawn from. cumulative: of their shares of all area. hard, coloured: see
    lincfa.data.hard."""

    sources: list[_Source]
    cumulative: list[float]
    hard: list[tuple[int, int, int]]
    coloured: list[tuple[int, int, int]]


class PatchSet:
    """Training patches of a dataset.

    folder: a built dataset. patch_px: side of a patch, a multiple of the network's. family: 'xtrans' or 'bayer', the
    CFA of re-mosaiced patches (images of the other family keep their truth and take this CFA); the teacher regime takes
    files of that family only. sharpest: a JSON list of image ids to train on, or None for all training images.
    sharpest_fraction: the list does not filter; this share of the photographs' patches is cut from the images in it,
    and the others are from all images. None: the list filters.
    torture_folder: of torture scenes, mixed in at torture_fraction, which is reached at sample torture_ramp_images on
    a straight line from 0 at sample 0. torture_types: of the scenes that are taken (torture.TYPES); None: all.
    averaged_fraction: of the photographs' patches (remosaic regime only), cut from the photographs averaged down by
    averaged_by (2 or more) in linear light, those that are large enough: finer detail per pixel. They are held in
    memory. The sharpest share is of the rest.
    hard_fraction: of the photographs' patches, cut where the images are most detailed instead of anywhere
    (lincfa.data.hard). coloured_fraction: of them, cut where colours differ in their detail.
    device: where the images lie and patches are made; on CUDA all of them are copied there.
    data_sha256: what can be seen here: the dataset's hash, with the list and the torture scenes where they are used.
    Raises DatasetError for an empty selection, images smaller than a patch, torture types of which there is no scene,
    and settings that would do nothing here.
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
        sharpest_fraction: float | None = None,
        torture_folder: str | None = None,
        torture_fraction: float = 0.0,
        torture_types: tuple[str, ...] | None = None,
        torture_ramp_images: int = 0,
        averaged_fraction: float = 0.0,
        averaged_by: int = 2,
        hard_fraction: float = 0.0,
        coloured_fraction: float = 0.0,
        device: str = "cpu",
    ):
        self.patch_px, self.config, self.seed = patch_px, config, seed
        self.torture_fraction, self.torture_ramp_images = torture_fraction, torture_ramp_images
        self.hard_fraction, self.coloured_fraction = hard_fraction, coloured_fraction
        self.sharpest_fraction = sharpest_fraction or 0.0
        self.averaged_fraction = averaged_fraction
        self.device = torch.device(device)
        manifest = load_manifest(folder)
        parts = [manifest.data_sha256]
        self.teacher = manifest.settings["regime"] == "teacher"
        self._refuse_what_does_nothing(sharpest, torture_types, averaged_by)
        self.cfa = _reference(family)
        records = [r for r in manifest.split("train") if not self.teacher or r.pattern.family == family]
        listed = records
        if sharpest:
            kept = _listed(Path(sharpest))
            listed = [r for r in records if r.id in kept]
            parts.append(",".join(sorted(kept)))
        if not listed:
            raise DatasetError(f"{folder}: no {family} training image is left after filtering")
        if sharpest_fraction is None:
            records = listed
        self._reach = 0 if self.teacher else OLPF_RADIUS
        side = patch_px + 2 * self._reach
        if self.teacher and not config.phases:
            side += max(self.cfa.period) - 1  # room to move a patch into phase
        small = [r.id for r in records if min(r.rgb.shape[:2]) < side]
        if small:
            raise DatasetError(f"{folder}: smaller than a patch of {side} px: {', '.join(small[:5])}")
        sources = {r.id: self._load(Path(folder), r) for r in records}
        self._pool = self._pooled(sources.values(), side)
        self._sharp_pool = self._pooled([sources[r.id] for r in listed], side) if sharpest_fraction else self._pool
        self._averaged_pool = self._pool
        if averaged_fraction:
            large = [sources[r.id] for r in records if min(r.rgb.shape[:2]) // averaged_by >= side]
            if not large:
                raise DatasetError(f"{folder}: no image is {averaged_by} times as large as a patch of {side} px")
            self._averaged_pool = self._pooled([self._averaged(s, averaged_by) for s in large], side)
        self._buffers: dict[tuple[int, ...], np.ndarray] = {}
        self._torture: list[_Source] = []
        if torture_fraction:
            self._torture, content = self._load_torture(torture_folder, side, torture_types)
            parts.append(content)
        self.data_sha256 = parts[0] if len(parts) == 1 else hashlib.sha256("|".join(parts).encode()).hexdigest()

    def batch(self, numbers, patch_px: int | None = None) -> Batch:
        """The samples with these numbers; each is a pure function of (seed, number). patch_px: a smaller side."""
        patch_px = patch_px or self.patch_px
        draws = [augment.draw(self.config, self._torture_share(int(n)), self.seed, int(n)) for n in numbers]
        places = [self._place(d, patch_px) for d in draws]
        picked = [source for source, _, _ in places]
        cuts = [self._cut(*place, patch_px, d) for place, d in zip(places, draws, strict=True)]
        gains = self._tensor([s.gains * d.gain * d.balance_gain * d.tint for s, d in zip(picked, draws, strict=True)])
        headroom = [1.0 if self.teacher else d.headroom for d in draws]  # a camera's own samples clip where they clip
        clip = self._tensor([s.clip * room for s, room in zip(picked, headroom, strict=True)])
        masks = torch.cat([_masks(cfa, patch_px, self.device) for _, _, cfa, _ in cuts])
        truth = self._decode([rgb for rgb, *_ in cuts], [s.rgb_coding for s in picked], gains)
        if not self.teacher:
            truth = self._blur(self._mixed(truth, draws), draws)
        truth = torch.minimum(truth, clip)
        mosaic = batch_mosaic(truth, masks)
        own = [i for i, s in enumerate(picked) if s.mosaic is not None]  # the sensor's samples, not the truth's
        if own:
            at_photosites = (masks * gains).sum(1, keepdim=True)[own]
            mosaic[own] = self._decode([cuts[i][1] for i in own], [picked[i].mosaic_coding for i in own], at_photosites)
        noisy = any(d.read_noise or d.shot_noise for d in draws)
        if own or noisy:  # samples of a clipped truth are clipped
            white = torch.where(masks > 0, clip, 0).sum(1, keepdim=True)  # infinite where nothing clips
            if noisy:
                mosaic = augment.sensor_noise(mosaic, draws, torch.where(white.isfinite(), white, 1))
            mosaic = torch.minimum(mosaic, white)
        levels = self._tensor([(d.read_noise, d.shot_noise) for d in draws])[..., 0].transpose(1, 2)
        if self.config.untracked:
            masks = torch.cat([_masks(told, patch_px, self.device) for *_, told in cuts])
        return Batch(mosaic, masks, truth, torch.where(clip.isfinite(), clip, 1)[..., 0] * levels)

    def _mixed(self, rgb: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
        """rgb with the channels of each image mixed in place as the draw says; light does not become negative."""
        for image, d in zip(rgb, draws, strict=True):
            if d.crosstalk is not None:
                matrix = torch.tensor(d.crosstalk, dtype=rgb.dtype, device=self.device)
                image.copy_((matrix @ image.flatten(1)).clamp_min(0).view_as(image))
        return rgb

    def _blur(self, rgb: torch.Tensor, draws: list[Draw]) -> torch.Tensor:
        """The inner part of rgb, blurred in place where the draw says so; a width of 0 costs nothing."""
        inner = rgb[..., OLPF_RADIUS:-OLPF_RADIUS, OLPF_RADIUS:-OLPF_RADIUS]
        widths = [math.hypot(d.olpf_sigma_px, d.coarse_sigma_px) for d in draws]  # of one Gaussian after another
        chosen = [i for i, width in enumerate(widths) if width]
        if chosen:
            sigma = torch.tensor([widths[i] for i in chosen], device=self.device)
            inner[chosen] = augment.blur(rgb[chosen], sigma)
        return inner

    def _place(self, d: Draw, patch_px: int) -> tuple[_Source, int, int]:
        """(source, top, left) of one sample."""
        pool = self._sharp_pool if d.sharp < self.sharpest_fraction else self._pool
        if d.averaged < self.averaged_fraction:
            pool = self._averaged_pool
        if not d.torture and d.hard < self.hard_fraction + self.coloured_fraction:
            places = pool.hard if d.hard < self.hard_fraction else pool.coloured
            number, top, left = places[int(d.image * len(places))]
            inset = (self.patch_px - patch_px) // 2
            return pool.sources[number], top + inset, left + inset
        if d.torture:
            source = self._torture[int(d.image * len(self._torture))]
        else:
            source = pool.sources[min(bisect_right(pool.cumulative, d.image), len(pool.sources) - 1)]
        side = patch_px + 2 * self._reach
        top, left = (int(share * (n - side + 1)) for share, n in zip((d.top, d.left), source.rgb.shape, strict=False))
        return source, top, left

    def _cut(self, source: _Source, top: int, left: int, patch_px: int, d: Draw):
        """(rgb [3, P + 2r, P + 2r], mosaic [1, P, P] or None, cfa, the CFA that the network is told) of one sample,
        not decoded yet. The two CFAs are equal but for the faults in config.untracked."""
        side = patch_px + 2 * self._reach
        if source.mosaic is not None and not self.config.phases:
            top, left = _in_phase(source.cfa, self.cfa, top, left, d.dihedral, side)
        area = (slice(top, top + side), slice(left, left + side))
        flips, crops = ("flip" in self.config.untracked), ("crop" in self.config.untracked)
        compressed = self.config.jpeg_quality is not None and not d.torture
        rgb = self._compressed(source, top, left, side, d) if compressed else source.rgb[area]
        rgb = self._turned(rgb, d.dihedral)
        if source.mosaic is None:
            told = augment.phase_of(self.cfa, d.phase)
            cfa = augment.phase_of(told, d.crop)  # as if a mosaic of the whole picture was cut and turned afterwards
            return rgb, None, _moved(cfa, 0, 0, d.dihedral, patch_px) if flips else cfa, told
        p, q = source.cfa.period
        dy, dx = top % p, left % q
        cfa = _moved(source.cfa, dy, dx, d.dihedral, side)
        told = cfa
        if self.config.untracked:
            told = _moved(source.cfa, *((0, 0) if crops else (dy, dx)), 0 if flips else d.dihedral, side)
        return rgb, self._turned(source.mosaic[area][..., None], d.dihedral), cfa, told

    def _compressed(self, source: _Source, top: int, left: int, side: int, d: Draw):
        """[side, side, 3] float32, in stored units: the area as a JPEG file of its image has it.

        Coded with what is around it, out to whole units, so that they are the file's; the image's border is repeated.
        """
        spans, pads = [], []
        for start, before, size in zip((top, left), d.jpeg_corner, source.rgb.shape, strict=False):
            first = start - before
            last = first + -(-(before + side) // JPEG_UNIT_PX) * JPEG_UNIT_PX
            spans.append(slice(max(first, 0), min(last, size)))
            pads.append((max(-first, 0), max(last - size, 0)))
        stored = source.rgb[tuple(spans)]
        stored = stored if isinstance(stored, np.ndarray) else stored.cpu().numpy()
        stored = np.pad(stored, (*pads, (0, 0)), mode="edge").astype(np.float32)
        scale, offset = np.float32(source.rgb_coding)
        balance = np.float32(source.gains / source.gains[1])  # without the normalising gain: white is 1
        rgb = augment.through_jpeg((stored * scale + offset) * balance, self.config.jpeg_quality)
        dy, dx = d.jpeg_corner
        stored = (rgb[dy : dy + side, dx : dx + side] / balance - offset) / scale
        return stored if self.device.type == "cpu" else torch.from_numpy(stored).to(self.device)

    def _turned(self, values, k: int):
        """[S, S, C] stored values -> [C, S, S]: a view on the CPU, float32 on a device."""
        if isinstance(values, np.ndarray):
            return dihedral(values.copy(), k).transpose(2, 0, 1)  # the copy is small: turned reads stay in the cache
        return dihedral(values.to(torch.float32).permute(2, 0, 1), k)

    def _decode(self, stored: list, codings: list[tuple[float, float]], gains: torch.Tensor) -> torch.Tensor:
        """[C, S, S] each -> [B, C, S, S], times gains; on the CPU one copy stacks, turns and converts them.

        The result lives until the next call.
        """
        if self.device.type == "cpu":
            values = self._scratch((len(stored), *stored[0].shape))
            for place, view in zip(values, stored, strict=True):
                place[:] = view
            values = torch.from_numpy(values)
        else:
            values = torch.stack(stored)
        scale, offset = self._tensor(codings).split(1, dim=1)
        values.mul_(scale * gains)
        return values.add_(offset * gains) if offset.any() else values

    def _scratch(self, shape: tuple[int, ...]) -> np.ndarray:
        """Memory that each batch uses again: fresh pages would cost more than what is written to them."""
        if shape not in self._buffers:
            self._buffers[shape] = np.empty(shape, np.float32)
        return self._buffers[shape]

    def _load(self, folder: Path, record: ImageRecord) -> _Source:
        arrays = [None if a is None else self._held(a.open(folder)) for a in (record.rgb, record.mosaic)]
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

    def _averaged(self, source: _Source, factor: int) -> _Source:
        small = np.rint(area_downsample(_on_host(source.rgb), factor)).astype(np.uint16)
        return replace(source, rgb=self._held(small))

    def _pooled(self, sources: Iterable[_Source], side: int) -> _Pool:
        sources = list(sources)
        area = np.array([s.rgb.shape[0] * s.rgb.shape[1] for s in sources], np.float64)
        hard = hard_places((_on_host(s.rgb) for s in sources), side) if self.hard_fraction else []
        coloured = coloured_places((_on_host(s.rgb) for s in sources), side) if self.coloured_fraction else []
        return _Pool(sources, np.cumsum(area / area.sum()).tolist(), hard, coloured)

    def _torture_share(self, n: int) -> float:
        ramp = self.torture_ramp_images
        return self.torture_fraction * min(1.0, n / ramp) if ramp else self.torture_fraction

    def _refuse_what_does_nothing(self, sharpest: str | None, torture_types, averaged_by: int) -> None:
        """An experiment whose setting is ignored would be recorded as a result."""
        if self.sharpest_fraction and not sharpest:
            raise DatasetError("sharpest_fraction is above 0, and no list of the sharpest is given")
        if not self.torture_fraction and (torture_types is not None or self.torture_ramp_images):
            raise DatasetError("torture_types and torture_ramp_images are for a torture_fraction above 0")
        if self.teacher and self.config.jpeg_quality is not None:
            raise DatasetError("jpeg_quality is for the remosaic regime: real mosaics have seen no JPEG")
        if self.teacher and self.config.coarse_images:
            raise DatasetError("coarse_images is for the remosaic regime: real mosaics cannot be blurred")
        if self.averaged_fraction and averaged_by < 2:
            raise DatasetError(f"averaged_by is 2 or more, not {averaged_by}")
        if self.teacher and self.averaged_fraction:
            raise DatasetError("averaged_fraction is for the remosaic regime: real mosaics cannot be averaged")
        chosen = self.hard_fraction + self.coloured_fraction
        if chosen > 1:
            raise DatasetError(f"hard_fraction and coloured_fraction are at most 1 together, not {chosen:g}")
        if self.teacher and chosen and "crop" in self.config.untracked:
            raise DatasetError("hard places lie on multiples of the CFA's period, where 'crop' is no fault")

    def _load_torture(self, folder, side: int, types: tuple[str, ...] | None) -> tuple[list[_Source], str]:
        """The scenes, and what tells them from others. They have no sensor behind them: highlights stay, unclipped."""
        if folder is None:
            raise DatasetError("torture_fraction is above 0, and no torture_folder is given")
        scenes, info = torture.load(folder)
        if scenes.shape[1] < side:
            raise DatasetError(f"{folder}: scenes of {scenes.shape[1]} px are smaller than a patch of {side} px")
        kinds = [info["types"][i % len(info["types"])] for i in range(len(scenes))]
        absent = [str(kind) for kind in types or () if kind not in kinds]
        if absent or (types is not None and not types):
            there = ", ".join(sorted(set(kinds)))
            raise DatasetError(f"torture_types names {', '.join(absent) or 'nothing'}; {folder} has scenes of {there}")
        chosen = [i for i, kind in enumerate(kinds) if types is None or kind in types]
        scenes = self._held(scenes)
        coding, ones = (1 / info["scale"], 0.0), np.ones(3)
        sources = [_Source(scenes[i], None, coding, coding, self.cfa, ones, np.full(3, np.inf)) for i in chosen]
        return sources, ",".join(info["hashes"][i] for i in chosen)

    def _held(self, array: np.ndarray):
        """Memory-mapped for the CPU, in an array without np.memmap's slower slices; a copy on the device otherwise."""
        return np.asarray(array) if self.device.type == "cpu" else torch.from_numpy(np.array(array)).to(self.device)

    def _tensor(self, rows) -> torch.Tensor:
        return torch.from_numpy(np.array(rows, np.float32)).to(self.device)[:, :, None, None]


@dataclass(frozen=True)
class Scene:
    """A mosaic with its truth. mosaic: [H, W], rgb: [H, W, 3]; both linear camera values, unbalanced.

    group: the kind of scene where a suite reports kinds, else ''. noise: (read, shot) of the mosaic, on white = 1:
    its variance is read^2 + shot x signal.
    """

    name: str
    mosaic: np.ndarray
    rgb: np.ndarray
    cfa: CFA
    white_balance: np.ndarray
    xyz_to_camera: np.ndarray | None
    group: str = ""
    noise: tuple[float, float] = (0.0, 0.0)


def validation_scenes(folder, *, family: str = "xtrans", side_px: int | None = None, count: int | None = None):
    """The validation images of a dataset, in the order of their ids: a list of Scene.

    side_px: cut the middle square of this side (or what there is); None keeps whole images. count: at most so many.
    Remosaic truth is mosaiced at the file's own phase if it is of the family, else at the family's phase 0.
    Raises DatasetError when there is none.
    """
    manifest = load_manifest(folder)
    teacher = manifest.settings["regime"] == "teacher"
    records = [r for r in manifest.split("val") if not teacher or r.pattern.family == family]
    if not records:
        raise DatasetError(f"{folder}: no {family} validation image")
    scenes = []
    for record in records[:count]:
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
    return scenes


def _on_host(array: np.ndarray | torch.Tensor) -> np.ndarray:
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()


def _listed(path: Path) -> set[str]:
    """The ids in a list of the sharpest images."""
    try:
        return {row["id"] for row in json.loads(path.read_text())}
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: not a list of images ({error})") from error


@lru_cache(maxsize=256)
def _masks(cfa: CFA, side: int, device: torch.device) -> torch.Tensor:
    """[1, 3, side, side]; never written to, for every patch of this phase shares it."""
    return batch_masks([cfa], side, side, device)


@lru_cache(maxsize=1024)
def _moved(cfa: CFA, dy: int, dx: int, k: int, side: int) -> CFA:
    """The CFA of a square that begins at (dy, dx) and is turned by dihedral k."""
    return cfa.shift(dy, dx).dihedral(k, side, side)


def _in_phase(cfa: CFA, wanted: CFA, top: int, left: int, k: int, side: int) -> tuple[int, int]:
    """The place of a square near one at (top, left) that has the wanted CFA once it is turned by dihedral k."""
    dy, dx = _offset(cfa, wanted, k, side)
    p, q = cfa.period
    y, x = top - (top - dy) % p, left - (left - dx) % q
    return y + p * (y < 0), x + q * (x < 0)


@lru_cache(maxsize=1024)
def _offset(cfa: CFA, wanted: CFA, k: int, side: int) -> tuple[int, int]:
    places = itertools.product(*map(range, cfa.period))
    return next(place for place in places if _moved(cfa, *place, k, side) == wanted)


def _reference(family: str) -> CFA:
    if family not in ("xtrans", "bayer"):
        raise DatasetError(f"family is 'xtrans' or 'bayer', not {family!r}")
    return XTRANS if family == "xtrans" else RGGB

"""Models on the same scenes: differences of their metrics, paired by image, and crops where they differ most.

The first model is the reference, A; the others are B, C, ... and are compared with it.
"""

from __future__ import annotations

import hashlib
import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from lincfa import blend, metrics
from lincfa.data.dataset import Scene
from lincfa.evaluate import BORDER_PX, Model, evaluate, summarise

HEADLINE = "psnr_linear_db"
"""The metric that decides a comparison; the others explain it."""
HIGHER_IS_BETTER = ("ssim",)  # and each PSNR
LOWER_IS_BETTER = ("false_colour", "phase_ripple", "grid_db")
ONE_IS_BEST = ("texture", "laplacian_ratio", "highlights_kept")
SIGNIFICANT_P = 0.05
RESAMPLES = 9999
"""Of the bootstrap, and of the permutation test from 14 images on, which have more permutations than these."""
SEED = 0


@dataclass(frozen=True)
class Difference:
    """One metric of one model less the reference's, over the images where both are finite.

    mean: nan where there is no such image. low, high: the 95 % confidence interval of the mean. p: of a mean as far
    from 0, were the two models' values exchangeable within each image. All three are nan for fewer than two images.
    better, worse: numbers of images; None for a metric that is good neither high nor low.
    """

    metric: str
    model: str
    images: int
    mean: float
    low: float
    high: float
    p: float
    better: int | None
    worse: int | None

    @property
    def significant(self) -> bool:
        return self.p < SIGNIFICANT_P


@dataclass(frozen=True)
class Crop:
    """A square of a scene. y, x: its upper left corner. change: its local mean of `blend.change` for the model that
    differs most from A; None where the place was asked for.

    truth, and images {letter: ...}: [h, w, 3] float32, linear, white balanced and exposed as the scene is shown.
    psnr_srgb_db: {letter: of these pixels alone}, at the exposure that psnr_srgb_db of the scene has.
    """

    image: str
    y: int
    x: int
    change: float | None
    truth: np.ndarray
    images: dict[str, np.ndarray]
    psnr_srgb_db: dict[str, float]

    @property
    def place(self) -> str:
        return f"{self.image}:{self.y},{self.x}"


@dataclass(frozen=True)
class Comparison:
    """models: {letter: model}. rows: evaluate's, scene after scene, with letters for names. differences: of the rows.
    crops: those asked for, then those chosen. scenes_sha256: of the mosaics and truths, in their order."""

    models: dict[str, Model]
    rows: list[dict]
    differences: list[Difference]
    crops: list[Crop]
    scenes_sha256: str

    @property
    def means(self) -> dict[str, dict]:
        """{letter: {metric: mean}}, as evaluate.py writes it."""
        return summarise(self.rows)["mean"]

    def title(self, letter: str) -> str:
        """The letter with a short name: a checkpoint's is its folder's."""
        path = Path(self.models[letter].name)
        return f"{letter} {(path.parent.name if path.suffix else '') or path.name}"


def compare(
    models: Sequence[Model],
    scenes: Sequence[Scene],
    *,
    side_px: int,
    count: int,
    at: Sequence[tuple[str, int, int]] = (),
    progress: Callable = lambda *_: None,
) -> Comparison:
    """Run every model on every scene once.

    side_px: of the crops. count: so many are chosen where the models differ most from A, away from the border that
    metrics ignore: the largest change of each image first, the second largest when there are more crops than images.
    at: crops asked for besides, (image, y, x) of the upper left corner. progress(scene name): after each scene.
    Raises ValueError for too few or many models, no scene, and an `at` that is in none of them.
    """
    if not 2 <= len(models) <= len(string.ascii_uppercase):
        raise ValueError(f"2 to {len(string.ascii_uppercase)} models can be compared, not {len(models)}")
    if not scenes:
        raise ValueError("there is no image to compare models on")
    lettered = dict(zip(string.ascii_uppercase, models, strict=False))
    asked = _places(at, scenes, side_px)
    per_image = -(-count // len(scenes))
    rows, crops, ranked, seen = [], [], [], hashlib.sha256()
    for scene in scenes:
        images = {letter: model.demosaic(scene) for letter, model in lettered.items()}
        # A model is run once, and measured by the one program that measures.
        known = [Model(letter, lambda _, image=image: image) for letter, image in images.items()]
        rows += evaluate(known, [scene])
        for array in (scene.mosaic, scene.rgb):
            seen.update(np.ascontiguousarray(array))
        shown = _Shown(scene, images)
        crops += [shown.crop(y, x, side_px) for y, x in asked.get(scene.name, ())]
        largest = blend.largest_changes(shown.changed(), side_px, per_image)
        ranked += [(rank, -most, shown.crop(y, x, side_px, most)) for rank, (most, y, x) in enumerate(largest)]
        ranked = sorted(ranked, key=lambda entry: entry[:2])[:count]
        progress(scene.name)
    crops += [crop for *_, crop in ranked]
    return Comparison(lettered, rows, differences(rows), crops, seen.hexdigest())


def differences(rows: list[dict]) -> list[Difference]:
    """For each metric, and each model but the first. rows: see `evaluate`, the scenes in one order for all models."""
    letters = list(dict.fromkeys(row["model"] for row in rows))
    values = {
        letter: {
            key: np.array([row[key] for row in rows if row["model"] == letter])
            for key, value in rows[0].items()
            if isinstance(value, float)
        }
        for letter in letters
    }
    reference = values.pop(letters[0])
    return [
        paired(metric, letter, own[metric], reference[metric]) for metric in reference for letter, own in values.items()
    ]


def paired(metric: str, model: str, own: np.ndarray, reference: np.ndarray) -> Difference:
    """own, reference: [N], the metric of both models on the same images.

    The interval is the bootstrap's over images (BCa: Efron 1987). p is of the permutation test that exchanges the
    models within each image, which turns the signs of differences: exact for up to 13 images. Unlike the t test it
    takes no normal distribution for granted, which differences in dB rarely have, and unlike Wilcoxon's it is about the
    mean that is shown. Fewer than 6 images cannot be significant by it: p is at least 2 / 2^N. No correction is made
    for looking at several metrics or models.
    """
    finite = np.isfinite(own) & np.isfinite(reference)
    found = own[finite] - reference[finite]
    mean = float(found.mean()) if len(found) else math.nan
    low = high = p = math.nan
    if len(found) > 1:
        low, high = _interval(found)
        p = stats.permutation_test(
            (found,), np.mean, permutation_type="samples", n_resamples=RESAMPLES, batch=1000, rng=_generator()
        ).pvalue
    better = worse = None
    if (gain := _gain(metric, own, reference)) is not None:
        better, worse = int((gain > 0).sum()), int((gain < 0).sum())
    return Difference(metric, model, len(found), mean, float(low), float(high), float(p), better, worse)


class _Shown:
    """A scene and its renderings, white balanced, with one exposure to show them all at."""

    def __init__(self, scene: Scene, images: dict[str, np.ndarray]):
        balance = scene.white_balance.astype(np.float32)
        self._name, self._truth = scene.name, scene.rgb * balance
        self._images = {letter: image * balance for letter, image in images.items()}
        self._exposure = blend.exposure(self._truth)

    def changed(self) -> np.ndarray:
        """[H, W]: the change from A of the model that has changed most there, and 0 in the border."""
        reference, *others = (image * self._exposure for image in self._images.values())
        most = np.max([blend.change(image, reference) for image in others], axis=0)
        inside = (slice(BORDER_PX, -BORDER_PX),) * 2
        changed = np.zeros_like(most)
        changed[inside] = most[inside]
        return changed

    def crop(self, y: int, x: int, side_px: int, change: float | None = None) -> Crop:
        area = (slice(y, y + side_px), slice(x, x + side_px))
        truth, images = self._truth[area], {letter: image[area] for letter, image in self._images.items()}
        return Crop(
            self._name,
            y,
            x,
            change,
            truth * self._exposure,
            {letter: image * self._exposure for letter, image in images.items()},
            {letter: metrics.psnr_srgb(image, truth, border=0) for letter, image in images.items()},
        )


def _places(at: Sequence[tuple[str, int, int]], scenes: Sequence[Scene], side_px: int) -> dict[str, list]:
    """{image: [(y, x), ...]} of crops that are asked for. Raises ValueError for one that no scene has."""
    shapes = {scene.name: scene.mosaic.shape for scene in scenes}
    places = {}
    for image, y, x in at:
        if image not in shapes:
            raise ValueError(f"no image is named {image!r}; there are: {', '.join(list(shapes)[:8])}")
        height, width = shapes[image]
        if not (0 <= y <= max(0, height - side_px) and 0 <= x <= max(0, width - side_px)):
            raise ValueError(f"{image} has {height} x {width} pixels, and no square of {side_px} at {y},{x}")
        places.setdefault(image, []).append((y, x))
    return places


def _interval(found: np.ndarray) -> tuple[float, float]:
    """Of the mean, 95 %. Without any spread, where the BCa bootstrap is not defined, the mean itself."""
    if np.ptp(found) == 0:
        return found[0], found[0]
    return stats.bootstrap(
        (found,), np.mean, confidence_level=0.95, n_resamples=RESAMPLES, batch=1000, rng=_generator()
    ).confidence_interval


def _generator() -> np.random.Generator:
    """Anew for each figure, so that none depends on what else was computed."""
    return np.random.default_rng(SEED)


def _gain(metric: str, own: np.ndarray, reference: np.ndarray) -> np.ndarray | None:
    """[N]: above 0 where own is better than the reference, below 0 where it is worse; None without a better."""
    with np.errstate(invalid="ignore"):  # infinite both: neither
        if metric in HIGHER_IS_BETTER or metric.startswith("psnr_"):
            return own - reference
        if metric in LOWER_IS_BETTER:
            return reference - own
        if metric in ONE_IS_BEST:
            return np.abs(reference - 1) - np.abs(own - 1)
    return None

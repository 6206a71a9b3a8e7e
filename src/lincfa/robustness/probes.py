"""What is measured of one model: functions of (model, cfa) that return {measure: value}.

Models are asked in camera values of a sensor with unequal gains; unless said otherwise, errors are of white-balanced
values, on the scale where white is 1, over the frame without evaluate.BORDER_PX on each side, and nothing is clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from lincfa import metrics
from lincfa.cfa import CFA
from lincfa.data.dataset import Scene
from lincfa.evaluate import BORDER_PX, STEP, Model, in_steps
from lincfa.robustness import scenes
from lincfa.robustness.mtf import mtf50

LEVELS = {"0.001": 16 * STEP, "0.18": 2768 * STEP, "0.9": 13824 * STEP}
"""Whole 14-bit steps in every channel: LibRaw's mosaics are rounded to them."""
READ_NOISE = 4 * STEP
EXPOSURES_EV = (-2, -2.5, -4, -6, 2)
"""The half stop is for networks: lincfa.models.normalising_gain undoes whole stops, bit for bit."""
EDGE_BAND_PX = 5
PHASE_BORDER_PX = 160
"""More than any network's margin: within it, a frame's border may be treated differently at each crop."""


def flat_grey(model: Model, cfa: CFA) -> dict:
    """Ripple and bias of grey frames in all phases of the CFA, relative to the level, the frame's border included.

    Ripple: metrics.phase_ripple. Bias: of the frame's mean in each channel. RMS and maximum are over phases (and
    channels); the figures without a level are the maximum over levels.
    """
    found = {}
    for name, level in LEVELS.items():
        images = [_balanced(model, scenes.flat(level, phase, 96)) for phase in cfa.phases]
        ripple = np.array([metrics.phase_ripple(image, period=cfa.period, border=0) for image in images])
        bias = np.array([image.mean((0, 1), np.float64) / level - 1 for image in images])
        for measure, values in (("ripple", ripple), ("bias", bias)):
            found[f"flat_{name}_{measure}_rms"] = float(np.sqrt(np.mean(values**2)))
            found[f"flat_{name}_{measure}_max"] = float(np.abs(values).max())
    for measure in ("ripple", "bias"):
        found[f"flat_{measure}_max"] = float(np.max([found[f"flat_{name}_{measure}_max"] for name in LEVELS]))
    return found


def black_frame(model: Model, cfa: CFA) -> dict:
    """The mean of a black frame's channels with read noise, in units of the noise's sigma and of white.

    The noise of each seed is used with both signs, so that its own mean is exactly 0. Not white balanced.
    """
    means = []
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(0, READ_NOISE, (192, 192))
        black = scenes.exposed("black", np.zeros((192, 192, 3)), cfa)
        mosaic = in_steps(noise)
        for sign in (1, -1):
            means.append(model.demosaic(replace(black, mosaic=sign * mosaic)).mean((0, 1), np.float64))
    bias = np.mean(means, 0)
    worst = float(np.abs(bias).max())
    per_channel = {f"black_bias_{c}_sigma": float(b / READ_NOISE) for c, b in zip("rgb", bias, strict=True)}
    return {"black_bias_sigma": worst / READ_NOISE, "black_bias_white": worst, **per_channel}


def edges(model: Model, cfa: CFA) -> dict:
    """RMSE within EDGE_BAND_PX of edges between the corners of the RGB cube, the phases of the CFA taking turns.

    The mean is over all cases, and over those of each angle. 'edge_cases' has every case: two of K R G B C M Y W, and
    the angle in degrees from the vertical.
    """
    cases, by_angle = {}, {angle: [] for angle in scenes.EDGE_ANGLES_DEG}
    for name, case in edge_scenes(cfa).items():
        cases[name] = edge_rmse(model, case)
        by_angle[case[1]].append(cases[name])
    worst = max(cases, key=cases.get)
    return {
        "edge_rmse_mean": float(np.mean(list(cases.values()))),
        **{f"edge_{angle}deg_rmse_mean": float(np.mean(values)) for angle, values in by_angle.items()},
        "edge_rmse_worst": cases[worst],
        "edge_worst_case": worst,
        "edge_cases": cases,
    }


def edge_scenes(cfa: CFA) -> dict[str, tuple[Scene, int]]:
    """{case: (scene, angle in degrees)}, with each angle at all phases in turn."""
    side, phases, found = scenes.EDGE_SIDE_PX, list(cfa.phases), {}
    for number, (name, a, b, angle) in enumerate(scenes.edge_cases()):
        rgb = a + scenes.edge(side, angle)[..., None] * (b - a)
        turn = number + number // len(scenes.EDGE_ANGLES_DEG)  # one further for each pair of colours
        found[name] = scenes.exposed(name, rgb, phases[turn % len(phases)]), angle
    return found


def edge_rmse(model: Model, case: tuple[Scene, int]) -> float:
    scene, angle = case
    near = np.abs(scenes.edge_distance(scenes.EDGE_SIDE_PX, angle)) <= EDGE_BAND_PX
    near[:BORDER_PX] = near[-BORDER_PX:] = near[:, :BORDER_PX] = near[:, -BORDER_PX:] = False
    return float(np.sqrt(np.mean((_balanced(model, scene) - _truth(scene))[near] ** 2)))


def exposure(model: Model, cfa: CFA, pictures: dict[str, np.ndarray]) -> dict:
    """What a change of exposure costs in PSNR against the same picture at 0 EV, in dB: mean and maximum over pictures.

    Peak and errors are those of the exposure. '_14bit': with every mosaic, that of 0 EV too, in whole 14-bit steps, and
    so with the sensor's quantisation. Without it for networks only, as LibRaw takes integers.
    """
    found = {}
    for steps, suffix in ((False, ""), (True, "_14bit")):
        if not steps and model.algorithm != "network":
            continue
        losses = {ev: [] for ev in EXPOSURES_EV}
        for name, rgb in pictures.items():
            at_zero = _psnr_at(model, name, rgb, cfa, 0, steps)
            for ev, loss in losses.items():
                psnr_db = _psnr_at(model, name, rgb, cfa, ev, steps)
                loss.append(0.0 if psnr_db == at_zero else at_zero - psnr_db)
        for ev, loss in losses.items():
            found[f"exposure_{ev:+g}ev{suffix}_loss_db"] = float(np.mean(loss))
            found[f"exposure_{ev:+g}ev{suffix}_loss_max_db"] = float(np.max(loss))
    return found


def _psnr_at(model: Model, name: str, rgb: np.ndarray, cfa: CFA, ev: float, steps: bool) -> float:
    scene = scenes.exposed(name, rgb * np.float32(2.0**ev), cfa)
    if steps:
        scene = replace(scene, mosaic=in_steps(scene.mosaic))
    return metrics.psnr(_balanced(model, scene), _truth(scene), peak=2.0**ev, border=BORDER_PX)


def phases(model: Model, cfa: CFA) -> dict:
    """The largest difference between a frame's output and that of its crops, which begin at each phase of the CFA."""
    return {"phase_difference_max": _moved(model, cfa, cfa.phases.values(), max(cfa.period))[0]}


def frame_origin(model: Model, cfa: CFA, multiple: int) -> dict:
    """Maximum and RMS of the difference between a frame's output and that of its crops in the same phase of the CFA.

    multiple: the side in px of the cells that a network works on, `network.multiple`. The crops begin at the multiples
    of the CFA's period below that of both, and at one of them at least: to the right, below, and both.
    """
    period = max(cfa.period)
    steps = range(period, max(math.lcm(period, multiple), 2 * period), period)
    origins = [origin for k in steps for origin in ((0, k), (k, 0), (k, k))]
    worst, rms = _moved(model, cfa, origins, steps[-1])
    return {"origin_difference_max": worst, "origin_difference_rms": rms}


def _moved(model: Model, cfa: CFA, origins: Iterable[tuple[int, int]], farthest_px: int) -> tuple[float, float]:
    """(largest absolute, RMS) difference between a frame's output and that of its crops at origins (dy, dx), none of
    them beyond farthest_px; not white balanced."""
    border = PHASE_BORDER_PX
    side = 2 * border + 384  # past 512, where LibRaw's Markesteijn begins its next tile
    whole = scenes.exposed("strokes", scenes.strokes(side + farthest_px), cfa)
    expected = model.demosaic(whole)
    worst, squares = [], []
    for dy, dx in origins:
        area = np.s_[dy : dy + side, dx : dx + side]
        crop = replace(whole, mosaic=whole.mosaic[area], rgb=whole.rgb[area], cfa=cfa.shift(dy, dx))
        difference = (model.demosaic(crop) - expected[area])[border:-border, border:-border]
        worst.append(np.abs(difference).max())
        squares.append(np.mean(difference**2, dtype=np.float64))
    return float(np.max(worst)), float(np.mean(squares) ** 0.5)  # which keep nan


def zone_plate(model: Model, cfa: CFA) -> dict:
    """False colour of a grey zone plate: the energy of R - G and B - G over the energy of the plate's contrast."""
    scene = zone_plate_scene(cfa)
    image, truth = (a[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX] for a in (_balanced(model, scene), _truth(scene)))
    chroma = image[..., [0, 2]] - image[..., [1]]
    return {"zone_plate_false_colour": float(np.mean(chroma**2) / np.var(truth[..., 1]))}


def zone_plate_scene(cfa: CFA) -> Scene:
    return scenes.exposed("zone plate", scenes.zone_plate(288), cfa)


def slanted_edge(model: Model, cfa: CFA) -> dict:
    """MTF50 in cycles per px of luma at a grey edge, the mean of a steep and a shallow one, and over the truth's."""
    side, found = 160, []
    for angle in (scenes.SLANT_DEG, 90 - scenes.SLANT_DEG):
        rgb = np.repeat(0.1 + 0.8 * scenes.edge(side, angle)[..., None], 3, axis=2)
        scene = scenes.exposed("slanted edge", rgb, cfa)
        inside = np.s_[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX]
        across = scenes.edge_distance(side, angle)[inside]
        planes = (a[inside] @ np.array([0.25, 0.5, 0.25]) for a in (_balanced(model, scene), _truth(scene)))
        found.append([mtf50(plane, across) for plane in planes])
    mtf, truth = np.mean(found, 0)
    return {"mtf50": float(mtf), "mtf50_truth": float(truth), "mtf50_relative": float(mtf / truth)}


def difference(model: Model, other: Model, cfa: CFA, pictures: dict[str, np.ndarray]) -> tuple[float, float]:
    """(largest absolute difference, least PSNR in dB) between two models over pictures, the border included."""
    largest, psnr_db = [], []
    for name, rgb in pictures.items():
        scene = scenes.exposed(name, rgb, cfa)
        a, b = _balanced(model, scene), _balanced(other, scene)
        largest.append(np.abs(a - b).max())
        psnr_db.append(metrics.psnr(a, b, peak=1.0, border=0))
    return float(np.max(largest)), float(np.min(psnr_db))


def _balanced(model: Model, scene: Scene) -> np.ndarray:
    return model.demosaic(scene) * scene.white_balance


def _truth(scene: Scene) -> np.ndarray:
    return scene.rgb * scene.white_balance

"""All measures of some models, the limits that they are held to, and the lines that show them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from lincfa import evaluate
from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.checkpoint import load_weights
from lincfa.data.dataset import Scene
from lincfa.evaluate import Model
from lincfa.figures import crop_row, labelled_panel
from lincfa.infer import Demosaicer
from lincfa.robustness import probes, scenes

CFAS = {"xtrans": XTRANS, "bayer": RGGB}
SEAM_TILE_PX, UNTILED_PX = 96, 4096
SEAM_PICTURES = ("astronaut-0", "procedural-0")
CASTS = ("bf16", "fp16")
PROBES = (
    probes.flat_grey,
    probes.black_frame,
    probes.edges,
    probes.phases,
    probes.zone_plate,
    probes.slanted_edge,
)
SUITE_PICTURES, SUITE_SIDE_PX = 3, 288
"""From each suite, for the change of exposure: the first few, cut to a square."""


@dataclass(frozen=True)
class Candidate:
    """variants: for a network, the same in small tiles ('tiled'), in one piece ('untiled'), in 'bf16' and 'fp16'.

    multiple: the side in px of the cells that a network works on.
    """

    model: Model
    variants: dict[str, Model] = field(default_factory=dict)
    multiple: int = 1


@dataclass(frozen=True)
class Limit:
    """at_most: a number, or None for what the reference reaches. by_angle_deg: {angle: measure} of which this is the
    mean."""

    measure: str
    label: str
    at_most: float | None
    by_angle_deg: dict[int, str] = field(default_factory=dict)


EDGES_BY_ANGLE = {angle: f"edge_{angle}deg_rmse_mean" for angle in scenes.EDGE_ANGLES_DEG}
LIMITS = (
    Limit("flat_ripple_max", "flat grey: ripple, of the level", 1e-4),
    Limit("flat_bias_max", "flat grey: bias, of the level", 1e-4),
    Limit("exposure_-6ev_loss_max_db", "-6 EV, not rounded: loss (dB), worst picture", 0.2),
    Limit("seam_max", "tile seams", 1e-5),
    Limit("edge_rmse_mean", "saturated edges: mean RMSE", None, EDGES_BY_ANGLE),
    Limit("worse_share", "share of images worse than the reference", 0.01),
)
"""What a released network has to hold."""

LINES = {
    **{
        f"flat_{v}_{x}_{m}": f"grey {v}: {x}, {m}"
        for v in probes.LEVELS
        for x in ("ripple", "bias")
        for m in ("rms", "max")
    },
    **{f"black_bias_{c}_sigma": f"noisy black: bias of {c.upper()} (sigma)" for c in "rgb"},
    "black_bias_white": "noisy black: worst bias (white)",
    "edge_rmse_mean": "saturated edges: RMSE, mean",
    **{key: f"saturated edges, {angle}°: RMSE, mean" for angle, key in EDGES_BY_ANGLE.items()},
    "edge_rmse_worst": "saturated edges: RMSE, worst",
    "edge_worst_case": "saturated edges: colours, angle",
    "edge_worse_share": "saturated edges: worse than reference",
    **{
        f"exposure_{v:+g}ev{rounded}_loss{m}_db": f"{v:+g} EV{steps}: loss (dB), {text}"
        for rounded, steps in (("", ""), ("_14bit", ", 14-bit steps"))
        for m, text in (("", "mean"), ("_max", "worst"))
        for v in probes.EXPOSURES_EV
    },
    "phase_difference_max": "phases: max difference, shifted",
    "origin_difference_max": "frame origin: max difference, shifted",
    "origin_difference_rms": "frame origin: RMS difference, shifted",
    "zone_plate_false_colour": "zone plate: false-colour energy",
    "mtf50": "slanted edge: MTF50 (cycles/px)",
    "mtf50_relative": "slanted edge: MTF50 over the truth's",
    "seam_max": "tile seams: max difference",
    **{f"{v}_psnr_db": f"{v} against fp32: PSNR (dB)" for v in CASTS},
    **{f"{v}_max": f"{v} against fp32: max difference" for v in CASTS},
    "worse_share": "images worse than reference",
}
"""{measure: text} in the order of the table."""


def load_candidate(name: str, family: str, device: str = "cpu") -> Candidate:
    """See lincfa.evaluate.load_model, which it raises like."""
    model = evaluate.load_model(name, family, device)
    if model.algorithm != "network":
        return Candidate(model)
    network = load_weights(name).network
    sides = {"tiled": SEAM_TILE_PX, "untiled": UNTILED_PX}
    kinds = {kind: {"tile_px": side, "precision": "fp32"} for kind, side in sides.items()}
    kinds |= {cast: {"precision": cast} for cast in CASTS}
    variants = {kind: Demosaicer(network, device=device, **settings) for kind, settings in kinds.items()}
    models = {kind: evaluate.network_model(f"{name} {kind}", d) for kind, d in variants.items()}
    return Candidate(model, models, network.multiple)


def measure(
    candidates: list[Candidate], family: str, suites: dict[str, list[Scene]], progress: Callable = lambda *_: None
) -> dict:
    """The report: {'cfa', 'reference', 'models': {name: {measure: value}}, 'limits': {name: [...]}, 'suites': rows}.

    candidates: the reference of the family (lincfa.evaluate) must be among them. suites: {name: scenes}; may be empty.
    Measures that a model cannot have, such as the tile seams of LibRaw's algorithms, are missing. All models have the
    same frame origins: those that tell the cells of any of them apart. limits: see `check`, for networks only.
    progress(text) is called after each of part_count(...) parts.
    Raises ValueError when the reference is missing.
    """
    reference, cfa = evaluate.REFERENCES[family], CFAS[family]
    names = [candidate.model.name for candidate in candidates]
    if reference not in names:
        raise ValueError(f"the report needs {reference} among its models: {', '.join(names)}")
    pictures = scenes.pictures()
    exposed = pictures | _suite_pictures(suites)
    multiple = math.lcm(*(candidate.multiple for candidate in candidates))
    measured = {}
    for candidate in candidates:
        model, found = candidate.model, {}
        for probe in PROBES:
            found |= probe(model, cfa)
            progress(f"{model.name}: {probe.__name__}")
        found |= probes.exposure(model, cfa, exposed)
        progress(f"{model.name}: exposure")
        found |= probes.frame_origin(model, cfa, multiple)
        progress(f"{model.name}: frame_origin")
        measured[model.name] = found | _variants(candidate, cfa, pictures)
        progress(f"{model.name}: variants")
    models = [candidate.model for candidate in candidates]
    rows = {name: evaluate.evaluate(models, images, progress) for name, images in suites.items()}
    for name in names:
        if name != reference:
            measured[name] |= _against(measured[name], measured[reference], rows, name, reference)
    limits = {c.model.name: check(measured[c.model.name], measured[reference]) for c in candidates if c.variants}
    return {"cfa": family, "reference": reference, "models": measured, "limits": limits, "suites": rows}


def part_count(candidates: list[Candidate], suites: dict[str, list[Scene]]) -> int:
    return len(candidates) * (len(PROBES) + 3) + sum(map(len, suites.values()))


def check(measured: dict, reference: dict) -> list[dict]:
    """LIMITS of one model: [{'measure', 'label', 'at_most', 'value', 'holds'}].

    measured, reference: the measures of the model and of the reference. What is not a number does not hold; 'value' and
    'holds' are None for what was not measured. A mean over angles has 'worse_at_deg' too: those at which the model's
    own mean is above the reference's.
    """
    found = []
    for limit in LIMITS:
        value = measured.get(limit.measure)
        at_most = reference[limit.measure] if limit.at_most is None else limit.at_most
        holds = None if value is None else bool(value <= at_most)
        found.append(
            {"measure": limit.measure, "label": limit.label, "at_most": at_most, "value": value, "holds": holds}
        )
        if value is not None and limit.by_angle_deg:
            worse = [angle for angle, key in limit.by_angle_deg.items() if not measured[key] <= reference[key]]
            found[-1]["worse_at_deg"] = worse
    return found


def table(report: dict) -> tuple[list[str], list[list[str]]]:
    """(head, rows) of text: a row for each of LINES that some model has, a column for each model."""
    models = report["models"]
    rows = [[text, *(_cell(measured.get(key)) for measured in models.values())] for key, text in LINES.items()]
    return ["", *models], [row for row in rows if any(row[1:])]


def verdicts(limits: list[dict], of_failure: str = "") -> list[str]:
    """A line of text for each limit of one model; of_failure is said of those that fail."""
    found = []
    for limit in limits:
        at_most = f"at most {_cell(limit['at_most'])}"
        if limit["holds"] is None:
            found.append(f"not measured: {limit['label']}, {at_most}")
        else:
            value = _cell(limit["value"]) or "not a number"
            angles = ", ".join(map(str, limit.get("worse_at_deg", [])))
            holds = f"holds in the mean; worse at {angles} degrees" if angles else "holds"
            verdict = holds if limit["holds"] else f"fails{of_failure}"
            found.append(f"{limit['label']}: {value}, {at_most}: {verdict}")
    return found


def worst_images(report: dict, name: str) -> list[str]:
    """A line of text about the images of the suites; none where no suite was measured."""
    worst = report["models"][name].get("worst_images") or {}
    gains = ", ".join(f"{image} {gain:+.2f} dB" for image, gain in worst.items())
    return [f"Worst images of {name}, linear PSNR over {report['reference']}'s: {gains}."] if worst else []


def panel(candidates: list[Candidate], report: dict) -> np.ndarray:
    """Of each model the zone plate, its own worst edge and the reference's, with mosaic, output, truth and difference:
    [H, W, 3] uint8."""
    cfa = CFAS[report["cfa"]]
    cases = {name: scene for name, (scene, _) in probes.edge_scenes(cfa).items()}
    rows = []
    for candidate in candidates:
        model = candidate.model
        worst = [report["models"][name]["edge_worst_case"] for name in (model.name, report["reference"])]
        shown = [probes.zone_plate_scene(cfa), *(cases[name] for name in dict.fromkeys(worst))]
        rows += [(f"{model.name}: {scene.name}", crop_row(scene, model.demosaic(scene))) for scene in shown]
    return labelled_panel(rows)


def _variants(candidate: Candidate, cfa: CFA, pictures: dict[str, np.ndarray]) -> dict:
    variants, found = candidate.variants, {}
    if variants:
        seams = {name: pictures[name] for name in SEAM_PICTURES}
        found["seam_max"] = probes.difference(variants["tiled"], variants["untiled"], cfa, seams)[0]
        for cast in CASTS:
            found[f"{cast}_max"], found[f"{cast}_psnr_db"] = probes.difference(
                variants[cast], candidate.model, cfa, pictures
            )
    return found


def _against(own: dict, other: dict, rows: dict[str, list[dict]], name: str, reference: str) -> dict:
    """What can be said only next to the reference: shares of cases and images that are worse, and the worst images."""
    edges = [own["edge_cases"][case] > rmse for case, rmse in other["edge_cases"].items()]
    found = {"edge_worse_share": float(np.mean(edges))}
    gains = {}
    for suite, images in rows.items():
        for row in images:
            if row["model"] in (name, reference):
                sign = 1 if row["model"] == name else -1
                key = f"{suite}/{row['image']}"
                gains[key] = gains.get(key, 0.0) + sign * row["psnr_linear_db"]
    if gains:
        worst = sorted(gains, key=gains.get)[:3]
        found["worse_share"] = float(np.mean([not gain >= 0 for gain in gains.values()]))
        found["worst_images"] = {key: gains[key] for key in worst}
    return found


def _suite_pictures(suites: dict[str, list[Scene]]) -> dict[str, np.ndarray]:
    return {
        f"{suite}/{scene.name}": (scene.rgb * scene.white_balance)[:SUITE_SIDE_PX, :SUITE_SIDE_PX]
        for suite, images in suites.items()
        for scene in images[:SUITE_PICTURES]
    }


def _cell(value) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return "0" if abs(value) < 1e-12 else f"{value:.3g}"  # what doubles make of equal numbers

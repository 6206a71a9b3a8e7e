"""Models x scenes -> rows of metrics. Used by the training loop and by the scripts."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import numpy as np

from lincfa import metrics, raw
from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.checkpoint import CheckpointError, find_weights, load_weights
from lincfa.color import linear_to_srgb
from lincfa.data import torture
from lincfa.data.build import PHOTOGRAPHS, read_photograph
from lincfa.data.dataset import Scene, validation_scenes
from lincfa.infer import Demosaicer
from lincfa.peers import PEERS, load_peer
from lincfa.rawwriter import XYZ_TO_LINEAR_SRGB

BORDER_PX = 24
"""Ignored on each side, so that nobody is judged on how they treat a picture's edge."""
LIBRAW_MODELS = {"bilinear": "linear", **{n: n for n in raw.ALGORITHMS if n not in ("linear", "ppg")}}
REFERENCES = {"xtrans": "markesteijn3", "bayer": "ahd"}
"""The demosaicer of LibRaw that others are compared with: Bayer has no Markesteijn."""
HDR_SUFFIX = ".hdr"
HDR_WHITE = 4.0
"""Where the sensor of an HDR scene clips: two stops above the picture's white, as LibRaw can be given them."""
STEP = 1 / (16383 - 1024)
"""Mosaics are 14-bit integers between black 1024 and white 16383: every model gets what LibRaw gets."""


@dataclass(frozen=True)
class Model:
    """demosaic: a scene without its truth -> linear camera RGB [H, W, 3].

    algorithm: what really runs: LibRaw's ahd, dht and aahd are Markesteijn 3-pass on X-Trans. Of peers the package and
    its version; of networks 'network'.
    """

    name: str
    demosaic: Callable[[Scene], np.ndarray]
    algorithm: str = "network"


def libraw_model(name: str, family: str) -> Model:
    """One of LIBRAW_MODELS, run on a CFA DNG of the scene's mosaic with its white balance and colour matrix.

    Raises ValueError for an algorithm that the CFA family does not have.
    """

    def demosaic(scene: Scene) -> np.ndarray:
        matrix = XYZ_TO_LINEAR_SRGB if scene.xyz_to_camera is None else scene.xyz_to_camera
        return raw.demosaic_mosaic(scene.mosaic, scene.cfa, LIBRAW_MODELS[name], scene.white_balance, matrix)[0]

    return Model(name, demosaic, raw.algorithm_that_runs(LIBRAW_MODELS[name], family))


def peer_model(name: str, family: str, device: str = "cpu") -> Model:
    """One of lincfa.peers.PEERS; see `load_peer`, which it raises like."""
    demosaic, package = load_peer(name, family, device)
    return Model(name, lambda scene: demosaic(scene.mosaic, scene.cfa, scene.white_balance), package)


def network_model(name: str, demosaicer: Demosaicer, strength: float = 0.0) -> Model:
    """strength: share of the scene's noise that a network which is told of noise shall take away."""

    def demosaic(scene: Scene) -> np.ndarray:
        noise = {"noise": scene.noise, "strength": strength} if strength else {}
        return demosaicer(scene.mosaic, scene.cfa, scene.white_balance, **noise)

    return Model(name, demosaic)


def load_model(name: str, family: str, device: str = "cpu", strength: float = 0.0, keep_samples: bool = False) -> Model:
    """By LibRaw's names (LIBRAW_MODELS), a peer's (PEERS), a checkpoint's path or a released model's name, for a CFA
    family.

    strength: of the networks that are told of noise; the others answer as they do. keep_samples: see infer.Demosaicer.

    Raises CheckpointError for what is none of these or was trained for another family, ValueError for an algorithm that
    the family does not have or whose package is missing.
    """
    if name in LIBRAW_MODELS:
        return libraw_model(name, family)
    if name in PEERS:
        return peer_model(name, family, device)
    weights = load_weights(find_weights(name))
    if weights.family != family:
        raise CheckpointError(f"{name}: trained for {weights.family} mosaics, and these are {family}")
    # In float32, for the same figures on any machine.
    demosaicer = Demosaicer(weights.network, device=device, precision="fp32", keep_samples=keep_samples)
    return network_model(name, demosaicer, strength * weights.network.takes_noise)


def load_suite(
    suite: str, path, family: str, count: int | None = None, phase: tuple[int, int] = (0, 0)
) -> Iterable[Scene]:
    """The scenes of a suite, one at a time: 'raf' (a built dataset's validation images), 'truth' (a folder of sRGB
    images and of Radiance .hdr files, whose highlights are above 1.0) or 'torture' (a folder made by torture_v2.py).
    family: 'xtrans' or 'bayer'; count: at most so many. phase: (dy, dx) of the CFA at the first pixel; those of raf are
    at (0, 0).

    Raises ValueError (DatasetError is one) for an unknown suite, one without scenes, a file that cannot be read, and
    another phase of raf.
    """
    reference = {"xtrans": XTRANS, "bayer": RGGB}.get(family)
    if reference is None:
        raise ValueError(f"cfa is 'xtrans' or 'bayer', not {family!r}")
    if suite == "raf" and any(phase):
        raise ValueError(f"{path}: the scenes of raf are at phase (0, 0)")
    reference = reference.shift(*phase)
    if suite == "raf":
        scenes = validation_scenes(path, family=family, count=count)
        return [replace(scene, mosaic=in_steps(scene.mosaic)) for scene in scenes]
    if suite == "truth":
        known = PHOTOGRAPHS | {HDR_SUFFIX}
        files = sorted(p for p in Path(path).iterdir() if p.suffix.lower() in known) if Path(path).is_dir() else []
        if not files:
            raise ValueError(f"{path}: no folder with images (PNG, TIFF, WebP, JPEG, Radiance HDR)")
        return (_mosaiced(p.stem, _read_truth(p), reference) for p in files[:count])
    if suite == "torture":
        scenes, info = torture.load(path)
        chosen = range(min(count or len(scenes), len(scenes)))
        scale = np.float32(info["scale"])
        return (_mosaiced(f"{i:05d}", scenes[i] / scale, reference, group=torture.torture_type(i)) for i in chosen)
    raise ValueError(f"unknown suite {suite!r}; there are: raf, truth, torture")


def noisy(scene: Scene, read: float, shot: float, seed: int) -> Scene:
    """The scene with Poisson-Gaussian noise on its mosaic, in the same steps: variance read^2 + shot x signal, on
    white = 1, pure in the seed."""
    normal = np.random.default_rng(seed).standard_normal(scene.mosaic.shape)
    mosaic = scene.mosaic + np.sqrt(read**2 + shot * scene.mosaic.clip(0)) * normal
    return replace(scene, mosaic=in_steps(mosaic), noise=(read, shot))


def torture_samples(family: str, side_px: int) -> list[Scene]:
    """Three torture scenes for pictures: a zone plate, a star and a Julia set."""
    reference = XTRANS if family == "xtrans" else RGGB
    return [
        _mosaiced(f"torture {i}", torture.torture_scene(i, side_px), reference, torture.torture_type(i))
        for i in (4, 6, 11)
    ]


def measure(rgb: np.ndarray, scene: Scene) -> dict[str, float]:
    """The metrics of one demosaiced scene, on white-balanced linear camera values.

    psnr_linear_db, psnr_srgb_db, psnr_{r,g,b}_db and ssim (of sRGB-coded values): both sides clipped to [0, 1], peak 1,
    BORDER_PX cut. psnr_unclipped_db, texture, laplacian_variance and its ratio to the truth's, highlights_kept,
    false_colour, and of the CFA's grid in the error phase_ripple and grid_db: not clipped.
    """
    balance = scene.white_balance.astype(np.float64)
    image, truth = rgb * balance, scene.rgb * balance
    shown, wanted = np.clip(image, 0, 1), np.clip(truth, 0, 1)
    border = BORDER_PX
    channels = metrics.psnr_per_channel(shown, wanted, peak=1.0, border=border)
    return {
        "psnr_linear_db": metrics.psnr(shown, wanted, peak=1.0, border=border),
        "psnr_srgb_db": metrics.psnr_srgb(shown, wanted, border=border),
        **{f"psnr_{c}_db": float(v) for c, v in zip("rgb", channels, strict=True)},
        "psnr_unclipped_db": metrics.psnr(image, truth, peak=1.0, border=border),
        "ssim": metrics.ssim(linear_to_srgb(shown), linear_to_srgb(wanted), peak=1.0, border=border),
        "texture": metrics.texture_score(image, truth, border=border),
        "laplacian_variance": metrics.laplacian_variance(image, border=border),
        "laplacian_ratio": metrics.laplacian_ratio(image, truth, border=border),
        "highlights_kept": metrics.highlights_kept(image, truth, border=border),
        "false_colour": metrics.false_colour(image, truth, border=border),
        "phase_ripple": metrics.phase_ripple(image, truth=truth, period=scene.cfa.period, border=border),
        "grid_db": metrics.grid_db(image, truth=truth, cfa=scene.cfa, border=border),
    }


def evaluate(models: list[Model], scenes: Iterable[Scene], progress: Callable = lambda *_: None) -> list[dict]:
    """One row for each scene and model: {'model', 'image', 'type' where the suite has kinds, metric: value, ...}.

    progress(scene name) is called after each scene.
    """
    rows = []
    for scene in scenes:
        for model in models:
            row = {"model": model.name, "image": scene.name}
            if scene.group:
                row["type"] = scene.group
            rows.append(row | measure(model.demosaic(scene), scene))
        progress(scene.name)
    return rows


def summarise(rows: list[dict]) -> dict:
    """{'mean', 'spread', 'by_type'}: per model the mean over images (not over pixels), the standard deviation, the
    number of images, and of those worse than Markesteijn-3 in psnr_linear_db where it was run.

    Values that an image does not have (nan), and infinite ones, are left out of a mean.
    """
    names = list(dict.fromkeys(row["model"] for row in rows))
    mean, spread, by_type = {}, {}, {}
    markesteijn = REFERENCES["xtrans"]
    reference = {r["image"]: r["psnr_linear_db"] for r in rows if r["model"] == markesteijn}
    for name in names:
        own = [row for row in rows if row["model"] == name]
        mean[name] = {"images": len(own), **_over(own, np.mean)}
        spread[name] = _over(own, np.std)
        if reference and name != markesteijn:
            worse = sum(row["psnr_linear_db"] < reference[row["image"]] for row in own)
            mean[name]["worse_than_markesteijn3"] = worse
        kinds = sorted({row["type"] for row in own if "type" in row})
        if kinds:
            by_type[name] = {k: _over([row for row in own if row["type"] == k], np.mean) for k in kinds}
    return {"mean": mean, "spread": spread, **({"by_type": by_type} if by_type else {})}


def options_parser(**settings) -> argparse.ArgumentParser:
    """Of scripts/utils/evaluate.py, whose recorded commands `rerun` reads too. settings: of the parser."""
    parser = argparse.ArgumentParser(**settings)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL")
    parser.add_argument("--suite", required=True, metavar="NAME=PATH")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--count", type=int, help="only the first so many scenes")
    parser.add_argument("--phase", nargs=2, type=int, default=(0, 0), metavar=("DY", "DX"), help="default: 0 0")
    parser.add_argument("--noise", nargs=2, type=float, metavar=("READ", "SHOT"), help="on white = 1")
    parser.add_argument("--strength", type=float, default=0.0, help="0 to 1, for networks that are told of noise")
    parser.add_argument("--keep-samples", action="store_true", help="networks keep the mosaic's own values")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser


def json_safe(value):
    """The same data with nan and infinity as None, which JSON lacks."""
    if isinstance(value, dict):
        return {k: json_safe(v) for k, v in value.items()}
    if isinstance(value, list):
        return [json_safe(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read_truth(path: Path) -> np.ndarray:
    """[H, W, 3] linear RGB: a photograph in 0..1, or a Radiance file in 0..HDR_WHITE."""
    if path.suffix.lower() != HDR_SUFFIX:
        return read_photograph(path)
    try:
        content = path.read_bytes()
        header = content.partition(b"\n\n")[0]
        if any(key in header for key in (b"32-bit_rle_xyze", b"EXPOSURE=", b"COLORCORR=")):
            raise ValueError("it is to be plain RGB, without exposure or colour correction")
        rgb = imagecodecs.rgbe_decode(content)
    except (imagecodecs.RgbeError, OSError, ValueError) as error:
        raise ValueError(f"{path}: unreadable Radiance file ({error})") from error
    return np.clip(rgb, 0, HDR_WHITE)


def _mosaiced(name: str, rgb: np.ndarray, cfa: CFA, group: str = "") -> Scene:
    """A balanced scene with the colours of linear sRGB, and its mosaic in 14-bit steps."""
    return Scene(name, in_steps(cfa.mosaic(rgb)), rgb, cfa, np.ones(3), XYZ_TO_LINEAR_SRGB, group)


def in_steps(mosaic: np.ndarray) -> np.ndarray:
    """Rounded to whole STEPs."""
    return (np.rint(mosaic / STEP) * STEP).astype(np.float32)


def _over(rows: list[dict], function) -> dict[str, float]:
    result = {}
    for key, value in rows[0].items():
        if isinstance(value, float):
            finite = [row[key] for row in rows if math.isfinite(row[key])]
            result[key] = float(function(finite)) if finite else math.nan
    return result

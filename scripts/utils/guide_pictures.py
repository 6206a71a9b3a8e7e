"""The pictures of docs/guide.md: where Markesteijn 3-pass fails, next to a network and the truth.

    python scripts/utils/guide_pictures.py                        # photographs that scikit-image carries
    python scripts/utils/guide_pictures.py --photos DIR --out DIR  # PNG, TIFF, WebP, JPEG

Each photograph is the truth: it is made smaller (--reduce, so that its detail is as fine as its pixels), exposed
without noise as an X-Trans RAF in a phase of its own, decoded from that file, and demosaicked by both. Then, for each
kind of failure, the square is sought where Markesteijn-3's error is largest, whatever the network makes of it; no
photograph is shown twice. Pictures that the network was trained on (training_data.tsv beside its weights) are left out.

    false-colour   errors of R - G and B - G finer than some 16 px (see lincfa.metrics.false_colour)
    fine-detail    errors of luma at the scale of single pixels
    false-texture  texture of luma at that scale over the truth's: worms and mazes where little is

All of values as a screen shows them: balanced, clipped, sRGB-coded. Writes <kind>.png and pictures.json.
"""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter
from skimage import data as skimage_data
from skimage.filters import gaussian

from lincfa import metrics
from lincfa.checkpoint import find_weights
from lincfa.color import encode_for_eyes, linear_to_srgb, srgb_to_linear
from lincfa.data.build import PHOTOGRAPHS, area_downsample, read_photograph
from lincfa.data.scenes import Camera, write_scene_raf
from lincfa.evaluate import BORDER_PX, REFERENCES
from lincfa.figures import labelled_panel
from lincfa.infer import Demosaicer
from lincfa.provenance import command_line, git_commit
from lincfa.raw import demosaic_frame, read_raw

MARKESTEIJN = REFERENCES["xtrans"]
CAMERA = Camera(read_noise=0.0, shot_noise=0.0)
FREE = ("astronaut", "chelsea", "coffee", "rocket")
"""Photographs of scikit-image that are in the public domain or CC0."""
SIDE_PX = 72
ZOOM = 4
GAP_PX = 6
LEAST_TEXTURE = 0.01
"""RMS, in sRGB-coded values, below which a pattern is hardly seen."""


@dataclass(frozen=True)
class Photograph:
    """name. phase: of its RAF. truth, reference, network: [H, W, 3] linear, balanced."""

    name: str
    phase: tuple[int, int]
    truth: np.ndarray
    reference: np.ndarray
    network: np.ndarray

    @property
    def pictures(self) -> tuple[np.ndarray, ...]:
        return self.truth, self.reference, self.network


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, metavar="DIR", help=f"default: scikit-image's {', '.join(FREE)}")
    parser.add_argument("--reduce", type=int, default=2, metavar="N", help="means of N x N pixels (default 2)")
    parser.add_argument("--model", default="xtrans-s", help="a released model for X-Trans, or weights")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), metavar="DIR")
    args = parser.parse_args()
    try:
        sources = find_photographs(args.photos, trained_on(args.model))
        if len(sources) < len(KINDS):
            raise ValueError(f"{args.photos}: {len(sources)} photographs that were not trained on; {len(KINDS)} needed")
        demosaic = Demosaicer.released(args.model, precision="fp32")
        photographs = [
            take(name, area_downsample(read(), args.reduce), number, demosaic)
            for number, (name, read) in enumerate(sources.items())
        ]
    except ValueError as error:
        print(f"guide_pictures: {error}", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    facts = []
    for kind, (photograph, top, left) in choose(photographs).items():
        area = (slice(top, top + SIDE_PX), slice(left, left + SIDE_PX))
        crops = [picture[area] for picture in photograph.pictures]
        decibels = [metrics.psnr_srgb(crop, crops[0], border=0) for crop in crops[1:]]
        path = args.out / f"{kind}.png"
        Image.fromarray(draw(crops, Path(args.model).stem, decibels)).save(path, optimize=True)
        whole = [metrics.psnr_srgb(p, photograph.truth, border=BORDER_PX) for p in photograph.pictures[1:]]
        names = (MARKESTEIJN, args.model)
        fact = {"kind": kind, "photograph": photograph.name, "phase": photograph.phase, "top": top, "left": left}
        fact |= {"crop_psnr_srgb_db": dict(zip(names, decibels, strict=True))}
        facts.append(fact | {"photograph_psnr_srgb_db": dict(zip(names, whole, strict=True))})
        print(f"{path}: {photograph.name}, {MARKESTEIJN} {decibels[0]:.1f} dB, {args.model} {decibels[1]:.1f} dB")
    record = {"pictures": facts, "photographs": list(sources), "reduce": args.reduce, "side_px": SIDE_PX}
    record |= {"command": command_line(), "commit": git_commit()}
    (args.out / "pictures.json").write_text(json.dumps(record, indent=1) + "\n")
    return 0


def trained_on(model: str) -> set[str]:
    """Names, without suffix, of the pictures that a released model learnt from; none is known of other weights."""
    table = find_weights(model).parent / "training_data.tsv"
    if not table.is_file():
        return set()
    with open(table, encoding="utf-8", newline="") as file:
        return {Path(row["file"]).stem for row in csv.DictReader(file, delimiter="\t") if row["split"] == "train"}


def find_photographs(folder: Path | None, left_out: set[str]) -> dict[str, Callable[[], np.ndarray]]:
    """{name: function that gives [H, W, 3] linear RGB}."""
    if folder is None:
        return {name: partial(_of_scikit_image, name) for name in FREE}
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PHOTOGRAPHS and p.stem not in left_out)
    return {path.name: partial(read_photograph, path) for path in files}


def _of_scikit_image(name: str) -> np.ndarray:
    return srgb_to_linear(getattr(skimage_data, name)().astype(np.float32) / 255)


def take(name: str, truth: np.ndarray, number: int, demosaic: Demosaicer) -> Photograph:
    """A photograph through a RAF file and both demosaicers."""
    phase = (number % 3, number // 3 % 6)
    with tempfile.TemporaryDirectory(prefix="lincfa-") as folder:
        path = Path(folder) / "photograph.RAF"
        write_scene_raf(path, truth, CAMERA, phase=phase, seed=number)
        frame = read_raw(path)
        reference, _ = demosaic_frame(frame, MARKESTEIJN)
    network = demosaic(frame.mosaic, frame.cfa, frame.white_balance)
    gains = np.array(CAMERA.gains, np.float32)
    return Photograph(name, phase, truth, reference / gains, network / gains)


def choose(photographs: list[Photograph]) -> dict[str, tuple[Photograph, int, int]]:
    """For each kind the photograph, and the top left corner of the square in it, where the reference is worst."""
    chosen: dict[str, tuple[Photograph, int, int]] = {}
    for kind, score in KINDS.items():
        left = [p for p in photographs if all(p is not other for other, _, _ in chosen.values())]
        found = [(*worst_square(score(_shown(p.reference), _shown(p.truth))), p) for p in left]
        _, top, start, photograph = max(found, key=lambda place: place[0])
        chosen[kind] = (photograph, top, start)
    return chosen


def worst_square(score: np.ndarray) -> tuple[float, int, int]:
    """(score, top, left) of the square of SIDE_PX within the border whose middle pixel scores highest."""
    edge = BORDER_PX + SIDE_PX // 2
    inside = score[edge : len(score) - edge, edge : score.shape[1] - edge]
    if not inside.size:
        raise ValueError(f"photographs of {score.shape[1]} x {len(score)} px, reduced, are too small")
    y, x = np.unravel_index(np.argmax(inside), inside.shape)
    return float(inside[y, x]), int(y) + BORDER_PX, int(x) + BORDER_PX


def false_colour(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    error = image - truth
    planes = [_fine(error[..., c] - error[..., 1], metrics.FALSE_COLOUR_SIGMA_PX) for c in (0, 2)]
    return _mean_square(planes[0]) + _mean_square(planes[1])


def fine_detail(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return _mean_square(_fine(_luma(image - truth), metrics.TEXTURE_SIGMA_PX))


def false_texture(image: np.ndarray, truth: np.ndarray) -> np.ndarray:
    drawn, wanted = (_mean_square(_fine(_luma(rgb), metrics.TEXTURE_SIGMA_PX)) for rgb in (image, truth))
    return drawn / (wanted + LEAST_TEXTURE**2)


KINDS = {"false-colour": false_colour, "fine-detail": fine_detail, "false-texture": false_texture}


def draw(crops: list[np.ndarray], model: str, decibels: list[float]) -> np.ndarray:
    """Truth, Markesteijn-3 and the network side by side, labelled, with a gap of the labels' grey: uint8."""
    texts = ["truth", f"Markesteijn-3, {decibels[0]:.1f} dB", f"{model}, {decibels[1]:.1f} dB"]
    sheets = [labelled_panel([(t, encode_for_eyes(c))], ZOOM) for t, c in zip(texts, crops, strict=True)]
    gap = np.full((len(sheets[0]), GAP_PX, 3), sheets[0][0, 0], np.uint8)
    return np.concatenate([sheets[0], gap, sheets[1], gap, sheets[2]], 1)


def _shown(rgb: np.ndarray) -> np.ndarray:
    return linear_to_srgb(rgb.clip(0, 1))


def _luma(rgb: np.ndarray) -> np.ndarray:
    return (rgb[..., 0] + 2 * rgb[..., 1] + rgb[..., 2]) / 4


def _fine(plane: np.ndarray, sigma_px: float) -> np.ndarray:
    return plane - gaussian(plane, sigma_px)


def _mean_square(plane: np.ndarray) -> np.ndarray:
    """Over the square around each pixel."""
    return uniform_filter(plane**2, SIDE_PX)


if __name__ == "__main__":
    sys.exit(main())

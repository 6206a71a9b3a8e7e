"""Do raw converters take a linear DNG for its raw file? Colours in darktable and RawTherapee, tags in exiftool, Exiv2.

    python scripts/utils/check_dng.py --raw DIR/*.CRW --json docs/benchmarks/dng_check.json

Each raw file goes through `lincfa demosaic`; both programs render the file and its DNG, and the two renderings are
compared as CIEDE2000 of means of 8 x 8 pixels, so that demosaicing does not count. The first frame is made here: a
smooth, colourful scene as the RAF of an X-T2, with a white lamp in a corner. About five minutes. Needs darktable-cli,
rawtherapee-cli, exiv2 and exiftool (Debian: darktable rawtherapee exiv2 libimage-exiftool-perl).

darktable is told to add no tone mapping by itself: it does so (filmic) for mosaics only, and a DNG that is demosaiced
would look flatter, whoever wrote it.
"""

import argparse
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
from rich.table import Table
from skimage.color import deltaE_ciede2000, hsv2rgb, rgb2lab
from skimage.transform import downscale_local_mean

from lincfa.cfa import XTRANS
from lincfa.cli import main as lincfa
from lincfa.color import D65_XYZ, linear_srgb_to_xyz, srgb_to_linear
from lincfa.provenance import git_commit, machine
from lincfa.rawwriter import expose, write_raf
from lincfa.terminal import table_console

PROGRAMS = ("darktable-cli", "rawtherapee-cli", "exiv2", "exiftool")
# Both programs have the CFA and the crop of an X-T2 in tables of their own, which fit its real size only.
XT2_SHAPE, XT2_CFA = (4032, 6160), XTRANS.shift(1, 2)
XT2_XYZ_TO_CAMERA = np.array([[11434, -4948, -1210], [-3746, 12042, 1903], [-666, 1479, 5235]]) / 10000
HIGHLIGHT_PX = 800
BLOCK_PX = 8
BORDER_BLOCKS = 4
CARRIED = ("ExifIFD", "GPS", "InteropIFD", "Canon", "CanonCustom", "FujiFilm", "Kodak")
"""exiftool's groups that describe the photograph."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", nargs="*", type=Path, default=[], help="camera files beside the simulated one")
    parser.add_argument("--model", default="auto", help="for X-Trans, as in `lincfa demosaic`; Bayer is by ahd")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    if missing := [p for p in PROGRAMS if not shutil.which(p)]:
        parser.error(f"not installed: {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="lincfa-check-") as folder:
        work = Path(folder)
        simulated = work / "simulated.RAF"
        write_simulated(simulated)
        frames = [check(simulated, args.model, work)] + [check(raw, "ahd", work) for raw in args.raw]
    table_console().print(table(frames))
    if args.json:
        facts = {
            "command": " ".join(["python scripts/utils/check_dng.py --raw", *(p.name for p in args.raw)]),
            "commit": git_commit(),
            "machine": machine(),
            "programs": {p: version(p) for p in PROGRAMS},
            "frames": frames,
        }
        args.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def write_simulated(path: Path) -> None:
    """All hues at many saturations and brightnesses, nothing finer than a hundred pixels, and a saturated lamp."""
    height, width = XT2_SHAPE
    y, x = np.mgrid[:height, :width].astype(np.float32)
    saturation = 0.75 * (1 - np.abs(2 * ((2 * y / height) % 1) - 1))
    scene = srgb_to_linear(hsv2rgb(np.stack([x / width, saturation, 0.25 + 0.65 * y / height], -1)))
    white = XT2_XYZ_TO_CAMERA @ D65_XYZ
    camera = linear_srgb_to_xyz(scene) @ XT2_XYZ_TO_CAMERA.T.astype(np.float32) * np.float32(0.9 / white[1])
    near = np.clip(2 - 2 * np.hypot(y / (HIGHLIGHT_PX / 2) - 1, x / (HIGHLIGHT_PX / 2) - 1), 0, 1)[..., None]
    lamp = (4 * white / white[1]).astype(np.float32)
    camera += near**2 * (3 - 2 * near) * (lamp - camera)
    write_raf(path, expose(camera, XT2_CFA), XT2_CFA, white_balance=white[1] / white)


def check(raw: Path, model: str, work: Path) -> dict:
    dng = work / f"{raw.stem}.dng"
    if status := lincfa(["demosaic", str(raw), "-o", str(dng), "--model", model]):
        sys.exit(status)
    facts = {"file": raw.name, "model": model}
    for name, render in (("darktable", darktable), ("rawtherapee", rawtherapee)):
        of_raw, of_dng = render(raw, work / "raw.tif"), render(dng, work / "dng.tif")
        facts[name] = compare(of_raw, of_dng, HIGHLIGHT_PX if raw.parent == work else 0)
    facts["exiftool"] = carried_tags(raw, dng)
    facts["exiv2_tags"] = len(run("exiv2", "-q", "-pa", "print", str(dng)).splitlines())
    return facts


def darktable(source: Path, target: Path) -> np.ndarray:
    target.unlink(missing_ok=True)
    core = ["--configdir", str(target.parent / "darktable"), "--library", ":memory:"]
    for setting in ("imageio/format/tiff/bpp=16", "darkroom/workflow=none"):
        core += ["--conf", f"plugins/{setting}"]
    run("darktable-cli", str(source), str(target), "--apply-custom-presets", "false", "--core", *core)
    return tifffile.imread(target)[..., :3]


def rawtherapee(source: Path, target: Path) -> np.ndarray:
    """With its neutral profile, which has no curve."""
    run("rawtherapee-cli", "-t", "-Y", "-o", str(target), "-c", str(source))
    return tifffile.imread(target)[..., :3]


def compare(of_raw: np.ndarray, of_dng: np.ndarray, lamp_px: int) -> dict:
    """Two renderings, [H, W, 3] uint16 sRGB; the programs crop the raw file and not the DNG, or the other way round."""
    of_raw, of_dng = overlap(of_raw, of_dng)
    blocks = [downscale_local_mean(p / np.float32(65535), (BLOCK_PX, BLOCK_PX, 1)) for p in (of_raw, of_dng)]
    inside = slice(BORDER_BLOCKS, -BORDER_BLOCKS - 1)  # the last block may be padded
    difference = deltaE_ciede2000(*(rgb2lab(b[inside, inside]) for b in blocks))
    facts = {}
    if lamp_px:
        rows = lamp_px // BLOCK_PX
        facts["lamp_mean_delta_e"] = float(difference[:rows, :rows].mean())
        difference = difference[rows:]
    return {"mean_delta_e": float(difference.mean()), "p99_delta_e": float(np.percentile(difference, 99))} | facts


def overlap(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The parts of two pictures that show the same, by the offset that makes them most alike."""
    size = np.minimum(a.shape[:2], b.shape[:2])
    ranges = [range(min(0, n - m), max(0, n - m) + 1) for m, n in zip(a.shape, b.shape, strict=True)][:2]

    def cut(dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
        top, left = max(0, -dy), max(0, -dx)
        y, x = max(0, dy), max(0, dx)
        return a[top : top + size[0], left : left + size[1]], b[y : y + size[0], x : x + size[1]]

    def unlike(offset: tuple[int, int]) -> float:
        first, second = (p[::17, ::17].astype(np.float32) for p in cut(*offset))
        return float(np.abs(first - second).mean())

    return cut(*min(itertools.product(*ranges), key=unlike))


def carried_tags(raw: Path, dng: Path) -> dict:
    """How many of the raw file's tags that describe the photograph are the same in the DNG; the others' names."""
    of_raw, of_dng = (
        json.loads(run("exiftool", "-j", "-G1", "-a", *(f"-{g}:all" for g in CARRIED), str(p)))[0] for p in (raw, dng)
    )
    tags = [t for t in of_raw if t != "SourceFile"]
    lost = [t for t in tags if of_dng.get(t) != of_raw[t]]
    warnings = json.loads(run("exiftool", "-j", "-a", "-warning", "-error", str(dng)))[0]
    return {
        "tags": len(tags),
        "lost_or_changed": lost,
        "warnings": [v for k, v in warnings.items() if k != "SourceFile"],
    }


def version(program: str) -> str:
    """Some programs print it and fail."""
    flag = {"exiftool": "-ver", "rawtherapee-cli": "-v"}.get(program, "--version")
    done = subprocess.run([program, flag], capture_output=True, text=True)
    return next(line.strip() for line in done.stdout.splitlines() if any(c.isdigit() for c in line))


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode and command[0] != "exiv2":  # which fails where there is no tag to print
        sys.exit(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done.stdout


def table(frames: list[dict]) -> Table:
    shown = Table(title="mean (99th percentile) CIEDE2000 between a raw file and its linear DNG")
    for heading in ("file", "darktable", "rawtherapee", "tags kept"):
        shown.add_column(heading)
    for f in frames:
        colors = [f"{f[p]['mean_delta_e']:.2f} ({f[p]['p99_delta_e']:.2f})" for p in ("darktable", "rawtherapee")]
        tags = f["exiftool"]["tags"]
        shown.add_row(f["file"], *colors, f"{tags - len(f['exiftool']['lost_or_changed'])} of {tags}")
    return shown


if __name__ == "__main__":
    sys.exit(main())

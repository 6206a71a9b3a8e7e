"""Write X-Trans RAF files, or Bayer DNG files, of photographs or of the demo's scenes: their truth is known.

    python scripts/utils/make_rafs.py --photos DIR --out data/rafs     # PNG, TIFF, WebP, JPEG
    python scripts/utils/make_rafs.py --demo --out data/demo/rafs      # torture scenes, scikit-image's photographs

Each picture is enlarged (default 4 x, so that a dataset of 4 x downsampled files has its pixels), exposed with camera
gains and noise, and written in a phase of its own. Files that are there already are kept.
"""

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from rich.progress import track

from lincfa.data.build import PHOTOGRAPHS, read_photograph
from lincfa.data.demo import demo_scenes
from lincfa.data.scenes import Camera, write_scene_dng, write_scene_raf


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--photos", type=Path, metavar="DIR")
    source.add_argument("--demo", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans", help="X-Trans in RAF, Bayer in DNG")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.demo:
        sources = {name: name for name in demo_scenes()}
    else:
        files = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in PHOTOGRAPHS)
        sources = {"-".join(p.relative_to(args.photos).with_suffix("").parts): p for p in files}
    if not sources:
        print(f"make_rafs: no photographs in {args.photos}", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    work = partial(write_one, out=args.out, factor=args.factor, bayer=args.cfa == "bayer")
    with ProcessPoolExecutor(args.jobs) as pool:
        results = pool.map(work, range(len(sources)), sources, sources.values())
        failures = [text for text in track(results, "raw files", total=len(sources)) if text]
    for text in failures:
        print(f"make_rafs: {text}", file=sys.stderr)
    return 1 if failures else 0


def write_one(number: int, name: str, source: str | Path, out: Path, factor: int, bayer: bool) -> str | None:
    """Why the picture could not be used, or None. A demo scene is given by its name, a photograph by its path."""
    path = out / f"{name}.{'dng' if bayer else 'RAF'}"
    if path.exists():
        return None
    try:
        rgb = read_photograph(source) if isinstance(source, Path) else demo_scenes()[source]()
    except ValueError as error:
        return str(error)
    part = path.with_suffix(".part")
    write, phase = (
        (write_scene_dng, (number % 2, number // 2 % 2)) if bayer else (write_scene_raf, (number % 3, number // 3 % 6))
    )
    write(part, rgb, Camera(), phase=phase, seed=number, factor=factor)
    part.rename(path)
    return None


if __name__ == "__main__":
    sys.exit(main())

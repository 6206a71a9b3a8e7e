"""Write X-Trans RAF files of photographs, or of the demo's scenes, whose truth is known.

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
from lincfa.data.scenes import Camera, write_scene_raf


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--photos", type=Path, metavar="DIR")
    source.add_argument("--demo", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    if args.demo:
        names = list(demo_scenes())
    else:
        names = sorted(p for p in args.photos.rglob("*") if p.suffix.lower() in PHOTOGRAPHS)
    if not names:
        print(f"make_rafs: no photographs in {args.photos}", file=sys.stderr)
        return 1
    args.out.mkdir(parents=True, exist_ok=True)
    work = partial(write_one, out=args.out, factor=args.factor)
    with ProcessPoolExecutor(args.jobs) as pool:
        for _ in track(pool.map(work, enumerate(names)), "RAF files", total=len(names)):
            pass
    return 0


def write_one(numbered, out: Path, factor: int) -> None:
    number, name = numbered
    path = out / f"{Path(name).stem}.RAF"
    if path.exists():
        return
    rgb = demo_scenes()[name]() if isinstance(name, str) else read_photograph(name)
    part = path.with_suffix(".part")
    write_scene_raf(part, rgb, Camera(), phase=(number % 3, number // 3 % 6), seed=number, factor=factor)
    part.rename(path)


if __name__ == "__main__":
    sys.exit(main())

"""One PNG with crops of scenes: for each model a row of input, output, truth and difference.

    python scripts/utils/panel.py --models checkpoints/v4_production/best.pt markesteijn3 \
        --suite raf=data/v4 --images NAME ... --out panel.png
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from PIL import Image

from lincfa.data.dataset import Scene
from lincfa.evaluate import load_model, load_suite
from lincfa.figures import DIFFERENCE_GAIN, crop_row, labelled_panel


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="MODEL")
    parser.add_argument("--suite", required=True, metavar="NAME=PATH")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--images", nargs="+", metavar="TEXT", help="text in the scene name (default: first two)")
    parser.add_argument("--size", type=int, default=160, help="side of the middle crop that is shown")
    parser.add_argument("--zoom", type=int, default=1, help="repeat pixels")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    suite, _, path = args.suite.partition("=")
    try:
        models = [load_model(name, args.cfa) for name in args.models]
        scenes = list(load_suite(suite, path, args.cfa))
    except ValueError as error:
        print(f"panel: {error}", file=sys.stderr)
        return 1
    chosen = [s for s in scenes if any(text in s.name for text in args.images)] if args.images else scenes[:2]
    rows = []
    for scene in chosen:
        for model in models:
            row = crop_row(*middle(scene, model.demosaic(scene), args.size))
            name = Path(model.name).parent.name or model.name
            rows.append((f"{scene.name}, {name}: input | output | truth | difference x {DIFFERENCE_GAIN:g}", row))
    if not rows:
        print(f"panel: no scene of {args.suite} is named so", file=sys.stderr)
        return 1
    args.out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labelled_panel(rows, args.zoom)).save(args.out, optimize=True)
    return 0


def middle(scene: Scene, rgb, side: int) -> tuple[Scene, object]:
    """The middle square of a scene, its CFA in phase, and of a picture of it."""
    top, left = (max(0, n - side) // 2 for n in scene.mosaic.shape)
    area = (slice(top, top + side), slice(left, left + side))
    cut = replace(scene, mosaic=scene.mosaic[area], rgb=scene.rgb[area], cfa=scene.cfa.shift(top, left))
    return cut, rgb[area]


if __name__ == "__main__":
    sys.exit(main())

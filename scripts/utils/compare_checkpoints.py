"""Models on the same images: metrics with their paired differences, and crops where the models differ most.

    python scripts/utils/compare_checkpoints.py xtrans-s checkpoints/v4_production/best.pt markesteijn3 \
        --suite raf=data/v4 --out comparison

Models and suites are those of evaluate.py; the first model is the reference. Writes one HTML page that needs no other
file, and a PNG with the same crops: FOLDER/compare.html and .png, or FILE.html and FILE.png.
"""

import argparse
import sys
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import Progress

from lincfa.checkpoint import find_weights
from lincfa.compare import compare
from lincfa.comparepage import page, panel, verdicts
from lincfa.evaluate import load_model, load_suite
from lincfa.provenance import command_line, git_commit
from lincfa.raw import file_sha256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", metavar="A")
    parser.add_argument("others", metavar="B", nargs="+")
    parser.add_argument("--suite", required=True, metavar="NAME=PATH")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--count", type=positive, help="only the first so many scenes")
    parser.add_argument("--crop", type=positive, default=128, metavar="PX", help="side of the crops (%(default)s)")
    parser.add_argument("--crops", type=positive, default=6, metavar="N", help="so many in all (%(default)s)")
    parser.add_argument(
        "--at", type=place, action="append", default=[], metavar="IMAGE:Y,X", help="one more crop, by its upper left"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER|FILE.html")
    args = parser.parse_args()
    suite, _, path = args.suite.partition("=")
    file = args.out if args.out.suffix == ".html" else args.out / "compare.html"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        models = [load_model(name, args.cfa, args.device) for name in (args.reference, *args.others)]
        scenes = list(load_suite(suite, path, args.cfa, args.count))
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task(f"{suite}, {args.cfa}", total=len(scenes))
            comparison = compare(
                models,
                scenes,
                side_px=args.crop,
                count=args.crops,
                at=args.at,
                progress=lambda name: bar.update(task, advance=1, description=name),
            )
    except (ValueError, OSError) as error:
        print(f"compare_checkpoints: {error}", file=sys.stderr)
        return 1
    facts = {
        "command": command_line(),
        "commit": git_commit() or "not in a repository",
        "suite": f"{suite}, {Path(path).name}, {args.cfa}, {len(scenes)} images",
        "data": f"sha256 of the scenes {comparison.scenes_sha256[:16]}",
        "weights": weights(comparison.models),
    }
    file.write_text(page(comparison, facts), encoding="utf-8")
    Image.fromarray(panel(comparison)).save(file.with_suffix(".png"), optimize=True)
    print(*verdicts(comparison), file, file.with_suffix(".png"), sep="\n")
    return 0


def positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def place(text: str) -> tuple[str, int, int]:
    try:
        image, _, corner = text.rpartition(":")
        y, x = corner.split(",")
        return image, int(y), int(x)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IMAGE:Y,X") from None


def weights(models: dict) -> str:
    found = {k: file_sha256(find_weights(m.name))[:16] for k, m in models.items() if m.algorithm == "network"}
    return ", ".join(f"{letter} sha256 {digest}" for letter, digest in found.items()) or "none"


if __name__ == "__main__":
    sys.exit(main())

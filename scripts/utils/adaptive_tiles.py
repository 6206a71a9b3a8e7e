"""Would smooth tiles do with bilinear interpolation instead of the network? The share at a loss, and the time it saves.

    python scripts/utils/adaptive_tiles.py --model xtrans-s \
        --suite truth=../shared/data/truth/kodak24 truth=../shared/data/truth/mcmaster18 \
        --json docs/benchmarks/adaptive_tiles.json --docs docs/export.md

For each suite and size of tile: the largest share of tiles that bilinear may take, those with the least roughness (told
from the mosaic alone: lincfa.adaptive) first, while the mean PSNR over the scenes, linear and sRGB-coded, loses at most
--loss dB; then the seconds of the first --timed scenes by the network alone and with these tiles, in turns, each kept
tile computed with the margin around it. 'best order' replaces first what costs least in truth (mean of both relative
costs), of which no program knows: about what a perfect measure of roughness would find. 'unreached' is the share of
pixels that no kept tile needs as its margin: with these tiles the network cannot be spared more.
--docs puts the table into a text, between its marks.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.progress import Progress

from lincfa import adaptive
from lincfa.checkpoint import load_weights
from lincfa.data.dataset import Scene
from lincfa.doctables import put
from lincfa.evaluate import json_safe, load_suite
from lincfa.infer import Demosaicer
from lincfa.provenance import command_line, git_commit, machine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="xtrans-s", help="a network")
    parser.add_argument("--suite", nargs="+", required=True, metavar="NAME=PATH", help="as evaluate.py takes them")
    parser.add_argument("--tiles", nargs="+", type=int, default=[48, 96, 192], metavar="PX", help="default: 48 96 192")
    parser.add_argument("--loss", type=float, default=0.02, metavar="DB", help="most, of both means (default 0.02)")
    parser.add_argument("--count", type=int, help="only the first so many scenes of each suite")
    parser.add_argument("--timed", type=int, default=6, metavar="N", help="scenes to time (default 6)")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--docs", type=Path, metavar="FILE", help="a text with a place for the table")
    args = parser.parse_args()
    try:
        weights = load_weights(args.model)
        demosaicer = Demosaicer(weights.network)
        wrong = [px for px in args.tiles if px % weights.network.multiple]
        if wrong:
            raise ValueError(f"tiles of {wrong[0]} px: this network's are multiples of {weights.network.multiple}")
        rows = []
        with Progress(console=Console(stderr=True), transient=True) as bar:
            for suite in args.suite:
                name, _, path = suite.partition("=")
                scenes = list(load_suite(name, path, weights.family, args.count))
                rows += measure(demosaicer, scenes, args, f"{name}:{Path(path).name}", bar)
        found = {"model": args.model, "precision": demosaicer.precision, "margin_px": weights.network.margin}
        found |= {"loss_db": args.loss, "threads": torch.get_num_threads(), "rows": rows}
        found |= {"command": command_line(), "commit": git_commit(), "machine": machine()}
        print(adaptive.markdown(found))
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(json_safe(found), indent=1) + "\n")
        if args.docs:
            put(args.docs, "adaptive", adaptive.markdown(found))
    except (ValueError, OSError) as error:
        print(f"adaptive_tiles: {error}", file=sys.stderr)
        return 1
    return 0


def measure(demosaicer: Demosaicer, scenes: list[Scene], args: argparse.Namespace, suite: str, bar: Progress) -> list:
    """A row for each size of tile."""
    task = bar.add_task(suite, total=len(scenes) + len(args.tiles) * args.repetitions)
    tiled = {px: [] for px in args.tiles}
    for scene in scenes:
        masks = torch.from_numpy(scene.cfa.masks(*scene.mosaic.shape))[None]
        cheap = adaptive.bilinear(torch.from_numpy(scene.mosaic)[None, None], masks)[0].permute(1, 2, 0).numpy()
        network = demosaicer(scene.mosaic, scene.cfa, scene.white_balance)
        errors = [adaptive.squared_errors(rgb, scene) for rgb in (network, cheap)]
        for px, tiles in tiled.items():
            tiles.append(adaptive.in_tiles(scene, *errors, px))
        bar.advance(task)
    rows = []
    for px, tiles in tiled.items():
        row = {"suite": suite, "scenes": len(scenes), "tile_px": px, "tiles": sum(t.roughness.size for t in tiles)}
        for key, order in (("", [t.roughness for t in tiles]), ("_best_order", [adaptive.true_cost(t) for t in tiles])):
            share, limit = adaptive.largest_share(tiles, order, args.loss)
            free = sum(
                adaptive.share_unreached(t.shape, value <= limit, px, demosaicer.network.margin) * t.values
                for t, value in zip(tiles, order, strict=True)
            ) / sum(t.values for t in tiles)
            row |= {f"share{key}": share, f"share_unreached{key}": free}
            row |= {} if key else {"roughness": limit}
        seconds = []
        for _ in range(args.repetitions):
            seconds.append(adaptive.seconds(demosaicer, scenes[: args.timed], px, row["roughness"]))
            bar.advance(task)
        row |= {"timed_scenes": len(scenes[: args.timed])}
        row |= {key: median(s) for key, s in zip(("network_s", "adaptive_s"), zip(*seconds, strict=True), strict=True)}
        rows.append(row | {"seconds_ratio": row["adaptive_s"] / row["network_s"]})
    return rows


if __name__ == "__main__":
    sys.exit(main())

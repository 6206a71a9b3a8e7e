"""Does a demosaicer leave the CFA's grid in its pictures? A table, and a picture of it.

    python scripts/utils/grid.py checkpoints/v4_production/best.pt xtrans-s markesteijn3 \
        --suite raf=data/v4 --out grid.png --json grid.json

Models and suites are those of evaluate.py; without a suite, the photographs and drawings of the robustness report.
Ripple: how far the phases' means lie apart, in percent of the level, on grey frames of three levels. Grid: how far the
error stands out at the CFA's frequencies, in dB; 0 = no grid. The rest: at the other frequencies of the CFA's period,
which a CFA alone cannot make (Bayer has none, hence nan). On the suite: means over its scenes, and the worst scene.
The picture: see lincfa.figures.grid_row; for each model a grey frame and the scenes named by --images (default: the
first).
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lincfa import metrics
from lincfa.cfa import CFA, RGGB, XTRANS
from lincfa.data.dataset import Scene
from lincfa.evaluate import BORDER_PX, Model, json_safe, load_model, load_suite
from lincfa.figures import grid_panel
from lincfa.provenance import command_line, git_commit
from lincfa.robustness import scenes
from lincfa.robustness.probes import LEVELS
from lincfa.terminal import table_console

GREY_SIDE_PX = 240
SHOWN_LEVEL = "0.18"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--suite", metavar="NAME=PATH")
    parser.add_argument("--cfa", choices=("xtrans", "bayer"), default="xtrans")
    parser.add_argument("--count", type=int, help="only the first so many scenes")
    parser.add_argument("--images", nargs="+", metavar="TEXT", help="text in the names of the scenes to show")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, metavar="PNG")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    cfa = XTRANS if args.cfa == "xtrans" else RGGB
    try:
        models = [load_model(name, args.cfa, args.device) for name in args.models]
        suite = natural_scenes(args.suite, args.cfa, args.count)
        chosen = [s.name for s in suite if any(text in s.name for text in args.images or [suite[0].name])]
        if not chosen:
            raise ValueError(f"no scene of the suite is named like {', '.join(args.images)}")
        rows, pictures = [], []
        for model in track(models, console=Console(stderr=True)):
            greys = {name: frames(model, scenes.flat(level, cfa, GREY_SIDE_PX)) for name, level in LEVELS.items()}
            rows += [
                {"model": model.name, "image": f"grey {n}", "grey": True, **measure(*f, cfa)} for n, f in greys.items()
            ]
            short = Path(model.name).parent.name or model.name
            pictures.append((f"{short}, grey {SHOWN_LEVEL}", *greys[SHOWN_LEVEL]))
            for scene in suite:
                pair = frames(model, scene)
                rows.append({"model": model.name, "image": scene.name, "grey": False, **measure(*pair, scene.cfa)})
                if scene.name in chosen:
                    pictures.append((f"{short}, {scene.name}", *pair))
    except ValueError as error:
        print(f"grid: {error}", file=sys.stderr)
        return 1
    mean = summarise(rows)
    table_console().print(table(f"Grid, {args.cfa}, {len(suite)} scenes", mean))
    for path in filter(None, (args.out, args.json)):
        path.parent.mkdir(parents=True, exist_ok=True)
    if args.out:
        Image.fromarray(grid_panel(pictures, cfa, BORDER_PX)).save(args.out, optimize=True)
    if args.json:
        facts = {"command": command_line(), "commit": git_commit(), "cfa": args.cfa, "suite": args.suite}
        args.json.write_text(json.dumps(json_safe({**facts, "rows": rows, "mean": mean}), indent=1) + "\n")
    return 0


def natural_scenes(suite: str | None, family: str, count: int | None) -> list[Scene]:
    if suite is None:
        cfa = XTRANS if family == "xtrans" else RGGB
        return [scenes.exposed(name, rgb, cfa) for name, rgb in scenes.pictures().items()][:count]
    name, _, path = suite.partition("=")
    return list(load_suite(name, path, family, count))


def frames(model: Model, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Image and truth, white balanced."""
    return model.demosaic(scene) * scene.white_balance, scene.rgb * scene.white_balance


def measure(image: np.ndarray, truth: np.ndarray, cfa: CFA) -> dict[str, float]:
    lattice = metrics.lattice_db(image, period=cfa.period, border=BORDER_PX, truth=truth)
    own = metrics.cfa_frequencies(cfa)
    rest = ~own & np.isfinite(lattice)
    return {
        "phase_ripple": metrics.phase_ripple(image, period=cfa.period, border=BORDER_PX, truth=truth),
        "grid_db": float(lattice[own].mean()),
        "rest_db": float(lattice[rest].mean()) if rest.any() else float("nan"),
    }


def summarise(rows: list[dict]) -> dict[str, dict[str, float]]:
    """{model: {column: value}}: ripple and grid of each grey; over the other scenes means, and the greatest grid."""
    found = {}
    for name in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == name]
        values = {f"{r['image']} {key}": r[key] for r in own if r["grey"] for key in ("phase_ripple", "grid_db")}
        natural = [row for row in own if not row["grey"]]
        values |= {key: float(np.mean([row[key] for row in natural])) for key in ("grid_db", "rest_db", "phase_ripple")}
        found[name] = values | {"grid_db_worst": max(row["grid_db"] for row in natural)}
    return found


def table(title: str, mean: dict[str, dict[str, float]]) -> Table:
    columns = {f"grey {name} phase_ripple": f"grey {name}: ripple %" for name in LEVELS}
    columns |= {f"grey {name} grid_db": f"grey {name}: grid dB" for name in LEVELS}
    columns |= {"grid_db": "scenes: grid dB", "grid_db_worst": "worst dB", "rest_db": "the rest dB"}
    columns |= {"phase_ripple": "scenes: ripple %"}
    shown = Table(title=title)
    shown.add_column("model", no_wrap=True)
    for label in columns.values():
        shown.add_column(label, justify="right")
    for name, values in mean.items():
        shown.add_row(name, *(f"{100 * values[k]:.4f}" if "%" in columns[k] else f"{values[k]:.1f}" for k in columns))
    return shown


if __name__ == "__main__":
    sys.exit(main())

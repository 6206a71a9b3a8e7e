"""Two pictures of the record, drawn from the ledger alone as SVG: the same ledger gives the same text."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path

from lincfa.ledger import Experiment, baselines
from lincfa.runfiles import Run, is_number

PHOTOGRAPHS, TORTURE, METRIC = "truth:kodak24", "torture:torture_v2", "psnr_linear_db"
FAMILIES = {"xtrans": "X-Trans", "bayer": "Bayer"}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255", "#117733", "#999933", "#332288")
"""Told apart by people who see fewer colours: Okabe and Ito 2008, then Tol 2021."""
GREY = "#666666"
SHAPES = (
    "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",  # circle
    "M-4.5-4.5h9v9h-9z",  # square
    "M0-6l5.5 10h-11z",  # triangles, point up and down
    "M0 6l5.5-10h-11z",
    "M-2-6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",  # plus
    "M-5-5h10l-10 10h10z",  # hourglass
    "M-5-5l10 10v-10l-10 10z",  # bow tie
)
DIAMOND = "M0-6l6 6-6 6-6-6z"
WIDTH, HEIGHT, LEFT, TOP, GAP, LINE = 400, 300, 60, 50, 170, 18
"""Of one panel, its place, the space between panels, and a line of text, in px."""


@dataclass(frozen=True)
class Point:
    """group: its entry in the legend; '' is LibRaw, grey, with the text beside. about: a text under the mouse.

    scenes: how many it was measured on, of each suite; a point of fewer than its panel's largest is hollow.
    """

    x: float
    y: float
    group: str
    about: str
    scenes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Panel:
    """levels: {label: y} of horizontal lines."""

    title: str
    points: tuple[Point, ...]
    levels: dict[str, float]


def quality_against_cost(experiments: list[Experiment], root: Path) -> str:
    """Of each CFA, linear PSNR on photographs against GMAC per megapixel: the first arms of experiments that README
    lists, all arms of those that change the cost; LibRaw's algorithms as lines. root: of the cards' metrics.json, where
    a run recorded no cost."""
    panels = []
    for cfa, title in FAMILIES.items():
        points = []
        for e in _measured(experiments):
            costs = [_cost(e, runs[0], root) for _, runs in e.arms()]
            kept = len(costs) if len(set(costs)) > 1 else int(e.readme)
            for (text, runs), cost in list(zip(e.arms(), costs, strict=True))[:kept]:
                y, scenes = _value(e, (PHOTOGRAPHS, cfa), runs)
                if y is not None and cost is not None:
                    about = f"{e.id}, {text}: {cost:g} GMAC per MP, {y:.2f} dB"
                    points.append(Point(cost, y, _name(e), about, (scenes,)))
        levels = {name: value for name, (value, _) in _libraw(experiments, PHOTOGRAPHS, cfa).items()}
        panels.append(Panel(title, tuple(points), levels))
    return draw(panels, "GMAC per megapixel", f"PSNR on {PHOTOGRAPHS} (dB, linear)", logarithmic=True)


def torture_against_photographs(experiments: list[Experiment], root: Path) -> str:
    """Of each CFA, linear PSNR on the torture set against that on photographs: every arm, and LibRaw's algorithms."""
    panels = []
    for cfa, title in FAMILIES.items():
        across, up = (_libraw(experiments, suite, cfa) for suite in (PHOTOGRAPHS, TORTURE))
        points = []
        for name in (name for name in across if name in up):
            (x, photographs), (y, scenes) = across[name], up[name]
            points.append(Point(x, y, "", name, (photographs, scenes)))
        for e in _measured(experiments):
            for text, runs in e.arms():
                (x, photographs), (y, scenes) = (_value(e, (suite, cfa), runs) for suite in (PHOTOGRAPHS, TORTURE))
                if x is not None and y is not None:
                    about = f"{e.id}, {text}: {x:.2f} dB, torture {y:.2f} dB"
                    points.append(Point(x, y, _name(e), about, (photographs, scenes)))
        panels.append(Panel(title, tuple(points), {}))
    return draw(panels, f"PSNR on {PHOTOGRAPHS} (dB, linear)", f"PSNR on {TORTURE} (dB, linear)")


def draw(panels: list[Panel], x_label: str, y_label: str, *, logarithmic: bool = False) -> str:
    """An SVG of panels side by side, those without points left out, over one legend. logarithmic: of x."""
    panels = [panel for panel in panels if panel.points]
    groups = list(dict.fromkeys(p.group for panel in panels for p in panel.points if p.group))
    columns = max(1, 2 * len(panels))
    width = LEFT + max(1, len(panels)) * (WIDTH + GAP)
    legend_top = TOP + HEIGHT + 60
    height = legend_top + LINE * math.ceil(len(groups) / columns) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts.append(f'<g transform="translate({LEFT + number * (WIDTH + GAP)} {TOP})">')
        parts += _panel(panel, groups, x_label, y_label, logarithmic)
        parts.append("</g>")
    for number, group in enumerate(groups):
        x = LEFT + number % columns * (WIDTH + GAP) / 2
        y = legend_top + number // columns * LINE
        parts += [_mark(x, y, group, groups, group, hollow=False), _text(x + 10, y + 4, group)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel, groups: list[str], x_label: str, y_label: str, logarithmic: bool) -> list[str]:
    to_x = _scale([p.x for p in panel.points], WIDTH, logarithmic)
    to_y = _scale([*(p.y for p in panel.points), *panel.levels.values()], HEIGHT, False)
    kinds = sorted({p.scenes for p in panel.points}, reverse=True)
    numbers = [" and ".join(map(str, scenes)) for scenes in kinds]
    said = f" (filled: {numbers[0]} scenes; hollow: {', '.join(numbers[1:])})" if len(kinds) > 1 else ""
    parts = [
        _text(0, -14, panel.title + said, weight="bold"),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="black"/>',
    ]
    for value, x in to_x.ticks():
        parts += [_line(x, 0, x, HEIGHT, "#dddddd"), _text(x, HEIGHT + 16, f"{value:g}", anchor="middle")]
    for value, y in to_y.ticks():
        y = HEIGHT - y
        parts += [_line(0, y, WIDTH, y, "#dddddd"), _text(-6, y + 4, f"{value:g}", anchor="end")]
    parts.append(_text(WIDTH / 2, HEIGHT + 36, x_label, anchor="middle"))
    parts.append(
        f'<text transform="translate(-40 {HEIGHT / 2:.1f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    labels = []
    for name, value in panel.levels.items():
        y = HEIGHT - to_y(value)
        parts.append(_line(0, y, WIDTH, y, GREY, dashed=True))
        labels.append((WIDTH + 4, y, f"{name} {value:.1f}"))
    for p in panel.points:
        x, y = to_x(p.x), HEIGHT - to_y(p.y)
        parts.append(_mark(x, y, p.group, groups, p.about, hollow=p.scenes != kinds[0]))
        if not p.group:
            labels.append((x + 8, y, p.about))
    below = -math.inf
    for x, y, text in sorted(labels, key=lambda label: (label[1], label[2])):
        below = max(y, below + 12)  # one under the other where they would overlap
        parts.append(_text(x, below + 4, text, colour=GREY))
    return parts


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    length: int
    logarithmic: bool

    def __call__(self, value: float) -> float:
        """Place of a value, in 0..length."""
        low, high, value = (math.log(v) if self.logarithmic else v for v in (self.low, self.high, value))
        return (value - low) / (high - low) * self.length

    def ticks(self) -> list[tuple[float, float]]:
        """(value, place) of round numbers."""
        if self.logarithmic:
            values = [m * 10.0**k for k in range(-3, 7) for m in (1, 1.5, 2, 3, 5, 7)]
        else:
            rough = (self.high - self.low) / 8
            step = next(m * 10.0**k for k in range(-6, 7) for m in (1, 2, 5) if m * 10.0**k >= rough)
            values = [n * step for n in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        return [(round(v, 9), self(v)) for v in values if self.low <= v <= self.high]


def _scale(values: list[float], length: int, logarithmic: bool) -> _Scale:
    """With room around the values."""
    low, high = min(values), max(values)
    if logarithmic:
        return _Scale(low / 1.6, high * 1.6, length, True)
    room = 0.08 * (high - low) or 1.0
    return _Scale(low - room, high + room, length, False)


def _mark(x: float, y: float, group: str, groups: list[str], about: str, *, hollow: bool) -> str:
    """Grey diamond of LibRaw; of groups each colour in the first shape, then each in the next."""
    number = groups.index(group) if group else 0
    colour = COLOURS[number % len(COLOURS)] if group else GREY
    shape = SHAPES[number // len(COLOURS) % len(SHAPES)] if group else DIAMOND
    fill, stroke = ("white", colour) if hollow else (colour, "white")
    return (
        f'<path transform="translate({x:.1f} {y:.1f})" d="{shape}" fill="{fill}" fill-opacity="0.8" stroke="{stroke}">'
        f"<title>{escape(about)}</title></path>"
    )


def _line(x0: float, y0: float, x1: float, y1: float, colour: str, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}"{dash}/>'


def _text(x: float, y: float, text: str, *, anchor="start", colour="black", weight="normal") -> str:
    style = f'text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _measured(experiments: list[Experiment]) -> list[Experiment]:
    return sorted((e for e in experiments if e.origin == "measured"), key=lambda e: (e.age, e.id))


def _name(e: Experiment) -> str:
    return e.id + (f" ({e.released})" if e.released else "")


def _cost(e: Experiment, run: Run, root: Path) -> float | None:
    """GMAC per megapixel: as the run recorded it, else as the card of the experiment's weights says."""
    if is_number(run.gmac_per_megapixel) or not e.checkpoint:
        return run.gmac_per_megapixel
    card = Path(root) / Path(e.checkpoint).parent / "metrics.json"
    return json.loads(card.read_text(encoding="utf-8"))["gmac_per_megapixel"] if card.is_file() else None


def _value(e: Experiment, key: tuple[str, str], runs: tuple[Run, ...]) -> tuple[float | None, int]:
    """(mean, number of scenes)."""
    models = e.suites().get(key, {})
    value = e.score_of(models, runs)[0].get(METRIC)
    scenes = min((facts["images"] for facts in e.facts_of(models, runs).values()), default=0)
    return value if is_number(value) else None, scenes


def _libraw(experiments: list[Experiment], suite: str, cfa: str) -> dict[str, tuple[float, int]]:
    """name -> (mean, number of scenes)."""
    models = baselines(experiments).get((suite, cfa), {})
    known = {name: (facts["mean"].get(METRIC), facts["images"]) for name, facts in models.items()}
    return {name: found for name, found in known.items() if is_number(found[0])}

"""A comparison of models for readers: a table, one HTML page that needs no other file, and a panel."""

from __future__ import annotations

import base64
import io
import json
import math
from dataclasses import asdict
from html import escape
from itertools import groupby

import numpy as np
from PIL import Image

from lincfa import blend
from lincfa.color import encode_for_eyes
from lincfa.compare import (
    HEADLINE,
    ONE_IS_BEST,
    RESAMPLES,
    SEED,
    SIGNIFICANT_P,
    Comparison,
    Crop,
    Difference,
)
from lincfa.evaluate import BORDER_PX, json_safe
from lincfa.figures import DIFFERENCE_GAIN, labelled_panel

SHOWN_PX = 256
"""Crops are enlarged by a whole number to about this side."""
PER_IMAGE = (HEADLINE, "psnr_srgb_db", "ssim", "false_colour")
"""The columns of the table of images; the page's data have all metrics."""


def verdicts(comparison: Comparison) -> list[str]:
    """A sentence about each model but A, by the metric that decides."""
    return [_verdict(comparison, d) for d in comparison.differences if d.metric == HEADLINE]


def table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """(head, rows) of text: for each metric the mean of A, then each other's mean and its difference from A."""
    head = ["metric", "model", "mean", "less A", "95 % interval", "p", "significant", "better / worse", "images"]
    means, rows = comparison.means, []
    reference = next(iter(comparison.models))
    for metric, found in groupby(comparison.differences, lambda d: d.metric):
        rows.append([metric, comparison.title(reference), _number(metric, means[reference][metric]), *[""] * 6])
        for d in found:
            several = d.images > 1
            rows.append(
                [
                    metric,
                    comparison.title(d.model),
                    _number(metric, means[d.model][metric]),
                    _signed(metric, d.mean),
                    _interval(d) if several else "-",
                    _p_value(d.p) if several else "-",
                    ("yes" if d.significant else "no") if several else "no claim",
                    "-" if d.better is None else f"{d.better} / {d.worse}",
                    str(d.images),
                ]
            )
    return head, rows


def panel(comparison: Comparison) -> np.ndarray:
    """[H, W, 3] uint8: each crop as truth and models side by side; below them what each is less the truth, and what it
    is less A."""
    sheet = []
    for crop in comparison.crops:
        columns = _columns(comparison, crop)
        ground = ("", np.full((*crop.truth.shape[:2], 3), 24, np.uint8))  # as labelled panels have it
        padded = [column + [ground] * (len(columns[-1]) - len(column)) for column in columns]
        sheet.append((crop.place, np.concatenate([labelled_panel(column, _zoom(crop)) for column in padded], axis=1)))
    return labelled_panel(sheet)


def page(comparison: Comparison, facts: dict[str, str]) -> str:
    """HTML with its pictures, style and script inside. facts: {label: text} for its head: command, commit, ..."""
    models = {letter: f"{m.name} ({m.algorithm})" for letter, m in comparison.models.items()}
    names = ", ".join(comparison.title(letter) for letter in comparison.models)
    head, rows = table(comparison)
    data = {
        "facts": facts,
        "models": {letter: model.name for letter, model in comparison.models.items()},
        "scenes_sha256": comparison.scenes_sha256,
        "rows": comparison.rows,
        "mean": comparison.means,
        "differences": [asdict(d) for d in comparison.differences],
    }
    return _PAGE.format(
        title=escape(f"Compared: {names}"),
        style=_STYLE,
        script=_SCRIPT,
        facts=_list({**facts, **models}),
        verdicts="".join(f"<p><strong>{escape(text)}</strong></p>" for text in verdicts(comparison)),
        method=escape(_METHOD),
        means=_html_table(head, [[(text, None) for text in row] for row in rows]),
        images=_html_table(*_image_table(comparison), sortable=True),
        shown=escape(_SHOWN),
        crops="".join(_section(comparison, crop) for crop in comparison.crops),
        data=json.dumps(json_safe(data)).replace("<", "\\u003c"),  # no text can end the element
    )


def _verdict(comparison: Comparison, d: Difference) -> str:
    said = f"{comparison.title(d.model)} against {comparison.title(next(iter(comparison.models)))}: {d.metric} "
    if d.images == 0:
        return f"{said}is finite for both in no image, so nothing is claimed."
    said += f"{_signed(d.metric, d.mean)} over {d.images} image" + "s" * (d.images > 1)
    if d.images == 1:
        return f"{said}. With one image no significance is claimed."
    outcome = f"significantly {'higher' if d.mean > 0 else 'lower'}" if d.significant else "not significant"
    return f"{said} (95 % interval {_interval(d)}), p {'' if d.p < 0.001 else '= '}{_p_value(d.p)}: {outcome}."


def _columns(comparison: Comparison, crop: Crop) -> list[list[tuple[str, np.ndarray]]]:
    """(text, [h, w, 3] uint8): the truth; of each model its picture, that less the truth, and that less A's."""
    reference = next(iter(crop.images))
    columns = [[("truth", encode_for_eyes(crop.truth))]]
    for letter, image in crop.images.items():
        title = f"{comparison.title(letter)}, {_number(HEADLINE, crop.psnr_srgb_db[letter])} dB"
        partners = {"truth": crop.truth} | ({reference: crop.images[reference]} if letter != reference else {})
        columns.append([(title, encode_for_eyes(image))])
        for name, partner in partners.items():
            text = f"({letter} - {name}) x {DIFFERENCE_GAIN:g}"
            columns[-1].append((text, blend.change_picture(image, partner, DIFFERENCE_GAIN)))
    return columns


def _zoom(crop: Crop) -> int:
    return max(1, SHOWN_PX // max(crop.truth.shape[:2]))


def _section(comparison: Comparison, crop: Crop) -> str:
    why = "asked for" if crop.change is None else f"mean change from A {crop.change:.4f} of full scale"
    (height, width), zoom, columns = crop.truth.shape[:2], _zoom(crop), ""
    for column in _columns(comparison, crop):
        figures = ""
        for caption, picture in column:
            alt = f"{crop.image}, {height} x {width} pixels from {crop.y},{crop.x}: {caption}"
            figures += f"<figure>{_img(picture, zoom, alt)}<figcaption>{escape(caption)}</figcaption></figure>"
        columns += f'<div class="column" style="width: {width * zoom}px">{figures}</div>'
    return f'<section><h3>{escape(crop.place)}</h3><p>{why}</p><div class="crop">{columns}</div></section>\n'


def _img(picture: np.ndarray, zoom: int, alt: str) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", optimize=True)
    height, width = (n * zoom for n in picture.shape[:2])
    source = base64.b64encode(file.getvalue()).decode()
    return f'<img src="data:image/png;base64,{source}" width="{width}" height="{height}" alt="{escape(alt)}">'


def _image_table(comparison: Comparison) -> tuple[list[str], list[list[tuple[str, float | None]]]]:
    """(head, rows) for _html_table: of each image the metrics PER_IMAGE of all models, each other's less A's too."""
    reference, *others = comparison.models
    kinds = "type" in comparison.rows[0]
    head, rows = ["image"] + ["type"] * kinds, []
    for metric in PER_IMAGE:
        head += [f"{metric} {letter}" for letter in comparison.models]
        head += [f"{metric} {letter} - {reference}" for letter in others]
    for first in range(0, len(comparison.rows), len(comparison.models)):
        of = {row["model"]: row for row in comparison.rows[first : first + len(comparison.models)]}
        cells = [(of[reference]["image"], None)] + [(of[reference].get("type", ""), None)] * kinds
        for metric in PER_IMAGE:
            value = {letter: of[letter][metric] for letter in comparison.models}
            cells += [(_number(metric, v), v) for v in value.values()]
            cells += [(_signed(metric, d), d) for d in (_less(value[letter], value[reference]) for letter in others)]
        rows.append(cells)
    return head, rows


def _html_table(head: list[str], rows: list[list[tuple[str, float | None]]], sortable: bool = False) -> str:
    """rows: of (text, the number that it stands for, or None)."""
    titles = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    body = ""
    for row in rows:
        cells = ""
        for text, value in row:
            data = "" if value is None or math.isnan(value) else f' data-value="{_javascript(value)}"'
            cells += f"<td{data}>{escape(text)}</td>"
        body += f"<tr>{cells}</tr>\n"
    kind = ' class="sortable"' if sortable else ""
    return f'<div class="wide"><table{kind}><thead><tr>{titles}</tr></thead><tbody>\n{body}</tbody></table></div>'


def _javascript(value: float) -> str:
    return repr(float(value)) if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _list(facts: dict[str, str]) -> str:
    return "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in facts.items())


def _less(value: float, other: float) -> float:
    """nan, without a warning, where both are infinite."""
    return value - other if math.isfinite(value) or math.isfinite(other) else math.nan


def _interval(d: Difference) -> str:
    return f"{_signed(d.metric, d.low)} to {_signed(d.metric, d.high)}"


def _number(metric: str, value: float) -> str:
    return "-" if math.isnan(value) else format(value, ".2f" if metric.endswith("_db") else ".4f")


def _signed(metric: str, value: float) -> str:
    return "-" if math.isnan(value) else format(value, "+.3f" if metric.endswith("_db") else "+.5f")


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


_METHOD = f"""
Means are over images, with {BORDER_PX} px cut off on each side. Differences are paired by image: the model's value less
A's. Interval: bootstrap over images (BCa). p: permutation test that exchanges the two models within each image; exact
up to 13 images, and never significant with fewer than 6. Both with {RESAMPLES} resamples from seed {SEED}. Significant
means p < {SIGNIFICANT_P:g}, not corrected for looking at several metrics or models: {HEADLINE} decides. Images are the
sample: of other seeds of the same training this says nothing. Better and worse are numbers of images, for
{", ".join(ONE_IS_BEST)} by their distance from 1; a dash where a metric has no better.
"""
_SHOWN = f"""
Where a model differs most from A (local mean of sRGB-coded values), the largest of each image first. White balanced,
exposed so that the 99th percentile of the image's truth is at 0.9, and sRGB-coded; dB: sRGB PSNR of these pixels alone.
Differences are of the pictures as shown, x {DIFFERENCE_GAIN:g} around middle grey, the same for all. The head of each
is what --at takes to show it again.
"""

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --text: #1b1b1b; --quiet: #666; --line: #ccc; }
@media (prefers-color-scheme: dark) { :root { --ground: #181818; --text: #e6e6e6; --quiet: #a0a0a0; --line: #444; } }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; background: var(--ground); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; margin-bottom: 0; }
h1, h3, dd { overflow-wrap: anywhere; }
section p, .note, figcaption { color: var(--quiet); font-size: 0.85rem; margin: 0.2rem 0 0.5rem; }
.note { max-width: 60rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; }
dt { color: var(--quiet); } dd { margin: 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { vertical-align: bottom; }
th:first-child, td:first-child { position: sticky; left: 0; text-align: left; background: var(--ground); }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
.crop { display: flex; flex-wrap: wrap; gap: 0.5rem; }
.column { max-width: calc(50% - 0.25rem); }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; image-rendering: pixelated; }
"""

_SCRIPT = """
// Without this the table is in the order of the suite.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const key = row => row.cells[column].dataset.value;
      const compare = (a, b) => key(a) === undefined || key(b) === undefined
        ? (key(a) === undefined) - (key(b) === undefined)  // what is no number comes last
          || sign * a.cells[column].textContent.localeCompare(b.cells[column].textContent)
        : sign * (Number(key(a)) - Number(key(b)) || 0);
      body.append(...[...body.rows].sort(compare));
    });
  });
}
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{verdicts}
<dl>{facts}</dl>
<h2>Means</h2>
{means}
<p class="note">{method}</p>
<h2>Images</h2>
{images}
<h2>Crops</h2>
<p class="note">{shown}</p>
{crops}
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""

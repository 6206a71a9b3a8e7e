"""How figures of the ledger are written: metrics with their names and digits, cells, tables."""

from __future__ import annotations

from lincfa.runfiles import is_number

KEPT = "highlights_kept"
METRICS = {
    "psnr_linear_db": ("PSNR linear (dB)", ".2f"),
    "psnr_srgb_db": ("PSNR sRGB (dB)", ".2f"),
    "ssim": ("SSIM", ".4f"),
    "texture": ("Texture score", ".3f"),
    "laplacian_ratio": ("Laplacian variance (1 = truth's)", ".3f"),
    KEPT: ("Highlights kept", ".3f"),
    "grid_db": ("Grid (dB)", ".2f"),
    "false_colour": ("False colour", ".4f"),
    "phase_ripple": ("Ripple", ".4f"),
}
"""The columns of the dashboard, with how they are written; other metrics go by their own names."""
IN_README = ("psnr_linear_db", "psnr_srgb_db", "ssim", "texture")
SPREAD_NOTE = "Mean ± spread: over seeds where there are several, else over images. One seed is no ground for a claim."


def table(head: tuple, rows: list[tuple]) -> str:
    """A Markdown table; rows that are too short end in '-'."""
    filled = [[*row, *["-"] * (len(head) - len(row))] for row in rows]
    lines = [head, ["---"] * len(head), *filled]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def cell(metric: str, mean, spread=None) -> str:
    """'mean ± spread' with the metric's digits; '-' for what is no finite number."""
    if not is_number(mean):
        return "-"
    form = METRICS.get(metric, ("", ".4g"))[1]
    return f"{mean:{form}}" + (f" ± {spread:{form}}" if is_number(spread) else "")


def rounded(value) -> str:
    """A number with three decimals, or two digits where it is small; 0 below 1e-6. Anything else as it is."""
    if not is_number(value):
        return str(value)
    if abs(value) < 1e-6:
        return "0"
    return f"{round(value, 3):g}" if abs(value) >= 0.1 else f"{value:.2g}"


def count(value) -> str:
    return f"{value:,.0f}" if is_number(value) else "-"


def seeds(runs) -> str:
    """How many seeds the runs have; one seed is no ground for a claim, and says so."""
    number = len({run.seed for run in runs})
    return "1 (no claim)" if number == 1 else str(number or "-")


def link(e) -> str:
    """To the section of an experiment."""
    return f"[{e.display_name}](#{e.id})"


def line(text: str) -> str:
    return " ".join(text.split())


def signed(decibel: float) -> str:
    """A change with its sign and two decimals."""
    return f"{round(decibel, 2) + 0.0:+.2f}"  # the sum makes -0 a 0

"""Facts of a raw file and of a released model, as lines for people."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from lincfa.cfa import CFA, LETTERS
from lincfa.noise import METHOD, Noise, estimate_noise
from lincfa.raw import ALGORITHMS, RawFrame
from lincfa.released import Released, model_for

STYLES = {"R": "bold white on red", "G": "bold black on green", "B": "bold white on blue"}
TURNS = {1: "upright", 3: "turned by 180°", 6: "turn right to view", 8: "turn left to view"}
FAMILIES = {"xtrans": "X-Trans", "bayer": "Bayer"}
SUITES = {"truth": "photographs", "torture": "torture scenes", "raf": "raw files"}
MIDDLE_GREY = 0.18

Lines = list[tuple[str, str | Text]]


def frame_lines(frame: RawFrame, root: Path = Path()) -> Lines:
    """(label, value) for a raw file. root: as in lincfa.released. Raises ReleasedError for a damaged model folder."""
    height, width = frame.mosaic.shape
    top, left, crop_height, crop_width = frame.crop
    r, g, b = frame.white_balance
    return [
        ("camera", camera(frame)),
        ("size", f"{width} x {height} photosites ({megapixels(frame):.1f} MP)"),
        ("crop", f"{crop_width} x {crop_height} from column {left}, row {top}"),
        ("CFA", f"{FAMILIES.get(frame.cfa.family, 'unknown pattern')}, phase (row, column) {frame.cfa.phase}"),
        ("", draw(frame.cfa)),
        ("levels", f"black {' '.join(f'{v:g}' for v in frame.black_adu)} (R G B), white {frame.white_adu:g}"),
        ("white balance", f"R {r:.3f} G {g:.3f} B {b:.3f} ({frame.white_balance_source})"),
        ("ISO", "not in the file" if frame.iso is None else f"{frame.iso:g}"),
        ("orientation", f"{frame.orientation} ({TURNS.get(frame.orientation, 'mirrored')})"),
        ("noise", noise_line(frame)),
        ("model", auto_line(frame.cfa, root)),
        ("--strength", strength_line(frame.cfa, root)),
    ]


def model_lines(model: Released) -> Lines:
    """(label, value) for a released model, from its metrics.json."""
    facts = model.facts
    figures = [("figures" if i == 0 else "", figure_line(e, model.id)) for i, e in enumerate(facts["evaluations"])]
    return [
        ("for", f"{FAMILIES.get(model.family, model.family)} sensors"),
        *figures,
        ("noise", "takes away as much as --strength says" if model.takes_noise else "left as it is; no --strength"),
        ("cost", f"{facts['gmac_per_megapixel']:g} GMAC per megapixel, {facts['parameters']:,} parameters"),
        ("licence", f"{facts['licence']} (weights)"),
        ("card", str(model.folder / "README.md")),
    ]


def failure(error: Exception, source: Path, target: Path | None = None) -> str:
    """One line that names a source and what went wrong with it, whatever it did to a decoder, a driver or a disk.

    target: what was to be written, if anything; an OSError that does not name the source is then laid to it.
    """
    text = (str(error).splitlines() or [""])[0].removeprefix(f"{source}: ")
    if isinstance(error, OSError):
        failed = f"cannot write {target}" if target and error.filename != str(source) else "cannot read it"
        text = f"{failed} ({error.strerror or error})"
    elif not (isinstance(error, ValueError) and text):
        text = f"{type(error).__name__}{': ' if text else ''}{text}"
    return f"{source}: {text}"


def camera(frame: RawFrame) -> str:
    """Maker and model, the maker's name once."""
    make, model = frame.make.strip(), frame.model.strip()
    return (model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()) or "unknown camera"


def megapixels(frame: RawFrame) -> float:
    return frame.mosaic.size / 1e6


def draw(cfa: CFA) -> Text:
    """The tile as coloured letters, in the phase of the file."""
    text = Text()
    for i, row in enumerate(cfa.tile):
        text.append("\n" if i else "")
        for color in row:
            text.append(f" {LETTERS[color]} ", STYLES[LETTERS[color]])
    return text


def noise_line(frame: RawFrame) -> str:
    noise = estimate_noise(frame.mosaic, frame.cfa)
    if noise is None:
        return "too few blocks that do not clip to tell"
    return f"about {noise_text(noise)} ({METHOD})"


def noise_text(noise: Noise) -> str:
    """Its standard deviation at two levels."""
    grey = noise.deviation(MIDDLE_GREY)
    return f"{100 * noise.read:.2g} % of white at black, {100 * grey:.2g} % at middle grey"


def auto_line(cfa: CFA, root: Path = Path()) -> str:
    if cfa.family not in FAMILIES:
        return "none: neither X-Trans nor Bayer"
    model = model_for(cfa.family, root)
    return f"auto takes {model.id}" if model else "none is released for this CFA; name one of LibRaw's with --model"


def strength_line(cfa: CFA, root: Path = Path()) -> str:
    """What noise reduction there is for a sensor."""
    model = model_for(cfa.family, root, denoise=True)
    return f"auto takes {model.id}" if model else "none: no released model takes noise away from this CFA"


def figure_line(evaluation: dict, name: str) -> str:
    """The named model's linear PSNR beside the best of LibRaw's demosaicers on the same mosaics, where one was run."""
    scores = {other: mean["psnr_linear_db"] for other, mean in evaluation["mean"].items()}
    best = max(ALGORITHMS.keys() & scores, key=scores.get, default=None)
    kind = SUITES.get(evaluation["suite"], evaluation["suite"])
    beside = f", LibRaw's {best} {scores[best]:.2f} dB" if best else ""
    return f"{evaluation['set']} ({kind}): {scores[name]:.2f} dB linear{beside}"

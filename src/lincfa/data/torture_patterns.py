"""The drawings of the torture scenes: coverage between two colours, finer than the pixels it is averaged to."""

from __future__ import annotations

import cmath
from functools import reduce

import numpy as np

SAMPLES = 3  # drawn along each side of a pixel
SOFT_SAMPLES = 2  # the same for Julia (dear, and no number of samples converges) and Perlin (smooth)
# Bars between the nodes 0..8 of a 3 x 3 grid, row by row: A E F H K L M N T V X Z.
LETTERS = ("61 18 35", "06 02 35 68", "06 02 35", "06 28 35", "06 32 38", "06 68", "06 04 42 28", "06 08 28", "02 17")
LETTERS += ("07 72", "08 26", "02 26 68")


def draw_pattern(kind: str, rng: np.random.Generator, size: int) -> np.ndarray:
    """One pattern of a kind (one of lincfa.data.torture.TYPES) on size x size pixels.

    Returns float64 [n * size, n * size] in [0, 1], with n samples along the side of a pixel.
    """
    special = _SPECIAL.get(kind)
    return special(rng, size) if special else _geometry(kind, rng, size)


def _geometry(kind: str, rng: np.random.Generator, size: int) -> np.ndarray:
    x, y = _grid(size, SAMPLES)
    period, duty = 2 * 8 ** rng.random(), rng.uniform(0.3, 0.7)  # 2 px is Nyquist
    cx, cy = rng.uniform(0.2, 0.8, 2) * size
    match kind:
        case "stripes":
            return _step(_wave(_turned(rng, size)[0], period, period * duty))
        case "checkers":
            a, b = (_step(_wave(t, period, period / 2)) for t in _turned(rng, size))
            return a + b - 2 * a * b
        case "circles":
            return _step(_wave(np.sqrt((x - cx) ** 2 + (y - cy) ** 2), period, period * duty))
        case "edges":
            halves = [_step(_turned(rng, size)[0]) for _ in range(rng.integers(1, 5))]
            return reduce(lambda a, b: a + b - 2 * a * b, halves)
        case "zone_plate":
            cx, cy = rng.choice([0.0, 0.5, 1.0], 2) * size + rng.uniform(-2, 2, 2)
            # The frequency along an axis is distance / (2 reach): Nyquist, 0.5 cycles per px, at the farthest side.
            reach = max(cx, size - cx, cy, size - cy)
            wx, wy = (np.exp(0.5j * np.pi / reach * t**2) for t in (x - cx, y - cy))
            return 0.5 + 0.5 * (wy.real * wx.real - wy.imag * wx.imag)
        case "star":
            spoke = 2 * np.pi / rng.integers(12, 61)
            turned = np.arctan2(y - cy, x - cx) + rng.uniform(0, spoke)
            # Angle times radius is a distance; where spokes are finer than a sample, _step makes them an even grey.
            return _step(np.sqrt((x - cx) ** 2 + (y - cy) ** 2) * _wave(turned, spoke, spoke / 2))
        case "dots":
            u, v = _turned(rng, size)
            return _step(period * duty * 0.65 - np.sqrt(_wave(u, period, 0) ** 2 + _wave(v, period, 0) ** 2))
        case "hair":  # two bundles of bent hairs, each hair with its own place, width and strength
            field = np.zeros((y.size, x.size))
            for pitch in rng.uniform(3, 9, 2):
                u, v = _turned(rng, size)
                u = (u + rng.uniform(-0.4, 0.4) / size * v**2) / pitch
                number = np.floor(u)
                hair = number.astype(np.intp) % 64
                place, half = rng.uniform(0.3, 0.7, 64), rng.uniform(0.25, 0.75, 64)
                lines = _step(half[hair] - pitch * np.abs(u - number - place[hair]))
                field = np.maximum(field, rng.uniform(0.3, 1.0, 64)[hair] * lines)
            return field
        case "weave":  # round threads, each with its own shade, that pass over and under each other
            threads, (u, v) = [], _turned(rng, size)
            for t in (u, v):
                number = np.floor(t / period + 0.5)
                across = t / period + 0.5 - number
                threads.append(rng.choice([0.25, 1.0], 64)[number.astype(np.intp) % 64] * 4 * across * (1 - across))
            a, b = (_step(_wave(t, 2 * period, period)) for t in (u, v))
            return threads[1] + (a + b - 2 * a * b) * (threads[0] - threads[1])
        case "polygons":  # on top of each other, each a shade between the two colours
            field = np.full((y.size, x.size), rng.random())
            for _ in range(size * size // 400):
                middle, radius = complex(*rng.uniform(0, size, 2)), 3 * 10 ** rng.random()
                angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
                _paint(field, [middle + cmath.rect(radius, angle) for angle in angles], rng.random())
            return field
    raise ValueError(f"no pattern is called {kind!r}")


def _strokes(rng: np.random.Generator, size: int) -> np.ndarray:
    """Lines of letters that are made of straight bars; points are complex numbers x + iy."""
    width, turn, field = rng.uniform(6, 11), complex(*_direction(rng)), np.zeros((size * SAMPLES, size * SAMPLES))
    half, reach = rng.uniform(0.4, 0.13 * width), int(0.5 * size / width) + 1
    for row, column in np.ndindex(2 * reach, 2 * reach):
        middle = 1.5 * width * complex(column - reach, 1.6 * (row - reach)) * turn + complex(size / 2, size / 2)
        letter = LETTERS[rng.integers(len(LETTERS))] if rng.random() > 0.12 else ""  # a space between words
        if min(middle.real, middle.imag) < -width or max(middle.real, middle.imag) > size + width:
            continue
        for bar in letter.split():
            p, q = (middle + width * complex(int(i) % 3 / 2 - 0.5, 1.6 * (int(i) // 3 / 2 - 0.5)) * turn for i in bar)
            along = (q - p) / abs(q - p) * half
            aside = along * 1j
            _paint(field, [p - along - aside, q + along - aside, q + along + aside, p - along + aside], 1.0)
    return field


def _julia(rng: np.random.Generator, size: int, iterations: int = 48) -> np.ndarray:
    """Bands of equal escape time of z -> z^2 + c; half of the scenes look closely at a point of the Julia set."""
    turn = np.exp(2j * np.pi * rng.random())
    c = (turn / 2 - turn**2 / 4) * rng.uniform(1.0, 1.08)  # just outside the main body of the Mandelbrot set
    middle, reach = 0j, 1.5
    if rng.random() < 0.5:
        reach = 0.05 * 10 ** rng.random()
        for sign in rng.choice([-1.0, 1.0], 40):  # backward iteration runs into the Julia set
            middle = sign * cmath.sqrt(middle - c)
    # Rounded, and real and imaginary part apart below: the iteration would make any processor's last bits visible.
    cx, cy, mx, my, reach = (round(float(t), 9) for t in (c.real, c.imag, middle.real, middle.imag, reach))
    x, y = (2 * reach / size * (t - size / 2) for t in _grid(size, SOFT_SAMPLES))
    re, im = (t.ravel() for t in np.broadcast_arrays(x + mx, y + my))
    escape, alive = np.full(re.size, float(iterations)), np.arange(re.size)
    for n in range(iterations):
        re, im = re * re - im * im + cx, 2 * re * im + cy
        square = re * re + im * im
        gone = square > 256
        escape[alive[gone]] = n - np.log2(np.log(square[gone]))  # the continuous escape time
        alive, re, im = alive[~gone], re[~gone], im[~gone]
    return (0.5 - 0.5 * np.cos(rng.uniform(0.5, 1.5) * escape)).reshape(y.size, x.size)


def _perlin(rng: np.random.Generator, size: int) -> np.ndarray:
    """Fractal Brownian motion: octaves of gradient noise (Perlin 2002) down to a period of 2.5 px."""
    field, strength, gain, period = 0.0, 1.0, rng.uniform(0.55, 0.95), rng.uniform(16, 64)
    while period > 2.5:
        x, y = (t / period + rng.random() for t in _grid(size, SOFT_SAMPLES))
        (column, x), (row, y) = ((np.floor(t).astype(np.intp).ravel(), t - np.floor(t)) for t in (x, y))
        fade_x, fade_y = (t**3 * (t * (6 * t - 15) + 10) for t in (x, y))
        angle = 2 * np.pi * rng.random((int(size / period) + 3, int(size / period) + 3))
        # Mixed along x on the rows of the lattice, then along y.
        across, down = np.cos(angle), np.sin(angle)
        level = (1 - fade_x) * x * across[:, column] + fade_x * (x - 1) * across[:, column + 1]
        slope = (1 - fade_x) * down[:, column] + fade_x * down[:, column + 1]
        top, bottom = level[row] + y * slope[row], level[row + 1] + (y - 1) * slope[row + 1]
        field = field + strength * (top + fade_y * (bottom - top))
        strength, period = strength * gain, period / 2
    return np.clip(0.5 + 0.25 * (field - field.mean()) / field.std(), 0.0, 1.0)


_SPECIAL = {"strokes": _strokes, "julia": _julia, "perlin": _perlin}


def _grid(size: int, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """x [1, N] and y [N, 1] of the sample centres, in px."""
    t = (np.arange(size * samples) + 0.5) / samples
    return t[None, :], t[:, None]


def _turned(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates u, v [N, N] in px, turned about the middle and shifted by up to a quarter of the frame."""
    x, y = (t - size / 2 for t in _grid(size, SAMPLES))
    c, s = _direction(rng)
    du, dv = rng.uniform(-size / 4, size / 4, 2)
    return x * c + (y * s + du), y * c - (x * s + dv)


def _direction(rng: np.random.Generator) -> tuple[float, float]:
    """Half of the patterns lie along axes or diagonals, where they beat with the CFA; the others lie anywhere."""
    angle = rng.integers(8) * np.pi / 4 if rng.random() < 0.5 else rng.uniform(0, 2 * np.pi)
    return np.cos(angle), np.sin(angle)


def _step(distance: np.ndarray) -> np.ndarray:
    """Coverage of a sample that lies `distance` px inside (> 0) or outside (< 0) of a straight edge."""
    return np.clip(distance * SAMPLES + 0.5, 0.0, 1.0)


def _wave(u: np.ndarray, period: float, width: float) -> np.ndarray:
    """Signed distance to the nearest edge of bars that repeat; positive inside a bar."""
    return width / 2 - np.abs(u - period * np.floor(u / period) - period / 2)


def _paint(field: np.ndarray, corners: list[complex], shade: float) -> None:
    """Fill a convex polygon; its corners x + iy in px, clockwise on the screen."""
    xs, ys = [p.real for p in corners], [p.imag for p in corners]
    edge = (min(xs) - 1, max(xs) + 1, min(ys) - 1, max(ys) + 1)
    x0, x1, y0, y1 = (min(max(int(t * SAMPLES), 0), len(field)) for t in edge)
    x, y = (np.arange(x0, x1) + 0.5) / SAMPLES, (np.arange(y0, y1)[:, None] + 0.5) / SAMPLES
    inside = np.inf
    for p, q in zip(corners, corners[1:] + corners[:1], strict=True):
        side = (q - p) / abs(q - p)
        inside = np.minimum(inside, (side.real * y - (side.conjugate() * p).imag) - side.imag * x)
    field[y0:y1, x0:x1] += _step(inside) * (shade - field[y0:y1, x0:x1])

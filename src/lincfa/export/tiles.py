"""TIFF files in compressed tiles, with the metadata of a raw file: quick, and without the whole file in memory."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import tifffile

TILE_PX = 512
"""The most. A tile is no wider than the image: LibRaw (0.22.2) takes the rest of its row for the next row."""


def placeholder(shape: tuple[int, int], **options) -> dict:
    """tifffile's arguments for a page of [height, width] tiles of 16-bit RGB that `append_tiles` fills."""
    side = max(16, min(TILE_PX, shape[1] // 16 * 16))  # a multiple of 16, by TIFF 6.0
    count = -(-shape[0] // side) * -(-shape[1] // side)
    return options | {
        "data": iter([b"\0"] * count),
        "shape": (*shape, 3),
        "dtype": np.uint16,
        "tile": (side, side),
        "planarconfig": "contig",
        "metadata": None,
    }


def append_tiles(path, page_of: Callable, image: np.ndarray, encode: Callable[[np.ndarray], bytes]) -> None:
    """Append an image's tiles to a TIFF file and enter them in one of its pages.

    Metadata can be written before, while the file is small: EXIF programs write all of it anew.
    page_of: tifffile.TiffFile -> the page. image: [H, W, 3]; the page may be higher, and its last rows are zeros then.
    encode: a tile [n, n, 3] -> its bytes; called from several threads. Raises OSError.
    """
    with tifffile.TiffFile(path) as tiff:
        rows, side = page_of(tiff).imagelength, page_of(tiff).tilewidth
    corners = itertools.product(range(0, rows, side), range(0, image.shape[1], side))
    offsets, lengths = [], []
    threads = os.cpu_count() or 1
    with (
        ThreadPoolExecutor(threads) as pool,
        open(path, "ab") as file,
        closing(
            _in_order(pool, lambda corner: encode(_tile(image, *corner, side)), corners, ahead=2 * threads)
        ) as tiles,
    ):
        for encoded in tiles:
            file.write(b"\0" * (file.tell() % 2))  # offsets are even, by TIFF 6.0
            offsets.append(file.tell())
            lengths.append(file.write(encoded))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tags = page_of(tiff).tags
        tags["TileOffsets"].overwrite(offsets)
        tags["TileByteCounts"].overwrite(lengths)


def to_ascii(text: str) -> str:
    """TIFF has no other text; what it cannot write becomes a question mark."""
    return text.encode("ascii", "replace").decode()


def _in_order(pool: ThreadPoolExecutor, make: Callable, items: Iterable, ahead: int) -> Iterator:
    """`pool.map` that makes at most so many results ahead: a slow disk would otherwise have them all in memory."""
    items = iter(items)
    waiting = deque(pool.submit(make, item) for item in itertools.islice(items, ahead))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(make, item) for item in itertools.islice(items, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def _tile(image: np.ndarray, y: int, x: int, side: int) -> np.ndarray:
    """Extended by zeros to a whole one."""
    tile = image[y : y + side, x : x + side]
    return np.pad(tile, [(0, side - n) for n in tile.shape[:2]] + [(0, 0)])

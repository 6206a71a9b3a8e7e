"""Linear-space CFA demosaicing.

    from lincfa import Demosaicer, read_raw

    frame = read_raw("DSCF0001.RAF")
    rgb = Demosaicer.released("xtrans-s")(frame.mosaic, frame.cfa, frame.white_balance)

frame.mosaic: [H, W] float32, black = 0, white = 1. rgb: [H, W, 3] float32 linear camera RGB on the same scale, not
white balanced, unclipped. A Demosaicer may be called from several threads.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lincfa.checkpoint import load_weights
    from lincfa.infer import Demosaicer
    from lincfa.raw import read_raw

# Torch reads it when it first takes memory. In small pages, Linux's work on new ones is a tenth of bayer-s's time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__all__ = ["Demosaicer", "load_weights", "read_raw"]
_HOMES = {"Demosaicer": "lincfa.infer", "load_weights": "lincfa.checkpoint", "read_raw": "lincfa.raw"}


def __getattr__(name: str):
    """Imported when first asked for: torch and LibRaw take a second, which `lincfa --help` need not spend."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

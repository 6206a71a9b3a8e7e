"""Where the scripts print their tables."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH = 1000
"""Room for any table where no terminal says how wide it is; rich would take 80 columns and cut the cells."""


def table_console() -> Console:
    """Standard output: as wide as its terminal, and in a pipe or a file as wide as a table needs."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)

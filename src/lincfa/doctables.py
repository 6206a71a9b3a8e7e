"""Tables in the guides that are made from benchmarks' files, each between its marks:

<!-- NAME:begin -->
<!-- NAME:end -->
"""

from __future__ import annotations

from pathlib import Path


def put(path, name: str, table: str) -> None:
    """Write the table between its marks in a text. Raises ValueError where the text has no such marks."""
    text = Path(path).read_text(encoding="utf-8")
    before, begin, rest = text.partition(f"<!-- {name}:begin -->")
    _, end, after = rest.partition(f"<!-- {name}:end -->")
    if not end:
        raise ValueError(f"{path}: has no place for a table between <!-- {name}:begin --> and <!-- {name}:end -->")
    Path(path).write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}", encoding="utf-8")

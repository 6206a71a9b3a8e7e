"""Is this raw frame worth training on?"""

from __future__ import annotations

import numpy as np

BLACK_P999 = 0.004
"""A frame whose 99.9th percentile lies below this share of white shows nothing (a lens cap)."""
PERIOD = 12
"""A multiple of the CFAs' periods: rows without data repeat it where each colour has a black level of its own."""
BLOWN_SHARE = 0.5
"""A frame with this share of samples at white has lost too much of its picture."""


def frame_fault(mosaic: np.ndarray) -> str | None:
    """Why a decoded frame must not be used, or None.

    mosaic: [H, W] linear, black = 0, white = 1.
    """
    no_data = (mosaic[:, PERIOD:] == mosaic[:, :-PERIOD]).all(1) & (mosaic.max(1) <= 0)
    tail = int(np.argmin(no_data[::-1]))  # 0 too where no row holds data
    if tail:
        return f"truncated: the last {tail} rows hold no data"
    if np.ptp(mosaic) == 0:
        return "empty: every sample has the same value"
    top = float(np.percentile(mosaic[::3, ::3], 99.9))
    if top < BLACK_P999:
        return f"black frame: 99.9 % of the samples lie below {top:.4f} of white"
    blown = float(np.mean(mosaic >= 0.99))
    if blown > BLOWN_SHARE:
        return f"blown frame: {100 * blown:.0f} % of the samples are at white"
    return None

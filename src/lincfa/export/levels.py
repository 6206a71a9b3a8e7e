"""Linear values as 16-bit codes, one rule for every frame and both formats that need it.

    code = 256 + 16384 x value: 0 is -0.0156, 256 black, 16640 white (the sensor's saturation), 65535 3.98

A step is 1/16384 of white, that of a 14-bit sensor. The pedestal keeps noise below black, the headroom (2 EV) what is
above white. The pedestal is small, because LibRaw and RawTherapee scale the three colours of a linear DNG by
white - black wrongly: their pictures are 1.5 % darker and brighter, and would be 20 and 25 % with 4096.
"""

from __future__ import annotations

import numpy as np

BLACK = 256
WHITE = 16640
STEP = 1 / (WHITE - BLACK)


def linear_to_code(rgb: np.ndarray) -> np.ndarray:
    """Floats of any shape, black = 0, white = 1 -> uint16, rounded; what is beyond the codes is clipped."""
    return np.clip(np.rint(rgb * np.float32(WHITE - BLACK) + np.float32(BLACK)), 0, 65535).astype(np.uint16)

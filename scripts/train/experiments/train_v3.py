"""v3, sRGB space: the small network between the sRGB curve and its inverse, on clipped values, as the seed's v3 was.

    python scripts/train/experiments/train_v3.py
    python scripts/train/experiments/train_v3.py --set name=v3_1 checkpoint_folder=experiments/v3_1 seed=1

Against architecture.py's first runs, the linear arm, three things differ: the space, the coding of samples (1 for 0.5,
as the curve is one) and the loss (of sRGB-coded values). Data, budget and rate are equal.
Results: docs/EXPERIMENTS.md, v6.1.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB

CONFIG = replace(
    LAB,
    name="v3_0",
    checkpoint_folder="experiments/v3_0",
    model=LAB.model | {"coding": 1.0, "space": "srgb"},
    loss={"srgb_l1": 1.0},
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

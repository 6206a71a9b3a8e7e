"""mixed: 80 % photographs, 15 % of the sharpest photographs, 5 % torture scenes, from the small network's weights.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs --sharpest 40
    python scripts/utils/torture_v2.py --out data/torture_train --seed 1 --count 3900
    python scripts/train/experiments/train_mixed.py

The other shares (90/10) and choices of types: docs/EXPERIMENTS.md, v6.7 and v6.15.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB_TUNED

CONFIG = replace(
    LAB_TUNED,
    name="mixed_0",
    checkpoint_folder="experiments/mixed_0",
    data=replace(
        LAB_TUNED.data,
        sharpest="data/photographs/top40_sharp.json",
        sharpest_fraction=0.15 / 0.95,
        torture_folder="data/torture_train",
        torture_fraction=0.05,
    ),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

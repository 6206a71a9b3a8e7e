"""The small network that the fine-tuning experiments start from: packed, 32 wide, 4 blocks, 10 GMAC per megapixel.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/train/experiments/train_lab.py

Five minutes of two CPU cores (287 s recorded). Results: docs/EXPERIMENTS.md, v6.0.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB

CONFIG = replace(
    LAB,
    name="lab_0",
    checkpoint_folder="experiments/lab_0",
    images=64_000,
    optim=replace(LAB.optim, warmup_images=1600, ema_halflife_images=2000),
    log_every_images=6400,
    validate_every_images=32_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

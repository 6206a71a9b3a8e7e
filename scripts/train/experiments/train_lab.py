"""The small network that the experiments share: packed, 32 wide, 4 blocks, 10 GMAC per megapixel, from scratch.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/train/experiments/train_lab.py
    python scripts/train/experiments/train_lab.py --set name=lab_1 checkpoint_folder=experiments/lab_1 seed=1

The fine-tuning experiments start from checkpoints/experiments/lab_0/best.pt. Ablations of augmentation and batch
normalisation are arms of this recipe. What they cost and say: docs/EXPERIMENTS.md, v6.0, v6.8 to v6.10.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB

CONFIG = replace(
    LAB,
    name="lab_0",
    checkpoint_folder="experiments/lab_0",
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""v4_ft, the 6 x 6 grid: fine-tuning with one fault at a time, to find which of them draws the CFA into the picture.

    python scripts/train/experiments/train_v4_ft.py
    python scripts/train/experiments/train_v4_ft.py --set "data.augment.untracked=[flip]" name=grid_flip_0 \\
        checkpoint_folder=experiments/grid_flip_0
    python scripts/utils/grid.py checkpoints/experiments/grid_flip_0/best.pt --suite raf=data/photographs

The first is the control: right phases. Pictures between validations are kept in logs/. More arms and results:
docs/EXPERIMENTS.md, v6.5.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB_TUNED

CONFIG = replace(
    LAB_TUNED,
    name="grid_0",
    checkpoint_folder="experiments/grid_0",
    outputs_every_images=1600,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

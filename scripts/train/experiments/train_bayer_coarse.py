"""A packed network for Bayer with three of its seven blocks on cells of 4 x 4, 33.5 GMAC per megapixel, from scratch.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/experiments/train_bayer_coarse.py

Two and a half hours of two CPU cores with bfloat16 and a process on each (torchrun --nproc_per_node 2 in python's
place); the same command again continues. In the short trainings of v6.32 (docs/EXPERIMENTS.md) it is ahead of
bayer-s's shape but on McMaster, where it equals it, and a patch takes two thirds of the time.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-coarse",
    checkpoint_folder="bayer-coarse",
    images=1_200_000,
    batch=16,
    model=PACKED.model
    | {"family": "bayer", "width": 64, "blocks": 4, "gate": 64, "separable": True, "kernel": 5, "mean_of_pixels": True}
    | {"coarse_blocks": 3, "coarse_width": 128},
    loss={"log_mse": 0.03, "srgb_log_mse": 0.04, "perceptual_log_mse": 0.08},
    data=replace(COLOURED_DATA, family="bayer", first_share=0.98),
    optim=replace(PACKED.optim, lr=3e-3),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (32.3), on photographs, from scratch.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

The release had seed=12 and two processes (torchrun --nproc_per_node 2 in python's place): three hours and forty minutes
of two CPU cores with bfloat16; the same command again continues. It was run as
scripts/train/experiments/train_bayer_coarse.py, of the same settings. Three of its seven separable blocks
(lincfa.models.packed) work on cells of 4 x 4, as v6.32 found best (docs/EXPERIMENTS.md). Results:
models/bayer-s/README.md, v5.38.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
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

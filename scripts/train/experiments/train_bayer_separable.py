"""bayer-s of separable blocks, within 35 GMAC per megapixel (33.3), from scratch: v5.31.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/experiments/train_bayer_separable.py

An hour of a CPU core without bfloat16; the same command again continues. The bayer-s released until v5.38 went on from
its weights in four trainings (v5.32, v5.34, v5.36, v5.37), whose commands, settings and commits are in
docs/EXPERIMENTS.md. Results: there, v5.31 and v6.30.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, LOG_LOSS, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-separable",
    checkpoint_folder="bayer-separable",
    images=140_000,
    batch=8,
    model=PACKED.model
    | {"family": "bayer", "width": 64, "blocks": 8, "gate": 64, "separable": True, "kernel": 5, "mean_of_pixels": True},
    loss=LOG_LOSS,
    data=replace(COLOURED_DATA, family="bayer"),
    optim=replace(PACKED.optim, lr=5e-3),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

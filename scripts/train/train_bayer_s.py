"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (32.9), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

An hour and a half of one CPU core without bfloat16, which other runs shared; the same command again continues. It goes
on from the released weights of before, which came from two trainings (docs/EXPERIMENTS.md): v5.20, from scratch, with
kernels alike in all quarter turns (symmetric=true start_from=null batch=16 images=304000 optim.lr=2e-3), and v5.24,
without that tie, which limits a network as small as this (images=440000), both with data.hard_fraction=0.25
data.coloured_fraction=0. Results: models/bayer-s/README.md, v5.28.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, LOG_LOSS, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=248_000,
    batch=8,
    model=PACKED.model | {"family": "bayer", "width": 32, "blocks": 6, "gate": 24, "mean_of_pixels": True},
    loss=LOG_LOSS,
    data=replace(COLOURED_DATA, family="bayer"),
    optim=replace(PACKED.optim, lr=1e-3),
    start_from="bayer-s",
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""xtrans-l: a packed network for X-Trans within 250 GMAC per megapixel (220), grown from xtrans-s.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_xtrans_l.py --data data/photographs

It goes on from the released weights of before, which came from four trainings (docs/EXPERIMENTS.md): two in batches of
16 at 8e-4 with data.hard_fraction=0.25 data.coloured_fraction=0, v5.22 (model.blocks=5 start_from=xtrans-s
images=128000) and v5.25, with two blocks more (lincfa.models.growth; images=112000), v5.29 (images=48000), v5.30. All
kernels are alike in all quarter turns (lincfa.models.symmetry). A patch costs five times xtrans-s's: an hour and three
quarters of one CPU core without bfloat16. The same command again continues. Results: models/xtrans-l/README.md, v5.33.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, LOG_LOSS, PACKED

CONFIG = replace(
    PACKED,
    name="xtrans-l",
    checkpoint_folder="xtrans-l",
    images=60_000,
    batch=8,
    model=PACKED.model | {"family": "xtrans", "width": 128, "blocks": 7, "gate": 80},
    loss=LOG_LOSS,
    symmetric=True,
    data=COLOURED_DATA,
    optim=replace(PACKED.optim, lr=5e-4),
    start_from="xtrans-l",
    validate_every_images=8_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

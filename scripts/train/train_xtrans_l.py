"""xtrans-l: a packed network for X-Trans within 250 GMAC per megapixel (132), grown from xtrans-s.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_xtrans_l.py --data data/photographs

A patch costs three times xtrans-s's, whose weights it begins with (lincfa.models.growth); the same command again
continues. The released weights were trained on in a second step: models/xtrans-l/README.md, docs/EXPERIMENTS.md, v5.7
and v5.9.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

CONFIG = replace(
    PACKED,
    name="xtrans-l",
    checkpoint_folder="xtrans-l",
    images=80_000,
    model=PACKED.model | {"family": "xtrans", "width": 112, "blocks": 5},
    data=replace(PACKED.data, first_patch_px=None, first_share=0.0),
    optim=replace(PACKED.optim, lr=1e-3),
    start_from="xtrans-s",
    validate_every_images=16_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

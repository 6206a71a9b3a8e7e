"""xtrans-l: a packed network for X-Trans within 250 GMAC per megapixel (236), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_xtrans_l.py --data data/photographs

Not trained yet. A patch costs five times xtrans-s's; the same command again continues.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

CONFIG = replace(
    PACKED,
    name="xtrans-l",
    checkpoint_folder="xtrans-l",
    model=PACKED.model | {"family": "xtrans", "width": 128, "blocks": 7},
    optim=replace(PACKED.optim, lr=1e-3),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (33.7), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

Half an hour of two CPU cores with bfloat16; the same command again continues. The released weights came in two steps,
of which the second began with the first one's (commands and commits: models/bayer-s/README.md; docs/EXPERIMENTS.md,
v5.4 and v5.8).
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=320_000,
    model=PACKED.model | {"family": "bayer", "width": 48, "blocks": 3},
    data=replace(PACKED.data, family="bayer"),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

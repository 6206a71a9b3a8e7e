"""xtrans-s: a packed network for X-Trans within 45 GMAC per megapixel (44.5), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_xtrans_s.py --data data/photographs

An hour of one CPU core with bfloat16; the same command again continues. The released weights came in five steps, of
which each began with the weights before (commands and commits: models/xtrans-s/README.md): photographs, then saturated
edges, then photographs in more saturated colours, then xtrans-l as a teacher, then Muon, with whites as a sensor has
them. The data of all and the optimizer of the last are in this recipe; docs/EXPERIMENTS.md, v5.1, v5.3, v5.5, v5.10 and
v5.15.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

CONFIG = replace(
    PACKED,
    name="xtrans-s",
    checkpoint_folder="xtrans-s",
    images=560_000,
    model=PACKED.model | {"family": "xtrans", "width": 64, "blocks": 5},
    symmetric=True,
    data=replace(PACKED.data, first_share=0.85, augment=replace(PACKED.data.augment, white_spread_ev=1.0)),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

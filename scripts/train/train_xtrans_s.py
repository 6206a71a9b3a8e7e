"""xtrans-s: a packed network for X-Trans within 45 GMAC per megapixel (41.0), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_xtrans_s.py --data data/photographs

37 minutes of one CPU core with bfloat16; the same command again continues. One training from scratch: gated blocks, and
kernels that stay alike in all quarter turns (lincfa.models.symmetry): docs/EXPERIMENTS.md, v5.21; v5.1 to v5.16 are the
way to it. Results: models/xtrans-s/README.md.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LOG_LOSS, PACKED

CONFIG = replace(
    PACKED,
    name="xtrans-s",
    checkpoint_folder="xtrans-s",
    images=256_000,
    model=PACKED.model | {"family": "xtrans", "width": 64, "blocks": 5, "gate": 40},
    loss=LOG_LOSS,
    symmetric=True,
    data=replace(PACKED.data, first_share=0.92, augment=replace(PACKED.data.augment, white_spread_ev=1.0)),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

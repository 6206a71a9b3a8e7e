"""xtrans-s: a packed network for X-Trans within 45 GMAC per megapixel (44.5), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_train --seed 1 --count 3900
    python scripts/train/train_xtrans_s.py --data data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_xtrans_s.py --set name=xtrans-s-edges checkpoint_folder=xtrans-s-edges seed=1 \\
        start_from=checkpoints/xtrans-s/best.pt images=80000 optim.lr=5e-4 data.first_patch_px=null \\
        data.torture_folder=data/torture_corners data.torture_fraction=0.2 validate_every_images=16000

An hour of two CPU cores with bfloat16, and a quarter of one for the second, which mends saturated edges. The same
command again continues. Results: models/xtrans-s/README.md, docs/EXPERIMENTS.md (v5.1, v5.3).
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

CONFIG = replace(
    PACKED,
    name="xtrans-s",
    checkpoint_folder="xtrans-s",
    model=PACKED.model | {"family": "xtrans", "width": 64, "blocks": 5},
    data=replace(PACKED.data, torture_folder="data/torture_train", torture_fraction=0.05),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

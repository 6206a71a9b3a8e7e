"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (34.5), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/experiments/train_bayer_separable.py --data data/photographs
    python scripts/train/train_bayer_s.py --data data/photographs

The last one goes on from the one before (v5.31, from scratch): an hour and three quarters of one CPU core without
bfloat16; the same command again continues. It was trained twice, the second time on from the first (v5.32): --set
name=bayer-s-again checkpoint_folder=bayer-s-again start_from=checkpoints/bayer-s/best.pt images=260000. Its blocks are
separable (lincfa.models.packed). Results: models/bayer-s/README.md, v5.34.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, LOG_LOSS, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=256_000,
    batch=8,
    model=PACKED.model
    | {"family": "bayer", "width": 64, "blocks": 8, "gate": 64, "separable": True, "kernel": 5, "mean_of_pixels": True},
    loss=LOG_LOSS,
    data=replace(COLOURED_DATA, family="bayer"),
    optim=replace(PACKED.optim, lr=4e-3),
    start_from="checkpoints/bayer-separable/best.pt",
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

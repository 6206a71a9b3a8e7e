"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (32.9), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

An hour of one CPU core with bfloat16; the same command again continues. It goes on from the released weights of before
(docs/EXPERIMENTS.md, v5.20: symmetric=true start_from=null batch=16 images=304000 optim.lr=2e-3), whose kernels were
alike in all quarter turns. That tie helps a short training and, in a network as small as this, limits a long one:
v5.24. Results: models/bayer-s/README.md.
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

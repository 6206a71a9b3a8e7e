"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (32.9), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

An hour and a half of one CPU core with AVX2; the same command again continues. It went on from weights that had begun
to learn means of their own colour (docs/EXPERIMENTS.md, v5.27), from those of v5.24 (model.mean_of_colours=false
model.mean_of_pixels=true images=440000 optim.lr=1e-3), from v5.20 (symmetric=true start_from=null batch=16
images=304000 optim.lr=2e-3 besides). Results: models/bayer-s/README.md.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LOG_LOSS, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=100_000,
    batch=8,
    model=PACKED.model | {"family": "bayer", "width": 32, "blocks": 6, "gate": 24, "mean_of_colours": True},
    loss=LOG_LOSS,
    data=replace(
        PACKED.data, family="bayer", first_share=0.92, augment=replace(PACKED.data.augment, white_spread_ev=1.0)
    ),
    optim=replace(PACKED.optim, lr=7e-4),
    start_from="bayer-s",
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (34.4), on photographs, from scratch.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

The release had seed=21 and two processes (torchrun --nproc_per_node 2 in python's place): an hour and twenty minutes of
two CPU cores without bfloat16; the same command again continues. It was run as
scripts/train/experiments/train_bayer_parity.py, at its commit, of the same settings. It is symmetric by four parities
(lincfa.models.parity), whose 1x1 convolutions cost a quarter. Results: models/bayer-s/README.md, v5.43
(docs/EXPERIMENTS.md).
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, PACKED

AUGMENT = replace(COLOURED_DATA.augment, camera_crosstalk=(-0.9, 0.3))
CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=240_000,
    batch=16,
    model=PACKED.model
    | {"family": "bayer", "width": 112, "blocks": 4, "gate": 112, "separable": True, "kernel": 5}
    | {"coarse_blocks": 4, "coarse_width": 224, "mean_of_pixels": True, "parities": True},
    loss={"log_mse": 0.03, "srgb_log_mse": 0.04, "perceptual_log_mse": 0.08},
    data=replace(COLOURED_DATA, family="bayer", first_share=0.98, augment=AUGMENT),
    optim=replace(PACKED.optim, lr=4e-3),
    symmetric=True,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (34.5), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

It goes on from the released weights of before, which came of four trainings (docs/EXPERIMENTS.md): v5.31, from scratch
(scripts/train/experiments/train_bayer_separable.py), then v5.32, v5.34 and v5.36, of 256,000 to 400,000 patches each at
lr=4e-3. The release had seed=11 and two processes (torchrun --nproc_per_node 2 in python's place), an hour and a
quarter of two CPU cores with bfloat16; the same command again continues. Its blocks are separable
(lincfa.models.packed). Results: models/bayer-s/README.md, v5.37.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=560_000,
    batch=16,
    model=PACKED.model
    | {"family": "bayer", "width": 64, "blocks": 8, "gate": 64, "separable": True, "kernel": 5, "mean_of_pixels": True},
    loss={"log_mse": 0.03, "srgb_log_mse": 0.04, "perceptual_log_mse": 0.08},
    data=replace(COLOURED_DATA, family="bayer", first_share=0.98),
    optim=replace(PACKED.optim, lr=3e-3),
    start_from="bayer-s",
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""bayer-s symmetric by features of four parities, within 35 GMAC per megapixel (34.4), from scratch: v5.43.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/experiments/train_bayer_parity.py

The network gives the transposed picture for the transposed mosaic, and the picture turned by half a turn with red and
blue exchanged for the mosaic so (lincfa.models.parity): 1x1 convolutions cost a quarter, so it is nearly twice as wide
as v5.38. Two processes, torchrun --nproc_per_node 2 in python's place, take an hour and a half of two CPU cores.
docs/EXPERIMENTS.md, v5.43.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import COLOURED_DATA, PACKED

CONFIG = replace(
    PACKED,
    name="bayer-parity",
    checkpoint_folder="bayer-parity",
    images=240_000,
    batch=16,
    model=PACKED.model
    | {"family": "bayer", "width": 112, "blocks": 4, "gate": 112, "separable": True, "kernel": 5}
    | {"coarse_blocks": 4, "coarse_width": 224, "mean_of_pixels": True, "parities": True},
    loss={"log_mse": 0.03, "srgb_log_mse": 0.04, "perceptual_log_mse": 0.08},
    data=replace(
        COLOURED_DATA,
        family="bayer",
        first_share=0.98,
        augment=replace(COLOURED_DATA.augment, camera_crosstalk=(-0.9, 0.3)),
    ),
    optim=replace(PACKED.optim, lr=4e-3),
    symmetric=True,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

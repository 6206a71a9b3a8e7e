"""bayer-s: a packed network for Bayer, all phases, within 35 GMAC per megapixel (33.7), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_corners --seed 1 --count 3900 --corners 0.5
    python scripts/train/train_bayer_s.py --data data/photographs

Run it again to continue. Phases are off: the network takes RGGB; lincfa.infer aligns frames to it."""

import sys

from lincfa.data.augment import AugmentConfig
from lincfa.train import main
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

CONFIG = TrainConfig(
    name="bayer-s",
    checkpoint_folder="bayer-s",
    images=320_000,
    batch=16,
    model={"name": "packed", "family": "bayer", "width": 48, "blocks": 3, "coding": 0.5},
    loss={"l1": 1.0, "perceptual_l1": 2.0},
    data=DataConfig(
        folder="data/photographs",
        family="bayer",
        patch_px=96,
        first_patch_px=60,
        first_share=0.5,
        torture_folder="data/torture_corners",
        torture_fraction=0.1,
        hard_fraction=0.25,
        augment=AugmentConfig(phases=False, exposure_ev=(-1.0, 0.5), camera_share=0.3),
    ),
    optim=OptimConfig(lr=2e-3, warmup_images=3200),
    precision="bf16",
    channels_last=True,
    validate_every_images=32_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

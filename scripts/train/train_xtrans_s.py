"""xtrans-s: a packed network for X-Trans within 45 GMAC per megapixel (44.5), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/utils/torture_v2.py --out data/torture_train --seed 1 --count 3900
    python scripts/train/train_xtrans_s.py --data data/photographs

Run it again to continue. It takes phase 0; lincfa.infer aligns frames to it. Then, for saturated edges, torture scenes
with --corners 0.5 and what models/xtrans-s/README.md gives as the second command."""

import sys

from lincfa.data.augment import AugmentConfig
from lincfa.train import main
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

CONFIG = TrainConfig(
    name="xtrans-s",
    checkpoint_folder="xtrans-s",
    images=448_000,
    batch=16,
    model={"name": "packed", "family": "xtrans", "width": 64, "blocks": 5, "coding": 0.5},
    loss={"l1": 1.0, "perceptual_l1": 2.0},
    data=DataConfig(
        folder="data/photographs",
        patch_px=96,
        first_patch_px=60,
        first_share=0.5,
        torture_folder="data/torture_train",
        torture_fraction=0.05,
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

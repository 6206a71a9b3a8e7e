"""xtrans-s-denoise: xtrans-s, told how strong the noise is (44.7 GMAC per megapixel), from its released weights.

    python scripts/train/train_xtrans_s_denoise.py --data data/photographs

Four of ten patches stay clean: told 0, it must answer as xtrans-s does.
"""

import sys

from lincfa.data.augment import AugmentConfig
from lincfa.train import main
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

NOISE = {"read_noise": (0.0, 0.008), "shot_noise": (0.0, 0.003), "noise_share": 0.6}

CONFIG = TrainConfig(
    name="xtrans-s-denoise",
    checkpoint_folder="xtrans-s-denoise",
    images=96_000,
    batch=16,
    model={"name": "packed", "family": "xtrans", "width": 64, "blocks": 5, "coding": 0.5, "noise": True},
    loss={"l1": 1.0, "perceptual_l1": 2.0},
    data=DataConfig(
        folder="data/photographs",
        patch_px=96,
        torture_folder="data/torture_corners",
        torture_fraction=0.1,
        hard_fraction=0.25,
        augment=AugmentConfig(phases=False, exposure_ev=(-1.0, 0.5), camera_share=0.3, **NOISE),
    ),
    optim=OptimConfig(lr=5e-4, warmup_images=3200),
    start_from="xtrans-s",
    precision="bf16",
    channels_last=True,
    validate_every_images=16_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

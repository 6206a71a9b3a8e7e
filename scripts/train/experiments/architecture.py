"""The architecture search: every arm at most 45 GMAC per megapixel, 12,800 patches (2 minutes of two CPU cores).

    python scripts/train/experiments/architecture.py --set seed=1 model.width=80 model.blocks=3 \\
        name=arch_wide_1 checkpoint_folder=experiments/arch_wide_1
"""

import sys

from lincfa.data.augment import AugmentConfig
from lincfa.train import main
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

CONFIG = TrainConfig(
    name="arch_base_0",
    checkpoint_folder="experiments/arch_base_0",
    images=12_800,
    batch=16,
    model={"name": "packed", "family": "xtrans", "width": 64, "blocks": 5, "coding": 0.5},
    loss={"l1": 1.0, "perceptual_l1": 0.5},
    data=DataConfig(
        folder="data/photographs",
        patch_px=96,
        augment=AugmentConfig(phases=False, exposure_ev=(-1.0, 0.5)),
    ),
    optim=OptimConfig(lr=2e-3, warmup_images=800, ema_halflife_images=1000),
    precision="bf16",
    channels_last=True,
    log_every_images=3200,
    validate_every_images=12_800,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""xtrans-s: a packed network for X-Trans within 45 GMAC per megapixel (44.5), on photographs.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/train/train_xtrans_s.py --data data/photographs

Run it again to continue; a third of it took 43 minutes of two CPU cores with bfloat16 (docs/EXPERIMENTS.md,
v5.0). Phases are off: the network takes phase 0, and lincfa.infer aligns frames to it.
"""

import sys

from lincfa.data.augment import AugmentConfig
from lincfa.train import main
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

CONFIG = TrainConfig(
    name="xtrans-s",
    checkpoint_folder="xtrans-s",
    images=512_000,
    batch=32,
    model={"name": "packed", "family": "xtrans", "width": 64, "blocks": 5},
    loss={"l1": 1.0, "perceptual_l1": 0.5},
    data=DataConfig(
        folder="data/photographs",
        patch_px=96,
        augment=AugmentConfig(phases=False, exposure_ev=(-1.0, 0.5)),
    ),
    optim=OptimConfig(lr=1e-3, warmup_images=6400),
    precision="bf16",
    channels_last=True,
    log_every_images=6400,
    validate_every_images=32_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

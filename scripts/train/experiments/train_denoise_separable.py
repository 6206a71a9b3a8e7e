"""The noisy half of xtrans-s-denoise of separable blocks, within 45 GMAC per megapixel (43.6), from scratch.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/train/experiments/train_denoise_separable.py --data data/photographs

Data, noise and loss are those of scripts/train/train_xtrans_s_denoise.py. Nothing is released of it yet; release.py
--clean xtrans-s joins it to xtrans-s (lincfa.models.denoising), of whose shape it need not be.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

NOISE = {"read_noise": (0.0, 0.008), "shot_noise": (0.0, 0.003)}

CONFIG = replace(
    PACKED,
    name="denoise-separable",
    checkpoint_folder="denoise-separable",
    images=240_000,
    batch=8,
    model=PACKED.model
    | {"family": "xtrans", "width": 96, "blocks": 11, "gate": 92, "separable": True, "kernel": 5, "noise": True},
    loss={"log_mse": 0.13, "perceptual_log_mse": 0.02},
    data=replace(PACKED.data, first_share=0.92, augment=replace(PACKED.data.augment, **NOISE)),
    symmetric=True,
    optim=replace(PACKED.optim, lr=5e-3),
    validate_every_images=240_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

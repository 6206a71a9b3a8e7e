"""xtrans-s-denoise: its noisy half, of separable blocks, within 45 GMAC per megapixel (42.2), from scratch.

    python scripts/utils/build_dataset_v4.py --raw DIR --out data/photographs
    python scripts/train/train_xtrans_s_denoise.py --data data/photographs
    python scripts/utils/release.py checkpoints/xtrans-s-denoise/best.pt --to models/xtrans-s-denoise --clean xtrans-s

Two hours of one CPU core without bfloat16. All patches are noisy, from hardly to much; where there is no noise the
released model is xtrans-s itself (lincfa.models.denoising). Errors in linear values count for more than in xtrans-s's
recipe: strong shot noise in the lights is what costs there. Validation is on clean pictures, so it chooses nothing.
Results: models/xtrans-s-denoise/README.md, v5.35.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

NOISE = {"read_noise": (0.0, 0.008), "shot_noise": (0.0, 0.003)}

CONFIG = replace(
    PACKED,
    name="xtrans-s-denoise",
    checkpoint_folder="xtrans-s-denoise",
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

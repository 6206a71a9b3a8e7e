"""xtrans-s-denoise: xtrans-s, told how strong the noise is (42.1 GMAC per megapixel), from its released weights.

    python scripts/train/train_xtrans_s_denoise.py --data data/photographs
    python scripts/utils/release.py checkpoints/xtrans-s-denoise/best.pt --to models/xtrans-s-denoise --clean xtrans-s

All patches are noisy, from hardly to much; where there is no noise the released model is xtrans-s itself
(lincfa.models.denoising). Errors in linear values count for more than in xtrans-s's recipe: strong shot noise in the
lights is what costs there. Results: models/xtrans-s-denoise/README.md, docs/EXPERIMENTS.md, v5.23.
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
    images=80_000,
    model=PACKED.model | {"family": "xtrans", "width": 64, "blocks": 5, "gate": 40, "noise": True},
    loss={"log_mse": 0.1, "perceptual_log_mse": 0.05},
    data=replace(PACKED.data, first_share=0.95, augment=replace(PACKED.data.augment, **NOISE)),
    symmetric=True,
    optim=replace(PACKED.optim, lr=6e-4),
    start_from="xtrans-s",
    validate_every_images=80_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""xtrans-s-denoise: xtrans-s, told how strong the noise is (42.1 GMAC per megapixel), from xtrans-s's weights.

    python scripts/train/train_xtrans_s_denoise.py --data data/photographs
    python scripts/utils/release.py checkpoints/xtrans-s-denoise/best.pt --to models/xtrans-s-denoise --clean xtrans-s

It goes on from the released weights of before (docs/EXPERIMENTS.md, v5.23: start_from=xtrans-s batch=16 images=80000
optim.lr=6e-4). All patches are noisy, from hardly to much; where there is no noise the released model is xtrans-s
itself (lincfa.models.denoising). Errors in linear values count for more than in xtrans-s's recipe: strong shot noise in
the lights is what costs there. Validation is on clean pictures, so it chooses nothing. Results:
models/xtrans-s-denoise/README.md, v5.26.
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
    images=152_000,
    batch=8,
    model=PACKED.model | {"family": "xtrans", "width": 64, "blocks": 5, "gate": 40, "noise": True},
    loss={"log_mse": 0.13, "perceptual_log_mse": 0.02},
    data=replace(PACKED.data, first_share=0.92, augment=replace(PACKED.data.augment, **NOISE)),
    symmetric=True,
    optim=replace(PACKED.optim, lr=6e-4),
    start_from="xtrans-s-denoise",
    validate_every_images=152_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""xtrans-s-denoise: xtrans-s, told how strong the noise is (44.7 GMAC per megapixel), from its released weights.

    python scripts/train/train_xtrans_s_denoise.py --data data/photographs

Not trained yet. Four of ten patches stay clean: told 0, it must answer as xtrans-s does.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import PACKED

NOISE = {"read_noise": (0.0, 0.008), "shot_noise": (0.0, 0.003), "noise_share": 0.6}

CONFIG = replace(
    PACKED,
    name="xtrans-s-denoise",
    checkpoint_folder="xtrans-s-denoise",
    images=88_000,
    model=PACKED.model | {"family": "xtrans", "width": 64, "blocks": 5, "noise": True},
    data=replace(PACKED.data, first_patch_px=None, first_share=0.0, augment=replace(PACKED.data.augment, **NOISE)),
    optim=replace(PACKED.optim, lr=5e-4),
    start_from="xtrans-s",
    validate_every_images=22_000,
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""fullres_ssim: photographs at full size as JPEG files store them (quality 90, 8 x 8 blocks), with SSIM in the loss.

    python scripts/train/experiments/train_fullres_ssim.py
    python scripts/train/experiments/train_fullres_ssim.py --set data.augment.jpeg_quality=null name=fullres_clean_0 \\
        checkpoint_folder=experiments/fullres_clean_0

The second is the control without JPEG. The gap to files of RAF containers: docs/EXPERIMENTS.md, v6.4.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB_TUNED

CONFIG = replace(
    LAB_TUNED,
    name="fullres_0",
    checkpoint_folder="experiments/fullres_0",
    loss={"l1": 0.4, "ssim": 0.5, "sobel_gradient": 0.1},
    data=replace(LAB_TUNED.data, augment=replace(LAB_TUNED.data.augment, jpeg_quality=90)),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

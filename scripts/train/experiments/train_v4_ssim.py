"""v4_ssim: 0.4 L1 + 0.5 SSIM + 0.1 gradient from the small network's weights, rate 1e-5: is it sharper?

    python scripts/train/experiments/train_v4_ssim.py
    python scripts/train/experiments/train_v4_ssim.py --set "loss={l1: 1.0, perceptual_l1: 2.0}" name=ssim_control_0 \\
        checkpoint_folder=experiments/ssim_control_0

The second is the control: the loss of the start. More arms and results: docs/EXPERIMENTS.md, v6.3.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB_TUNED

CONFIG = replace(
    LAB_TUNED,
    name="ssim_0",
    checkpoint_folder="experiments/ssim_0",
    loss={"l1": 0.4, "ssim": 0.5, "sobel_gradient": 0.1},
    optim=replace(LAB_TUNED.optim, lr=1e-5),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

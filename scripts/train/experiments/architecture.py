"""Networks and data compared from scratch at equal cost (10 GMAC per megapixel) and equal training (12,800 patches).

    python scripts/train/experiments/architecture.py
    python scripts/train/experiments/architecture.py --set seed=1 model.width=44 model.blocks=2 name=arch_wide_1 \\
        checkpoint_folder=experiments/arch_wide_1

Recorded: 30 to 399 s a run (median 55 s) on two CPU cores that other runs shared. Its arms are the architecture search
(docs/EXPERIMENTS.md, v5.2), what augmentation, batch normalisation and a course from coarse to fine do (v6.9 to v6.11),
averaged photographs (v6.16), with a Bayer network what teachers of Bayer do (v6.13), means of colours (v6.28),
patches where detail has colours (v6.29) and separable blocks (v6.30).
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB

CONFIG = replace(
    LAB,
    name="arch_base_0",
    checkpoint_folder="experiments/arch_base_0",
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

"""torture_ft: the small network's weights, trained on torture scenes alone: what is forgotten, and how fast?

    python scripts/utils/torture_v2.py --out data/torture_train --seed 1 --count 3900
    python scripts/train/experiments/train_torture.py

Arms that forget less (--set ewc=..., frozen=..., optim.lr=..., data.torture_ramp_images=...) and results:
docs/EXPERIMENTS.md, v6.6 and v6.8.
"""

import sys
from dataclasses import replace

from lincfa.train import main
from lincfa.trainconfig import LAB_TUNED

CONFIG = replace(
    LAB_TUNED,
    name="torture_0",
    checkpoint_folder="experiments/torture_0",
    data=replace(LAB_TUNED.data, torture_folder="data/torture_train", torture_fraction=1.0),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

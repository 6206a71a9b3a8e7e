"""v4: a U-Net in linear light, on patches of downsampled RAFs that are mosaiced anew.

    python scripts/train/train_v4.py --data data/v4

Run it again to continue. Width 16 (1.9 M parameters, 7.8 MB): small enough for two CPU cores and for the repository.
With --set precision=bf16 channels_last=true it took 43 minutes of two cores; what it scored: docs/EXPERIMENTS.md, v4.1.
"""

import sys

from lincfa.train import main
from lincfa.trainconfig import DataConfig, OptimConfig, TrainConfig

CONFIG = TrainConfig(
    name="v4",
    checkpoint_folder="v4_production",
    images=176_000,
    batch=16,
    model={"name": "unet", "width": 16, "norm": "batch"},
    loss={"l1": 1.0, "sobel_gradient": 0.1, "highpass_chroma": 0.05},
    data=DataConfig(folder="data/v4", patch_px=96),
    optim=OptimConfig(lr=1e-3),
)

if __name__ == "__main__":
    sys.exit(main(CONFIG, __doc__))

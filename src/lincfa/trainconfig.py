"""The settings of a training run: typed, frozen, plain data."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from lincfa.config import from_dict
from lincfa.data.augment import AugmentConfig
from lincfa.losses import V4_WEIGHTS


class TrainingError(ValueError):
    """A run that cannot begin or go on; the message says why."""


@dataclass(frozen=True)
class DataConfig:
    """See lincfa.data.dataset.PatchSet. first_patch_px: side of the patches for the first_share of training, smaller
    than patch_px: more of them a second, before the borders matter. validation_px: side of the fixed crops, of
    validation_count images."""

    folder: str = "data/v4"
    family: str = "xtrans"
    sharpest: str | None = None
    sharpest_fraction: float | None = None
    torture_folder: str | None = None
    torture_fraction: float = 0.0
    torture_types: tuple[str, ...] | None = None
    torture_ramp_images: int = 0
    averaged_fraction: float = 0.0
    averaged_by: int = 2
    hard_fraction: float = 0.0
    coloured_fraction: float = 0.0
    patch_px: int = 96
    first_patch_px: int | None = None
    first_share: float = 0.0
    validation_px: int = 192
    validation_count: int = 24
    augment: AugmentConfig = field(default_factory=AugmentConfig)


@dataclass(frozen=True)
class OptimConfig:
    """AdamW (Loshchilov and Hutter 2019): linear warm-up, then cosine to last_lr_share of lr. clip_norm: of the
    gradient. ema_halflife_images: of the weights' average, shortened to a tenth of what was seen at the start.
    muon: parts of the network ('blocks', 'head') whose kernels Muon updates instead (lincfa.optim), of those that it
    has. parallel_1x1: these learn as if a 1x1 convolution were beside each, merged into it."""

    lr: float = 1e-3
    last_lr_share: float = 0.01
    warmup_images: int = 2000
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 1.0
    ema_halflife_images: int = 8000
    muon: tuple[str, ...] = ()
    parallel_1x1: bool = False


@dataclass(frozen=True)
class TrainConfig:
    """name: of logs; checkpoint_folder: under checkpoints/. model: {'name': ..., arguments}. loss: {name: weight}.
    start_from: weights of a checkpoint or released model to start from; those of a smaller packed network are grown
    (lincfa.models.growth). precision: 'fp32', 'bf16' or 'fp16' (autocast; bf16 of separable blocks on the CPU rounds
    the factors of 1x1 convolutions alone), or 'auto': bf16 where the device computes with it, else fp32; the log and
    the state name which.
    frozen: weights whose names begin so ('down.0', 'head') stay as they are, with the statistics of their
    normalisation.
    ewc: weight of elastic weight consolidation around start_from, with the Fisher information of ewc_images photographs
    (Kirkpatrick et al. 2017; lincfa.terms.Consolidation).
    teacher: a released model or checkpoint whose outputs are targets beside the truth, at teacher_weight times the
    weights of loss (distillation, Hinton et al. 2015; lincfa.terms.Teacher).
    symmetric: keep a packed network so that a changed mosaic gives the changed picture (lincfa.models.symmetry).
    adversarial: weight of a small patch discriminator's term (Isola et al. 2017, Mao et al. 2017; lincfa.adversary).
    outputs_every_images: the panel of validation is kept so often as logs/<name>/outputs/<images>.png; 0: never.
    """

    name: str
    checkpoint_folder: str
    images: int
    batch: int = 16
    seed: int = 0
    model: dict = field(default_factory=lambda: {"name": "unet", "width": 64, "norm": "batch"})
    loss: dict = field(default_factory=lambda: dict(V4_WEIGHTS))
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    start_from: str | None = None
    frozen: tuple[str, ...] = ()
    ewc: float = 0.0
    ewc_images: int = 256
    teacher: str | None = None
    teacher_weight: float = 0.0
    symmetric: bool = False
    adversarial: float = 0.0
    precision: str = "fp32"
    channels_last: bool = False
    log_every_images: int = 1600
    validate_every_images: int = 16000
    outputs_every_images: int = 0
    device: str = "auto"
    workers: int = 1
    save_every_s: float = 120.0


def config_now(recorded: dict) -> TrainConfig:
    """The config of a run that may be older than this program: to_dict's of then, with what the run did not know at its
    default and what was renamed under its name of today. Raises ConfigError for settings that are no more."""
    data = dict(recorded.get("data", {}))
    augment = dict(data.get("augment", {}))
    crosstalk = augment.get("camera_crosstalk")
    if isinstance(crosstalk, (int, float)):  # before it was a range: its upper end
        augment["camera_crosstalk"] = [0.0, crosstalk]
    if not augment.pop("dihedral", True):  # before symmetries were chosen one by one: all or none
        augment["symmetries"] = [0]
    return from_dict(TrainConfig, recorded | {"data": data | {"augment": augment}})


PACKED = TrainConfig(
    name="packed",
    checkpoint_folder="packed",
    images=448_000,
    batch=16,
    model={"name": "packed", "coding": 0.5},
    loss={"l1": 1.0, "perceptual_l1": 2.0, "log_mse": 0.01, "perceptual_log_mse": 0.02},
    data=DataConfig(
        folder="data/photographs",
        patch_px=96,
        first_patch_px=60,
        first_share=0.5,
        torture_folder="data/torture_corners",
        torture_fraction=0.1,
        hard_fraction=0.25,
        augment=AugmentConfig(phases=False, exposure_ev=(-1.0, 0.5), camera_share=0.5, camera_crosstalk=(-0.3, 0.3)),
    ),
    optim=OptimConfig(lr=2e-3, warmup_images=3200, muon=("head", "blocks", "down", "coarse", "up", "tail")),
    precision="auto",
    channels_last=True,
    validate_every_images=32_000,
)
"""What the recipes of the released packed networks share. Phases are off: these networks take phase 0, and
lincfa.infer aligns frames to it. Half of the photographs get other colours, more saturated or less (v5.5). Muon trains
all kernels but those of the linear layer (v6.21)."""

LOG_LOSS = {"log_mse": 0.05, "perceptual_log_mse": 0.1}
"""What the recipes of gated networks minimise instead: their errors in dB."""

COLOURED_DATA = replace(
    PACKED.data,
    first_share=0.92,
    hard_fraction=0.2,
    coloured_fraction=0.5,
    augment=replace(PACKED.data.augment, white_spread_ev=1.0),
)
"""What the later of them train on: half of the photographs' patches from where detail has colours (v6.29)."""

LAB = replace(
    PACKED,
    name="lab",
    checkpoint_folder="experiments/lab",
    images=12_800,
    model=PACKED.model | {"family": "xtrans", "width": 32, "blocks": 4},
    loss={"l1": 1.0, "perceptual_l1": 2.0},
    data=DataConfig(
        folder="data/photographs",
        patch_px=60,
        validation_count=12,
        augment=AugmentConfig(phases=False, exposure_ev=(-1.0, 0.5)),
    ),
    optim=OptimConfig(lr=2e-3, warmup_images=800, ema_halflife_images=1000),
    log_every_images=3200,
    validate_every_images=12_800,
)
"""The small network, plain data and short training that the experiments of the record share (v6): many fit an hour."""

LAB_TUNED = replace(
    LAB,
    images=6400,
    start_from="checkpoints/experiments/lab_0/best.pt",
    optim=replace(LAB.optim, lr=3e-4, ema_halflife_images=500),
    validate_every_images=6400,
)
"""What the fine-tuning experiments share: they go on from the small network's longer run."""

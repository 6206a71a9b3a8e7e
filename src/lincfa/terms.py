"""What a training's loss may gain beside the comparison of output and truth. Each term is one object:

    term(inputs, output, truth) -> scalar; the loss gains term.weight times it
    term.state_dict(), term.load_state_dict(state): what changes while training, or could not be had again

inputs: (mosaic, masks, noise) as of lincfa.models. output: the network's, float32.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from lincfa.adversary import LEAST_PX, Adversary
from lincfa.checkpoint import find_weights, load_weights
from lincfa.data.dataset import PatchSet
from lincfa.infer import PRECISIONS
from lincfa.losses import WeightedLoss
from lincfa.trainconfig import TrainConfig, TrainingError


class Term(Protocol):
    weight: float

    def __call__(self, inputs: tuple, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor: ...
    def state_dict(self) -> dict: ...
    def load_state_dict(self, state: dict) -> None: ...


def extra_terms(config: TrainConfig, network: nn.Module, device: str, root: Path) -> dict[str, Term]:
    """The terms that config asks for, by the names that the log gives them. network: what is trained, on the device.

    Raises TrainingError for settings that do not fit, CheckpointError for the teacher's file.
    """
    terms: dict[str, Term] = {}
    if config.ewc:
        if not (config.start_from and config.ewc_images > 0):
            raise TrainingError("ewc holds to the weights of start_from, and needs it, and ewc_images")
        terms["ewc"] = Consolidation(config.ewc, network)
    if bool(config.teacher) != bool(config.teacher_weight):
        raise TrainingError("teacher and teacher_weight are given together or not at all")
    if config.teacher:
        terms["teacher"] = Teacher(config, device, root)
    if config.adversarial:
        if min(_sides(config)) < LEAST_PX:
            raise TrainingError(f"the discriminator of adversarial sees patches of {LEAST_PX} px and more")
        terms["adversary"] = Adversary(config.adversarial, device)
    return terms


class Consolidation:
    """Elastic weight consolidation: 1/2 sum F_i (w_i - w0_i)^2 over the weights that are trained.

    w0: the weights when `measure` was called. F: the diagonal of the empirical Fisher information then, the mean over
    photographs of the squared gradient of one photograph's training loss; divided by its mean over all weights, so that
    it says which weights matter and the term's weight how much: 1 pulls at an average weight as an L2 penalty of 1,
    whatever the scale of the loss. Both are kept with the state: a resumed run needs neither file nor measurement.
    Source: Kirkpatrick et al. 2017, doi:10.1073/pnas.1611835114, eq. 3; our loss is no likelihood, hence the division.
    """

    def __init__(self, weight: float, network: nn.Module):
        self.weight, self.network = weight, network
        self.trained = [p for p in network.parameters() if p.requires_grad]
        self.start: list[torch.Tensor] = []
        self.fisher: list[torch.Tensor] = []

    def measure(self, patches: PatchSet, criterion: WeightedLoss, images: int) -> None:
        """Sets w0, and F from patches 0 to images - 1 as they are without torture scenes; in eval mode and float32."""
        photographs = copy.copy(patches)
        photographs.torture_fraction = 0.0
        self.network.eval()
        squares = [torch.zeros_like(p) for p in self.trained]
        for number in range(images):
            made = photographs.batch([number])
            told = (made.mosaic, made.masks, made.noise)
            inputs = [t.to(squares[0].device) for t in told[: 2 + self.network.takes_noise]]
            loss, _ = criterion(self.network(*inputs), made.truth.to(squares[0].device))
            for square, gradient in zip(squares, torch.autograd.grad(loss, self.trained), strict=True):
                square += gradient.square()
        mean = sum(s.sum() for s in squares) / sum(s.numel() for s in squares)
        self.fisher = [s / mean for s in squares]
        self.start = [p.detach().clone() for p in self.trained]

    def __call__(self, inputs: tuple, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        parts = zip(self.fisher, self.trained, self.start, strict=True)
        return sum((fisher * (now - start).square()).sum() for fisher, now, start in parts) / 2

    def state_dict(self) -> dict:
        return {"start": self.start, "fisher": self.fisher}

    def load_state_dict(self, state: dict) -> None:
        self.start, self.fisher = (
            [t.to(p.device) for t, p in zip(state[key], self.trained, strict=True)] for key in ("start", "fisher")
        )


class Teacher:
    """Distillation: the training loss against the output of another network for the same mosaic, in place of the truth.

    Source: Hinton et al. 2015 (arXiv:1503.02531); for outputs that are numbers and not classes, Romero et al. 2015
    (FitNets, arXiv:1412.6550).
    Raises TrainingError for a teacher of another family, or that does not take the phases or sizes of the patches.
    """

    def __init__(self, config: TrainConfig, device: str, root: Path):
        self.weight, self.criterion = config.teacher_weight, WeightedLoss(config.loss)
        self.kind, self.dtype = device.split(":")[0], PRECISIONS[config.precision]
        weights = load_weights(find_weights(config.teacher, root))
        if weights.family != config.data.family:
            raise TrainingError(f"teacher {config.teacher} is for {weights.family}, and not {config.data.family}")
        if weights.network.cfa is not None and config.data.augment.phases:
            raise TrainingError(f"teacher {config.teacher} takes one phase: set data.augment.phases=false")
        multiple = weights.network.multiple
        if any(side % multiple for side in _sides(config)):
            raise TrainingError(f"teacher {config.teacher} takes patches whose side is a multiple of {multiple}")
        self.network = weights.network.requires_grad_(False).to(device, memory_format=torch.channels_last)

    @torch.no_grad()
    def answer(self, mosaic: torch.Tensor, masks: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        with torch.autocast(self.kind, self.dtype, enabled=self.dtype is not None):
            told = [noise] if self.network.takes_noise else []
            return self.network(mosaic, masks, *told).float()

    def __call__(self, inputs: tuple, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        return self.criterion(output, self.answer(*inputs))[0]

    def state_dict(self) -> dict:
        """Nothing: its file stays, and TrainState compares its hash."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass


def _sides(config: TrainConfig) -> list[int]:
    return [side for side in (config.data.patch_px, config.data.first_patch_px) if side]

"""What a training run carries from step to step, and keeps between processes."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
from torch import nn

from lincfa.checkpoint import BEST, STATE, find_weights, load_state, load_weights, save_state, save_weights
from lincfa.config import difference, to_dict
from lincfa.models import build
from lincfa.models.growth import grow
from lincfa.models.symmetry import Symmetry
from lincfa.optim import optimizer_of
from lincfa.provenance import git_commit
from lincfa.raw import file_sha256
from lincfa.terms import extra_terms
from lincfa.trainconfig import TrainConfig, TrainingError, config_now

FREE_TO_CHANGE = {"device", "workers", "save_every_s", "data.folder"}
"""Settings that a resumed run may change: they do not decide what is learnt. A moved dataset is known by its hash."""


class TrainState:
    """All that changes while training, on its way to and from state.pt."""

    def __init__(self, config: TrainConfig, device: str, root: Path, data_sha256: str):
        self.config, self.device = config, device
        self.folder = root / "checkpoints" / config.checkpoint_folder
        torch.manual_seed(config.seed)
        self.network = build(**config.model)
        if self.network.cfa is not None and config.data.augment.phases:
            raise TrainingError(f"the network {config.model} takes one phase: set data.augment.phases=false")
        self.symmetry = self._symmetry() if config.symmetric else None
        begun = (self.folder / STATE).exists()
        self.start_sha256 = None  # of the file that start_from was read from
        if config.start_from and not begun:
            self._start_from(find_weights(config.start_from, root))
        layout = torch.channels_last if config.channels_last else torch.contiguous_format
        self.network.to(device, memory_format=layout)
        self._frozen_modules = self._freeze(config.frozen)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimizer = optimizer_of(self.network, config.optim)
        if config.optim.muon and config.precision == "fp16":
            raise TrainingError("optim.muon is for fp32 and bf16: fp16's scaler does not see its gradients")
        self.scaler = torch.amp.GradScaler(device.split(":")[0], enabled=config.precision == "fp16")
        self.terms = extra_terms(config, self.network, device, root)
        self.images, self.seconds, self.best = 0, 0.0, {"psnr_linear_db": -math.inf, "images": 0}
        self.commits = [git_commit() or "no repository"]
        self.identity = {"config": to_dict(config), "data_sha256": data_sha256}
        if config.teacher:
            self.identity["teacher_sha256"] = file_sha256(find_weights(config.teacher, root))
        if begun:
            self._resume(load_state(self.folder / STATE))

    def _start_from(self, path: Path) -> None:
        start = load_weights(path).network
        try:
            grow(self.network, start)
            if self.symmetry:
                self.symmetry.check()
        except ValueError as error:
            raise TrainingError(f"{path}: its network is not the {self.config.model} to be trained: {error}") from error
        self.start_sha256 = file_sha256(path)

    def _symmetry(self) -> Symmetry:
        try:
            symmetry = Symmetry(self.network)
        except ValueError as error:
            raise TrainingError(f"{self.config.name}: {error}") from error
        symmetry.begin()
        return symmetry

    def _freeze(self, beginnings: tuple[str, ...]) -> list[nn.Module]:
        """The parts of the network that are left without anything to train."""
        names = [name for name, _ in self.network.named_parameters()]
        for beginning in beginnings:
            if not any(name.startswith(beginning) for name in names):
                raise TrainingError(
                    f"frozen: no weight's name begins with {beginning!r}; there are: {', '.join(names)}"
                )
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(not name.startswith(beginnings))
        if not any(p.requires_grad for p in self.network.parameters()):
            raise TrainingError("frozen leaves nothing to train")
        with_weights = [(module, list(module.parameters())) for module in self.network.modules()]
        return [module for module, own in with_weights if own and not any(p.requires_grad for p in own)]

    def _resume(self, state: dict) -> None:
        """A run that is older than a setting has its default."""
        before = to_dict(config_now(state["identity"]["config"]))
        changed = difference(state["identity"] | {"config": before}, self.identity)
        changed = {k: v for k, v in changed.items() if k.removeprefix("config.") not in FREE_TO_CHANGE}
        if changed:
            text = "; ".join(f"{k.removeprefix('config.')}: {a} -> {b}" for k, (a, b) in changed.items())
            raise TrainingError(f"{self.folder} holds a run with other settings ({text}); give another name")
        shapes = {name: tensor.shape for name, tensor in self.network.state_dict().items()}
        earlier = any(
            state["network"][name].shape != shape for name, shape in shapes.items() if name in state["network"]
        )
        if earlier and state["images"] < self.config.images:
            raise TrainingError(f"{self.folder} holds a run of an earlier form of this network; give another name")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        for name, term in self.terms.items():
            term.load_state_dict(state["terms"][name])
        self.images, self.seconds, self.best = state["images"], state["seconds"], state["best"]
        self.commits = list(dict.fromkeys(state["commits"] + self.commits))
        self.start_sha256 = state.get("start_sha256")  # which an older run has not kept

    def save(self) -> None:
        parts = ("network", "average", "optimizer", "scaler")
        state = {name: getattr(self, name).state_dict() for name in parts}
        facts = {"images": self.images, "seconds": self.seconds, "best": self.best, "identity": self.identity}
        facts |= {"commits": self.commits, "start_sha256": self.start_sha256}
        facts["terms"] = {name: term.state_dict() for name, term in self.terms.items()}
        save_state(self.folder / STATE, state | facts)

    def train_mode(self) -> None:
        """Of the network, but not of its frozen parts: batch normalisation there keeps its statistics."""
        self.network.train()
        for module in self._frozen_modules:
            module.eval()

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of weights and buffers, counted in images (Karras et al. 2024, EDM2)."""
        halflife = min(self.config.optim.ema_halflife_images, self.images / 10)
        keep = 0.5 ** (self.config.batch / max(halflife, 1e-9))
        for mean, now in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
            mean.lerp_(now, 1 - keep) if mean.is_floating_point() else mean.copy_(now)

    def keep_if_best(self, scores: dict) -> bool:
        if scores["psnr_linear_db"] <= self.best["psnr_linear_db"]:
            return False
        self.best = {"psnr_linear_db": scores["psnr_linear_db"], "images": self.images}
        facts = {"images": self.images, "validation": scores, "name": self.config.name}
        facts["commit"] = ", ".join(self.commits)
        facts |= {"data_sha256": self.identity["data_sha256"], "seed": self.config.seed}
        save_weights(self.folder / BEST, self.config.model, self.average.state_dict(), self.config.data.family, facts)
        return True

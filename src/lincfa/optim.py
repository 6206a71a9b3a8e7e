"""The optimizers of training."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import AdamW, Muon

from lincfa.runtime import computes_in_bf16
from lincfa.trainconfig import OptimConfig, TrainingError


def optimizer_of(network: nn.Module, config: OptimConfig) -> AdamW | MuonAndAdamW:
    """For what is to be trained of a network. Raises TrainingError where config.muon names no part of it."""
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    parts = tuple(f"{part}." for part in config.muon)
    # A kernel of each channel alone is no matrix between channels.
    kernels = {name: p for name, p in trained.items() if p.ndim > 1 and p.shape[1] > 1 and name.startswith(parts)}
    if config.muon and not kernels:
        raise TrainingError(f"optim.muon: no kernel is a part of {' or '.join(config.muon)}")
    others = [p for name, p in trained.items() if p.ndim > 1 and name not in kernels]
    vectors = [p for p in trained.values() if p.ndim <= 1]
    groups = [{"params": others, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    adamw = AdamW(groups, lr=config.lr, betas=config.betas)
    return MuonAndAdamW(list(kernels.values()), adamw, config) if kernels else adamw


class MuonAndAdamW:
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) for kernels, AdamW for the other weights.

    Muon's step is its momentum with all singular values set to 1: what the gradient seldom asks for is learnt as fast
    as what it always does. A kernel is the matrix of its outputs by all the inputs that each of them sees. Steps are
    scaled to the size of AdamW's (Liu et al. 2025, arXiv:2502.16982), so that one learning rate serves both. Of
    products of parities (lincfa.models.parity) each has its own.

    With config.parallel_1x1 each kernel learns as the sum of itself and of a 1x1 convolution beside it, as those of
    re-parameterised networks do until they are merged (RepVGG, Ding et al. 2021, arXiv:2101.03697). A sum's gradient is
    that of both, so no branch is needed: the middle of the kernel takes a step of its own besides.

    kernels: parameters of 2 dimensions or more, in channels_last or contiguous memory; they are updated where they lie.
    Used as a torch optimizer is.
    """

    def __init__(self, kernels: list[nn.Parameter], adamw: AdamW, config: OptimConfig) -> None:
        self._kernels, self._adamw = kernels, adamw
        self._matrices = [matrix for kernel in kernels for matrix in _matrices(kernel.detach(), kernel)]
        self._branched = [k for k in kernels if config.parallel_1x1 and k.ndim == 4 and min(k.shape[2:]) > 1]
        self._middles = [_middle(kernel.detach()) for kernel in self._branched]
        if any(_matrices(k.detach(), k)[0].data_ptr() != k.data_ptr() for k in kernels):
            raise ValueError("a kernel lies neither contiguous nor as channels_last in memory")
        # A middle shrinks with its kernel: its own weight decay would be a second one.
        branches = [{"params": self._middles, "weight_decay": 0.0}] if self._middles else []
        groups = [{"params": self._matrices, "weight_decay": config.weight_decay}, *branches]
        self._muon = _Muon(groups, lr=config.lr)
        self.param_groups = self._muon.param_groups + adamw.param_groups

    def step(self) -> None:
        own = iter(self._matrices)
        for kernel in self._kernels:
            for gradient in _matrices(kernel if kernel.grad is None else kernel.grad, kernel):
                next(own).grad = None if kernel.grad is None else gradient
        for middle, kernel in zip(self._middles, self._branched, strict=True):
            middle.grad = None if kernel.grad is None else _middle(kernel.grad)
        self._muon.step()
        self._muon.zero_grad()
        self._adamw.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        for kernel in self._kernels:
            kernel.grad = None
        self._adamw.zero_grad(set_to_none)

    def state_dict(self) -> dict:
        return {"muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self._muon.load_state_dict(state["muon"])
        self._adamw.load_state_dict(state["adamw"])
        self.param_groups = self._muon.param_groups + self._adamw.param_groups


class _Muon(Muon):
    """torch's with steps of AdamW's size, except that its iterations are in float32 where the device has no bfloat16:
    emulated, they took longer than xtrans-l's convolutions."""

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                if matrix not in self.state:
                    self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
                momentum = self.state[matrix]["momentum_buffer"]
                momentum.lerp_(matrix.grad, 1 - group["momentum"])
                update = _orthogonal(matrix.grad.lerp(momentum, group["momentum"]), group)
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-0.2 * group["lr"] * max(matrix.shape) ** 0.5)


def _orthogonal(update: torch.Tensor, group: dict) -> torch.Tensor:
    """The matrix with about the singular vectors of update, and singular values near 1 (Newton and Schulz)."""
    a, b, c = group["ns_coefficients"]
    x = update.bfloat16() if computes_in_bf16(update.device) else update
    x = x / x.norm().clamp_min(group["eps"])
    upright = x.shape[0] > x.shape[1]
    x = x.T if upright else x
    for _ in range(group["ns_steps"]):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if upright else x).to(update.dtype)


def _matrices(values: torch.Tensor, kernel: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """values [out, in, height, width] -> [out, all others], in the order in which the kernel lies in memory; [n, out,
    in], products of n parities -> n of [out, in]. They are views."""
    if values.ndim == 3:
        return values.unbind()
    return ((values if kernel.is_contiguous() else values.movedim(1, -1)).flatten(1),)


def _middle(values: torch.Tensor) -> torch.Tensor:
    """values [out, in, odd, odd] -> [out, in]: a view of what a 1x1 convolution would hold."""
    return values[:, :, values.shape[2] // 2, values.shape[3] // 2]

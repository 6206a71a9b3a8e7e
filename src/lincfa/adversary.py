"""A small network that learns to tell outputs from truth, and what it costs to be told."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn

from lincfa.losses import highpass, perceptual

LEAST_PX = 19
"""Side of the smallest patch: the high-pass takes 4 px off, and 15 px reach one of the discriminator's answers."""


class Adversary:
    """A term of the training loss (see lincfa.terms): how surely a patch discriminator tells outputs from truth.

    The discriminator, 4,145 weights in three convolutions, answers for each area of 15 x 15 px whether it is of the
    truth (1) or of an output (0). It sees the high-pass of perceptually coded values: colour and tone are left to the
    other losses, and shadows count as lights do. Each call first teaches it the given batch, by an Adam of its own, and
    then gives the network's loss, mean (answer - 1)^2 / 2, through which it stays as it is. With several processes its
    gradient is the mean of theirs.
    Source: patches and Adam's settings of Isola et al. 2017 (pix2pix, arXiv:1611.07004), least squares of Mao et al.
    2017 (LSGAN, arXiv:1611.04076).
    """

    def __init__(self, weight: float, device: str):
        self.weight = weight
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(16, 24, 3, stride=2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(24, 1, 3),
        ).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=2e-4, betas=(0.5, 0.999))

    def __call__(self, inputs: tuple, output: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        given, true = highpass(perceptual(output)), highpass(perceptual(truth))
        self._learn(given.detach(), true)
        return (self.network(given) - 1).square().mean() / 2

    def state_dict(self) -> dict:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])

    def _learn(self, given: torch.Tensor, true: torch.Tensor) -> None:
        self.network.requires_grad_(True)
        self.optimizer.zero_grad()
        loss = ((self.network(true) - 1).square().mean() + self.network(given).square().mean()) / 2
        loss.backward()
        if dist.is_initialized():
            for parameter in self.network.parameters():
                dist.all_reduce(parameter.grad)
                parameter.grad /= dist.get_world_size()
        self.optimizer.step()
        self.network.requires_grad_(False)

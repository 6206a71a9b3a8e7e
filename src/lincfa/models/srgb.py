"""Any network, made to work on sRGB-coded values instead of linear ones."""

from __future__ import annotations

import torch
from torch import nn

from lincfa.color import linear_to_srgb, srgb_to_linear


class InSRGB(nn.Module):
    """mosaic -> clip to [0, 1] -> sRGB code -> network -> clip to [0, 1] -> linear: what v3 of this project did.

    From outside it is as any other network: linear in, linear out (see lincfa.models). Highlights are lost by design:
    what is above 1 on the scale of the input, 2.5 stops above middle grey, is cut on the way in and on the way out, and
    what noise puts below black too. Whatever the network promises on exposure ends. An output outside [0, 1] has no
    slope, and so that pixel does not teach the network.
    Parameters have the names of the network's with 'network.' in front.
    Raises ValueError for a network that is told of noise: its strength is that of linear samples.
    Source: the curve of IEC 61966-2-1:1999.
    """

    takes_noise = False

    def __init__(self, network: nn.Module):
        super().__init__()
        if network.takes_noise:
            raise ValueError("a network in sRGB space is not told of noise, which is linear")
        self.network = network
        self.cfa, self.multiple, self.margin = network.cfa, network.multiple, network.margin
        self.tolerates_bf16 = getattr(network, "tolerates_bf16", False)

    def forward(self, mosaic: torch.Tensor, masks: torch.Tensor, inside=None) -> torch.Tensor:
        coded = self.network(linear_to_srgb(mosaic.clamp(0, 1)), masks, inside=inside)
        return srgb_to_linear(coded.clamp(0, 1))

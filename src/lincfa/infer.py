"""A trained network on a whole frame: mosaic [H, W] in, linear camera RGB [H, W, 3] out."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from lincfa.cfa import CFA, batch_masks
from lincfa.models import normalising_gain

BORDER_PX = 16
"""A frame is extended in phase by at least this much, so that no network sees the edge of its own padding."""


class Demosaicer:
    """Runs a network the way it was trained: white balanced, scaled to middle grey, padded and tiled in phase.

    network: see lincfa.models; it is put on the device in eval mode. tile_px: side of the square that is computed at a
    time, without its margin. Tiles overlap by the network's margin, so they give what the whole frame would.
    """

    def __init__(self, network: nn.Module, *, device: str = "cpu", tile_px: int = 768):
        self.network = network.to(device).eval()
        self.device = torch.device(device)
        self.tile_px = -(-tile_px // network.multiple) * network.multiple

    @torch.inference_mode()
    def __call__(self, mosaic: np.ndarray, cfa: CFA, white_balance=(1.0, 1.0, 1.0)) -> np.ndarray:
        """mosaic: [H, W] linear, black = 0, white = 1, unbalanced and unclipped, as RawFrame gives it.
        white_balance: [3] multipliers. Returns [H, W, 3] float32 on the scale of the mosaic, unclipped.
        Raises ValueError for a mosaic that is not 2-D, smaller than a CFA period or not finite, or of another CFA than
        the network's.
        """
        if mosaic.ndim != 2 or not np.isfinite(mosaic).all():
            raise ValueError(f"a mosaic is a finite [H, W] array, not {mosaic.shape} or with NaN")
        white_balance = np.asarray(white_balance, np.float32)
        height, width = mosaic.shape
        balanced = mosaic.astype(np.float32) * cfa.per_photosite(white_balance, height, width)
        gain = np.float32(normalising_gain(float(balanced.mean(dtype=np.float64))))
        multiple = self.network.multiple
        top, left = self._near_border(cfa)
        bottom, right = (
            BORDER_PX + -(n + near + BORDER_PX) % multiple for n, near in zip(mosaic.shape, (top, left), strict=True)
        )
        padded = cfa.pad(balanced * gain, top, bottom, left, right)
        out = self._tiled(padded, cfa.shift(-top, -left))
        return out[top : top + height, left : left + width] / (gain * white_balance)

    def _near_border(self, cfa: CFA) -> tuple[int, int]:
        """The least border at the top and left that brings the CFA into the network's phase."""
        wanted = self.network.cfa
        if wanted is None:
            return BORDER_PX, BORDER_PX
        p, q = wanted.period
        for top in range(BORDER_PX, BORDER_PX + p):
            for left in range(BORDER_PX, BORDER_PX + q):
                if cfa.shift(-top, -left) == wanted:
                    return top, left
        raise ValueError(f"this network is for {wanted.family} mosaics, and not for {cfa.family} ones")

    def _tiled(self, mosaic: np.ndarray, cfa: CFA) -> np.ndarray:
        """Each tile is computed with the frame's own samples around it, up to the network's margin."""
        height, width = mosaic.shape
        margin = self._aligned(self.network.margin)
        out = np.empty((height, width, 3), np.float32)
        for y in range(0, height, self.tile_px):
            for x in range(0, width, self.tile_px):
                y1, x1 = min(y + self.tile_px, height), min(x + self.tile_px, width)
                top, left = max(0, y - margin), max(0, x - margin)
                patch = mosaic[top : y1 + margin, left : x1 + margin]
                rgb = self._network(patch, cfa.shift(top, left))
                out[y:y1, x:x1] = rgb[y - top : y1 - top, x - left : x1 - left]
        return out

    def _network(self, mosaic: np.ndarray, cfa: CFA) -> np.ndarray:
        tensor = torch.from_numpy(np.ascontiguousarray(mosaic)).to(self.device)[None, None]
        masks = batch_masks([cfa], *mosaic.shape, self.device)
        return self.network(tensor, masks)[0].float().permute(1, 2, 0).cpu().numpy()

    def _aligned(self, pixels: int) -> int:
        return -(-pixels // self.network.multiple) * self.network.multiple

"""A trained network on a whole frame: mosaic [H, W] in, linear camera RGB [H, W, 3] out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from lincfa.cfa import CFA, same_phase_indices
from lincfa.checkpoint import load_weights
from lincfa.models import normalising_gain
from lincfa.runtime import computes_in_bf16

BORDER_PX = 16
"""A frame is extended in phase by at least this much; what a network sees beyond is 0."""
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
TILE_BYTES = 250e6
"""Working memory of a tile on the CPU: with twice as much, smaller margins save less than the seconds vary."""
LIVE_LAYERS = 4
"""Layers' outputs that are in memory at a time, of the widest."""
FRAME_BYTES = 80
"""Memory per pixel of a tile beside the layers': samples, masks, local means and results, in float32."""
BLOCK_ROWS = 240
"""A pass over the whole frame looks at so many rows at a time."""


class Demosaicer:
    """Runs a network the way it was trained: white balanced, scaled to middle grey, padded and tiled in phase.

    network: see lincfa.models; it is put on the device in eval mode, its weights in channels-last order.
    tile_px: side of the square, without its margin, whose memory a tile may take; None for what suits the device. A
    tile is computed with the frame's own samples around it, as far as they reach it, and so gives what the whole frame
    would: there is nothing to blend at its edges.
    precision: of the convolutions: 'fp32', 'bf16' (half the time on processors that have it), 'fp16' (for GPUs;
    overflows where a dark frame has very bright spots), or 'auto': bf16 where the device computes with it and the
    network says that it does not mind (`tolerates_bf16`), else fp32, with compiled convolutions on the CPU
    (lincfa.models.cpu). What the network adds in front of and after its convolutions is float32 always.
    keep_samples: the output has the mosaic's own values at its photosites; otherwise all three colours are estimated.

    Memory is the mosaic's, the output's and a tile's. Calls from several threads do not disturb each other.
    Raises ValueError for an unknown precision.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: str = "cpu",
        tile_px: int | None = None,
        precision: str = "auto",
        keep_samples: bool = False,
    ):
        self.network = network.to(device, memory_format=torch.channels_last).eval()
        self.device = torch.device(device)
        self.precision = pick_precision(precision, self.device, network)
        if self.device.type == "cpu" and self.precision == "fp32":
            from lincfa.models.cpu import for_cpu  # not above: its compiler takes a second to load

            self.network = for_cpu(self.network)
        self.keep_samples = keep_samples
        self.tile_px = tile_px or self._tile_that_fits()

    @classmethod
    def released(cls, name: str, **options) -> Demosaicer:
        """A released model by its name, or weights by their path; options: as above. Raises CheckpointError."""
        return cls(load_weights(name).network, **options)

    @torch.inference_mode()
    def __call__(
        self,
        mosaic: np.ndarray,
        cfa: CFA,
        white_balance=(1.0, 1.0, 1.0),
        *,
        noise: tuple[float, float] = (0.0, 0.0),
        strength: float = 1.0,
        progress: Callable[[int, int], object] = lambda done, total: None,
    ) -> np.ndarray:
        """mosaic: [H, W] linear, black = 0, white = 1, unbalanced and unclipped, as RawFrame gives it.
        white_balance: [3] multipliers. noise: (read, shot) of the mosaic: its variance is read^2 + shot x signal.
        strength: share of it, 0 to 1, that a network which is told of noise (`takes_noise`) is to take for noise.
        progress(done, total) is called after each tile.
        Returns [H, W, 3] float32 on the scale of the mosaic, unclipped.
        Raises ValueError for a mosaic that is not 2-D, smaller than a CFA period or not finite, or of another CFA than
        the network's, for multipliers that are not positive, and for noise that the network is not told of.
        """
        if mosaic.ndim != 2:
            raise ValueError(f"a mosaic is a finite [H, W] array, not {mosaic.shape}")
        white_balance = np.asarray(white_balance, np.float32)
        if white_balance.shape != (3,) or not (np.isfinite(white_balance) & (white_balance > 0)).all():
            raise ValueError(f"a white balance is three positive multipliers, not {white_balance}")
        told = np.array([strength * noise[0], strength**2 * noise[1]], np.float32)
        if told.any() and not self.network.takes_noise:
            raise ValueError("this network is not told of noise, and takes none away")
        if (told < 0).any():
            raise ValueError(f"noise and strength are not negative: {noise}, {strength}")
        gains = white_balance * np.float32(normalising_gain(_balanced_mean(mosaic, cfa, white_balance)))
        near = self._near_border(cfa)
        axes = self._axes(mosaic.shape, near, cfa.period)
        # One period larger than any tile's window, so that a window in any phase is a slice of them.
        side = [max(len(s.source) for s in axis) + p for axis, p in zip(axes, cfa.period, strict=True)]
        padded_cfa = cfa.shift(-near[0], -near[1])
        gain_map = padded_cfa.per_photosite(gains, *side)
        masks = torch.from_numpy(padded_cfa.masks(*side)).to(self.device)
        out = np.empty((*mosaic.shape, 3), np.float32)
        planes, divisors = torch.from_numpy(out).permute(2, 0, 1), torch.from_numpy(gains)[:, None, None]
        for number, (y, x) in enumerate(itertools.product(*axes), 1):
            window = (y.phase, x.phase)
            patch = mosaic[np.ix_(y.source, x.source)].astype(np.float32, copy=False) * gain_map[window]
            inside = (y.inside, x.inside)
            rgb = self._network(patch, masks[:, *window], gains[:, None] * told, inside)[:, *inside]
            torch.div(rgb, divisors, out=planes[:, y.tile, x.tile])
            if self.keep_samples:
                _put_samples(out[y.tile, x.tile], mosaic[y.tile, x.tile], cfa.shift(y.tile.start, x.tile.start))
            progress(number, len(axes[0]) * len(axes[1]))
        return out

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

    def _axes(self, shape: tuple, before: tuple, period: tuple) -> list[list[_Span]]:
        """The tiles along both axes. Columns of tiles are of equal width, and what that leaves of the area goes to the
        rows: fewer margins are computed twice."""
        margins = 2 * self.network.margin
        columns = self._axis(shape[1], before[1], period[1], self.tile_px)
        width = columns[0].tile.stop
        height = max(self.tile_px, (self.tile_px + margins) ** 2 // (width + margins) - margins)
        return [self._axis(shape[0], before[0], period[0], height), columns]

    def _axis(self, size: int, before: int, period: int, most: int) -> list[_Span]:
        """The tiles along one axis, of equal size up to `most`, with their windows on the extended frame."""
        multiple, margin = self.network.multiple, self.network.margin
        source = same_phase_indices(size, before, BORDER_PX + -(size + before + BORDER_PX) % multiple, period)
        step = -(-size // -(-size // most))
        spans = []
        for start in range(0, size, step):
            stop = min(start + step, size)
            first = max(0, (start + before - margin) // multiple * multiple)
            last = -(-(stop + before + margin) // multiple) * multiple  # at most the end, as slices are cut there
            spans.append(
                _Span(
                    tile=slice(start, stop),
                    source=source[first:last],
                    phase=slice(first % period, first % period + len(source[first:last])),
                    inside=slice(start + before - first, stop + before - first),
                )
            )
        return spans

    def _network(self, mosaic: np.ndarray, masks: torch.Tensor, noise: np.ndarray, inside=None) -> torch.Tensor:
        """[H, W], [3, H, W], [3, 2] -> [3, H, W] in the network's phase and scale, on the CPU; only inside if given."""
        dtype = PRECISIONS[self.precision]
        tensor = torch.from_numpy(mosaic).to(self.device)[None, None]
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            told = [torch.from_numpy(noise).to(self.device)[None]] if self.network.takes_noise else []
            rgb = self.network(tensor, masks[None], *told, inside=inside)
        return rgb[0].float().cpu()

    def _tile_that_fits(self) -> int:
        """By what one pixel takes in the network's widest layer, found on a small black mosaic."""
        budget, widest = TILE_BYTES, 0
        if self.device.type == "cuda":
            budget = torch.cuda.mem_get_info(self.device)[0] / 4

        def note(module, inputs, output):
            nonlocal widest
            if isinstance(output, torch.Tensor):
                widest = max(widest, output.nbytes)

        side = 4 * self.network.multiple
        hooks = [module.register_forward_hook(note) for module in self.network.modules() if module is not self.network]
        with torch.inference_mode():
            self._network(
                np.zeros((side, side), np.float32),
                torch.zeros(3, side, side, device=self.device),
                np.zeros((3, 2), np.float32),
            )
        for hook in hooks:
            hook.remove()
        window = (budget / (FRAME_BYTES + LIVE_LAYERS * widest / side**2)) ** 0.5
        margin = self.network.margin
        return int(max(window - 2 * margin, margin, self.network.multiple))


@dataclass(frozen=True)
class _Span:
    """A tile along one axis. tile: its place in the frame. source: the frame's rows (or columns) of its window.
    phase: the window's place in a pattern that begins like the extended frame. inside: the tile's place in the window.
    """

    tile: slice
    source: np.ndarray
    phase: slice
    inside: slice


def pick_precision(name: str, device: torch.device, network: nn.Module) -> str:
    """What 'auto' stands for (see Demosaicer); any other name is itself. Raises ValueError."""
    if name in PRECISIONS:
        return name
    if name != "auto":
        raise ValueError(f"precision is auto, {', '.join(PRECISIONS)}, not {name!r}")
    return "bf16" if getattr(network, "tolerates_bf16", False) and computes_in_bf16(device) else "fp32"


def _balanced_mean(mosaic: np.ndarray, cfa: CFA, white_balance: np.ndarray) -> float:
    """The mean of a mosaic that is white balanced. Raises ValueError where it is not finite."""
    rows = -(-BLOCK_ROWS // cfa.period[0]) * cfa.period[0]
    balance = cfa.per_photosite(white_balance, rows, mosaic.shape[1])
    total = 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        for y in range(0, len(mosaic), rows):
            block = mosaic[y : y + rows]
            total += float((block * balance[: len(block)]).sum(dtype=np.float64))
    if not np.isfinite(total):
        raise ValueError(f"a mosaic is a finite [H, W] array, not {mosaic.shape} with NaN or infinity")
    return total / max(1, mosaic.size)


def _put_samples(rgb: np.ndarray, mosaic: np.ndarray, cfa: CFA) -> None:
    """Set the colour that each photosite sees to its sample."""
    np.put_along_axis(rgb, cfa.color_map(*mosaic.shape)[..., None], mosaic[..., None], axis=2)

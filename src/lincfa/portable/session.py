"""An ONNX file in place of a network: what lincfa.infer.Demosaicer runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import nn

from lincfa.cfa import CFA
from lincfa.portable.graph import MOSAIC, NOISE, OnnxError, to_onnx

SUFFIX = ".onnx"
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "mps": "CoreMLExecutionProvider"}
_NEEDED = {"name", "family", "cfa", "multiple_px", "margin_px", "tile_px", "precision"}


def load_onnx(name: str, *, device: str = "auto") -> OnnxNetwork:
    """An ONNX file by its path (it ends in .onnx), or a network by its name, exported in memory in float32.

    Raises OnnxError, CheckpointError.
    """
    if not name.endswith(SUFFIX):
        return OnnxNetwork(to_onnx(name).SerializeToString(), device=device)
    if not Path(name).is_file():
        raise OnnxError(f"{name}: no such file")
    return OnnxNetwork(name, device=device)


class OnnxNetwork(nn.Module):
    """A graph of lincfa.portable.graph with the attributes and the call of a network (see lincfa.models).

    Its tensors are on the CPU, whatever the graph runs on; masks are not used, for the graph has its own.

    content: the file's bytes, or its path. device: 'cpu', 'cuda' (onnxruntime-gpu), 'mps' (Core ML), or 'auto': CUDA
    where onnxruntime has it, else the CPU. It runs on as many threads as torch does.
    Raises OnnxError for a file that onnxruntime does not take or that lincfa did not write, and for a device that
    onnxruntime does not have.
    """

    def __init__(self, content: bytes | str, *, device: str = "auto"):
        super().__init__()
        where = content if isinstance(content, str) else "ONNX"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # its warnings are about how it places nodes
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=providers(device))
        except Exception as error:  # of onnxruntime's own kinds, which have no base
            raise OnnxError(f"{where}: {' '.join(str(error).split())}") from error
        facts = self._session.get_modelmeta().custom_metadata_map
        if not facts.keys() >= _NEEDED:
            raise OnnxError(f"{where}: not an ONNX file that lincfa wrote: its metadata do not say what it takes")
        self.name, self.family, self.precision = (facts[key] for key in ("name", "family", "precision"))
        self.cfa = CFA.parse(facts["cfa"])
        self.multiple, self.margin, self.tile_px = (int(facts[k]) for k in ("multiple_px", "margin_px", "tile_px"))
        self.takes_noise = NOISE in {entry.name for entry in self._session.get_inputs()}

    @property
    def label(self) -> str:
        return self.name if self.precision == "fp32" else f"{self.name} ({self.precision})"

    def forward(
        self, mosaic: torch.Tensor, masks: torch.Tensor, noise: torch.Tensor | None = None, inside=None
    ) -> torch.Tensor:
        inputs = {MOSAIC: mosaic.numpy()}
        if self.takes_noise:
            inputs[NOISE] = np.zeros((1, 3, 2), np.float32) if noise is None else noise.numpy()
        return torch.from_numpy(self._session.run(None, inputs)[0])


def providers(device: str) -> list[str]:
    there = onnxruntime.get_available_providers()
    if device == "auto":
        return [p for p in (PROVIDERS["cuda"], PROVIDERS["cpu"]) if p in there]
    if PROVIDERS[device] not in there:
        raise OnnxError(f"--device {device}: onnxruntime has no {PROVIDERS[device]} here")
    return [PROVIDERS[device]] if device == "cpu" else [PROVIDERS[device], PROVIDERS["cpu"]]

"""Which device, and which of several processes this is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist


def pick_device(name: str, rank: int = 0) -> str:
    """'auto' is CUDA (one device a process), then MPS, then the CPU; any other name is itself."""
    if name != "auto":
        return name
    if torch.cuda.is_available():
        return f"cuda:{rank % torch.cuda.device_count()}"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def join_group() -> tuple[int, int]:
    """(rank, number of processes): joins the others under torchrun, else (0, 1)."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return 0, 1
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    return dist.get_rank(), dist.get_world_size()


def computes_in_bf16(device: torch.device) -> bool:
    """Whether bfloat16 makes a device faster: processors without it emulate it, ten times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    has = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


@contextmanager
def products_in_bf16() -> Iterator[None]:
    """Matrix products of float32 on the CPU round their factors to bfloat16, where the processor computes in it; their
    sums stay float32. Faster than autocast between layers that have to be float32."""
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    products.fp32_precision = "bf16"
    try:
        yield
    finally:
        products.fp32_precision = before

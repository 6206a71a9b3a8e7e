"""Which device, and which of several processes this is."""

from __future__ import annotations

import os

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

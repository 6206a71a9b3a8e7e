"""Work in bands, a thread each, for what is compiled in `lincfa.models`."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch


def in_bands(count: int, work: Callable[[int, int], object]) -> None:
    """work(first, last) for equal parts of range(count), as many as torch has threads, at the same time."""
    threads = min(torch.get_num_threads(), count)
    edges = [count * n // threads for n in range(threads + 1)]
    pool = _pool(os.getpid(), threads)
    for job in [pool.submit(work, *band) for band in itertools.pairwise(edges)]:
        job.result()


@functools.lru_cache(maxsize=2)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """process: whose threads they are, as a fork has none of its parent's."""
    return ThreadPoolExecutor(threads, "bands")

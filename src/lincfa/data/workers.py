"""Work on many files in processes, where a crash in native code costs one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context


class WorkerCrash(Exception):
    """The process that worked on this item died."""


def map_isolated(function: Callable, items: Iterable, jobs: int) -> Iterator[tuple]:
    """Yield (item, result) as results come, in any order; a result is a WorkerCrash where the process died.

    An exception that function raises is the result of its item. A broken pool does not say which item broke it: the
    few that were under way are tried again, each alone, and the one that breaks its process again is the culprit.
    Each process keeps to one thread: with more, LibRaw's Markesteijn gives a few hundred other pixels now and then.
    """
    waiting = iter(items)
    suspects: list = []
    while True:
        with _one_thread_each(), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            under_way: dict[Future, object] = {}
            broken = False
            while not broken:
                for item in waiting:
                    try:
                        under_way[pool.submit(function, item)] = item
                    except BrokenProcessPool:  # it broke since the last result
                        suspects.append(item)
                        broken = True
                        break
                    if len(under_way) >= jobs:
                        break
                if not under_way:
                    break
                done, _ = wait(under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    item = under_way.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        suspects.append(item)
                        broken = True
                    else:
                        yield item, future.exception() or future.result()
            suspects.extend(under_way.values())
        for item in suspects:
            yield item, _alone(function, item)
        if not broken:
            return
        suspects.clear()


def _alone(function: Callable, item):
    with _one_thread_each(), ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        future = pool.submit(function, item)
        error = future.exception()
        if isinstance(error, BrokenProcessPool):
            return WorkerCrash("the decoder crashed on this file")
        return error or future.result()


@contextmanager
def _one_thread_each():
    """OpenMP reads its number of threads when a new process starts."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before

"""A crash in a worker's native code costs one file."""

import os
import signal

from lincfa.data.workers import WorkerCrash, map_isolated


def work(item):
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    if item == 3:
        raise ValueError("three")
    return item * 10


def test_a_worker_that_dies_costs_its_item_and_no_other():
    results = dict(map_isolated(work, range(6), 2))
    assert isinstance(results.pop(2), WorkerCrash)
    assert str(results.pop(3)) == "three"
    assert results == {item: item * 10 for item in (0, 1, 4, 5)}

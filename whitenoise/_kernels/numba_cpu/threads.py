"""Threads for the kernels: whoever is free takes the next task.

Numba's own parallel loops are not used: they take seconds to compile, and their threading layers
end the process when they are entered from two threads at once or after a fork.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .jit import kernel

__all__ = ["claim", "finish", "run", "thread_count"]

_WORTHWHILE = 2**14  # entries per thread; below, handing over takes longer than the work

Phase = tuple[Callable[..., None], int, tuple[Any, ...]]


@intrinsic
def _fetch_and_add(typingctx: Any, counters: Any, index: Any) -> Any:
    """Add 1 to a counter and return what it was, as one step among threads."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.gep(start, [arguments[1]])
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(counters, index), generate


@kernel
def claim(counters: Any) -> Any:
    """Take the next task; past the last one when there are none left."""
    return _fetch_and_add(counters, np.int64(0))


@kernel
def finish(counters: Any) -> None:
    """Count a task as done."""
    _fetch_and_add(counters, np.int64(1))


def thread_count() -> int:
    """Threads to use: NUMBA_NUM_THREADS, else OMP_NUM_THREADS, else the processors allowed."""
    get = os.environ.get
    stated = _stated(get("NUMBA_NUM_THREADS", ""), get("OMP_NUM_THREADS", ""))
    if stated:
        return stated
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _stated(numba: str, omp: str) -> int:
    """Return the number of threads that the environment asks for, 0 if none."""
    for name, value in (("NUMBA_NUM_THREADS", numba), ("OMP_NUM_THREADS", omp)):
        first = value.partition(",")[0].strip()
        if first:
            if not first.isdecimal() or int(first) < 1:
                raise ValueError(f"{name} must be a number of at least 1, got {value!r}")
            return int(first)
    return 0


def run(phases: Sequence[Phase], entries: int) -> None:
    """Run phases one after the other, the tasks of each in parallel.

    Parameters
    ----------
    phases
        Each a kernel, how many tasks it has, and its arguments. A kernel is called with counters
        and the number of tasks before the arguments; it claims tasks and marks them as finished.
    entries
        Array entries that a phase goes through: decides how many threads are worthwhile.
    """
    counters = np.zeros((len(phases), 2), np.int64)
    threads = min(thread_count(), max(1, entries // _WORTHWHILE))
    if threads > 1:
        pool = _pool(os.getpid(), threads - 1)
        for _ in range(threads - 1):
            # Nobody waits for a helper: one that comes late finds nothing left to claim.
            pool.submit(_take_part, phases, counters)
    _take_part(phases, counters)


def _take_part(phases: Sequence[Phase], counters: Any) -> None:
    for (function, tasks, arguments), counter in zip(phases, counters, strict=True):
        function(counter, tasks, *arguments)
        while counter[1] < tasks:  # another thread has the last tasks in hand
            time.sleep(0)


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Threads that wait for work; a forked process gets its own."""
    return ThreadPoolExecutor(workers, thread_name_prefix=f"whitenoise-{process}")

"""Compiling the kernels beside the caller, who goes on with the generic implementation meanwhile.

Compiling takes seconds, once for each installation: the result is kept on disk, from where it loads
in a fraction of a second. As the kernels give the same bits as the generic implementation, nobody
can tell from a result which one has made it.
"""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numba.core import errors

from . import phases, transforms
from .doubly_sorted import make_work
from .lanes import LANES
from .sorting import sorting_network
from .tiles import measure, move

__all__ = ["is_ready"]

_PATIENCE = 1.0  # seconds that a first call waits: loading takes less, compiling more


def is_ready(dtype: np.dtype[Any], *, patience: float | None = 0.0) -> bool:
    """Whether the kernels for `dtype` are compiled; the first call starts that, and waits a bit.

    Every call waits for `patience` seconds, or without end if that is None.
    """
    compiling, first = _compiling(os.getpid(), dtype.name)
    if not compiling.done():
        wait([compiling], _PATIENCE if first and patience is not None else patience)
    if not compiling.done():
        return False
    compiling.result()  # raises what went wrong
    return True


_starting = Lock()
_tasks: dict[tuple[int, str], Future[None]] = {}


def _compiling(process: int, dtype: str) -> tuple[Future[None], bool]:
    """Return the task that compiles, and whether it starts with this call."""
    key = process, dtype
    with _starting:
        first = key not in _tasks
        if first:
            _tasks[key] = _compiler(process).submit(_compile, dtype)
        return _tasks[key], first


@cache
def _compiler(process: int) -> ThreadPoolExecutor:
    """One thread, of this process: threads do not survive a fork."""
    return ThreadPoolExecutor(1, thread_name_prefix=f"whitenoise-compiling-{process}")


def _compile(dtype: str) -> None:
    """Call every kernel with no tasks."""
    # With colorama, Numba swaps sys.stdout and sys.stderr while it puts together any message, and
    # back afterwards: from this thread, under the caller's hands, whose own redirection is lost.
    if hasattr(errors, "ColorShell"):
        errors.ColorShell = nullcontext
    x = np.zeros((LANES, 1), dtype)
    work = make_work(x[None], x[None], x.T, x.T)
    top, network, keys = work.row_bits.dtype.type(0), sorting_network(1), (0, 0)
    field, root, yes = x[:, 0], x[0, 0], True
    bits = work.ranked_bits[0]
    for function, arguments in (
        (phases.sort_rows_by_network, (work, network)),
        (phases.rank_columns_by_radix, (work, top)),
        (phases.move_rows, (work, yes)),
        (measure, (x, field, field, root)),
        (move, (x, field, field, field, field, root, yes, x)),
        (transforms.blocks, (x, yes)),
        (transforms.series, (field, 1, 1, yes)),
        (phases.rank_columns_by_network, (work, network)),
        (phases.break_row_ties, (work, 0, keys)),
        (phases.break_column_ties, (work, 0, keys)),
        (phases.reclip_rows, (work, x, 0.0)),
        (phases.rerank_columns, (work, work.rank[0], bits, top)),
        (phases.sort_rows_by_radix, (work, top)),
        (transforms.steps, (x, x, yes)),
    ):
        function(np.zeros(2, np.int64), 0, *arguments)

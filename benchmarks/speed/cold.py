"""What the first call in a fresh process costs, with an empty and a filled cache of kernels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from .record import ROOT, Row

CHILD = """
import json, sys, time
from contextlib import nullcontext

def timed(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result

seconds, wn = timed(lambda: __import__("whitenoise"))
path, size = sys.argv[1], int(sys.argv[2])
import numpy as np
x = np.random.default_rng(0).standard_normal(size, dtype=np.float32)

def call():
    with wn.generic_path() if path == "generic" else nullcontext():
        wn.whiten(x, preset="paper", rng=0)

start = time.perf_counter()
first, second = timed(call)[0], timed(call)[0]
if path != "generic":
    wn.compile_kernels(x)
compiled = time.perf_counter() - start
later = min(timed(call)[0] for _ in range(5))
found = {"import": seconds, "first": first, "second": second}
print(json.dumps({**found, "compiled": compiled, "later": later}))
"""


def cold_starts(fast: str, size: int, repeats: int) -> list[Row]:
    """Times of `import whitenoise` and of the first calls of `paper` on float32 noise.

    Kernels compile beside the first calls, so the row also says how long after the start of the
    first they were there, and what a later call takes. The shortest of `repeats` processes. The
    kernels of `fast` start from an empty cache of Numba each time, and then from the filled one;
    the generic path, which compiles nothing, says how much of a first call goes into the tables of
    bounds.
    """
    rows = [_shortest("numpy generic", "none", [_child("generic", size) for _ in range(repeats)])]
    if fast != "generic":
        empty, filled = [], []
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as cache:
                empty.append(_child(fast, size, cache))
                filled.append(_child(fast, size, cache))
        rows.append(_shortest(f"numpy {fast}", "empty", empty))
        rows.append(_shortest(f"numpy {fast}", "filled", filled))
    return [{"size": size, **row} for row in rows]


def _child(path: str, size: int, cache: str | None = None) -> Row:
    environment = {**os.environ, **({"NUMBA_CACHE_DIR": cache} if cache else {})}
    command = [sys.executable, "-c", CHILD, path, str(size)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def _shortest(path: str, cache: str, runs: list[Row]) -> Row:
    best = {key: min(run[key] for run in runs) for key in runs[0]}
    return {"path": path, "cache": cache, **best}

"""How long `wn.typicality` takes, beside a Kolmogorov-Smirnov test of SciPy."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
from scipy import stats
from tqdm import tqdm

import whitenoise as wn
from whitenoise.verify.run import battery

from .record import ROOT
from .tables import grid

SHAPES = ((256,), (4, 32, 32), (65536,), (16, 64, 64), (16, 128, 128), (4194304,))


def best(function, repeats=7):
    """Shortest processor time of a call, in ms: what else the machine does counts less."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def table(shapes=SHAPES) -> list[str]:
    """Markdown table of processor times, which add up over threads: see `on_one_core`."""
    rng = np.random.default_rng(0)
    body = []
    for shape in tqdm(shapes, desc="verification"):
        for dtype in ("float64", "float32"):
            x = rng.standard_normal(shape, dtype=dtype)
            battery.cache_clear()
            first = best(lambda x=x: wn.typicality(x), repeats=1)
            again = best(lambda x=x: wn.typicality(x))
            kolmogorov = best(lambda x=x: stats.kstest(x.ravel(), "norm"))
            times = [f"{first:.0f} ms", f"{again:.1f} ms", f"{kolmogorov:.1f} ms"]
            body.append(["x".join(map(str, shape)), dtype, *times, f"{again / kolmogorov:.1f}"])
    head = ["shape", "dtype", "first array of the shape", "every other", "KS test", "ratio"]
    return grid(head, body, left=2)


def on_one_core(shapes=SHAPES) -> list[str]:
    """Return the table for the first shapes as a process makes it that has one thread."""
    command = [sys.executable, "-m", "benchmarks.speed.verification", str(len(shapes))]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=os.environ | one, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout.splitlines()


if __name__ == "__main__":
    print("\n".join(table(SHAPES[: int(sys.argv[1])])))

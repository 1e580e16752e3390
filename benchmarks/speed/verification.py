"""How long `wn.typicality` takes, beside a Kolmogorov-Smirnov test of SciPy."""

from __future__ import annotations

import time

import numpy as np
from scipy import stats
from tqdm import tqdm

import whitenoise as wn
from whitenoise.verify.run import battery

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
    """Markdown table of processor times; set OMP_NUM_THREADS=1 for one core."""
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

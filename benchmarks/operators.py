"""Time the operators on Gaussian and structured input, on the generic NumPy path.

python -m benchmarks.operators
"""

from __future__ import annotations

import time
from functools import partial

import numpy as np
from tqdm import tqdm

import whitenoise as wn

SHAPES = {"SD 4x64x64": (4, 64, 64), "FLUX 16x64x64": (16, 64, 64)}
REPEATS = 5


def seconds(call):
    """Median time of a call, after one to warm the caches."""
    call()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    rng = np.random.default_rng(0)
    lines = [
        "| operator | shape | noise, ms | structured, ms |",
        "|---|---|---:|---:|",
    ]
    for label, shape in tqdm(SHAPES.items()):
        noise = rng.standard_normal(shape).astype(np.float32)
        steps = np.arange(noise.size, dtype=np.float32).reshape(shape)
        structured = np.sin(steps * np.float32(0.01)) + 0.1 * noise
        operators = {
            "global": lambda x: wn.project_global(x),
            "1OS": lambda x: wn.project_1os(x, rng=0),
            "2OS, chunk 16": lambda x: wn.project_2os(x, 16, rng=0, exchanges=0),
            "2OS, chunk 64": lambda x: wn.project_2os(x, 64, rng=0, exchanges=0),
            "tiles of 16": lambda x: wn.project_tiles(x, 16, chunk_size=16, rng=0),
            "WGNC": lambda x: wn.baselines.wgnc(x, rng=0),
            "paper": partial(wn.Whitener(shape, preset="paper"), rng=0),
            "default": partial(wn.Whitener(shape), rng=0),
        }
        for name, operator in operators.items():
            times = [seconds(lambda x=x, f=operator: f(x)) for x in (noise, structured)]
            lines.append(f"| {name} | {label} | {times[0] * 1e3:.1f} | {times[1] * 1e3:.1f} |")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""How long `wn.typicality` takes, beside a Kolmogorov-Smirnov test of SciPy.

python -m benchmarks.speed     # a minute; set OMP_NUM_THREADS=1 for one core
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from scipy import stats

import whitenoise as wn
from whitenoise.verify.run import battery

SHAPES = ((256,), (4, 32, 32), (65536,), (16, 64, 64), (16, 128, 128), (4194304,))
TABLE = Path(__file__).parent.parent / "docs" / "_tables" / "speed.md"


def best(function, repeats=7):
    """Shortest processor time of a call, in ms: what else the machine does counts less."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def main() -> None:
    rng = np.random.default_rng(0)
    lines = [
        "| shape | dtype | first array of the shape | every other | KS test | ratio |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for shape in SHAPES:
        for dtype in ("float64", "float32"):
            x = rng.standard_normal(shape, dtype=dtype)
            battery.cache_clear()
            first = best(lambda x=x: wn.typicality(x), repeats=1)
            again = best(lambda x=x: wn.typicality(x))
            kolmogorov = best(lambda x=x: stats.kstest(x.ravel(), "norm"))
            lines.append(
                f"| {'x'.join(map(str, shape))} | {dtype} | {first:.0f} ms | {again:.1f} ms | "
                f"{kolmogorov:.1f} ms | {again / kolmogorov:.1f} |"
            )
            print(lines[-1], flush=True)
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

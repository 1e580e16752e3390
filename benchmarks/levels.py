"""How often `wn.typicality` rejects true noise.

python -m benchmarks.levels                          # all shapes and dtypes, hours on two cores
python -m benchmarks.levels --size 256 --draws 20000
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import ml_dtypes
import numpy as np
from tqdm import tqdm

import whitenoise as wn

SHAPES = ((256,), (4, 8, 8), (4096,), (4, 32, 32), (65536,), (16, 64, 64))
DTYPES = ("float64", "float32", "bfloat16")
LEVELS = (0.05, 0.01, 0.001)
TABLE = Path(__file__).parent.parent / "docs" / "_tables" / "levels.md"
SEED = 3


def noise(rng, shape, dtype):
    """Standard normal values of a dtype; bfloat16 as declared values in float32."""
    if dtype == "bfloat16":
        return rng.standard_normal(shape).astype(ml_dtypes.bfloat16).astype(np.float32)
    return rng.standard_normal(shape, dtype=dtype)


def pvalues(shape, dtype, draws, part):
    """p-values of `draws` arrays; the part numbers their seed."""
    rng = np.random.default_rng((SEED, part, len(shape), *shape, DTYPES.index(dtype)))
    size = int(np.prod(shape))
    step = max(2**18 // size, 1)
    found = []
    for start in range(0, draws, step):
        x = noise(rng, (min(step, draws - start), *shape), dtype)
        axis = tuple(range(1, x.ndim))
        found.append(wn.typicality(x, axis, dtype=dtype).pvalues)
    return shape, dtype, np.concatenate(found)


def row(shape, dtype, p):
    """One line of the table: rates, and their distance from nominal in standard errors."""
    cells = []
    for level in LEVELS:
        count = int(np.sum(p <= level))
        off = (count - p.size * level) / np.sqrt(p.size * level * (1 - level))
        cells.append(f"{count / p.size:.5f} ({off:+.1f})")
    name = "x".join(map(str, shape))
    return f"| {name} | {dtype} | {p.size:,} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=20_000, help="for each shape and dtype")
    parser.add_argument("--size", type=int, help="only shapes of this many values")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    shapes = [s for s in SHAPES if arguments.size in (None, int(np.prod(s)))]
    part = 500
    tasks = [
        (shape, dtype, min(part, arguments.draws - start), start)
        for size in sorted({int(np.prod(s)) for s in shapes})
        for start in range(0, arguments.draws, part)
        for shape in shapes
        if int(np.prod(shape)) == size
        for dtype in DTYPES
    ]
    found = {(shape, dtype): {} for shape in shapes for dtype in DTYPES}
    with ProcessPoolExecutor(arguments.jobs) as pool:
        running = {pool.submit(pvalues, *task): task for task in tasks}
        for done in tqdm(as_completed(running), total=len(tasks), unit=f" x {part} draws"):
            shape, dtype, p = done.result()
            found[shape, dtype][running[done][3]] = p
            lines = [
                "| shape | dtype | draws | at 0.05 | at 0.01 | at 0.001 |",
                "|---|---|---:|---:|---:|---:|",
            ]
            for (name, kind), parts in found.items():
                if parts:
                    joined = np.concatenate([parts[k] for k in sorted(parts)])
                    lines.append(row(name, kind, joined))
            arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

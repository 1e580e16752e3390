"""Joint coverage of simultaneous two-level sets, simulated for shapes not used in the fit.

python -m benchmarks.coverage [--draws 20000] [--out docs/_tables/coverage.md]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from whitenoise.order_statistics import two_level_interval

SHAPES = ((3, 3), (3, 40), (10, 6), (24, 96), (100, 12), (150, 3), (700, 48), (6000, 16))
LEVELS = (0.5, 0.9, 0.99)


def coverage(shape, draws, rng):
    """Share of draws inside the table, for each level."""
    tables = [two_level_interval(*shape, level, simultaneous=True) for level in LEVELS]
    inside = np.zeros(len(LEVELS))
    for _ in range(draws):
        matrix = rng.standard_normal(shape)
        matrix.sort(axis=1)
        matrix.sort(axis=0)
        inside += [((matrix >= low) & (matrix <= high)).all() for low, high in tables]
    return inside / draws


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/_tables/coverage.md"))
    arguments = parser.parse_args()
    lines = [
        "| chunks x chunk size | draws | " + " | ".join(f"nominal {x}" for x in LEVELS) + " |",
        "|---|---:|" + "---:|" * len(LEVELS),
    ]
    for shape in tqdm(SHAPES):
        # Large shapes get fewer draws, at least the 2,000 that the tests use.
        draws = max(2000, min(arguments.draws, 2**27 // (shape[0] * shape[1])))
        rng = np.random.default_rng((arguments.seed, *shape))
        found = coverage(shape, draws, rng)
        errors = np.sqrt(found * (1 - found) / draws)
        cells = " | ".join(f"{p:.4f} ± {e:.4f}" for p, e in zip(found, errors, strict=True))
        lines.append(f"| {shape[0]} x {shape[1]} | {draws:,} | {cells} |")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""Rare events under `wn.typicality`: is a p-value of one in a billion what it says?

python -m benchmarks.rare_levels                       # twelve minutes on one core
python -m benchmarks.rare_levels --scale 0.1           # a quick look
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .splitting import split
from .study import battery_of, tail_ratio, union
from .tables import by_statistic, exact, whole

DRAWS = {64: 16_000, 256: 16_000, 1024: 6000, 4096: 2500}
"""Draws for each statistic and level, by number of values."""
ALONE = (1e-3, 1e-6, 1e-9)
REPORTS = {(64,): 10_000, (256,): 12_000, (4, 8, 8): 12_000, (4, 16, 16): 6000, (4096,): 3000}
TOGETHER = (1e-3, 1e-4, 1e-6, 1e-9)
SPLITS = ((256,), (4, 8, 8))
PARTICLES, REPEATS = 1000, 5
TABLE = Path(__file__).parents[2] / "docs" / "_tables" / "rare_levels.md"


def cases(size):
    """Statistics whose law is not exact, or not that of what is tested: shape, family, name."""
    line, side = (size,), int((size // 4) ** 0.5)
    lags = battery_of(line, "autocorrelation").families[0].lags
    counts = [name for _, name in battery_of(line, "marginal").shares() if "counts" in name]
    found = [(line, "marginal", name) for name in ("third", "fourth", "modulus", *counts)]
    found += [(line, "spectrum", f"{law} of frequencies") for law in ("flatness", "concentration")]
    found += [((4, size // 4), "rank", "determinant of slices of axis 0")]
    found += [((3, size // 3), "autocorrelation", "autocorrelation at lag (1, 0)")]
    orders = [f"lags of order {m}" if m < 17 else "all lags" for m in lags.orders]
    found += [(line, "autocorrelation", f"largest autocorrelation of {which}") for which in orders]
    for which in ("lag 1", "near lags"):
        found += [(line, "autocorrelation", f"autocorrelation at {which}")]
    if side >= 8:
        for what in ("energies", "largest of energies"):
            found += [((4, side, side), "spectrum", f"{what} of 2-D directions")]
    return found


def alone(scale, rng):
    """Ratios of every case at every level."""
    tasks = [(size, case) for size in DRAWS for case in cases(size)]
    found = {}
    for size, (shape, family, name) in tqdm(tasks, desc="statistics"):
        draws = max(round(scale * DRAWS[size]), 100)
        found[name, shape] = {
            level: tail_ratio(shape, (family, name), level, draws, rng) for level in ALONE
        }
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of draws")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=TABLE)
    arguments = parser.parse_args()
    scale, rng = arguments.scale, np.random.default_rng(arguments.seed)
    unions = [
        union(shape, level, round(scale * draws), rng)
        for shape, draws in tqdm(REPORTS.items(), desc="reports")
        for level in TOGETHER
    ]
    repeats = max(round(scale * REPEATS), 2)
    splits = {shape: split(shape, PARTICLES, repeats, rng) for shape in tqdm(SPLITS, desc="splits")}
    parts = [whole(unions, splits), exact(unions), by_statistic(alone(scale, rng))]
    text = "\n\n".join("\n".join(lines) for lines in parts) + "\n"
    arguments.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

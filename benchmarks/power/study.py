"""p-values of every test on every alternative, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

import whitenoise as wn

from .alternative import STRENGTHS, Alternative, FloatArray
from .peers import BATTERIES, PEERS, smallest

SHAPES = {4096: (4, 32, 32), 16384: (4, 64, 64)}
LEVELS = (0.05, 1e-3, 1e-6)
OURS = "typicality"
SELECTED = "best battery"
NOISE_FACTOR = 20  # draws of noise for each draw of an alternative


@dataclass(frozen=True)
class Study:
    """p-values of all tests at one size."""

    size: int
    bank: list[Alternative]
    pvalues: dict[str, FloatArray]
    """For each test, shape (alternatives, strengths, draws)."""
    noise: dict[str, FloatArray]
    """For each test, p-values on true noise."""
    loudest: list[list[str]]
    """For each alternative and strength, the family that speaks loudest."""
    selected: tuple[str, ...]
    """Single tests of the best battery."""

    @property
    def draws(self) -> int:
        """Draws for each alternative and strength."""
        return self.pvalues[OURS].shape[-1]

    def power(self, test: str, level: float) -> FloatArray:
        """Rejection rate, shape (alternatives, strengths)."""
        return np.mean(self.pvalues[test] <= level, axis=-1)

    def mean_power(self, test: str, level: float) -> float:
        """Power averaged over the bank."""
        return float(self.power(test, level).mean())

    def best_single(self, level: float) -> str:
        """Single test with the highest mean power."""
        return max(PEERS, key=lambda test: self.mean_power(test, level))

    def kinds(self) -> dict[str, list[int]]:
        """Rows of each kind of alternative."""
        result: dict[str, list[int]] = {}
        for row, one in enumerate(self.bank):
            result.setdefault(one.kind, []).append(row)
        return result


def all_pvalues(x):
    """p-values of every test on arrays (B, C, H, W), and the family that speaks loudest."""
    report = wn.typicality(x, axis=(1, 2, 3))
    pvalues = {OURS: report.pvalues} | {name: test(x) for name, test in PEERS.items()}
    for name, members in BATTERIES.items():
        pvalues[name] = smallest(np.array([pvalues[member] for member in members]))
    return pvalues, report.worst.family


def gather(parts):
    """Dictionaries of arrays as one dictionary of arrays with one axis more."""
    return {name: np.stack([part[name] for part in parts]) for name in parts[0]}


def best_battery(pvalues, level):
    """Add to a Bonferroni battery, one by one, the single test that raises mean power most."""
    chosen, best = [], 0.0
    while True:
        found = {}
        for name in set(PEERS) - set(chosen):
            joined = smallest(np.array([pvalues[member] for member in [*chosen, name]]))
            found[name] = np.mean(joined <= level)
        name = max(sorted(found), key=found.get, default=None)
        if name is None or found[name] <= best:
            return tuple(chosen)
        chosen.append(name)
        best = found[name]


def run(bank, size, draws, seed):
    """Test every alternative at every strength, and noise."""
    shape = SHAPES[size]
    cells, loudest, noise = [], [], []
    rng = np.random.default_rng((seed, size))
    with tqdm(total=len(bank) * len(STRENGTHS) + NOISE_FACTOR, desc=f"N = {size}") as bar:
        for _ in range(NOISE_FACTOR):
            noise.append(all_pvalues(rng.standard_normal((draws, *shape)))[0])
            bar.update()
        for one in bank:
            for strength in range(len(STRENGTHS)):
                pvalues, family = all_pvalues(one.draws(shape, strength, draws, seed))
                cells.append(pvalues)
                loudest.append(family)
                bar.update()
    rows = len(bank), len(STRENGTHS)
    found = {name: p.reshape(*rows, draws) for name, p in gather(cells).items()}
    noise = {name: p.ravel() for name, p in gather(noise).items()}
    selected = best_battery(found, LEVELS[0])
    for table in (found, noise):
        table[SELECTED] = smallest(np.array([table[name] for name in selected]))
    loudest = [loudest[i : i + rows[1]] for i in range(0, len(loudest), rows[1])]
    return Study(size, bank, found, noise, loudest, selected)

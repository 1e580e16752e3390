"""Run the methods, and compare the law of what they return with the exact one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

import numpy as np
import torch
from tqdm import tqdm

import ntrk
from ntrk.noise import seed_from
from ntrk.worlds import divergence

from .entries import STEPS, Entry, entries
from .world import CASES, turned

CHUNK = 40  # particles, or populations, run in one go
CHECKED = 6  # particles whose perturbations are checked
ALARM = 1e-3
LEAST = 20  # samples below which no divergence is estimated
NULLS = 10  # exact samples that say how much an estimated divergence scatters


@dataclass
class Draws:
    """What the runs of an entry returned: one row a particle, or a population."""

    samples: torch.Tensor
    """Cosine coefficients."""
    rewards: torch.Tensor
    nfe: int = 0
    fallbacks: int = 0
    pvalues: tuple[float, ...] = ()
    cosines: tuple[float, ...] = ()

    def __add__(self, other: Draws) -> Draws:
        return Draws(
            torch.cat([self.samples, other.samples]),
            torch.cat([self.rewards, other.rewards]),
            self.nfe + other.nfe,
            self.fallbacks + other.fallbacks,
            self.pvalues + other.pvalues,
            self.cosines + other.cosines,
        )

    def best_of(self, size: int) -> Draws:
        """Keep the best of each group, and with it what all of them cost."""
        groups = self.rewards[: len(self.rewards) // size * size].reshape(-1, size)
        rows = groups.argmax(1) + size * torch.arange(len(groups))
        return Draws(
            self.samples[rows],
            self.rewards[rows],
            round(self.nfe * groups.numel() / len(self.rewards)),
            self.fallbacks,
            self.pvalues,
            self.cosines,
        )


@dataclass(frozen=True)
class Law:
    """How far samples are from the tilted law: rewards, and divergences in two planes.

    With a divergence stands how much its estimate scatters when the samples are exact.
    """

    samples: int
    reward: float
    error: float
    bias: float
    along: tuple[float, float]
    aside: tuple[float, float]


@dataclass(frozen=True)
class Row:
    """What is known of an entry at one budget."""

    entry: Entry
    budget: int
    law: Law
    nfe: float
    rejected: float
    checked: int
    cosine: float
    fallbacks: int


def run(scale: float = 1.0, jobs: int = 2) -> list[Row]:
    """Run everything; `scale` multiplies the numbers of samples."""
    every = entries(scale)
    tasks = [(i, *chunk) for i, entry in enumerate(every) for chunk in _chunks(entry)]
    parts: list[list[Draws | None]] = [[None for _ in _chunks(entry)] for entry in every]
    with ProcessPoolExecutor(jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        futures = {pool.submit(_work, scale, *task): task for task in tasks}
        for future in tqdm(as_completed(futures), total=len(tasks), desc="exact world"):
            index, number, _ = futures[future]
            parts[index][number] = future.result()
        draws = [sum(rest, first) for first, *rest in parts]
        found = pool.map(_measure, [scale] * len(every), range(len(every)), draws)
        return [
            Row(entry, *one)
            for entry, rows in zip(every, tqdm(found, "divergences", len(every)), strict=True)
            for one in rows
        ]


def _chunks(entry: Entry) -> list[tuple[int, int]]:
    """Number and size of what is run in one go; the perturbations of the first are checked."""
    first = math.ceil(CHECKED / (entry.particles or 1))
    rest = max(entry.samples - first, 0)
    sizes = [first, *[CHUNK] * (rest // CHUNK), rest % CHUNK]
    return list(enumerate(filter(None, sizes)))


def _work(scale: float, index: int, number: int, size: int) -> Draws:
    return draw(entries(scale)[index], size, seed_from(index, number), check=not number)


def draw(entry: Entry, size: int, seed: int, check: bool = False) -> Draws:
    """Run `size` particles, or populations."""
    if entry.particles is None:
        return _draw(entry, size, seed, check)
    chance = np.random.default_rng(seed)
    populations = [_draw(entry, entry.particles, seed_from(seed, i), check) for i in range(size)]
    for one in populations:
        chosen = int(chance.integers(entry.particles))
        one.samples, one.rewards = (e[chosen : chosen + 1] for e in (one.samples, one.rewards))
    return sum(populations[1:], populations[0])


def _draw(entry: Entry, particles: int, seed: int, check: bool) -> Draws:
    world = CASES[entry.case]()
    out = ntrk.sample(
        world.velocity,
        world.shape,
        reward=world.reward,
        method=entry.make(world.temperature),
        steps=STEPS,
        particles=particles,
        seed=seed,
        diffusion=entry.diffusion,
        batch_size=entry.batch,
        check_noise=check,
    )
    cosines = [c for step in out.history for c in step.get("cosine", ())]
    return Draws(
        turned(out.images),
        out.reward.double(),
        out.nfe,
        out.fallbacks,
        tuple(_pvalues(out.history)) if check else (),
        tuple(c for c in cosines if not math.isnan(c)),
    )


def _pvalues(history: list[dict[str, list[float]]]) -> Iterator[float]:
    """The p-values of the perturbations; of methods that sample whole passes, those of the best."""
    if "sigma" in history[0]:
        yield from (p for step in history for p in step.get("pvalue", ()))
        return
    best = np.argmax([step["reward"] for step in history], axis=0)
    yield from (history[number]["pvalue"][i] for i, number in enumerate(best))


def _measure(scale: float, index: int, draws: Draws) -> list[tuple[object, ...]]:
    """Return all of each `Row` but its entry, which cannot be sent between processes."""
    entry = entries(scale)[index]
    rejected = float(np.mean(np.array(draws.pvalues) < ALARM))
    cosine = float(np.mean(draws.cosines)) if draws.cosines else math.nan
    rows = []
    for budget in entry.budgets:
        kept = draws.best_of(max(budget // entry.cost, 1)) if entry.particles is None else draws
        if (count := len(kept.samples)) > 1:
            law = law_of(kept.samples, kept.rewards, entry.case)
            noise = (rejected, len(draws.pvalues), cosine, draws.fallbacks)
            rows.append((budget, law, kept.nfe / count, *noise))
    return rows


def law_of(samples: torch.Tensor, rewards: torch.Tensor, name: str) -> Law:
    world, n = CASES[name](), len(samples)
    mean = float(rewards.mean())
    return Law(
        n,
        mean,
        float(rewards.std()) / math.sqrt(n),
        mean - world.tilted.expected_reward(world.known),
        _divergence(samples, name, "along"),
        _divergence(samples, name, "aside"),
    )


def _divergence(samples: torch.Tensor, name: str, plane: str) -> tuple[float, float]:
    if len(samples) < LEAST:
        return math.nan, math.nan
    world = CASES[name]()
    matrix = getattr(world, plane)
    found = divergence(
        samples @ matrix.T, world.tilted.projected(matrix), torch.Generator().manual_seed(0)
    )
    return found, _scatter(name, plane, len(samples))


@cache
def _scatter(name: str, plane: str, n: int) -> float:
    world, generator = CASES[name](), torch.Generator().manual_seed(1)
    exact = world.tilted.projected(getattr(world, plane))
    return float(
        np.std([divergence(exact.sample(n, generator), exact, generator) for _ in range(NULLS)])
    )

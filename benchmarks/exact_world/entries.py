"""What is run: methods with their parameters, and how many samples of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

import whitenoise as wn
from ntrk.methods import (
    DAS,
    DNO,
    DPS,
    NTRK,
    RBF,
    SVDD,
    TFG,
    Base,
    FKSteering,
    FreeDoM,
    Method,
    PsiSampler,
    ReNO,
)

from .world import CHANNELS, SIZE

STEPS = 25
BUDGETS = (25, 100, 500)
MAIN, WHITENING, DIFFUSION = "main", "whitening", "diffusion"  # the tables

# The strengths at which NTRK's reward is about that of the tilted law.
MATCHED = {"linear": 0.001, "bumps": 0.01, "quadratic": 0.003}

Make = Callable[[float], Method]


@dataclass(frozen=True)
class Entry:
    """A method, and how its particles become returned samples.

    Attributes
    ----------
    case
        A key of `world.CASES`.
    tables
        In which it stands.
    label
        In the tables.
    make
        From the temperature of the tilt to the method.
    samples
        Particles, or populations, that are run.
    budgets
        Evaluations allowed for one returned sample: for each, one row.
    cost
        Evaluations of one particle.
    particles
        If not None, samples are populations of as many, of which one particle, drawn at random, is
        returned. Otherwise particles are independent, and the best of a group is returned, as many
        as the budget allows.
    batch
        Rows that the model sees at once.
    """

    case: str
    tables: tuple[str, ...]
    label: str
    make: Make
    samples: int
    budgets: tuple[int, ...]
    cost: int = STEPS
    particles: int | None = None
    diffusion: str | float = "3t^2"
    batch: int | None = None


@cache
def _whitener(preset: str) -> wn.Whitener:
    return wn.Whitener((CHANNELS, SIZE, SIZE), preset=preset)


def _ntrk(strength: float, operator: str = "default-1") -> Make:
    """NTRK whose whitening runs on NumPy arrays, for which `whitenoise` is faster."""

    def whiten(x: torch.Tensor, rng: object = None) -> torch.Tensor:
        return torch.from_numpy(_whitener(operator)(x.numpy(), rng=rng))

    return lambda _: NTRK(strength, whiten if operator in ("paper", "default-1") else operator)


@cache
def entries(scale: float) -> tuple[Entry, ...]:
    """Return everything that is run; `scale` multiplies the numbers of samples."""
    found = []

    def add(case: str, label: str, make: Make, samples: int, **options: object) -> None:
        options = {"tables": (MAIN,), "budgets": BUDGETS} | options
        found.append(Entry(case, label=label, make=make, samples=round(scale * samples), **options))

    for case in ("linear", "quadratic"):
        both = (MAIN, DIFFUSION) if case == "linear" else (MAIN,)
        three = (MAIN, WHITENING, DIFFUSION) if case == "linear" else (MAIN,)
        add(case, "Base", lambda _: Base(), 600, tables=three)
        add(case, "DPS", lambda tau: DPS(tau), 600, tables=both)
        add(case, "FreeDoM", lambda tau: FreeDoM(tau), 600, cost=41)
        add(case, "TFG", lambda tau: TFG(tau), 600)
        add(case, f"NTRK {MATCHED[case]}", _ntrk(MATCHED[case]), 120, tables=both)
        add(case, "NTRK 0.3", _ntrk(0.3), 80, tables=three[:2])
        add(case, "NTRK 0.1", _ntrk(0.1), 60, tables=three[:2], budgets=BUDGETS[:1])
        add(case, "DPS, τ/20", lambda tau: DPS(tau / 20), 200, budgets=BUDGETS[:1])
        for budget in BUDGETS:
            k, one = budget // STEPS, {"budgets": (budget,)}
            add(case, "DAS", lambda tau: DAS(tau), 100, particles=k, **one)
            if k == 1:
                continue  # the base sampler, or impossible
            add(case, "FK steering", lambda tau: FKSteering(tau), 100, particles=k, **one)
            add(case, "Ψ-Sampler", lambda tau: PsiSampler(tau), 100, particles=k // 2, **one)
            searched = {"cost": budget, "batch": 400} | one
            add(case, "SVDD", lambda _, k=k: SVDD(k), 100, **searched)
            add(case, "RBF", lambda _, k=k: RBF(k), 60, **(searched | {"batch": 1}))
            optimised = {"cost": budget, "batch": 20} | one
            add(case, "DNO", lambda _, k=k: DNO(k), 60, **optimised)
            add(case, "ReNO", lambda _, k=k: ReNO(k), 60, **optimised)
    one = {"budgets": BUDGETS[:1]}
    add("bumps", "Base", lambda _: Base(), 200, **one)
    add("bumps", "DPS", lambda tau: DPS(tau), 200, **one)
    add("bumps", "DPS, τ/20", lambda tau: DPS(tau / 20), 200, **one)
    for strength in (MATCHED["bumps"], 0.1, 0.3):
        add("bumps", f"NTRK {strength}", _ntrk(strength), 60, **one)
    for strength in (0.1, 0.3):
        for operator in ("identity", "sphere", "wgnc", "paper"):
            options = {"tables": (WHITENING,)} | one
            add("linear", f"NTRK {strength}, {operator}", _ntrk(strength, operator), 60, **options)
    matched = MATCHED["linear"]
    for diffusion in ("1-(1-t)^2", 0.7, "ancestral"):
        options = {"tables": (DIFFUSION,), "diffusion": diffusion} | one
        add("linear", "Base", lambda _: Base(), 400, **options)
        add("linear", "DPS", lambda tau: DPS(tau), 400, **options)
        add("linear", f"NTRK {matched}", _ntrk(matched), 60, **options)
    return tuple(found)

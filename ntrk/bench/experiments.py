"""The experiments as data: which methods, with how many particles and steps, on which tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..methods import (
    DAS,
    DNO,
    DPS,
    NTRK,
    RBF,
    SVDD,
    TFG,
    Base,
    BestOfN,
    FKSteering,
    FreeDoM,
    Method,
    PsiSampler,
    ReNO,
)
from .components import Components

__all__ = ["EXPERIMENTS", "Entry", "Experiment", "kernel_of"]

STEPS = 25


@dataclass(frozen=True)
class Entry:
    """A row of a table: a method, and what it may spend.

    Attributes
    ----------
    method
        With its parameters; the main one is replaced by the tuned value unless `fixed`.
    budget
        Evaluations of the model that the row stands for; `nfe` are those expected, at most.
    particles, steps
        As in `ntrk.generate`. The image of the highest target reward is what counts.
    label
        In tables and figures; the method's own if empty.
    paper
        The paper's target reward, by task.
    fixed
        Whether the main parameter is what the experiment varies.
    lora
        Whether the model carries the low-rank adapter that was fine-tuned for the reward.
    diffusion
        As in `ntrk.generate`.
    """

    method: Method
    budget: int
    particles: int = 1
    steps: int = STEPS
    label: str = ""
    paper: Mapping[str, float] = field(default_factory=dict)
    fixed: bool = False
    lora: bool = False
    diffusion: str | None = None

    @property
    def name(self) -> str:
        """What tables call it."""
        return self.label or self.method.label

    @property
    def nfe(self) -> int:
        """Evaluations of the model, at most."""
        return self.particles * self.method.evaluations(self.steps)


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes
    ----------
    name, title
        For the command line, for headings.
    tasks
        Names of those it is made for.
    entries
        Its rows.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    entries: tuple[Entry, ...]

    def within(self, budget: int) -> Experiment:
        """Return the experiment without the rows that may spend more."""
        return replace(self, entries=tuple(e for e in self.entries if e.budget <= budget))


def kernel_of(method: Method) -> Method:
    """Return the method itself, without the choice of its best particle."""
    return method.method if isinstance(method, BestOfN) else method


def _paper(*values: float, tasks: tuple[str, ...] = ("aesthetic", "text")) -> dict[str, float]:
    return dict(zip(tasks, values, strict=False))


_SWEPT = NTRK(whitening="default-1")  # which all experiments but two were made with
_BASE = Entry(Base(), 25, paper=_paper(6.0282, 0.2054))
_NTRK = Entry(_SWEPT, 25, paper=_paper(7.4510, 0.2224))
_BEST_NTRK = Entry(BestOfN(_SWEPT), 500, 20, paper=_paper(7.9656, 0.2327))
_BEST = Entry(BestOfN(), 500, 20, paper=_paper(6.7310, 0.2146))
_DPS = Entry(BestOfN(DPS()), 500, 20, paper=_paper(6.7647, 0.2147))
_SVDD = Entry(SVDD(20), 500, paper=_paper(7.1363, 0.2204))

_AT_100 = (
    Entry(BestOfN(), 100, 4, paper=_paper(6.4694, 0.2103)),
    Entry(BestOfN(DPS()), 100, 4, paper=_paper(6.4773, 0.2105)),
    Entry(BestOfN(FreeDoM()), 100, 3, paper=_paper(6.5196, 0.2099)),  # 123, as the paper counts
    Entry(SVDD(4), 100, paper=_paper(6.5348, 0.2143)),
    Entry(RBF(4), 100, paper=_paper(6.5497, 0.2150)),
    Entry(DAS(), 100, 4, paper=_paper(6.5759, 0.2104)),
    Entry(BestOfN(_SWEPT), 100, 4, paper=_paper(7.7247, 0.2282)),
)
_AT_500 = (
    _BEST,
    _DPS,
    Entry(BestOfN(FreeDoM()), 500, 13, paper=_paper(6.8406, 0.2133)),  # 533, as the paper counts
    _SVDD,
    Entry(RBF(20), 500, paper=_paper(6.9900, 0.2202)),
    Entry(DAS(), 500, 20, paper=_paper(6.9384, 0.2139)),
    Entry(PsiSampler(), 500, 10, paper=_paper(7.0116, 0.2120)),
    _BEST_NTRK,
)
_NOT_IN_PAPER = (
    Entry(BestOfN(TFG()), 100, 4),
    Entry(FKSteering(), 100, 4),
    Entry(PsiSampler(), 100, 2),
    Entry(BestOfN(TFG()), 500, 20),
    Entry(FKSteering(), 500, 20),
)
_SIZES = (  # particles and steps of NTRK, with the paper's two rewards
    (1, 100, 8.0538, 0.2363),
    (2, 50, 7.8454, 0.2317),
    (5, 100, 8.5394, 0.2439),
    (10, 50, 8.2081, 0.2385),
)


def _by_budget(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Sort by budget, NTRK last of each."""
    return tuple(sorted(entries, key=lambda e: (e.budget, isinstance(kernel_of(e.method), NTRK))))


_COUNTS = {"BoN": -2.668, "DPS†": -2.565, "FreeDoM†": -5.210, "SVDD": -1.530, "RBF": -1.796}
_COUNTS |= {"DAS": -2.061, "Ψ-Sampler": -1.426, "NTRK†": -0.045}  # at 1000 evaluations


def _counting() -> Iterable[Entry]:
    yield replace(_BASE, paper={"count": -16.365})
    yield replace(_NTRK, paper={})
    for k in (20, 40):
        methods: list[tuple[Method, int]] = [
            (BestOfN(), k),
            (BestOfN(DPS()), k),
            (BestOfN(FreeDoM()), {20: 13, 40: 25}[k]),
            (SVDD(k), 1),
            (RBF(k), 1),
            (DAS(), k),
            (PsiSampler(), k // 2),
            (BestOfN(_SWEPT), k),
        ]
        for method, particles in methods:
            paper = {"count": _COUNTS[method.label]} if k == 40 else {}
            yield Entry(method, 25 * k, particles, paper=paper)


_STRENGTHS = {0.01: 6.5127, 0.03: 6.7445, 0.05: None, 0.1: 7.1128, 0.2: 7.3265, 0.3: 7.4510}
_STRENGTHS |= {0.5: 7.5892, 0.7: None, 1.0: 7.7571}


def _strengths() -> Iterable[Entry]:
    yield replace(_BASE, label="0 (Base)")
    for strength, value in _STRENGTHS.items():
        paper = {} if value is None else {"aesthetic": value}
        yield Entry(
            replace(_SWEPT, strength=strength), 25, label=f"{strength:g}", paper=paper, fixed=True
        )


def _operators(*rows: tuple[Any, str, float | None]) -> Iterable[Entry]:
    yield _BASE
    for whitening, label, value in rows:
        paper = {} if value is None else {"aesthetic": value}
        yield Entry(NTRK(whitening=whitening), 25, label=label, paper=paper)


_COMPARED = {
    "sphere": "sphere",
    "wgnc": "spectral constraints (WGNC)",
    "paper": "one sweep (paper)",
    "default-1": "swept until converged (default-1)",
    "default": "equal statistics (default)",
}
_CONVERGED = ("default-1", _COMPARED["default-1"], None)


def _equally_aligned() -> Iterable[Entry]:
    """Yield the strengths at which the noise is as near to the gradient as with the default at 1.

    By sqrt(strength) times the mean cosine of an operator in the table of `benchmarks.frontier`.
    """
    yield _BASE
    strengths = (0.30, 0.42, 0.55, 0.56, 1.0)
    for (whitening, label), strength in zip(_COMPARED.items(), strengths, strict=True):
        yield Entry(NTRK(strength, whitening), 25, label=f"{label}, {strength:g}", fixed=True)


def _of_more_steps() -> Iterable[Entry]:
    yield replace(_BASE, budget=100, steps=100, paper={})
    for whitening, label in _COMPARED.items():
        yield Entry(NTRK(1.0, whitening), 100, steps=100, label=label, fixed=True)


def _fine_tuned() -> Iterable[Entry]:
    for lora in (False, True):
        for method in (Base(), DPS(), _SWEPT):
            label = f"{method.label}, fine-tuned model" if lora else ""
            yield Entry(method, 25, lora=lora, label=label)


_OPTIMISED = (Entry(DNO(20), 500, paper={"aesthetic": 6.772}), Entry(ReNO(20), 500))
_NEW = tuple(
    Entry(method, 25 * k, k, label=f"{method.label}, equal statistics")
    for method, k in ((NTRK(), 1), (BestOfN(NTRK()), 4), (BestOfN(NTRK()), 20))
)
_TABLE = (_BASE, *_AT_100, *_AT_500, *_NOT_IN_PAPER, _NTRK, *_NEW)
_GRID = (
    *(_BASE, *_AT_100, *_AT_500, _NTRK),
    *(
        Entry(_SWEPT if k == 1 else BestOfN(_SWEPT), k * n, k, n, paper=_paper(*paper))
        for k, n, *paper in _SIZES
    ),
)

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "table2",
            "Methods at equal numbers of evaluations (Table 2)",
            ("aesthetic", "text"),
            _by_budget((*_TABLE, Entry(Base(), 25, label="Base, ODE", diffusion="ode"))),
        ),
        Experiment(
            "table10",
            "Noise optimisation (Table 10)",
            ("aesthetic",),
            _by_budget((_BASE, *_OPTIMISED, _BEST, _NTRK, _BEST_NTRK)),
        ),
        Experiment("table11", "Counts (Table 11)", ("count",), _by_budget(_counting())),
        Experiment(
            "vlm",
            "Rewards that answer a question: relations and the horizon (Figure 17)",
            ("relation", "horizon"),
            tuple(replace(e, paper={}) for e in (_BASE, _NTRK, _BEST, _DPS, _SVDD, _BEST_NTRK)),
        ),
        Experiment(
            "figure7",
            "Strength of NTRK at 25 evaluations (Figure 7)",
            ("aesthetic", "text"),
            tuple(_strengths()),
        ),
        Experiment(
            "figure13",
            "Components of the whitening operator (Figure 13)",
            ("aesthetic",),
            tuple(
                _operators(
                    (Components(tiles=False, domains=False), "doubly sorted values", 7.3439),
                    (Components(tiles=True, domains=False), "+ tile statistics", 7.4607),
                    ("paper", "+ three more domains (paper)", 7.4510),
                    _CONVERGED,
                )
            ),
        ),
        Experiment(
            "figure14",
            "Whitening operators (Figure 14)",
            ("aesthetic", "text"),
            tuple(
                _operators(
                    ("identity", "identity", 6.2392),
                    ("sphere", "sphere", 7.1036),
                    ("wgnc", "spectral constraints (WGNC)", 7.2096),
                    ("paper", "one sweep (paper)", 7.4510),
                    _CONVERGED,
                    ("default", "equal statistics (default)", None),
                )
            ),
        ),
        Experiment(
            "alignment",
            "Whitening operators at equal alignment",
            ("aesthetic", "text"),
            tuple(_equally_aligned()),
        ),
        Experiment(
            "steps",
            "Whitening operators with four times the steps, strength 1",
            ("aesthetic",),
            tuple(_of_more_steps()),
        ),
        Experiment(
            "section55", "On a fine-tuned model (Section 5.5)", ("text",), tuple(_fine_tuned())
        ),
        Experiment("table14", "Particles and steps (Table 14)", ("aesthetic",), _by_budget(_GRID)),
        Experiment("table15", "Particles and steps (Table 15)", ("text",), _by_budget(_GRID)),
    )
}
"""By name."""

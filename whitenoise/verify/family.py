"""What a family of statistics is, and the two shapes that most statistics have.

A family works in three steps, so that arrays of any backend, batches and streams share one code:

1. `measure` runs on the array's device and returns small float64 arrays, one row for each vector;
2. `summarise` runs on the host and turns rows into what can be added over the blocks of a stream;
3. `judge` turns sums over blocks into statistics with p-values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from .._namespace import Array
from ..reference import FloatArray
from .laws import bonferroni, chi_square_scores, log_two_sided, sidak
from .view import Layout, View

__all__ = [
    "Family",
    "NotEnough",
    "Place",
    "Rows",
    "Statistic",
    "condense",
    "largest",
    "loudest",
    "number",
    "overall",
    "percent",
    "trend",
]

Rows = dict[str, FloatArray]
"""Named host arrays whose first axis counts vectors."""


class NotEnough(Exception):
    """The array is too small, or too coarsely rounded, for a family; the message says why."""


class Place(NamedTuple):
    """Sentence and place of one finding."""

    sentence: str
    where: Mapping[str, Any]


@dataclass(frozen=True)
class Statistic:
    """One test of a family, for all vectors at once."""

    name: str
    weight: float
    """Share of the budget of its family, up to a common factor."""
    log_pvalue: FloatArray
    """Shape (B,)."""
    describe: Callable[[int], Place]
    """Sentence and place for vector `b`."""


class Family:
    """Statistics that look for one kind of structure.

    Parameters
    ----------
    layout
        Shape and dtype of one vector. The constructor plans the work, which is cached by layout.

    Raises
    ------
    NotEnough
        If the family cannot say anything about vectors of this layout.
    """

    name: ClassVar[str]
    share: ClassVar[float]
    """Share of the false-alarm budget, before families that are off give theirs away."""
    keep_loudest: frozenset[str] = frozenset()
    """Keys whose rows are not added over blocks: the one with the smallest first entry stays."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def measure(self, view: View) -> dict[str, Array]:
        """Compute small arrays on the device, first axis counting vectors."""
        raise NotImplementedError

    def summarise(self, rows: Rows) -> Rows:
        """Bring measurements into a form that adds up over blocks."""
        return rows

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        """Test sums over `blocks` blocks."""
        raise NotImplementedError


def condense(scores: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Reduce independent scores of shape (B, G) to what adds up over blocks.

    Returns
    -------
    total
        Sum of squared scores, shape (B,), for `overall`.
    peak
        Rows ``(-|score|, score, group, value)`` of the largest, shape (B, 4), for `largest`.
    """
    index = np.argmax(np.abs(scores), axis=-1)[:, None]
    score = np.take_along_axis(scores, index, axis=-1)
    value = np.take_along_axis(np.broadcast_to(values, scores.shape), index, axis=-1)
    peak = np.concatenate([-np.abs(score), score, index, value], axis=-1)
    return np.sum(scores**2, axis=-1), peak


def overall(total: FloatArray, count: int, name: str, weight: float, what: str) -> Statistic:
    """Chi-square test of the sum of `count` squared scores: too much variation, or too little.

    Exact if the scores are independent N(0, 1).
    """
    score = chi_square_scores(total, count)

    def describe(b: int) -> Place:
        ratio = total[b] / count
        if ratio < 1:
            how = f"are too regular, with {100 * ratio:.3g} % of the variation of chance"
        else:
            how = f"vary {ratio:.3g} times as much as by chance"
        return Place(f"{what} {how}", {})

    return Statistic(name, weight, log_two_sided(score), describe)


def largest(
    peak: FloatArray,
    count: int,
    name: str,
    weight: float,
    describe_one: Callable[[int, float], Place],
) -> Statistic:
    """Test of the largest of `count` absolute scores, exact if they are independent.

    `describe_one` gets the group and the value of the largest.
    """
    log_p = sidak(log_two_sided(peak[:, 1]), count)

    def describe(b: int) -> Place:
        return describe_one(int(peak[b, 2]), float(peak[b, 3]))

    return Statistic(name, weight, log_p, describe)


def trend(scores: FloatArray, name: str, weight: float, up: str, down: str) -> Statistic:
    """Normal test of the slope of independent scores over their index, shape (B, G)."""
    ramp = np.arange(scores.shape[-1]) - (scores.shape[-1] - 1) / 2
    score = scores @ ramp / np.sqrt(np.sum(ramp**2))

    def describe(b: int) -> Place:
        return Place(f"{up if score[b] > 0 else down} ({abs(score[b]):.1f} standard errors)", {})

    return Statistic(name, weight, log_two_sided(score), describe)


def loudest(
    log_p: FloatArray, name: str, weight: float, describe_one: Callable[[int, int], Place]
) -> Statistic:
    """Bonferroni-corrected smallest of p-values that may depend on each other, shape (B, G)."""
    index = np.argmin(log_p, axis=-1)
    smallest = np.take_along_axis(log_p, index[:, None], axis=-1)[:, 0]
    return Statistic(
        name,
        weight,
        bonferroni(smallest, log_p.shape[-1]),
        lambda b: describe_one(b, int(index[b])),
    )


def number(expected: float) -> str:
    """Write an expected count: whole if it is large."""
    return f"{expected:.0f}" if expected >= 100 else f"{expected:.2g}"


def percent(energy: float, expected: float) -> str:
    """Say how far an energy is from its expectation: ``31 % high``."""
    excess = energy / expected - 1
    if excess > 9:
        return f"{energy / expected:.3g} times too high"
    size = abs(100 * excess)
    digits = f"{size:.0f}" if size >= 10 else f"{size:.2g}"
    return f"{digits} % {'high' if excess > 0 else 'low'}"

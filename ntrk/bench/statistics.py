"""Means over prompts, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

__all__ = ["LEVEL", "Estimate", "difference", "estimate", "per_prompt"]

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over prompts.

    Attributes
    ----------
    mean
        NaN if there are no prompts.
    half
        Half the width of Student's interval of 95 % confidence; NaN for fewer than two prompts.
    prompts
        How many.
    """

    mean: float
    half: float
    prompts: int

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.mean + self.half


def per_prompt(values: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the mean of each prompt over its seeds.

    Examples
    --------
    >>> per_prompt([("a", 1.0), ("b", 5.0), ("a", 3.0)])
    {'a': 2.0, 'b': 5.0}
    """
    grouped: dict[str, list[float]] = {}
    for prompt, value in values:
        grouped.setdefault(prompt, []).append(value)
    return {prompt: math.fsum(group) / len(group) for prompt, group in grouped.items()}


def estimate(values: Iterable[float]) -> Estimate:
    """Estimate the mean of prompts like these.

    Parameters
    ----------
    values
        One a prompt. Prompts are the sample: that of a few prompts says little of others, however
        many seeds each has.

    Examples
    --------
    >>> found = estimate([1.0, 2.0, 3.0])
    >>> found.mean, round(found.half, 3), found.prompts
    (2.0, 2.484, 3)
    """
    x = np.array(list(values), dtype=float)
    count = len(x)
    if count < 2:
        return Estimate(float(x[0]) if count else math.nan, math.nan, count)
    error = float(x.std(ddof=1)) / math.sqrt(count)
    return Estimate(float(x.mean()), float(student.ppf((1 + LEVEL) / 2, count - 1)) * error, count)


def difference(first: Mapping[str, float], second: Mapping[str, float]) -> Estimate:
    """Estimate the mean difference, first less second, over the prompts that both have.

    Examples
    --------
    >>> difference({"a": 3.0, "b": 5.0, "c": 0.0}, {"a": 1.0, "b": 2.0}).mean
    2.5
    """
    return estimate(first[p] - second[p] for p in first if p in second)

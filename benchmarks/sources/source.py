"""What is tested: a named array, what should come out, and why; and the line of the table."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import whitenoise as wn
from whitenoise.verify.report import TypicalityReport, format_pvalue

LEVEL = 1e-6
LOUD = 1e-3  # above this p-value the loudest statistic is chance, and is not shown

TYPICAL, ATYPICAL, OPEN = "typical", "not noise", "open"
"""Expected verdicts. Open: the source is not noise, but made to resemble it."""

HEADER = (
    "| source | vectors | p | p < 10⁻³ | verdict | expected | loudest statistic | what it is |\n"
    "|---|---|---:|---:|---|---|---|---|"
)


@dataclass(frozen=True)
class Source:
    """One array that someone might take for noise."""

    name: str
    draw: Callable[[], Any]
    """Makes the array, the same one every time."""
    expected: str
    why: str
    """What the source is, whatever the verdict."""
    axis: tuple[int, ...] | None = None
    """Axes of one vector; the others count vectors."""
    dtype: str | None = None
    """dtype to which values were rounded, where the array does not say so."""


@dataclass(frozen=True)
class Missing:
    """Sources that this machine cannot run."""

    name: str
    reason: str


@dataclass(frozen=True)
class Row:
    """What `wn.typicality` said about a source."""

    source: Source
    report: TypicalityReport

    @classmethod
    def of(cls, source: Source) -> Row:
        report = wn.typicality(source.draw(), source.axis, dtype=source.dtype)
        return cls(source, report)

    @property
    def verdict(self) -> str:
        return TYPICAL if self.report.log_pvalue >= math.log(LEVEL) else ATYPICAL

    @property
    def surprising(self) -> bool:
        """Whether the verdict is not the expected one."""
        return self.source.expected not in (OPEN, self.verdict)

    def __str__(self) -> str:
        report = self.report
        count = math.prod(report.batch)
        vectors = "x".join(map(str, report.shape)) + f" {report.dtype}"
        if count > 1:
            vectors = f"{count} of {vectors}"
        below = int(np.sum(report.pvalues < LOUD))
        expected = f"**{self.source.expected}**" if self.surprising else self.source.expected
        loudest = ""
        if report.log_pvalue < math.log(LOUD):
            loudest = f"{report.worst.family}: {report.worst}".replace("|", "\\|")
        cells = (
            self.source.name,
            vectors,
            format_pvalue(report.log_pvalue),
            f"{below} of {count}",
            self.verdict,
            expected,
            loudest,
            self.source.why,
        )
        return f"| {' | '.join(cells)} |"

"""What a check of typicality found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._namespace import Array
from .joining import join, join_few

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Finding", "TypicalityReport", "format_pvalue"]


@dataclass(frozen=True)
class Finding:
    """One statistic of a report."""

    family: str
    """The family it belongs to, such as ``"spectrum"``."""
    statistic: str
    """What was computed, such as ``"energy of 8x8 DCT frequencies, largest deviation"``."""
    log_pvalue: float
    """Natural logarithm of its own p-value, corrected for what it is the largest of."""
    share: float
    """Its share of the false-alarm budget; the shares of a report sum to 1."""
    sentence: str
    """What was seen, in words."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Place in the array or its transform, for pictures: ``view``, and ``index`` or ``lag``."""

    @property
    def pvalue(self) -> float:
        """Its own p-value."""
        return math.exp(self.log_pvalue)

    @property
    def log_adjusted(self) -> float:
        """Log p-value after correction for all statistics of the report."""
        return float(join(self.log_pvalue - math.log(self.share)))

    @property
    def adjusted(self) -> float:
        """p-value after correction for all statistics of the report."""
        return math.exp(self.log_adjusted)

    def __str__(self) -> str:
        return f"{self.sentence}, p = {format_pvalue(self.log_pvalue)}"


@dataclass(frozen=True)
class TypicalityReport:
    """Result of `typicality`.

    The p-value joins all statistics by a weighted union of ``r = min_i p_i / share_i``; see
    `joining.join` for how, and for what holds under any dependence.
    """

    shape: tuple[int, ...]
    """Shape of one vector."""
    batch: tuple[int, ...]
    """Shape of the batch of vectors, ``()`` for one."""
    dtype: str
    """dtype whose rounding was allowed for."""
    findings: tuple[Finding, ...]
    """All statistics, loudest first."""
    skipped: Mapping[str, str]
    """Families (or parts of them) that did not run, each with the reason."""
    log_pvalues: NDArray[np.float64]
    """Log p-value of each vector, in the shape of the batch."""
    blocks: int = 1
    """Blocks of this shape that were accumulated."""
    source: Array = field(default=None, repr=False, compare=False)
    """The array in the shape ``(*batch, *shape)``, for `plot`."""

    @property
    def size(self) -> int:
        """Number of values seen."""
        return math.prod(self.shape) * math.prod(self.batch) * self.blocks

    @property
    def log_pvalue(self) -> float:
        """Natural logarithm of `pvalue`, finite where that underflows."""
        return float(join(min(f.log_pvalue - math.log(f.share) for f in self.findings)))

    @property
    def pvalue(self) -> float:
        """Adjusted p-value of the whole array under the null of independent N(0, 1) values."""
        return math.exp(self.log_pvalue)

    @property
    def pvalues(self) -> NDArray[np.float64]:
        """Adjusted p-value of each vector, in the shape of the batch."""
        return np.exp(self.log_pvalues)

    @property
    def worst(self) -> Finding:
        """The finding that speaks loudest after correction."""
        return self.findings[0]

    @property
    def families(self) -> dict[str, float]:
        """Adjusted p-value of each family, as if it were the only one."""
        return {name: math.exp(log_p) for name, log_p in self.log_families.items()}

    @property
    def log_families(self) -> dict[str, float]:
        """Natural logarithms of `families`."""
        result = {}
        for name in dict.fromkeys(f.family for f in self.findings):
            members = [f for f in self.findings if f.family == name]
            shares = np.array([f.share for f in members])
            result[name] = join_few([f.log_pvalue for f in members], shares / shares.sum())
        return result

    def plot(self) -> Figure:
        """Draw the array, its order statistics, spectrum, tiles and lags, the loudest marked.

        Raises
        ------
        ImportError
            If matplotlib is not installed; the message names the extra.
        ValueError
            If the report comes from accumulated blocks, which are not kept.
        """
        from ..plotting import check

        return check(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as numbers, strings, lists and dictionaries, for JSON."""
        return {
            "pvalue": self.pvalue,
            "log10_pvalue": self.log_pvalue / math.log(10),
            "shape": list(self.shape),
            "batch": list(self.batch),
            "blocks": self.blocks,
            "dtype": self.dtype,
            "worst": _finding_dict(self.worst),
            "families": self.families,
            "skipped": dict(self.skipped),
            "findings": [_finding_dict(f) for f in self.findings],
        }

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape)) or "scalar"
        many = f"{math.prod(self.batch)} vectors of " if self.batch else ""
        many += f"{self.blocks} blocks of " if self.blocks > 1 else ""
        count = len(self.findings)
        lines = [
            f"p = {format_pvalue(self.log_pvalue)} for white Gaussian noise: {many}{shape} "
            f"{self.dtype}, {self.size} values",
            f"loudest of {count} statistics ({self.worst.family}): {self.worst}",
            "",
            f"{'family':<16}{'p':<10}loudest statistic",
        ]
        for name, log_p in sorted(self.log_families.items(), key=lambda item: item[1]):
            loudest = next(f for f in self.findings if f.family == name)
            lines.append(f"{name:<16}{format_pvalue(log_p):<10}{loudest}")
        lines += [f"{name:<16}off       {reason}" for name, reason in self.skipped.items()]
        lines.append("p-values are adjusted and approximate; those of statistics are their own.")
        return "\n".join(lines)


def format_pvalue(log_pvalue: float) -> str:
    """Write a p-value from its natural logarithm, at least 1e-999."""
    if log_pvalue > math.log(0.001):
        return f"{math.exp(log_pvalue):.2g}"
    if log_pvalue < -999 * math.log(10):
        return "1e-999"
    exponent = math.floor(log_pvalue / math.log(10))
    digit = round(math.exp(log_pvalue - exponent * math.log(10)))
    if digit == 10:
        digit, exponent = 1, exponent + 1
    return f"{digit}e{exponent}"


def _finding_dict(finding: Finding) -> dict[str, Any]:
    return {
        "family": finding.family,
        "statistic": finding.statistic,
        "sentence": finding.sentence,
        "pvalue": finding.pvalue,
        "log10_pvalue": finding.log_pvalue / math.log(10),
        "adjusted": finding.adjusted,
        "share": finding.share,
    }

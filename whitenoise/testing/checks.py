"""`assert_typical`, what it raises, and who else hears of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._arrays import Axis
from .._namespace import Array
from ..verify import Finding, TypicalityReport, typicality
from ..verify.report import format_pvalue

if TYPE_CHECKING:
    from .sampler import SamplerReport

__all__ = ["SHOWN", "AtypicalError", "Check", "assert_typical", "listeners"]

SHOWN = 4
"""Findings in the message."""


@dataclass(frozen=True)
class Check:
    """One assertion: what it found and how often it may be wrong."""

    report: TypicalityReport | SamplerReport
    """What was found."""
    false_alarm: float
    """Probability with which it fails on white Gaussian noise."""

    @property
    def failed(self) -> bool:
        """Whether the p-value is at or below the limit."""
        return self.report.log_pvalue <= math.log(self.false_alarm)


listeners: list[Callable[[Check], None]] = []
"""Called with every check, before it raises. The pytest plugin listens here."""


class AtypicalError(AssertionError):
    """An array, or what a function draws, is not typical white Gaussian noise."""

    def __init__(self, message: str, report: TypicalityReport | SamplerReport) -> None:
        super().__init__(message, report)
        self.report = report
        """What was found."""

    def __str__(self) -> str:
        return str(self.args[0])


def assert_typical(
    x: Array, axis: Axis = None, *, false_alarm: float = 1e-6, dtype: str | None = None
) -> TypicalityReport:
    """Assert that `x` is white Gaussian noise: independent values from N(0, 1).

    Parameters
    ----------
    x, axis, dtype
        As for `whitenoise.typicality`.
    false_alarm
        Probability with which genuine noise fails: the limit of the p-value.

    Returns
    -------
    TypicalityReport
        The report, if the assertion holds.

    Raises
    ------
    AtypicalError
        If the p-value is at or below `false_alarm`. It is an AssertionError that carries the report
        as ``.report``.
    TypeError, ValueError
        As `whitenoise.typicality`, and if `false_alarm` is not between 0 and 1.

    Notes
    -----
    Nothing random is inside: an array that passes always passes. A test whose array comes from a
    fixed seed never flickers; one that draws anew fails once in ``1 / false_alarm`` runs.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((4, 32, 32))
    >>> assert_typical(x).pvalue > 1e-6
    True
    >>> try:
    ...     assert_typical(x + 0.2)
    ... except AtypicalError as error:
    ...     print(error.report.worst.family)
    marginal
    """
    __tracebackhide__ = True
    limit = checked_false_alarm(false_alarm)
    report = typicality(x, axis, dtype=dtype)
    call = "whitenoise.typicality(x"
    call += "" if axis is None else f", axis={axis!r}"
    call += ")" if dtype is None else f", dtype={dtype!r})"
    conclude(
        Check(report, limit),
        [call, "nothing random is inside the check: the same array gives the same report"],
    )
    return report


def checked_false_alarm(value: object) -> float:
    """Return `value` if it is a probability that a check can use."""
    if not isinstance(value, (float, np.floating)):
        raise TypeError(f"false_alarm must be a floating-point number, got {value!r}")
    if not 0 < value < 1:
        raise ValueError(f"false_alarm must lie between 0 and 1, both excluded, got {value!r}")
    return float(value)


def conclude(check: Check, reproduce: Sequence[str]) -> None:
    """Tell the listeners of a check, and raise if it failed."""
    __tracebackhide__ = True
    for listener in listeners:
        listener(check)
    if check.failed:
        raise AtypicalError(_message(check, reproduce), check.report)


def _message(check: Check, reproduce: Sequence[str]) -> str:
    report = check.report
    first, *others = report.findings[:SHOWN]
    lines = [
        f"p = {format_pvalue(report.log_pvalue)} for white Gaussian noise, "
        f"limit {check.false_alarm:g}",
        *_field("array", _described(report)),
        *_field("loudest", [_spoken(first)]),
        *_field("next", [_spoken(f) for f in others]),
        *_field("reproduce", reproduce),
        *_field("see more", ["print(report), report.plot(); this error carries it as .report"]),
    ]
    return "\n".join(lines)


def _field(label: str, lines: Sequence[str]) -> list[str]:
    return [f"  {label if i == 0 else '':<11}{line}" for i, line in enumerate(lines)]


def _described(report: TypicalityReport | SamplerReport) -> list[str]:
    shape = "x".join(map(str, report.shape))
    if not report.batch:
        return [f"{shape} {report.dtype}, {report.size} values"]
    count = math.prod(report.batch)
    return [f"{count} times {shape} {report.dtype}, {report.size} values"]


def _spoken(finding: Finding) -> str:
    return f"{finding.family}: {finding}"

"""`assert_typical_sampler`: functions that draw, tested one by one and all together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .._arrays import as_integer, as_vectors, cast
from .._namespace import Array, array_namespace, stop_gradient
from ..verify import Finding, TypicalityReport, typicality
from .checks import SHOWN, Check, checked_false_alarm, conclude
from .draws import over_draws

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["SamplerReport", "assert_typical_sampler"]

_SHARES = {"each draw": 0.5, "all draws": 0.25, "over the draws": 0.25}


@dataclass(frozen=True)
class SamplerReport:
    """Result of `assert_typical_sampler`: three reports joined by the union bound."""

    each: TypicalityReport
    """Every draw by itself, and every pair for correlation; takes half of the false alarm."""
    together: TypicalityReport
    """All draws as one array of shape ``(n, *shape)``; takes a quarter."""
    over: TypicalityReport
    """Variation of the draws, and what they have in common; takes a quarter."""

    @property
    def parts(self) -> dict[str, TypicalityReport]:
        """The three reports by what they look at."""
        return dict(zip(_SHARES, (self.each, self.together, self.over), strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one draw."""
        return self.each.shape

    @property
    def batch(self) -> tuple[int, ...]:
        """Number of draws, as a shape."""
        return self.each.batch

    @property
    def dtype(self) -> str:
        """Name of the dtype whose rounding was allowed for."""
        return self.each.dtype

    @property
    def size(self) -> int:
        """Number of values seen."""
        return self.each.size

    @property
    def log_pvalue(self) -> float:
        """Natural logarithm of `pvalue`, finite where that underflows."""
        rates = [part.log_pvalue - math.log(_SHARES[name]) for name, part in self.parts.items()]
        return min(*rates, 0.0)

    @property
    def pvalue(self) -> float:
        """Adjusted p-value under the null of independent draws of white Gaussian noise."""
        return math.exp(self.log_pvalue)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All statistics, loudest first; families are named after the part they belong to."""
        result = [
            replace(
                finding,
                family=f"{name}, {finding.family}",
                share=_SHARES[name] * finding.share,
                sentence=_of_draws(finding) if name == "each draw" else finding.sentence,
            )
            for name, part in self.parts.items()
            for finding in part.findings
        ]
        return tuple(sorted(result, key=lambda f: f.log_pvalue - math.log(f.share)))

    @property
    def worst(self) -> Finding:
        """The finding that speaks loudest after correction."""
        return self.findings[0]

    def plot(self) -> Figure:
        """Draw the report of the part that speaks loudest."""
        return self.parts[self.worst.family.partition(",")[0]].plot()

    def __str__(self) -> str:
        return "\n\n".join(f"{name}: {part}" for name, part in self.parts.items())


def assert_typical_sampler(
    fn: Callable[..., Array],
    n: int = 32,
    *,
    rng: int | None = None,
    seed: int | None = None,
    false_alarm: float = 1e-6,
    dtype: str | None = None,
) -> SamplerReport:
    """Assert that `fn` draws white Gaussian noise, anew each time it is called.

    Tests every draw, all draws as one array, and what shows only between draws: the same array
    twice, correlated draws, a pattern that all share, means or energies that vary too much or too
    little. The false alarm is split 1/2, 1/4, 1/4 among the three.

    Parameters
    ----------
    fn
        Draws an array, of the same shape, dtype and backend each time. It is called as ``fn()``, or
        with what `rng` or `seed` asks for.
    n
        Number of draws.
    rng
        Call ``fn(numpy.random.default_rng([rng, i]))`` for draw i. At most one of `rng` and `seed`.
    seed
        Call ``fn(seed + i)`` for draw i. Neighbouring seeds are what a weak generator confuses.
    false_alarm
        Probability with which genuine noise fails.
    dtype
        As for `whitenoise.typicality`.

    Returns
    -------
    SamplerReport
        The report, if the assertion holds.

    Raises
    ------
    AtypicalError
        If the p-value is at or below `false_alarm`; the message names the calls that give the
        draws it speaks of.
    TypeError, ValueError
        If an argument, or what `fn` returns, is not as above.

    Examples
    --------
    >>> report = assert_typical_sampler(lambda rng: rng.standard_normal(1000), rng=0)
    >>> report.pvalue > 1e-6
    True
    >>> periodic = lambda seed: np.random.default_rng(seed % 31).standard_normal(1000)
    >>> try:
    ...     assert_typical_sampler(periodic, seed=0)
    ... except AssertionError as error:
    ...     print(error.report.each.worst.sentence)
    vectors (0,) and (31,) correlate by +1
    """
    __tracebackhide__ = True
    limit = checked_false_alarm(false_alarm)
    count = as_integer("n", n, least=2)
    calls = _Calls(rng, seed)
    stack = _draw(fn, count, calls)
    axes = tuple(range(1, stack.ndim))
    xp = array_namespace(stack)
    each = typicality(stack, axes, dtype=dtype)
    report = SamplerReport(
        each=each,
        together=typicality(stack, dtype=dtype),
        over=over_draws(cast(stack, xp.float64, xp), each.dtype),
    )
    conclude(Check(report, limit), calls.explained(_named(report.findings[:SHOWN]), count))
    return report


class _Calls:
    """What `fn` is called with."""

    def __init__(self, rng: int | None, seed: int | None) -> None:
        if rng is not None and seed is not None:
            raise ValueError(f"at most one of rng and seed may be given, got {rng!r} and {seed!r}")
        self.rng = None if rng is None else as_integer("rng", rng, least=0)
        self.seed = None if seed is None else as_integer("seed", seed)

    def arguments(self, i: int) -> tuple[object, ...]:
        """Arguments of draw `i`."""
        if self.rng is not None:
            return (np.random.default_rng([self.rng, i]),)
        return () if self.seed is None else (self.seed + i,)

    def written(self, i: int) -> str:
        """Write the call of draw `i`."""
        if self.rng is not None:
            return f"fn(numpy.random.default_rng([{self.rng}, {i}]))"
        return "fn()" if self.seed is None else f"fn({self.seed + i})"

    def explained(self, draws: Sequence[int], n: int) -> list[str]:
        """Say which calls give some draws, and how to get all of them again."""
        if self.rng is None and self.seed is None:
            return [
                "fn() was given nothing to draw from: the draws come again only if fn is seeded",
                "before the check, or if it takes rng= or seed=; they are .together.source",
            ]
        which = "rng" if self.rng is not None else "seed"
        value = self.rng if self.rng is not None else self.seed
        lines = [f"draw {i} is {self.written(i)}" for i in draws]
        lines.append(f"assert_typical_sampler(fn, {n}, {which}={value}) draws the same again")
        lines.append("nothing random is inside the check; the draws are .together.source")
        return lines


def _draw(fn: Callable[..., Array], count: int, calls: _Calls) -> Array:
    """Call `fn` and stack copies of what it returns, which may be one buffer filled again."""
    draws: list[Array] = []
    for i in range(count):
        x = fn(*calls.arguments(i))
        try:
            as_vectors(stop_gradient(x))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{calls.written(i)}, draw {i}: {error}") from error
        if x.ndim == 0:
            raise ValueError(f"fn must return arrays with at least one axis, got {x!r}")
        if draws and (x.shape != draws[0].shape or x.dtype != draws[0].dtype):
            raise ValueError(
                "fn must return the same shape and dtype each time, got "
                f"{tuple(draws[0].shape)} {draws[0].dtype} in draw 0 and "
                f"{tuple(x.shape)} {x.dtype} in draw {i}"
            )
        draws.append(array_namespace(x).asarray(stop_gradient(x), copy=True))
    return array_namespace(draws[0]).stack(draws)


def _draws(finding: Finding) -> tuple[int, ...]:
    """Draws that a finding of the batch speaks of, none if it is about all of them."""
    if finding.where.get("view") == "between":
        return tuple(draw for (draw,) in finding.where["index"])
    return tuple(finding.where.get("vector", ()))


def _of_draws(finding: Finding) -> str:
    """Say "draw 3" for "vector (3,)", and "draws 3 and 5" for "vectors (3,) and (5,)"."""
    sentence = finding.sentence
    for draw in _draws(finding):
        sentence = sentence.replace(f"({draw},)", str(draw), 1)
    return sentence.replace("vector", "draw", 1)


def _named(findings: Sequence[Finding]) -> list[int]:
    """Draws that findings of a sampler speak of."""
    return sorted({draw for finding in findings for draw in _draws(finding)})

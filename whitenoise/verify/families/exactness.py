"""What chance almost never does: equal values, values of fewer digits, an exact mean or norm."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import special

from ..._namespace import Array, Namespace
from ...reference import FloatArray
from ..family import Family, Place, Rows, Statistic, number
from ..laws import binomial_log_pvalue
from ..view import Layout, View

__all__ = ["Exactness", "expected_repeats"]

_COARSER = {24: "float32", 11: "float16", 8: "bfloat16", 4: "an 8-bit float"}
_MOST_REPEATS = 0.1  # expected for each value, beyond which they are not counted


def expected_repeats(count: int, bits: int, folded: bool = False) -> float:
    """Expected number of values that equal an earlier one, of `count` normals rounded to `bits`.

    ``sum_v (count p_v - 1 + exp(-count p_v))`` over the values `v` of the dtype, which are
    ``2^(k - bits)`` apart in the binade up to ``2^k``. With `folded`, of their moduli.
    """
    k = np.arange(-60, 6)[:, None]
    node, weight = np.polynomial.legendre.leggauss(16)
    x = np.ldexp(0.75 + node / 4, k)  # each binade from 2^(k - 1) to 2^k
    spacing = np.ldexp(1.0, k - bits)
    rate = count * spacing * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi) * (2 if folded else 1)
    # The series keeps the digits of rate - 1 + exp(-rate) where that is tiny.
    repeats = np.where(rate < 1e-4, rate**2 / 2 - rate**3 / 6, rate + np.expm1(-rate))
    both_signs = 1 if folded else 2
    return float(both_signs * np.sum(np.ldexp(weight / 4, k) * repeats / spacing))


class Exactness(Family):
    """Coincidences, against what rounding to the declared dtype brings about by itself.

    - Values that equal an earlier one, or its negative: at most Poisson, with the mean that
      rounding to the dtype brings about.
    - Values that a coarser dtype holds: binomial, ``2^-(difference of bits)`` each.
    - A mean of zero, a mean square of 1, a sample variance of 1 that are too exact: the exact
      probability of coming that near.
    """

    name = "exactness"
    share = 0.015

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        n, bits = layout.size, layout.bits
        equal = expected_repeats(n, bits)
        self.repeats = {"equal": equal, "opposite": expected_repeats(n, bits, folded=True) - equal}
        self.count_repeats = equal < _MOST_REPEATS * n
        self.coarser = [b for b in _COARSER if b < bits]

    def measure(self, view: View) -> dict[str, Array]:
        xp, x = view.xp, view.flat
        centred = x - xp.mean(x, axis=-1, keepdims=True)
        measured = {
            "sum": view.total,
            "energy": view.energy,
            "centred": xp.sum(centred * centred, axis=-1),
        }
        if self.count_repeats:
            # Falling, then rising: a stable sort merges the two.
            ordered, modulus = view.sorted, xp.sort(xp.abs(view.sorted), axis=-1, stable=True)
            measured["equal"] = _repeats(ordered, xp)
            measured["modulus"] = _repeats(modulus, xp)
        for bits in self.coarser:
            # Veltkamp's splitting leaves the leading bits of a double.
            scaled = x * (2.0 ** (53 - bits) + 1)
            short = scaled - (scaled - x)
            measured[f"bits_{bits}"] = xp.sum(xp.astype(short == x, xp.float64), axis=-1)
        return measured

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        n = self.layout.size * blocks
        statistics = [
            self._near(
                "mean of zero",
                1.0,
                _log_within_normal(rows["sum"] / np.sqrt(n)),
                lambda b: f"the mean is within {abs(rows['sum'][b] / n):.1g} of 0",
            ),
            self._near(
                "mean square of one",
                1.0,
                _log_within_chi_square(rows["energy"], n, n),
                lambda b: f"the mean square is within {abs(rows['energy'][b] / n - 1):.1g} of 1",
            ),
        ]
        if blocks == 1:
            for freedom, name in ((n, "population"), (n - 1, "sample")):
                excess = np.abs(rows["centred"] / max(freedom, 1) - 1)

                def say(b: int, name: str = name, excess: FloatArray = excess) -> str:
                    return f"the {name} variance is within {excess[b]:.1g} of 1"

                statistics.append(
                    self._near(
                        f"{name} variance of one",
                        1.0,
                        _log_within_chi_square(rows["centred"], freedom, n - 1),
                        say,
                    )
                )
        if self.count_repeats:
            statistics += self._judge_repeats(rows, blocks)
        for bits in self.coarser:
            statistics.append(self._judge_bits(rows[f"bits_{bits}"], bits, n))
        return statistics

    @staticmethod
    def _near(name: str, weight: float, log_p: FloatArray, say: Callable[[int], str]) -> Statistic:
        return Statistic(name, weight, log_p, lambda b: Place(say(b), {"view": "marginal"}))

    def _judge_repeats(self, rows: Rows, blocks: int) -> list[Statistic]:
        opposite = rows["modulus"] - rows["equal"]
        statistics = []
        for kind, count in (("equal", rows["equal"]), ("opposite", opposite)):
            expected = self.repeats[kind] * blocks
            # P(Poisson >= count): wider than the law of the count, which so many values share.
            with np.errstate(divide="ignore"):
                log_p = np.where(
                    count > 0, np.log(special.gammainc(np.maximum(count, 1), expected)), 0.0
                )
            far = ~np.isfinite(log_p)
            bound = count * (1 + np.log(expected / np.maximum(count, 1))) - expected
            log_p = np.where(far, bound, log_p)

            def describe(
                b: int, kind: str = kind, count: FloatArray = count, expected: float = expected
            ) -> Place:
                seen = f"{count[b]:.0f} values are {kind} to another"
                return Place(f"{seen} where {number(expected)} are expected", {"view": "marginal"})

            statistics.append(Statistic(f"{kind} values", 0.5, log_p, describe))
        return statistics

    def _judge_bits(self, count: FloatArray, bits: int, n: int) -> Statistic:
        share = 2.0 ** -(self.layout.bits - bits)

        def describe(b: int) -> Place:
            return Place(
                f"{count[b]:.0f} of {n} values fit into {_COARSER[bits]} where "
                f"{number(n * share)} are expected",
                {"view": "marginal"},
            )

        log_p = binomial_log_pvalue(count, n, share)
        return Statistic(f"values of {bits} bits", 0.25, log_p, describe)


def _repeats(ordered: Array, xp: Namespace) -> Array:
    equal = ordered[:, 1:] == ordered[:, :-1]
    return xp.sum(xp.astype(equal, xp.float64), axis=-1)


def _log_within_normal(score: FloatArray) -> FloatArray:
    """Log probability that a normal score is as near to zero."""
    return np.asarray(np.log(special.erf(np.maximum(np.abs(score), 1e-13) / np.sqrt(2))))


def _log_within_chi_square(energy: FloatArray, target: float, freedom: float) -> FloatArray:
    """Log probability that a chi-square variable is as near to `target`."""
    if freedom < 1:
        return np.zeros_like(energy)
    distance = np.maximum(np.abs(energy - target), 1e-13 * target)
    low, high = np.maximum(target - distance, 0.0), target + distance
    mass = special.gammainc(freedom / 2, high / 2) - special.gammainc(freedom / 2, low / 2)
    log_density = (
        special.xlogy(freedom / 2 - 1, target / 2) - target / 2 - special.gammaln(freedom / 2)
    )
    near = distance < 1e-3 * np.sqrt(2 * freedom)  # the density is flat there
    with np.errstate(divide="ignore"):
        return np.where(near, log_density + np.log(distance), np.log(np.minimum(mass, 1.0)))

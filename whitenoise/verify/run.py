"""From an array to a report: measure on the device, one transfer, judge on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .._arrays import Axis, as_vectors, cast
from .._namespace import Array, array_namespace, dtype_name, stop_gradient, to_numpy
from .families import FAMILIES
from .family import Family, NotEnough, Rows, Statistic
from .laws import log_two_sided, sidak
from .report import Finding, TypicalityReport
from .view import SIGNIFICANT_BITS, Layout, View

__all__ = ["Battery", "battery", "typicality"]

_CHUNK = 2**22  # values measured at once


def typicality(x: Array, axis: Axis = None, *, dtype: str | None = None) -> TypicalityReport:
    """Test whether `x` is white Gaussian noise: independent values from N(0, 1).

    Parameters
    ----------
    x
        Real floating-point array of any supported backend, finite.
    axis
        Axes that form one vector (all by default). The others are a batch of independent vectors,
        tested one by one and joined.
    dtype
        Name of the dtype to which the values were rounded, if coarser than that of `x`:
        ``"bfloat16"`` for such values held in float32. Rounding to it is then no offence.

    Returns
    -------
    TypicalityReport
        One adjusted p-value, one for each family of statistics, all findings in words, and what was
        not tested. Nothing random is involved: the same array gives the same report.

    Raises
    ------
    TypeError, ValueError
        As everywhere in the package for arrays that are not real, finite and nonempty; if `dtype`
        is unknown or finer than that of `x`.

    Notes
    -----
    Cost: O(N log N) for sorting and Fourier transforms; about as long as three Kolmogorov-Smirnov
    tests of SciPy. The first array of a shape takes longer, since tables are made.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((4, 32, 32))
    >>> typicality(x).pvalue > 0.001
    True
    >>> typicality(x + 0.2).worst.family
    'marginal'
    """
    vectors = as_vectors(stop_gradient(x), axis)
    layout = Layout(vectors.shape, declared_dtype(x, dtype))
    tests = battery(layout)
    rows = tests.measure(vectors.data, vectors.xp)
    return tests.report(rows, batch=vectors.batch, source=x)


def declared_dtype(x: Array, dtype: str | None) -> str:
    """Return the dtype whose rounding is allowed for."""
    own = dtype_name(x)
    if dtype is None:
        return own
    if dtype not in SIGNIFICANT_BITS:
        raise ValueError(f"dtype must be one of {', '.join(SIGNIFICANT_BITS)}, got {dtype!r}")
    if SIGNIFICANT_BITS[dtype] > SIGNIFICANT_BITS[own]:
        raise ValueError(f"dtype must not be finer than that of x, {own}, got {dtype!r}")
    return dtype


@lru_cache(maxsize=64)
def battery(layout: Layout) -> Battery:
    """Return the families for vectors of a layout, planned once."""
    return Battery(layout)


class Battery:
    """All families that can say something about vectors of one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.families: list[Family] = []
        self.skipped: dict[str, str] = {}
        for kind in FAMILIES:
            try:
                self.families.append(kind(layout))
            except NotEnough as reason:
                self.skipped[kind.name] = str(reason)
        self.total_share = sum(family.share for family in self.families)

    def measure(self, vectors: Array, xp: object) -> dict[str, Rows]:
        """Measure vectors of shape ``(*batch, N)`` and bring the numbers to the host.

        Returns
        -------
        Rows of each family, first axis counting vectors.
        """
        xp = array_namespace(vectors)
        data = xp.reshape(vectors, (-1, *self.layout.shape))
        step = max(_CHUNK // self.layout.size, 1)
        parts = [
            self._measure_chunk(data[start : start + step, ...])
            for start in range(0, int(data.shape[0]), step)
        ]
        if len(parts) == 1:
            return parts[0]
        return {
            name: {key: np.concatenate([part[name][key] for part in parts]) for key in rows}
            for name, rows in parts[0].items()
        }

    def _measure_chunk(self, data: Array) -> dict[str, Rows]:
        xp = array_namespace(data)
        view = View(cast(data, xp.float64, xp), xp, self.layout)
        measured = [
            (family.name, key, value)
            for family in self.families
            for key, value in family.measure(view).items()
        ]
        # One transfer, however many numbers there are.
        flat = [xp.reshape(cast(v, xp.float64, xp), (view.batch, -1)) for _, _, v in measured]
        host = to_numpy(xp.concat(flat, axis=-1))
        rows: dict[str, Rows] = {family.name: {} for family in self.families}
        start = 0
        for (name, key, value), part in zip(measured, flat, strict=True):
            stop = start + int(part.shape[1])
            rows[name][key] = host[:, start:stop].reshape(tuple(value.shape))
            start = stop
        return {
            family.name: family.summarise(rows[family.name]) for family in self.families
        }

    def judge(self, rows: dict[str, Rows], blocks: int = 1) -> list[tuple[str, float, Statistic]]:
        """Return all statistics with their family and share of the budget."""
        result = []
        for family in self.families:
            statistics = family.judge(rows[family.name], blocks)
            total = sum(s.weight for s in statistics) * self.total_share
            for s in statistics:
                result.append((family.name, family.share * s.weight / total, s))
        return result

    def report(
        self,
        rows: dict[str, Rows],
        *,
        batch: tuple[int, ...] = (),
        blocks: int = 1,
        source: Array = None,
    ) -> TypicalityReport:
        """Join everything into a report."""
        judged = self.judge(rows, blocks)
        log_p = np.stack([s.log_pvalue for _, _, s in judged])
        rates = log_p - np.log([share for _, share, _ in judged])[:, None]
        findings = []
        for (family, share, statistic), row in zip(judged, log_p, strict=True):
            b = int(np.argmin(row))
            place = statistic.describe(b)
            sentence, where = place.sentence, dict(place.where)
            if batch:
                index = tuple(int(i) for i in np.unravel_index(b, batch))
                sentence = f"vector {index}: {sentence}"
                where["vector"] = index
            findings.append(
                Finding(
                    family=family,
                    statistic=statistic.name,
                    log_pvalue=float(sidak(row[b], row.size)),
                    share=share,
                    sentence=sentence,
                    where=where,
                )
            )
        findings.sort(key=lambda f: f.log_pvalue - math.log(f.share))
        return TypicalityReport(
            shape=self.layout.shape,
            batch=batch,
            dtype=self.layout.dtype,
            findings=tuple(findings),
            skipped=self.skipped,
            log_pvalues=_joined(rates).reshape(batch),
            blocks=blocks,
            source=source,
        )


def _joined(log_rates: np.ndarray) -> np.ndarray:
    """Join weighted log p-values of shape (S, B) over statistics."""
    lowest = log_rates.min(axis=0)
    with np.errstate(over="ignore"):
        joined = np.log(-np.expm1(-np.exp(np.clip(lowest, -30, 5))))
    return np.where(lowest < -30, lowest, joined)

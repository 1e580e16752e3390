"""From an array to a report: measure on the device, one transfer, judge on the host."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from .._arrays import Axis, Vectors, as_vectors, cast
from .._namespace import (
    Array,
    array_namespace,
    contiguous,
    dtype_name,
    stop_gradient,
    to_numpy,
    uncompiled,
)
from .families import FAMILIES
from .family import Family, NotEnough, Rows, Statistic
from .joining import join
from .laws import beta_scores, log_upper, sidak
from .report import Finding, TypicalityReport
from .view import SIGNIFICANT_BITS, Layout, Tables, View

__all__ = ["Battery", "battery", "typicality", "vector_pvalues"]

_GOLDEN = (5**0.5 - 1) / 2
_CHUNK = 2**18  # values measured at once: a few MB, which fit in the cache
_HUGE = 1e60  # larger values are as atypical, and their powers would overflow
_MOST_VECTORS = 1024  # whose pairs are compared
_SHARE_BETWEEN = 0.05

Judged = list[tuple[str, float, Statistic]]
"""Statistics with their family and share of the false-alarm budget."""


@uncompiled
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
    Cost: O(N log N) for sorting and Fourier transforms; about as long as six Kolmogorov-Smirnov
    tests of SciPy for 65,536 values. The first array of a shape takes longer, since tables are
    made. Arithmetic is in float64; values beyond 1e60 count as 1e60.

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
    rows = tests.measure(vectors.data)
    source = vectors.xp.reshape(vectors.data, (*vectors.batch, *vectors.shape))
    return tests.report(rows, batch=vectors.batch, source=source, between=between_vectors(vectors))


def vector_pvalues(vectors: Array, shape: tuple[int, ...], dtype: str) -> NDArray[np.float64]:
    """Return the p-value of each vector, as `typicality` reports it.

    Parameters
    ----------
    vectors
        Shape ``(*batch, N)``, finite, in working dtype.
    shape, dtype
        Of one vector, and of the values to which it was rounded.
    """
    tests = battery(Layout(shape, dtype))
    judged = tests.judge(tests.measure(vectors))
    return np.exp(_log_pvalues(judged)).reshape(tuple(vectors.shape)[:-1])


def _log_pvalues(judged: Judged) -> NDArray[np.float64]:
    """Join all statistics of each vector."""
    rates = [statistic.log_pvalue - math.log(share) for _, share, statistic in judged]
    return join(np.min(rates, axis=0))


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
        self._tables: Tables = {}
        for kind in FAMILIES:
            try:
                self.families.append(kind(layout))
            except NotEnough as reason:
                self.skipped[kind.name] = str(reason)
        self.total_share = sum(family.share for family in self.families)

    def measure(self, vectors: Array) -> dict[str, Rows]:
        """Measure vectors of shape ``(*batch, N)`` and bring the numbers to the host.

        Returns
        -------
        Rows of each family, first axis counting vectors.
        """
        xp = array_namespace(vectors)
        data = xp.reshape(vectors, (-1, *self.layout.shape))
        count, step = int(data.shape[0]), max(_CHUNK // self.layout.size, 1)
        parts = [
            self._measure_chunk(data[start : min(start + step, count), ...])
            for start in range(0, count, step)
        ]
        if len(parts) == 1:
            return parts[0]
        return {
            name: {key: np.concatenate([part[name][key] for part in parts]) for key in rows}
            for name, rows in parts[0].items()
        }

    def _measure_chunk(self, data: Array) -> dict[str, Rows]:
        xp = array_namespace(data)
        x = contiguous(xp.clip(cast(data, xp.float64, xp), -_HUGE, _HUGE))
        view = View(x, xp, self.layout, self._tables)
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
        return {family.name: family.summarise(rows[family.name]) for family in self.families}

    def judge(self, rows: dict[str, Rows], blocks: int = 1) -> Judged:
        """Return all statistics with their family and share of the budget."""
        result = []
        for family in self.families:
            statistics = family.judge(rows[family.name], blocks)
            total = sum(s.weight for s in statistics) * self.total_share
            for s in statistics:
                result.append((family.name, family.share * s.weight / total, s))
        return result

    def shares(self) -> dict[tuple[str, str], float]:
        """Share of the false-alarm budget by family and statistic."""
        grid = (np.arange(self.layout.size) * _GOLDEN) % 1  # any values will do
        values = special.ndtri(np.clip(grid, 1e-6, 1 - 1e-6)).reshape(1, *self.layout.shape)
        judged = self.judge(self.measure(values))
        return {(family, s.name): share for family, share, s in judged}

    def report(
        self,
        rows: dict[str, Rows],
        *,
        batch: tuple[int, ...] = (),
        blocks: int = 1,
        source: Array = None,
        between: Finding | str | None = None,
    ) -> TypicalityReport:
        """Join everything into a report."""
        judged = self.judge(rows, blocks)
        log_p = np.stack([s.log_pvalue for _, _, s in judged])
        skipped = dict(self.skipped)
        if isinstance(between, str):
            skipped["between"] = between
        if blocks > 1:
            skipped["between blocks"] = "values of different blocks are not compared"
        findings = [between] if isinstance(between, Finding) else []
        rest = 1 - sum(f.share for f in findings)
        loudest = np.argmin(log_p, axis=1)
        joint = sidak(log_p.min(axis=1), log_p.shape[1])
        for (family, share, statistic), b, log_pvalue in zip(judged, loudest, joint, strict=True):
            b = int(b)
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
                    log_pvalue=float(log_pvalue),
                    share=share * rest,
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
            skipped=skipped,
            log_pvalues=_log_pvalues(judged).reshape(batch),
            blocks=blocks,
            source=source,
        )


def between_vectors(vectors: Vectors) -> Finding | str | None:
    """Test whether two vectors of a batch go together; None for one vector, or why it is off.

    The correlation of two vectors has ``r^2 ~ Beta(1/2, (N - 1)/2)``; the smallest p-value is
    multiplied by the number of pairs.
    """
    count = math.prod(vectors.batch)
    if not vectors.batch or count < 2 or vectors.size < 2:
        return None
    if count > _MOST_VECTORS:
        return f"{count} vectors are more than {_MOST_VECTORS}"
    xp = vectors.xp
    x = cast(xp.reshape(vectors.data, (count, -1)), xp.float64, xp)
    x = xp.clip(x, -_HUGE, _HUGE)
    gram = to_numpy(x @ xp.matrix_transpose(x))
    length = np.sqrt(np.maximum(np.diagonal(gram), 1e-300))
    r = np.tril(gram / length / length[:, None], -1)
    flat = int(np.argmax(np.abs(r)))
    first, second = (
        tuple(int(i) for i in np.unravel_index(k, vectors.batch))
        for k in sorted(divmod(flat, count))
    )
    score = beta_scores(r.flat[flat] ** 2, 0.5, (vectors.size - 1) / 2)
    log_p = float(np.minimum(log_upper(score) + math.log(count * (count - 1) / 2), 0.0))
    return Finding(
        family="between",
        statistic="correlation of two vectors",
        log_pvalue=log_p,
        share=_SHARE_BETWEEN,
        sentence=f"vectors {first} and {second} correlate by {r.flat[flat]:+.3g}",
        where={"view": "between", "index": (first, second)},
    )

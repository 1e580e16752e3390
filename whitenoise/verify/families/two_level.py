"""Two-level order statistics: the projector's own terms."""

from __future__ import annotations

import numpy as np
from scipy import special

from ..._namespace import Array
from ...reference import FloatArray
from ..family import Family, NotEnough, Place, Rows, Statistic, loudest
from ..view import Layout, View

__all__ = ["TwoLevel"]

_CHUNK = 16
_FEWEST = 8
_RANKS = (1, 4, 8, 12, 16)
_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


class TwoLevel(Family):
    """Values sorted within chunks of 16, then across chunks, at 25 ranks.

    ``u = I(I(Phi(z); j, D + 1 - j); i, M + 1 - i)``, with the regularized incomplete beta function
    `I`, is uniform for the i-th of M chunks and the j-th of D ranks: exact. A rounded value stands
    for all it may have been: the least extreme of them is tested.

    References
    ----------
    Eqs. 82-84 of the paper (arXiv:2606.18066).
    """

    name = "two_level"
    share = 0.004
    keep_loudest = frozenset({"ranks"})

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        self.chunks = layout.size // _CHUNK
        if self.chunks < _FEWEST:
            raise NotEnough(f"{layout.size} values make fewer than {_FEWEST} chunks of {_CHUNK}")
        self.i = 1 + np.round(np.array(_QUANTILES) * (self.chunks - 1)).astype(np.int64)
        self.j = np.array(_RANKS)
        self.rows, self.columns = self.i - 1, self.j - 1

    def measure(self, view: View) -> dict[str, Array]:
        xp = view.xp
        x = xp.reshape(view.flat[:, : self.chunks * _CHUNK], (view.batch, self.chunks, _CHUNK))
        x = xp.take(xp.sort(x, axis=-1, stable=False), view.host(self.columns), axis=-1)
        x = xp.take(xp.sort(x, axis=1, stable=False), view.host(self.rows), axis=1)
        return {"values": x}

    def summarise(self, rows: Rows) -> Rows:
        z = rows["values"]
        _, exponent = np.frexp(z)
        half = np.ldexp(0.5, exponent - self.layout.bits)
        below, above = self._tails(z + half)[0], self._tails(z - half)[1]
        tail = np.minimum(np.minimum(below, above), 0.5).reshape(len(z), -1)
        with np.errstate(divide="ignore"):
            log_p = np.maximum(np.log(2 * tail), -700.0)
        index = np.argmin(log_p, axis=-1)[:, None]
        values = z.reshape(len(z), -1)
        return {
            "ranks": np.concatenate(
                [
                    np.take_along_axis(log_p, index, -1),
                    index,
                    np.take_along_axis(values, index, -1),
                ],
                axis=-1,
            )
        }

    def _tails(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Probabilities of a value at most, and at least, `z` of shape (B, ranks i, ranks j)."""
        i, j = self.i[:, None], self.j
        down, up = special.ndtr(z), special.ndtr(-z)
        a, b = j, _CHUNK + 1 - j
        inner_down, inner_up = special.betainc(a, b, down), special.betainc(b, a, up)
        c, d = i, self.chunks + 1 - i
        return (
            np.asarray(special.betainc(c, d, inner_down), np.float64),
            np.asarray(special.betainc(d, c, inner_up), np.float64),
        )

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        best = rows["ranks"]
        width = self.j.size

        def describe(b: int, _: int) -> Place:
            i, j = divmod(int(best[b, 1]), width)
            inner = f"rank {self.j[j]} of {_CHUNK}"
            return Place(
                f"rank {self.i[i]} of {self.chunks} chunks by their {inner} is {best[b, 2]:.3g}",
                {"view": "marginal"},
            )

        count = self.i.size * width * blocks
        log_p = np.minimum(best[:, :1] + np.log(count), 0.0)
        return [loudest(log_p, f"order statistics of chunks of {_CHUNK}", 1.0, describe)]

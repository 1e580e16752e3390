"""A patch that appears again elsewhere, or its negative, exactly or with noise."""

from __future__ import annotations

import numpy as np

from ..._namespace import Array, Namespace
from ..family import Family, NotEnough, Place, Rows, Statistic
from ..laws import LOG_FLOOR, beta_scores, log_upper
from ..view import Layout, View

__all__ = ["Copies"]

_CODES = ((4, 5), (5, 6))  # signs of a patch of this size are its code; the second if there are
_LARGE = 2**17  # more values than this, of which many patches share twenty signs
_WINDOWS = (6, 8, 12, 16)
_LINE_WINDOWS = (32, 64, 128, 256)
_NEIGHBOURS = 2  # how many next patches in the order of codes are compared
_FIRST, _SECOND = 2**14, 16  # pairs looked at by the code's patch, and by windows
_STEPS = (-4, 0, 4)  # windows are placed around the patch, which may be at the edge of the copy


class Copies(Family):
    """Pairs of disjoint windows that correlate more than any pair should.

    Pairs are proposed by equal sign patterns of small patches and then measured: the correlation
    `r` of two disjoint windows of `m` values has ``r^2 ~ Beta(1/2, (m - 1)/2)`` exactly. Choosing
    pairs by looking is paid for: the p-value is multiplied by the number of all pairs of positions
    and window sizes, which is valid however pairs depend on each other.

    Copies that are mirrored, rotated or scaled are not looked for.
    """

    name = "copies"
    share = 0.004
    keep_loudest = frozenset({"best"})

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout)
        planes = layout.planes
        self.images = planes is not None and min(planes[1:]) >= 2 * _WINDOWS[0]
        code = _CODES[int(layout.size > _LARGE)]
        if self.images and planes is not None:
            self.grid, self.code = planes, code
            self.windows = [(w, w) for w in _WINDOWS if 2 * w <= min(planes[1:])]
        else:
            self.grid, self.code = (1, 1, layout.size), (1, code[0] * code[1])
            self.windows = [(1, w) for w in _LINE_WINDOWS if 2 * w <= layout.size]
        along = _STEPS if self.images else tuple(4 * step for step in _STEPS)
        self.shifts = (_STEPS if self.images else (0,), along)
        if not self.windows:
            raise NotEnough(f"{layout.size} values of shape {layout.shape} hold no two windows")
        self.offsets = {
            w: (np.arange(w[0])[:, None] * self.grid[2] + np.arange(w[1])).ravel()
            for w in [self.code, *self.windows]
        }
        self.positions = self.grid[0] * np.prod(
            [n - c + 1 for n, c in zip(self.grid[1:], self.code, strict=True)]
        )
        # Ordered choice of two positions, a window size: more than the pairs ever compared.
        self.log_trials = float(np.log(self.positions) * 2 - np.log(2) + np.log(len(self.windows)))

    def measure(self, view: View) -> dict[str, Array]:
        xp = view.xp
        best = [self._search(view, view.flat[b, :]) for b in range(view.batch)]
        return {"best": xp.stack(best)}

    def _search(self, view: View, flat: Array) -> Array:
        """Return (-|r|-based rank, m, r, position, position) of the best pair of one vector."""
        xp = view.xp
        codes, corner = self._codes(view, flat)
        order = xp.argsort(codes, stable=False)
        codes = xp.take(codes, order)
        corner = xp.take(corner, order)
        first, second = [], []
        for k in range(1, _NEIGHBOURS + 1):
            same = xp.nonzero(codes[k:] == codes[:-k])[0]
            first.append(xp.take(corner, same))
            second.append(xp.take(corner, same + k))
        a, b = xp.concat(first), xp.concat(second)
        a, b, r = self._correlate(view, flat, a, b, self.code, _FIRST)
        best = xp.asarray([0.0, 1.0, 0.0, 0.0, 0.0], dtype=xp.float64, device=flat.device)
        if a.shape[0] == 0:
            return best
        top = _head(xp.argsort(-xp.abs(r)), _SECOND)
        steps = [dy * self.grid[2] + dx for dy in self.shifts[0] for dx in self.shifts[1]]
        a = xp.concat([xp.take(a, top) + step for step in steps])
        b = xp.concat([xp.take(b, top) + step for step in steps])
        candidates = [best[None, :]]
        for window in self.windows:
            left, right, r = self._correlate(view, flat, a, b, window, int(a.shape[0]))
            if left.shape[0] == 0:
                continue
            m = float(window[0] * window[1])
            # Deviance of the correlation, which orders p-values of different windows.
            rank = m / 2 * xp.log(xp.clip(1 - r * r, 1e-300, 1.0))
            k = xp.argmin(rank)
            values = [rank[k], xp.full_like(rank[k], m), r[k]]
            places = [xp.astype(p[k], xp.float64) for p in (left, right)]
            candidates.append(xp.stack([*values, *places])[None, :])
        table = xp.concat(candidates, axis=0)
        return xp.take(table, xp.argmin(table[:, :1], axis=0), axis=0)[0, :]

    def _codes(self, view: View, flat: Array) -> tuple[Array, Array]:
        """Sign patterns of all patches up to a common sign, and the flat index of their corners."""
        xp = view.xp
        _, height, width = self.grid
        rows, columns = height - self.code[0] + 1, width - self.code[1] + 1
        sign = xp.reshape(xp.astype(flat > 0, xp.int32), self.grid)
        line = sign[:, :, :columns]
        for dx in range(1, self.code[1]):
            line = 2 * line + sign[:, :, dx : dx + columns]
        codes = line[:, :rows, :]
        for dy in range(1, self.code[0]):
            codes = 2 ** self.code[1] * codes + line[:, dy : dy + rows, :]
        # A patch and its negative have complementary codes.
        codes = xp.minimum(codes, 2 ** (self.code[0] * self.code[1]) - 1 - codes)
        corner = xp.reshape(xp.arange(flat.shape[0], device=flat.device), self.grid)
        return xp.reshape(codes, (-1,)), xp.reshape(corner[:, :rows, :columns], (-1,))

    def _correlate(
        self, view: View, flat: Array, a: Array, b: Array, window: tuple[int, int], most: int
    ) -> tuple[Array, Array, Array]:
        """Correlate windows around corners `a` and `b`, leaving out pairs that meet."""
        xp = view.xp
        _, height, width = self.grid
        a, b = self._fitted(xp, a, window), self._fitted(xp, b, window)
        apart = xp.abs(a % (height * width) // width - b % (height * width) // width) >= window[0]
        apart = apart | (xp.abs(a % width - b % width) >= window[1])
        apart = apart | (a // (height * width) != b // (height * width))
        keep = _head(xp.nonzero(apart)[0], most)
        a, b = xp.take(a, keep), xp.take(b, keep)
        offset = view.host(self.offsets[window])
        x = xp.take(flat, xp.reshape(a[:, None] + offset, (-1,)))
        y = xp.take(flat, xp.reshape(b[:, None] + offset, (-1,)))
        x, y = xp.reshape(x, (-1, offset.shape[0])), xp.reshape(y, (-1, offset.shape[0]))
        energy = xp.sum(x * x, axis=-1) * xp.sum(y * y, axis=-1)
        r = xp.sum(x * y, axis=-1) / xp.sqrt(xp.where(energy > 0, energy, xp.ones_like(energy)))
        return a, b, r

    def _fitted(self, xp: Namespace, corner: Array, window: tuple[int, int]) -> Array:
        """Centre the window on the patch, as far as the image allows."""
        _, height, width = self.grid
        corner = xp.clip(corner, 0, self.layout.size - 1)
        plane = corner // (height * width)
        y = corner % (height * width) // width - (window[0] - self.code[0]) // 2
        x = corner % width - (window[1] - self.code[1]) // 2
        y = xp.clip(y, 0, height - window[0])
        x = xp.clip(x, 0, width - window[1])
        return plane * (height * width) + y * width + x

    def judge(self, rows: Rows, blocks: int) -> list[Statistic]:
        best = rows["best"]
        m, r = best[:, 1], np.clip(best[:, 2], -1.0, 1.0)
        score = beta_scores(r**2, 0.5, np.maximum(m - 1, 1e-9) / 2)
        # One-sided in r^2: both signs of r are far.
        log_p = np.where(m > 1, log_upper(score), 0.0)
        log_p = np.minimum(np.maximum(log_p, LOG_FLOOR) + self.log_trials + np.log(blocks), 0.0)

        def describe(b: int) -> Place:
            if m[b] <= 1:
                return Place("no two patches have the same signs", {})
            window: tuple[int, ...] = next(w for w in self.windows if w[0] * w[1] == m[b])
            places = [_position(p, self.grid) for p in best[b, 3:5]]
            if not self.images:
                places, window = [place[-1:] for place in places], window[1:]
            size = "x".join(map(str, window))
            at = [p if len(p) > 1 else p[0] for p in places]
            return Place(
                f"the {size} patches at {at[0]} and {at[1]} correlate by {r[b]:+.3g}",
                {"view": "copies", "source": places[0], "target": places[1], "size": window},
            )

        return [Statistic("correlation of two patches", 1.0, log_p, describe)]


def _head(x: Array, most: int) -> Array:
    return x[: min(most, int(x.shape[0]))]


def _position(flat: float, grid: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(int(flat), grid))

"""Independent N(0, 1) scores of an array, and how to give an array other scores.

Replacing the scores of noise by other draws of the same law, and nothing else, gives noise again;
replacing them by draws from a tail gives noise conditioned on that tail. Everything here is written
from the definition of the transforms, not taken from the package.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, linalg, special


def normal_of_chi_square(energy, freedom):
    """Normal score of a chi-square variable, from the smaller tail."""
    below, above = (f(freedom / 2, energy / 2) for f in (special.gammainc, special.gammaincc))
    return np.where(below < above, special.ndtri(below), -special.ndtri(above))


def chi_square_of_normal(score, freedom):
    tail = special.ndtr(-np.abs(score))
    inverse = special.gammaincinv(freedom / 2, tail), special.gammainccinv(freedom / 2, tail)
    return 2 * np.where(score < 0, *inverse)


def normal_of_beta(share, a, b):
    """Normal score of a Beta variable, from the smaller tail."""
    below, above = special.betainc(a, b, share), special.betaincc(a, b, share)
    return np.where(below < above, special.ndtri(below), -special.ndtri(above))


def beta_of_normal(score, a, b):
    tail = special.ndtr(-np.abs(score))
    low, high = special.betaincinv(a, b, tail), 1 - special.betaincinv(b, a, tail)
    return np.where(score < 0, low, high)


class Groups:
    """Positions with the same label; those of label -1 belong nowhere."""

    def __init__(self, labels):
        labels = np.asarray(labels).ravel()
        names, compact = np.unique(labels, return_inverse=True)
        self.labels = compact - 1 if names[0] < 0 else compact
        self.order = np.argsort(self.labels, kind="stable")[np.sum(self.labels < 0) :]
        self.sizes = np.bincount(self.labels[self.order])
        self.starts = np.cumsum(self.sizes) - self.sizes

    def sums(self, values):
        return np.add.reduceat(values[:, self.order], self.starts, axis=-1)

    def spread(self, values, elsewhere):
        """Give each position the value of its group."""
        rest = np.full((len(values), 1), elsewhere)
        return np.concatenate([values, rest], axis=-1)[:, self.labels]


class Flat:
    """The values themselves."""

    def forward(self, x):
        return x.reshape(len(x), -1)

    def inverse(self, y, shape):
        return y.reshape(len(y), *shape)


class Fourier:
    """Unitary Fourier transform of arrays reshaped to `shape`, along some of its axes."""

    def __init__(self, shape, axes):
        self.shape, self.axes = shape, tuple(a + 1 for a in axes)

    def forward(self, x):
        y = np.fft.fftn(x.reshape(len(x), *self.shape), axes=self.axes, norm="ortho")
        return y.reshape(len(x), -1)

    def inverse(self, y, shape):
        x = np.fft.ifftn(y.reshape(len(y), *self.shape), axes=self.axes, norm="ortho").real
        return x.reshape(len(y), *shape)


class Blocks:
    """Orthonormal cosine transform of blocks of `side` values along the last axes."""

    def __init__(self, shape, side, dimensions):
        self.cut, self.axes = [], []
        for axis, n in enumerate(shape):
            if axis < len(shape) - dimensions:
                self.cut.append(n)
                continue
            if n % side:
                raise ValueError(f"axis {axis} of shape {shape} must be a multiple of {side}")
            self.cut += [n // side, side]
            self.axes.append(len(self.cut))

    def forward(self, x):
        y = fft.dctn(x.reshape(len(x), *self.cut), axes=self.axes, norm="ortho")
        return y.reshape(len(x), -1)

    def inverse(self, y, shape):
        x = fft.idctn(y.reshape(len(y), *self.cut), axes=self.axes, norm="ortho")
        return x.reshape(len(y), *shape)

    def frequencies(self):
        """Label of each coefficient, the same in all blocks."""
        index = np.indices(self.cut)
        label = np.zeros(self.cut, dtype=int)
        for axis in self.axes:
            label = label * self.cut[axis - 1] + index[axis - 1]
        return label


class Hadamard:
    """Orthonormal Walsh-Hadamard transform of the flattened array, a power of two long."""

    def forward(self, x):
        y = x.reshape(len(x), -1)
        size = y.shape[1]
        if size & (size - 1):
            raise ValueError(f"the number of values must be a power of two, got {size}")
        step = 1
        while step < size:
            pair = y.reshape(len(y), -1, 2, step)
            a, b = pair[:, :, 0], pair[:, :, 1]
            y = np.stack([a + b, a - b], axis=2).reshape(len(y), size) / np.sqrt(2)
            step *= 2
        return y

    def inverse(self, y, shape):
        return self.forward(y).reshape(len(y), *shape)


class Means:
    """Sum of the values of each group over the root of their number."""

    def __init__(self, labels, transform=None):
        self.groups, self.transform = Groups(labels), transform or Flat()
        self.count = self.groups.sizes.size

    def scores(self, x):
        return self.groups.sums(self.transform.forward(x)) / np.sqrt(self.groups.sizes)

    def with_scores(self, x, scores):
        change = (scores - self.scores(x)) / np.sqrt(self.groups.sizes)
        y = self.transform.forward(x) + self.groups.spread(change, 0.0)
        return self.transform.inverse(y, x.shape[1:])


class Energies:
    """Energy of each group of coefficients, chi-square with as many degrees of freedom."""

    def __init__(self, labels, transform=None):
        self.groups, self.transform = Groups(labels), transform or Flat()
        self.count, self.freedom = self.groups.sizes.size, self.groups.sizes

    def energies(self, x):
        return self.groups.sums(np.abs(self.transform.forward(x)) ** 2)

    def with_energies(self, x, energies):
        factor = np.sqrt(energies / self.energies(x))
        y = self.transform.forward(x) * self.groups.spread(factor, 1.0)
        return self.transform.inverse(y, x.shape[1:])

    def scores(self, x):
        return normal_of_chi_square(self.energies(x), self.freedom)

    def with_scores(self, x, scores):
        return self.with_energies(x, chi_square_of_normal(scores, self.freedom))


class CentredEnergy:
    """Sum of squared deviations from the mean."""

    def __init__(self, size):
        self.freedom = np.array([size - 1])

    def energies(self, x):
        return np.var(x.reshape(len(x), -1), axis=-1, keepdims=True) * (self.freedom + 1)

    def with_energies(self, x, energies):
        axes = tuple(range(1, x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        factor = np.sqrt(energies / self.energies(x))
        return mean + (x - mean) * factor.reshape(-1, *(1,) * (x.ndim - 1))


class Cholesky:
    """Entries below the diagonal of the Cholesky factor of the Gram matrix of slices.

    `axis` None means that the rows are the phases of the flattened array.
    """

    def __init__(self, axis, rows):
        self.axis, self.rows = axis, rows
        self.below = np.tril_indices(rows, -1)
        self.count = self.below[0].size

    def _rows(self, x):
        if self.axis is None:
            return x.reshape(len(x), -1, self.rows).swapaxes(1, 2)
        return np.moveaxis(x, self.axis + 1, 1).reshape(len(x), self.rows, -1)

    def factor(self, x):
        rows = self._rows(x)
        return np.linalg.cholesky(rows @ rows.swapaxes(1, 2))

    def with_factor(self, x, factor):
        """Turn and stretch the slices until their Gram matrix has this factor."""
        rows, old = self._rows(x), self.factor(x)
        new = np.empty_like(rows)
        for b in range(len(x)):
            new[b] = factor[b] @ linalg.solve_triangular(old[b], rows[b], lower=True)
        if self.axis is None:
            return new.swapaxes(1, 2).reshape(x.shape)
        moved = np.moveaxis(x, self.axis + 1, 1).shape
        return np.moveaxis(new.reshape(moved), 1, self.axis + 1)

    def scores(self, x):
        return self.factor(x)[:, *self.below]

    def with_scores(self, x, scores):
        factor = self.factor(x)
        factor[:, *self.below] = scores
        return self.with_factor(x, factor)


class Symmetry:
    """Share of the energy that a permutation of order two keeps, a Beta variable."""

    count = 1

    def __init__(self, apply, shape):
        self.apply = apply
        index = np.arange(np.prod(shape)).reshape(1, *shape)
        fixed = np.sum(index == apply(index))
        self.a, self.b = (index.size + fixed) / 4, (index.size - fixed) / 4

    def _parts(self, x):
        turned = self.apply(x)
        return (x + turned) / 2, (x - turned) / 2

    def _share(self, x):
        kept, turned = (np.sum(p.reshape(len(x), -1) ** 2, axis=-1) for p in self._parts(x))
        return kept / (kept + turned)

    def scores(self, x):
        return normal_of_beta(self._share(x), self.a, self.b)[:, None]

    def with_scores(self, x, scores):
        share, new = self._share(x), beta_of_normal(scores[:, 0], self.a, self.b)
        ones = (1,) * (x.ndim - 1)
        kept, turned = self._parts(x)
        grow = np.sqrt(new / share).reshape(-1, *ones)
        shrink = np.sqrt((1 - new) / (1 - share)).reshape(-1, *ones)
        return kept * grow + turned * shrink


class PhaseShares:
    """Share of the real parts in the energy of each group of pairs of conjugate coefficients."""

    def __init__(self, labels, transform):
        self.groups, self.transform = Groups(labels), transform
        self.count = self.groups.sizes.size
        self.shape = self.groups.sizes / 4  # half of the pairs: Beta(shape, shape)

    def _parts(self, x):
        y = self.transform.forward(x)
        return y, self.groups.sums(y.real**2), self.groups.sums(y.imag**2)

    def scores(self, x):
        _, real, imaginary = self._parts(x)
        return normal_of_beta(real / (real + imaginary), self.shape, self.shape)

    def with_scores(self, x, scores):
        y, real, imaginary = self._parts(x)
        share, total = beta_of_normal(scores, self.shape, self.shape), real + imaginary
        grow = self.groups.spread(np.sqrt(share * total / real), 1.0)
        shrink = self.groups.spread(np.sqrt((1 - share) * total / imaginary), 1.0)
        return self.transform.inverse(y.real * grow + 1j * y.imag * shrink, x.shape[1:])


class Extreme:
    """Largest value (`sign` 1), or minus the smallest (-1): ``Phi(max)^N`` is uniform."""

    count = 1

    def __init__(self, sign):
        self.sign = sign

    def scores(self, x):
        top = (self.sign * x).reshape(len(x), -1).max(axis=-1, keepdims=True)
        log_below = (x[0].size) * special.log_ndtr(top)
        above = -np.expm1(log_below)
        return np.where(above < 0.5, -special.ndtri(above), special.ndtri(np.exp(log_below)))

    def with_scores(self, x, scores):
        """Move the largest, and the others within the room below it."""
        y = (self.sign * x).reshape(len(x), -1)
        log_below = special.log_ndtr(scores) / y.shape[1]
        above = -np.expm1(log_below)  # of the new largest
        top = np.where(above < 0.5, -special.ndtri(above), special.ndtri(np.exp(log_below)))
        old = y.max(axis=-1, keepdims=True)
        room = np.exp(log_below - special.log_ndtr(old))
        moved = np.where(y < old, special.ndtri(special.ndtr(y) * room), top)
        return (self.sign * moved).reshape(x.shape)

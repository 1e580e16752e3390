"""A proposal for every statistic of a layout that has one."""

from __future__ import annotations

import numpy as np

from .conditions import Largest, Overall, Trend, Window, Zero
from .counts import Cells, Thresholds, Triples
from .fields import (
    Blocks,
    CentredEnergy,
    Cholesky,
    Energies,
    Extreme,
    Fourier,
    Hadamard,
    Means,
    PhaseShares,
    Symmetry,
)
from .modulus import OfModulus
from .tilts import Determinant, Flatness, Lags, SumOfOrdinates, SumOfValues

BANDS = ((1, 2, 3), (4, 5), (6, 7), (8, 9), (10, 11, 12))
NOT_SAMPLED = {
    ("copies", "correlation of two patches"): "union bound over exact laws",
    ("two_level", "order statistics of chunks of 16"): "union bound over exact laws",
    ("exactness", "equal values"): "discrete: Poisson",
    ("exactness", "opposite values"): "discrete: Poisson",
    ("exactness", "values of 24 bits"): "discrete: binomial, exact",
    ("exactness", "values of 11 bits"): "discrete: binomial, exact",
    ("exactness", "values of 8 bits"): "discrete: binomial, exact",
    ("exactness", "values of 4 bits"): "discrete: binomial, exact",
}
"""Statistics without a proposal, and what their level rests on."""


def proposals(battery):
    """Proposals by (family, statistic)."""
    shape = battery.layout.shape
    result = {}
    for family in battery.families:
        if family.name in MAKERS:
            for statistic, proposal in MAKERS[family.name](family, shape):
                result[family.name, statistic] = proposal
    return result


def _scores(shape, field, what, slack=1.0):
    """The two statistics that most groups have."""
    yield what, Overall(shape, field, slack)
    yield f"largest of {what}", Largest(shape, field, slack=slack)


def third(x):
    x = np.clip(x, -4, 4)
    return x**3 - 3 * x


def fourth(x):
    x = np.clip(x, -4, 4)
    return x**4 - 6 * x**2 + 3


def modulus(x):
    return np.abs(x) - x**2 / np.sqrt(2 * np.pi)


def marginal(family, shape):
    everything = np.zeros(shape, dtype=int)
    yield "mean", Largest(shape, Means(everything))
    yield "energy", Largest(shape, Energies(everything))
    for g in (third, fourth, modulus):
        yield g.__name__, SumOfValues(shape, g)
    for band in BANDS:
        levels = [level for level in band if level <= family.levels]
        if levels:
            yield f"counts in {2 ** max(levels)} cells", Cells(shape, levels)
    yield "counts beyond thresholds", Thresholds(shape, family.tails)
    yield "largest value", Largest(shape, Extreme(1))
    yield "smallest value", Largest(shape, Extreme(-1))


def tiles(family, shape):
    grid = family.channels, family.height, family.width
    channel, y, x = np.indices(grid)
    for side in family.sides:
        size, down = (f"{side}x{side}", side) if family.images else (str(side), 1)
        across = grid[2] // side
        place = y // down * across + x // side
        inside = (y // down < grid[1] // down) & (x // side < across)
        own = np.where(inside, channel * place.size + place, -1)
        for kind, noun in ((Means, "means"), (Energies, "energies")):
            yield from _scores(shape, kind(own), f"{noun} of {size} tiles")
            if grid[0] > 1:
                common = kind(np.where(inside, place, -1))
                yield from _scores(shape, common, f"{noun} of {size} tiles common to all images")
    for axis in family.axes:
        for kind, noun in ((Means, "means"), (Energies, "energies")):
            field, what = kind(np.indices(shape)[axis]), f"{noun} of slabs across axis {axis}"
            yield from _scores(shape, field, what)
            yield f"trend of {what}", Trend(shape, field)


def _centre_out(u):
    return 6 * u * (u - 1) + 1


def _ordinates(shape, pairs, what):
    yield f"flatness of {what}", Flatness(shape, pairs)
    yield f"concentration of {what}", SumOfOrdinates(shape, pairs, _centre_out)


def line_spectrum(shape, noun):
    n = int(np.prod(shape))
    k = np.arange(n)
    k = np.minimum(k, n - k)
    bands, half = min(32, n // 16), n // 2 + 1
    labels = {
        "octaves": np.floor(np.log2(np.maximum(k, 1))),
        "bands": np.minimum(k * bands // half, bands - 1),
    }
    transform = Fourier((n,), (0,))
    for name, label in labels.items():
        field = Energies(label.astype(int), transform)
        yield from _scores(shape, field, f"energies of {noun}frequency {name}")
    pairs = Energies(np.where((k == 0) | (2 * k == n), -1, k), transform)
    yield f"largest {noun}frequency", Largest(shape, pairs, sides=1)
    yield from _ordinates(shape, pairs, f"{noun}frequencies")


def plane_spectrum(shape, noun):
    height, width = shape[-2:]
    channels = int(np.prod(shape[:-2]))
    grid = channels, height, width
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    bands = min(max(min(height, width) // 4, 2), 16)
    radial = np.minimum((np.hypot(fy, fx) / 0.5 * bands).astype(int), bands)
    index = np.arange(height * width).reshape(height, width)
    opposite = np.roll(np.flip(index), (1, 1), (0, 1))
    angle = np.arctan2(fy, fx) % np.pi
    sector = np.floor((angle / np.pi * 8 + 0.5) % 8).astype(int)
    sector = np.where(fx < 0, sector.ravel()[opposite], sector)  # as in half of the plane
    alone = (np.abs(fx) == 0.5) | ((fx == 0) & ((fy == 0) | (np.abs(fy) == 0.5)))
    sector = np.where(alone, -1, sector)
    transform = Fourier(grid, (1, 2))
    everywhere = np.zeros((channels, 1, 1), dtype=int)
    field = Energies(radial + everywhere, transform)
    yield from _scores(shape, field, f"energies of 2-D {noun}radial bands")
    yield f"slope of the 2-D {noun}spectrum", Trend(shape, field)
    directions = Energies(sector + everywhere, transform)
    yield from _scores(shape, directions, f"energies of 2-D {noun}directions", slack=SLACK)
    # Pairs of conjugates, without the columns that are their own.
    edge = (fx == 0) | (np.abs(fx) == 0.5)
    pair = np.where(edge, -1, np.minimum(index, opposite))
    plane = np.arange(channels)[:, None, None] * pair.size
    pairs = Energies(np.where(pair < 0, -1, pair + plane), transform)
    yield f"largest 2-D {noun}frequency", Largest(shape, pairs, sides=1)
    if channels > 1:
        common = Energies(pair + everywhere, transform)
        yield f"largest 2-D {noun}frequency of all images", Largest(shape, common, sides=1)
    yield from _ordinates(shape, pairs, f"2-D {noun}frequencies")


SLACK = 10.0  # directions share a column of frequencies, so their scores are not independent


def spectrum(family, shape):
    yield from line_spectrum(shape, "")
    if family.plane:
        yield from plane_spectrum(shape, "")
    for axis in family.axes:
        k = np.indices(shape)[axis]
        field = Energies(np.minimum(k, shape[axis] - k), Fourier(shape, (axis,)))
        yield from _scores(shape, field, f"energies of frequencies along axis {axis}")
    if family.plane:
        blocks, size = Blocks(shape, 8, 2), "8x8 DCT"
    else:
        blocks, size = Blocks((int(np.prod(shape)),), 16, 1), "16-point DCT"
    field = Energies(blocks.frequencies(), blocks)
    yield from _scores(shape, field, f"energies of {size} frequencies")


def hadamard(family, shape):
    index = np.arange(int(np.prod(shape)))
    octave = np.where(index > 0, np.floor(np.log2(np.maximum(index, 1))) + 1, 0)
    bits = np.array([bin(i).count("1") for i in index])
    for label, what in ((octave, "octaves"), (bits, "indices by number of bits")):
        field = Energies(label.astype(int), Hadamard())
        yield from _scores(shape, field, f"energies of Hadamard {what}")
    yield "largest Hadamard coefficient", Largest(shape, Means(index, Hadamard()))


def _lags(probe, shape, noun):
    for lag in probe.first:
        at = lag if len(lag) > 1 else lag[0]
        yield f"{noun}autocorrelation at lag {at}", Lags(shape, [lag])
    if probe.near:
        yield f"{noun}autocorrelation at near lags", Lags(shape, probe.near)
    for order, members in zip(probe.orders, probe.members, strict=True):
        which = f"lags of order {order}" if order < 17 else "all lags"
        lags = np.transpose(np.unravel_index(members, shape))
        yield f"largest {noun}autocorrelation of {which}", Lags(shape, lags)


def autocorrelation(family, shape):
    yield from _lags(family.lags, shape, "")
    for axis in family.axes:
        yield f"signs of three neighbours along axis {axis}", Triples(shape, axis)


def volatility(family, shape):
    images = len(shape) > 1 and min(shape[-2:]) >= 8
    bands = plane_spectrum if images else line_spectrum
    for part in (_lags(family.lags, shape, "volatility "), bands(shape, "volatility ")):
        for statistic, proposal in part:
            yield statistic, OfModulus(proposal)


def reflection(family, shape):
    for name, apply in family.involutions:
        field = Symmetry(lambda x, apply=apply: apply(x, np), shape)
        yield f"symmetry under {name}", Largest(shape, field)
    if not family.plane:
        return
    channels, height, width = int(np.prod(shape[:-2])), *shape[-2:]
    fy, fx = np.meshgrid(np.fft.fftfreq(height), np.fft.fftfreq(width), indexing="ij")
    band = np.minimum((np.hypot(fy, fx) / 0.5 * 8).astype(int), 8)
    edge = (fx == 0) | (np.abs(fx) == 0.5)
    image = np.arange(channels)[:, None, None]
    field = PhaseShares(
        np.where(edge, -1, band + 9 * image), Fourier((channels, height, width), (1, 2))
    )
    yield from _scores(shape, field, "symmetries about the origin by frequency")


def covariance(family, shape):
    for what, axis, rows in family.matrices:
        yield from _scores(shape, Cholesky(axis, rows), f"correlations between {what}")


def rank(family, shape):
    for what, axis, rows in family.matrices:
        yield f"determinant of {what}", Determinant(shape, Cholesky(axis, rows))


def polyphase(family, shape):
    n = int(np.prod(shape))
    labels = []
    position = np.arange(n)
    for k in family.flat:
        used = n // family.base[k] * family.base[k]
        labels.append((f"every {_ordinal(k)} value", np.where(position < used, position % k, -1)))
    for axis, k in family.axes:
        index = np.indices(shape)[axis]
        used = shape[axis] // k * k
        what = f"every {_ordinal(k)} index of axis {axis}"
        labels.append((what, np.where(index < used, index % k, -1)))
    for k in family.plane:
        y, x = np.indices(shape)[-2:]
        finest = family.plane[-1]
        used = (y < shape[-2] // finest * finest) & (x < shape[-1] // finest * finest)
        what = f"every {_ordinal(k)} row and column"
        labels.append((what, np.where(used, y % k * k + x % k, -1)))
    for what, label in labels:
        for kind, noun in ((Means, "means"), (Energies, "energies")):
            yield from _scores(shape, kind(label), f"{noun} of {what}")


def _ordinal(k):
    return {2: "2nd", 3: "3rd", 32: "32nd"}.get(k, f"{k}th")


def exactness(family, shape):
    n = int(np.prod(shape))
    everything = np.zeros(shape, dtype=int)
    centred = CentredEnergy(n)
    yield "mean of zero", Zero(shape, Means(everything))
    yield "mean square of one", Window(shape, Energies(everything), n)
    yield "population variance of one", Window(shape, centred, n)
    yield "sample variance of one", Window(shape, centred, n - 1)


MAKERS = {
    "marginal": marginal,
    "tiles": tiles,
    "spectrum": spectrum,
    "hadamard": hadamard,
    "autocorrelation": autocorrelation,
    "volatility": volatility,
    "reflection": reflection,
    "covariance": covariance,
    "rank": rank,
    "polyphase": polyphase,
    "exactness": exactness,
}

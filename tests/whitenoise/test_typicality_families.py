"""The statistics of each family, by plain loops and SciPy's distributions."""

import re

import ml_dtypes
import numpy as np
import pytest
import scipy.linalg
from null_oracles import (
    cosine_matrix,
    fourier_matrix,
    normal_score,
    smallest_of,
    tail_by_inversion,
    two_sided,
)
from scipy import stats
from scipy.special import gammaln, loggamma, polygamma

import whitenoise as wn
from whitenoise.verify.families.exactness import expected_repeats
from whitenoise.verify.families.marginal import rounding_edges
from whitenoise.verify.view import Layout

SHAPE = (3, 16, 20)
N = 960
GAUSS = stats.norm


@pytest.fixture(scope="module")
def x():
    """Some values, far enough from typical that no p-value is 1."""
    rng = np.random.default_rng(11)
    return 1.05 * rng.standard_normal(SHAPE) + 0.03


@pytest.fixture(scope="module")
def report(x):
    return wn.typicality(x)


def found(report, family, statistic):
    [one] = [f for f in report.findings if (f.family, f.statistic) == (family, statistic)]
    return one


class Check:
    """Compares log p-values of a report with what is expected."""

    def __init__(self, report, family):
        self.report, self.family, self.seen = report, family, set()

    def __call__(self, statistic, log_p, rel=1e-9):
        self.seen.add(statistic)
        got = found(self.report, self.family, statistic).log_pvalue
        assert got == pytest.approx(log_p, rel=rel, abs=1e-9), statistic

    def chi_square_and_largest(self, what, scores):
        scores = np.asarray(scores, float).ravel()
        self(what, float(two_sided(stats.chi2(scores.size), np.sum(scores**2))))
        top = np.abs(scores).max()
        largest = f"largest of {what}"
        if largest in {f.statistic for f in self.report.findings if f.family == self.family}:
            self(largest, smallest_of(np.log(2) + GAUSS.logsf(top), scores.size))

    def is_complete(self):
        names = {f.statistic for f in self.report.findings if f.family == self.family}
        assert names == self.seen


def mean_score(values):
    return np.sum(values) / np.sqrt(np.size(values))


def energy_score(values):
    return float(normal_score(stats.chi2(np.size(values)), np.sum(np.square(values))))


def test_marginal_by_counting(x, report):
    check = Check(report, "marginal")
    flat = [float(v) for v in x.ravel()]
    check("mean", float(two_sided(stats.norm(0, np.sqrt(N)), sum(flat))))
    check("energy", float(two_sided(stats.chi2(N), sum(v * v for v in flat))))
    check("largest value", two_sided_of_cdf(GAUSS.cdf(max(flat)) ** N))
    check("smallest value", two_sided_of_cdf(1 - GAUSS.sf(min(flat)) ** N))
    moments = {
        "third": lambda v: np.clip(v, -4, 4) ** 3 - 3 * np.clip(v, -4, 4),
        "fourth": lambda v: np.clip(v, -4, 4) ** 4 - 6 * np.clip(v, -4, 4) ** 2 + 3,
        "modulus": lambda v: abs(v) - v * v / np.sqrt(2 * np.pi),
    }
    edges = np.linspace(-10, 10, 4001)
    grid = (edges[1:] + edges[:-1]) / 2
    weight = GAUSS.pdf(grid) / GAUSS.pdf(grid).sum()
    for name, g in moments.items():
        values = g(grid)
        spread = np.sqrt(N * (weight @ values**2 - (weight @ values) ** 2))
        transform = lambda u, v=values: np.array([weight @ np.exp(1j * k * v) for k in u]) ** N  # noqa: E731
        above = tail_by_inversion(transform, sum(g(v) for v in flat), spread, 400)
        # A saddlepoint: 5 % of the p-value.
        check(name, np.log(2 * min(above, 1 - above)), rel=1e-12 + 0.05)
    levels = 5  # the largest with 16 values expected in a cell: 960 / 32 = 30
    counts = {k: sum(v < GAUSS.ppf(k / 2**levels) for v in flat) for k in range(1, 2**levels)}
    counts |= {0: 0, 2**levels: N}
    for band in ((1, 2, 3), (4, 5)):
        total = mean = variance = 0.0
        for level in band:
            step = 2 ** (levels - level)
            for left in range(0, 2**levels, 2 * step):
                parent = counts[left + 2 * step] - counts[left]
                half = stats.binom(parent, 0.5)
                total += (counts[left + step] - counts[left] - half.mean()) ** 2 / half.var()
                mean += 1
                kurtosis = float(half.stats("k")) + 3
                variance += kurtosis - 1  # of the square of a standardised variable
        law = stats.gamma(mean**2 / variance, scale=variance / mean)
        name = f"counts in {2 ** band[-1]} cells"
        expected = float(two_sided(law, total))
        if law.cdf(total) > 0.5:
            check(name, expected, rel=1e-7)
        else:  # the lower tail knows that counts are whole numbers
            check.seen.add(name)
            log_p = found(report, "marginal", name).log_pvalue
            assert expected - 1e-7 <= log_p < expected + np.log(1.5)
    thresholds = [1.0, 1.5, 2.0, 2.33, 2.66, 3.0, 3.33, 3.66, 4.0]
    smallest = 0.0
    for t in [-t for t in thresholds] + thresholds:
        k, law = sum(v < t for v in flat), stats.binom(N, GAUSS.cdf(t))
        smallest = min(smallest, np.log(2 * min(law.cdf(k), law.sf(k - 1))))
    check("counts beyond thresholds", min(0, smallest + np.log(18)), rel=1e-7)
    check.is_complete()


@pytest.mark.parametrize("n", [32, 64, 80, 128, 256])
def test_counts_that_are_exactly_even(n):
    """All cells hold the same number: as rare as it is, by binomial laws, within a factor of 2."""
    levels = int(np.log2(n / 16))
    cells = 2**levels
    inside = (np.arange(n // cells) + 0.5) / (n // cells)
    quantiles = (np.arange(cells)[:, None] + 0.2 + 0.6 * inside) / cells
    report = wn.typicality(GAUSS.ppf(quantiles).ravel())
    first = min(levels, 3)
    chance = 1.0
    for level in range(first):
        parent = n // 2**level
        chance *= stats.binom.pmf(parent // 2, parent, 0.5) ** (2**level)
    got = found(report, "marginal", f"counts in {2**first} cells").pvalue
    assert min(1.0, chance) <= got <= min(1.0, 4 * chance)


def two_sided_of_cdf(p):
    return float(np.log(min(1, 2 * min(p, 1 - p))))


def test_tiles_by_loops(x, report):
    check = Check(report, "tiles")
    for side in (4, 8):
        tiles = {
            (c, i, j): x[c, i * side : (i + 1) * side, j * side : (j + 1) * side]
            for c in range(3)
            for i in range(16 // side)
            for j in range(20 // side)
        }
        common = {
            (i, j): np.stack([tiles[c, i, j] for c in range(3)]) for c, i, j in tiles if c == 0
        }
        for places, which in ((tiles, ""), (common, " common to all images")):
            for noun, score in (("means", mean_score), ("energies", energy_score)):
                scores = [score(v) for v in places.values()]
                check.chi_square_and_largest(f"{noun} of {side}x{side} tiles{which}", scores)
    check_slabs(check, x)
    check.is_complete()


def check_slabs(check, x):
    for axis, n in enumerate(x.shape):
        for noun, score in (("means", mean_score), ("energies", energy_score)):
            scores = np.array([score(np.take(x, k, axis)) for k in range(n)])
            what = f"{noun} of slabs across axis {axis}"
            check.chi_square_and_largest(what, scores)
            slope = sum((k - (n - 1) / 2) * s for k, s in enumerate(scores))
            spread = np.sqrt(sum((k - (n - 1) / 2) ** 2 for k in range(n)))
            check(f"trend of {what}", float(two_sided(GAUSS, slope / spread)))


def test_tiles_of_a_line_by_loops():
    x = 0.97 * np.random.default_rng(2).standard_normal(300)
    check = Check(wn.typicality(x), "tiles")
    for side in (16, 64):
        tiles = [x[k * side : (k + 1) * side] for k in range(300 // side)]
        check.chi_square_and_largest(f"means of {side} tiles", [mean_score(t) for t in tiles])
        check.chi_square_and_largest(f"energies of {side} tiles", [energy_score(t) for t in tiles])
    check.is_complete()


def score_of_bands(bands):
    """Scores of energies from lists of (power, freedom)."""
    return [
        float(normal_score(stats.chi2(sum(d for _, d in band)), sum(p * d for p, d in band)))
        for band in bands
    ]


def test_spectrum_by_matrices(x, report):
    check = Check(report, "spectrum")
    power = np.abs(fourier_matrix(N) @ x.ravel()) ** 2
    freedom = [1 if k in (0, N // 2) else 2 for k in range(N // 2 + 1)]
    octaves, bands = {}, {}
    for k in range(N // 2 + 1):
        octaves.setdefault(max(k, 1).bit_length(), []).append((power[k], freedom[k]))
        bands.setdefault(k * 32 // 481, []).append((power[k], freedom[k]))
    for name, groups in (("octaves", octaves), ("bands", bands)):
        ordered = [groups[k] for k in sorted(groups)]
        check.chi_square_and_largest(f"energies of frequency {name}", score_of_bands(ordered))
    check("largest frequency", smallest_of(-power[1:480].max(), 479))
    check_ordinates(check, "frequencies", power[1:480])

    rows, columns = fourier_matrix(16), fourier_matrix(20)
    planes = np.array([np.abs(rows @ image @ columns.T) ** 2 for image in x])
    radial, sectors, inner = {}, {}, []
    for ky in range(16):
        for kx in range(11):
            fy, fx = (ky if ky < 8 else ky - 16) / 16, kx / 20
            edge = kx in (0, 10)
            both = 1 if edge else 2
            band = min(int(np.hypot(fy, fx) / 0.5 * 4), 4)
            entry = [(planes[c, ky, kx], both) for c in range(3)]
            radial.setdefault(band, []).extend(entry)
            if not (edge and ky in (0, 8)):
                angle = np.degrees(np.arctan2(fy, fx)) % 180
                sectors.setdefault(int((angle + 11.25) // 22.5) % 8, []).extend(entry)
            if not edge:
                inner.append(planes[:, ky, kx])
    scores = score_of_bands([radial[k] for k in sorted(radial)])
    check.chi_square_and_largest("energies of 2-D radial bands", scores)
    ramp = np.arange(5) - 2
    check("slope of the 2-D spectrum", float(two_sided(GAUSS, ramp @ scores / np.sqrt(10))))
    scores = score_of_bands([sectors[k] for k in sorted(sectors)])
    check.chi_square_and_largest("energies of 2-D directions", scores)
    inner = np.array(inner)
    check("largest 2-D frequency", smallest_of(-inner.max(), inner.size))
    top = stats.gamma(3).logsf(inner.sum(axis=1).max())
    check("largest 2-D frequency of all images", smallest_of(top, len(inner)))
    check_ordinates(check, "2-D frequencies", inner.ravel())

    for axis, n in ((1, 16), (2, 20)):
        moved = np.moveaxis(x, axis, 0).reshape(n, -1)
        power = np.abs(fourier_matrix(n) @ moved) ** 2
        lists = [[(p, 1 if k in (0, n // 2) else 2) for p in power[k]] for k in range(n // 2 + 1)]
        what = f"energies of frequencies along axis {axis}"
        check.chi_square_and_largest(what, score_of_bands(lists))

    basis = cosine_matrix(8)
    tiles = [
        basis @ x[c, i : i + 8, j : j + 8] @ basis.T
        for c in range(3)
        for i in (0, 8)
        for j in (0, 8)
    ]
    scores = normal_score(stats.chi2(12), np.sum(np.square(tiles), axis=0))
    check.chi_square_and_largest("energies of 8x8 DCT frequencies", scores)
    check.is_complete()


def check_ordinates(check, what, power):
    """Sums over exponentials: inversion of Gamma functions, and of a quadrature."""
    n = power.size

    def flatness(u):
        s = 1j * u
        whole = loggamma(n + n * s) - gammaln(n) - n * s * np.log(n)
        return np.exp(n * loggamma(1 + s) - whole)

    spread = np.sqrt(n * polygamma(1, 1) - n**2 * polygamma(1, n))
    above = tail_by_inversion(flatness, np.sum(np.log(power / power.mean())), spread, 400)
    check(f"flatness of {what}", np.log(2 * min(above, 1 - above)), rel=0.01)
    uniform = (np.arange(20000) + 0.5) / 20000
    legendre = lambda u: (3 * (2 * u - 1) ** 2 - 1) / 2  # noqa: E731
    value = legendre(uniform)
    transform = lambda u: np.array([np.exp(1j * k * value).mean() for k in u]) ** n  # noqa: E731
    above = tail_by_inversion(transform, legendre(np.exp(-power)).sum(), np.sqrt(n / 5), 300)
    check(f"concentration of {what}", np.log(2 * min(above, 1 - above)), rel=0.01)


def test_cosine_blocks_of_a_line_by_matrices():
    x = 1.04 * np.random.default_rng(3).standard_normal(300)
    tiles = x[:288].reshape(18, 16) @ cosine_matrix(16).T
    scores = [energy_score(tiles[:, k]) for k in range(16)]
    check = Check(wn.typicality(x), "spectrum")
    check.chi_square_and_largest("energies of 16-point DCT frequencies", scores)


def test_hadamard_by_its_matrix():
    x = 1.03 * np.random.default_rng(4).standard_normal(300)
    check = Check(wn.typicality(x), "hadamard")
    y = scipy.linalg.hadamard(256) @ x[:256] / 16
    for name, label in (
        ("octaves", [k.bit_length() for k in range(256)]),
        ("indices by number of bits", [k.bit_count() for k in range(256)]),
    ):
        scores = [
            energy_score([v for v, own in zip(y, label, strict=True) if own == k]) for k in range(9)
        ]
        check.chi_square_and_largest(f"energies of Hadamard {name}", scores)
    top = np.log(2) + GAUSS.logsf(np.abs(y).max())
    check("largest Hadamard coefficient", smallest_of(top, 256))
    check.is_complete()


def lag_p_value(field, lag):
    """Two-sided p-value of a circular autocorrelation, from the eigenvalues of its matrix."""
    axes = tuple(range(field.ndim))
    value = float(np.sum(field * np.roll(field, lag, axes)))
    steps = np.meshgrid(*(np.arange(n) / n for n in field.shape), indexing="ij")
    eigenvalues = np.cos(2 * np.pi * sum(k * s for k, s in zip(lag, steps, strict=True))).ravel()
    eigenvalues, copies = np.unique(eigenvalues.round(9), return_counts=True)
    spread = np.sqrt(2 * np.sum(copies * eigenvalues**2))

    def transform(u):
        return np.exp(-0.5 * np.log(1 - 2j * u[:, None] * eigenvalues) @ copies)

    above = tail_by_inversion(transform, value, spread, 300)
    return np.log(2 * min(above, 1 - above))


@pytest.mark.parametrize("family", ["autocorrelation", "volatility"])
def test_lags_by_rolling(family):
    """Also that near lags and far ones are what they should be: all of them, by loops."""
    shape = (5, 6, 7)
    x = 1.1 * np.random.default_rng(5).standard_normal(shape)
    check = Check(wn.typicality(x), family)
    field, noun = x, ""
    if family == "volatility":
        field, noun = GAUSS.ppf(stats.chi(1).cdf(np.abs(x))), "volatility "
    first = [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    for lag in first:
        check(f"{noun}autocorrelation at lag {lag}", lag_p_value(field, lag), rel=0.01)
    near = [(0, dy, dx) for dy in range(3) for dx in range(-3, 4) if dy > 0 or dx > 0]
    near = [lag for lag in [*near, (2, 0, 0)] if lag not in first]
    best = min(lag_p_value(field, lag) for lag in near)
    check(f"{noun}autocorrelation at near lags", min(0, best + np.log(len(near))), rel=0.01)
    for order in (3, 5, 6, 7, 10, 14, 15):
        members = [lag for lag in np.ndindex(*shape) if lag_order(lag, shape) == order]
        half = [
            lag for lag in members if lag <= tuple(-k % n for k, n in zip(lag, shape, strict=True))
        ]
        top = max(half, key=lambda lag: abs(np.sum(field * np.roll(field, lag, (0, 1, 2)))))
        log_p = min(0, lag_p_value(field, top) + np.log(len(half)))
        check(f"largest {noun}autocorrelation of lags of order {order}", log_p, rel=0.01)


def test_signs_of_three_neighbours_by_loops():
    x = 1.1 * np.random.default_rng(5).standard_normal((5, 6, 7))
    check = Check(wn.typicality(x), "autocorrelation")
    for axis, n in enumerate(x.shape):
        rows = np.moveaxis(x, axis, -1).reshape(-1, n)
        products = [r[k] * r[k + 1] * r[k + 2] for r in rows for k in range(n - 2)]
        count = sum(p > 0 for p in products)
        law = stats.binom(len(products), 0.5)
        log_p = np.log(min(1, 2 * min(law.cdf(count), law.sf(count - 1))))
        check(f"signs of three neighbours along axis {axis}", log_p, rel=1e-9)


def lag_order(lag, shape):
    """How many shifts lead back to the start."""
    return next(
        m for m in range(1, 1000) if all(m * k % n == 0 for k, n in zip(lag, shape, strict=True))
    )


def test_spectrum_of_volatility_is_that_of_its_field():
    x = np.random.default_rng(6).standard_normal((3, 16, 16))
    field = GAUSS.ppf(stats.chi(1).cdf(np.abs(x)))
    mine, other = wn.typicality(x), wn.typicality(field)
    count = 0
    for f in other.findings:
        name = f.statistic.replace("2-D ", "2-D volatility ")
        if f.family == "spectrum" and "2-D" in name:
            count += 1
            assert found(mine, "volatility", name).log_pvalue == pytest.approx(f.log_pvalue, 1e-6)
    assert count == 9


def test_reflections_by_indexing():
    x = np.random.default_rng(7).standard_normal((2, 6, 6))
    check = Check(wn.typicality(x), "reflection")
    images = {
        "reversal of axis 1": x[:, ::-1],
        "reversal of axis 2": x[:, :, ::-1],
        "reversal of all axes": x[::-1, ::-1, ::-1],
        "rotation of the images by half a turn": x[:, ::-1, ::-1],
        "transposition of the images": np.stack([image.T for image in x]),
        "exchange of the halves of axis 0": x[[1, 0]],
        "a shift by half of axis 1": x[:, [3, 4, 5, 0, 1, 2]],
        "a shift by half of axis 2": x[:, :, [3, 4, 5, 0, 1, 2]],
    }
    for name, image in images.items():
        # The symmetric part as a projection: its rank is the trace, its energy over all is Beta.
        fixed = 12 if name.startswith("transposition") else 0
        rank = (72 + fixed) / 2
        share = np.sum(((x + image) / 2) ** 2) / np.sum(x**2)
        log_p = float(two_sided(stats.beta(rank / 2, (72 - rank) / 2), share))
        check(f"symmetry under {name}", log_p)
    check.is_complete()


def test_phases_by_matrices():
    """Energy of real over all Fourier coefficients, by image and radius: Beta laws."""
    x = np.random.default_rng(7).standard_normal((2, 8, 10))
    rows, columns = fourier_matrix(8), fourier_matrix(10)
    bands = {}
    for c, image in enumerate(x):
        spectrum = rows @ image @ columns.T
        for ky in range(8):
            for kx in range(1, 5):
                radius = np.hypot((ky if ky < 4 else ky - 8) / 8, kx / 10)
                bands.setdefault((c, min(int(radius * 16), 8)), []).append(spectrum[ky, kx])
    scores = []
    for key in sorted(bands):
        values = np.array(bands[key])
        share = np.sum(values.real**2) / np.sum(np.abs(values) ** 2)
        scores.append(float(normal_score(stats.beta(len(values) / 2, len(values) / 2), share)))
    check = Check(wn.typicality(x), "reflection")
    check.chi_square_and_largest("symmetries about the origin by frequency", scores)


def test_covariance_by_regression():
    """Entries of the Cholesky factor are inner products with the slices before, orthonormalised."""
    x = 1.02 * np.random.default_rng(8).standard_normal((4, 6, 20))
    report = wn.typicality(x)
    check = Check(report, "covariance")
    for axis in (0, 1):
        rows = np.moveaxis(x, axis, 0).reshape(x.shape[axis], -1)
        entries, basis = [], []
        for row in rows:
            entries += [float(row @ b) for b in basis]
            rest = row - sum(((row @ b) * b for b in basis), np.zeros_like(row))
            basis.append(rest / np.linalg.norm(rest))
        check.chi_square_and_largest(f"correlations between slices of axis {axis}", entries)
    check.is_complete()
    assert {f.statistic for f in report.findings if f.family == "rank"} == {
        "determinant of slices of axis 0",
        "determinant of slices of axis 1",
    }


@pytest.mark.parametrize("scale", [0.1, 1.0, 40.0])
def test_rank_of_two_slices_has_a_closed_form(scale):
    """Four times the determinant over the squared trace, to the power (n - 1) / 2, is uniform."""
    for seed in range(20):
        x = scale * np.random.default_rng(seed).standard_normal((2, 32))
        x[1] += seed / 10 * x[0]
        gram = x @ x.T
        exact = (4 * np.linalg.det(gram) / np.trace(gram) ** 2) ** (31 / 2)
        got = found(wn.typicality(x), "rank", "determinant of slices of axis 0").pvalue
        stated = 2 * min(exact, 1 - exact)
        if exact < 0.5:
            assert got == pytest.approx(stated, rel=0.25)  # a saddlepoint for two slices
        else:  # too round: the upper tail ends at 1
            assert got > 0.9 * stated


def test_a_copy_is_judged_by_its_correlation():
    rng = np.random.default_rng(9)
    x = rng.standard_normal((2, 32, 32))
    x[1, 18:28, 15:25] = -x[0, 3:13, 6:16]
    [one] = [f for f in wn.typicality(x).findings if f.family == "copies"]
    (c, y, z), (e, u, v), (h, w) = one.where["source"], one.where["target"], one.where["size"]
    left, right = x[c, y : y + h, z : z + w], x[e, u : u + h, v : v + w]
    r = np.sum(left * right) / np.sqrt(np.sum(left**2) * np.sum(right**2))
    assert f"correlate by {r:+.3g}" in one.sentence
    assert r == pytest.approx(-1)
    assert {c, e} == {0, 1}
    x[1, 18:28, 15:25] += 0.15 * rng.standard_normal((10, 10))
    [one] = [f for f in wn.typicality(x).findings if f.family == "copies"]
    (c, y, z), (e, u, v), (h, w) = one.where["source"], one.where["target"], one.where["size"]
    left, right = x[c, y : y + h, z : z + w], x[e, u : u + h, v : v + w]
    r2 = np.sum(left * right) ** 2 / (np.sum(left**2) * np.sum(right**2))
    positions = 2 * 29 * 28  # of 4x5 patches of signs
    trials = np.log(positions**2 / 2 * 4)  # four sizes of windows
    expected = min(0, stats.beta(0.5, (h * w - 1) / 2).logsf(r2) + trials)
    assert expected < -50
    assert one.log_pvalue == pytest.approx(expected, rel=1e-9)


def test_polyphase_by_slicing():
    shape = (2, 9, 10)
    x = 1.03 * np.random.default_rng(10).standard_normal(shape)
    check = Check(wn.typicality(x), "polyphase")
    flat = x.ravel()
    ordinal = {2: "2nd", 3: "3rd"}
    for k in (2, 3, 4, 5, 7, 8, 16):
        cut = flat[: used_length(k)]
        classes = [cut[phase::k] for phase in range(k)]
        check_classes(check, f"every {ordinal.get(k, f'{k}th')} value", classes)
    for axis, k in ((1, 2), (1, 3), (1, 4), (2, 3), (2, 4)):
        cut = np.moveaxis(x, axis, 0)
        cut = cut[: len(cut) // k * k]
        name = f"every {ordinal.get(k, f'{k}th')} index of axis {axis}"
        check_classes(check, name, [cut[phase::k] for phase in range(k)])
    for k in (2, 4):
        cut = x[:, :8, :8]
        classes = [cut[:, i::k, j::k] for i in range(k) for j in range(k)]
        check_classes(check, f"every {ordinal.get(k, f'{k}th')} row and column", classes)
    check.is_complete()


def used_length(k):
    """Periods are cut to a multiple of 16, or of 105 for 3, 5 and 7 where that much is there."""
    return 180 // 16 * 16 if 16 % k == 0 else 180 // k * k


def check_classes(check, what, classes):
    for noun, score in (("means", mean_score), ("energies", energy_score)):
        check.chi_square_and_largest(f"{noun} of {what}", [score(c) for c in classes])


def test_exactness_by_counting():
    """Ties, values of fewer digits, and an interval around what is exact, by distributions."""
    x = np.random.default_rng(11).standard_normal(400).astype(np.float32)
    x[10:14] = x[20:24]
    x[30:33] = -x[40:43]
    x[50:56] = np.arange(1, 13, 2) / 8
    x[60:66] = x[60:66].astype(np.float16)
    check = Check(wn.typicality(x), "exactness")
    wide = x.astype(np.float64)
    equal = sum(wide[i] == wide[j] for i in range(400) for j in range(i))
    opposite = sum(wide[i] == -wide[j] for i in range(400) for j in range(i))
    assert (equal, opposite) == (4, 3)
    equal = expected_repeats(400, 24)
    assert equal == pytest.approx(400**2 / 2 * 1.4e-8, rel=0.05)
    check("equal values", stats.poisson(equal).logsf(3), rel=1e-6)
    opposite = expected_repeats(400, 24, folded=True) - equal
    check("opposite values", stats.poisson(opposite).logsf(2), rel=1e-6)
    for bits in (11, 8, 4):
        count = sum(has_bits(v, bits) for v in wide)
        law = stats.binom(400, 2.0 ** (bits - 24))
        assert count > 5
        two = np.log(2 * min(law.cdf(count), law.sf(count - 1)))
        check(f"values of {bits} bits", min(0.0, two), rel=1e-7)
    total, energy = wide.sum(), np.sum(wide**2)
    centred = energy - total**2 / 400
    check("mean of zero", within(stats.norm(0, 20), 0, abs(total)), rel=1e-6)
    check("mean square of one", within(stats.chi2(400), 400, abs(energy - 400)), rel=1e-6)
    law = stats.chi2(399)
    check("population variance of one", within(law, 400, abs(centred - 400)), rel=1e-6)
    check("sample variance of one", within(law, 399, abs(centred - 399)), rel=1e-6)
    check.is_complete()


def within(law, target, distance):
    return float(np.log(law.cdf(target + distance) - law.cdf(target - distance)))


def has_bits(value, bits):
    mantissa, _ = np.frexp(value)
    return float(mantissa * 2**bits).is_integer()


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize(("name", "count"), [("bfloat16", 20), ("float16", 50), ("float16", 3000)])
def test_expected_repeats_by_enumeration(name, count, folded):
    """Poisson counts of every value of the dtype: their expected excess over one."""
    kind = ml_dtypes.bfloat16 if name == "bfloat16" else np.float16
    every = np.arange(2**15 - 1024, dtype=np.uint16).view(kind)  # not negative, no NaN
    every = every[every < 40].astype(np.float64)
    values = every
    edges = np.concatenate([[0], (values[1:] + values[:-1]) / 2, [np.inf]])
    mass = -np.diff(GAUSS.sf(edges)) * count * (2 if folded else 1)
    excess = np.sum(mass + np.expm1(-mass)) * (1 if folded else 2)
    found = expected_repeats(count, Layout((2,), name).bits, folded)
    assert found == pytest.approx(excess, rel=2e-3)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_rounding_does_not_cross_the_edges(name):
    kind = ml_dtypes.bfloat16 if name == "bfloat16" else np.float16
    thresholds = np.concatenate([GAUSS.ppf(np.arange(1, 32) / 32), [-4, -2.33, 1, 3.66]])
    edges = rounding_edges(thresholds, Layout((2,), name).bits)
    for threshold, edge in zip(thresholds, edges, strict=True):
        values = edge + (1 + abs(edge)) * np.linspace(-1e-2, 1e-2, 4000)
        rounded = values.astype(kind).astype(np.float64)
        np.testing.assert_array_equal(values < edge, rounded < edge)
        step = float(np.spacing(np.asarray(abs(threshold), kind).astype(kind)).astype(np.float64))
        assert abs(edge - threshold) <= step


def test_two_level_by_beta_laws():
    x = 1.2 * np.random.default_rng(12).standard_normal(330)
    chunks = np.sort(np.sort(x[:320].reshape(20, 16), axis=1), axis=0)
    smallest = 0.0
    for i in (1, 6, 10, 15, 20):
        for j in (1, 4, 8, 12, 16):
            inner = stats.beta(j, 17 - j).cdf(GAUSS.cdf(chunks[i - 1, j - 1]))
            u = stats.beta(i, 21 - i).cdf(inner)
            smallest = min(smallest, np.log(2 * min(u, 1 - u)))
    one = found(wn.typicality(x), "two_level", "order statistics of chunks of 16")
    assert one.log_pvalue == pytest.approx(smallest + np.log(25), rel=1e-7)
    i, j, value = re.match(r"rank (\d+) of 20 .* rank (\d+) of 16 is (\S+)", one.sentence).groups()
    assert float(value) == pytest.approx(chunks[int(i) - 1, int(j) - 1], rel=5e-3)

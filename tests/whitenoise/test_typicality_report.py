"""The report: how p-values join, batches, words, what is off, and what is refused."""

import json
import math
import re

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from strategies import CONTENTS, arrays

import whitenoise as wn
from whitenoise.verify.families import FAMILIES
from whitenoise.verify.joining import join, rate_of
from whitenoise.verify.report import format_pvalue
from whitenoise.verify.run import battery
from whitenoise.verify.view import Layout

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((5, 4, 12, 16))
SHIFTED = NOISE + np.array([0, 0.01, 0.1, 0.2, 3.0])[:, None, None, None]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)


@pytest.fixture(scope="module")
def report():
    return wn.typicality(SHIFTED[2])


def joined(log_ps, shares):
    """By hand: the smallest weighted p-value, then the law of it that the docstring states."""
    rate = min(math.exp(p) / s for p, s in zip(log_ps, shares, strict=True))
    law = re.search(r"``theta\(rate\) = 1 - (\S+) rate / \(rate \+ (\S+)\)``", join.__doc__)
    overlap, onset = map(float, law.groups())
    return 1 - math.exp(-(1 - overlap * rate / (rate + onset)) * rate)


def test_joining_and_its_inverse():
    for level in (0.5, 0.05, 1e-3, 1e-6, 1e-12):
        assert math.exp(join(math.log(rate_of(level)))) == pytest.approx(level, rel=1e-9)


def test_the_bounds_stated_for_joining():
    """A union bound rejects at most the rate itself: Bonferroni's level for a nominal one."""
    stated = re.findall(r"([\d.]+(?:e-\d+)?) at (?:a nominal )?([\d.]+(?:e-\d+)?)", join.__doc__)
    assert [float(level) for _, level in stated] == [0.05, 0.01, 0.001, 1e-6]
    for bound, level in stated:
        digits = len(bound.split("e")[0].replace(".", "").lstrip("0"))
        rate = rate_of(float(level))
        assert rate <= float(bound)
        assert rate == pytest.approx(float(bound), rel=10.0 ** (1 - digits))


def test_joining_rises_is_continuous_and_never_above_one():
    log_rate = np.linspace(-50, 20, 70_001)
    log_p = join(log_rate)
    assert (np.diff(log_p) >= 0).all()
    assert np.diff(log_p).max() < 1.01e-3
    assert log_p.max() <= 0
    assert float(join(-1e5)) == -1e5


def test_the_report_joins_its_findings(report):
    log_ps, shares = zip(*((f.log_pvalue, f.share) for f in report.findings), strict=True)
    assert sum(shares) == pytest.approx(1, rel=1e-12)
    assert report.pvalue == pytest.approx(joined(log_ps, shares), rel=1e-9)
    assert report.log_pvalue == pytest.approx(math.log(report.pvalue), rel=1e-9)
    adjusted = [f.adjusted for f in report.findings]
    assert adjusted == sorted(adjusted)
    assert report.worst is report.findings[0]
    assert report.worst.adjusted == pytest.approx(report.pvalue, rel=1e-12)
    for name, p in report.families.items():
        members = [f for f in report.findings if f.family == name]
        total = sum(f.share for f in members)
        shares = [f.share / total for f in members]
        rate = min(f.pvalue / s for f, s in zip(members, shares, strict=True))
        # No member has p below its share of the rate, if they are independent.
        assert p == pytest.approx(1 - math.prod(1 - min(rate * s, 1) for s in shares), rel=1e-9)
        if len(members) == 1:
            assert p == pytest.approx(members[0].pvalue, rel=1e-9)


def test_every_family_reports_or_says_why_not(report):
    names = {kind.name for kind in FAMILIES}
    for shape in ((4, 12, 16), (7,), (40,), (100,), (3, 5), (2, 5, 12)):
        found = wn.typicality(NOISE.ravel()[: math.prod(shape)].reshape(shape))
        assert set(found.families) | set(found.skipped) == names
        assert not set(found.families) & set(found.skipped)
        for name, reason in found.skipped.items():
            assert f"{name:<16}off       {reason}" in str(found)
    assert not report.skipped
    assert "covariance" in wn.typicality(NOISE.ravel()[:100]).skipped


def test_the_report_of_one_array_in_words_and_json(report):
    text = str(report)
    assert "4x12x16 float64, 768 values" in text
    assert report.worst.sentence in text
    assert text.splitlines()[0].startswith(f"p = {format_pvalue(report.log_pvalue)} for")
    assert text.splitlines()[-1].startswith("p-values are adjusted and approximate")
    for name in report.families:
        assert f"\n{name:<16}" in text
    record = json.loads(json.dumps(report.to_dict()))
    assert record["pvalue"] == report.pvalue
    assert record["log10_pvalue"] == pytest.approx(math.log10(report.pvalue))
    assert record["shape"] == [4, 12, 16]
    assert (record["batch"], record["blocks"], record["dtype"]) == ([], 1, "float64")
    assert record["families"] == report.families
    assert len(record["findings"]) == len(report.findings)
    assert record["findings"][0] == record["worst"]
    assert record["worst"]["sentence"] == report.worst.sentence
    assert (report.size, report.shape, report.batch, report.blocks) == (768, (4, 12, 16), (), 1)
    for finding in report.findings:
        assert finding.sentence
        assert not finding.sentence.endswith(".")
        assert finding.pvalue == math.exp(finding.log_pvalue)


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.5, "0.5"), (0.0123, "0.012"), (2.4e-5, "2e-5"), (9.7e-9, "1e-8"), (1e-300, "1e-300")],
)
def test_p_values_in_words(p, text):
    assert format_pvalue(math.log(p)) == text


def test_p_values_below_doubles_in_words():
    assert format_pvalue(-500 * math.log(10) + math.log(3)) == "3e-500"
    for log_pvalue in (-5000 * math.log(10), -1e300):
        assert format_pvalue(log_pvalue) == "1e-999"  # or less


def test_the_same_array_gives_the_same_report(report):
    again = wn.typicality(SHIFTED[2].copy())
    assert again.to_dict() == report.to_dict()
    assert str(again) == str(report)


def test_each_vector_of_a_batch_is_tested_as_if_alone():
    batch = wn.typicality(SHIFTED, (1, 2, 3))
    alone = [wn.typicality(x) for x in SHIFTED]
    np.testing.assert_allclose(
        batch.log_pvalues, [r.log_pvalue for r in alone], rtol=1e-9, atol=1e-11
    )
    np.testing.assert_array_equal(batch.pvalues, np.exp(batch.log_pvalues))
    assert batch.batch == (5,)
    assert batch.size == SHIFTED.size
    own = {(f.family, f.statistic): [] for f in alone[0].findings}
    for r in alone:
        for f in r.findings:
            own[f.family, f.statistic].append(f.log_pvalue)
    for f in batch.findings:
        if f.family != "between":
            smallest = min(own[f.family, f.statistic])
            expected = (
                np.log(-np.expm1(5 * np.log1p(-np.exp(smallest))))
                if smallest > -30
                else (smallest + np.log(5))
            )
            assert f.log_pvalue == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert sum(f.share for f in batch.findings) == pytest.approx(1)
    assert batch.worst.where["vector"] == (4,)
    assert batch.worst.sentence.startswith("vector (4,): ")
    assert "5 vectors of 4x12x16" in str(batch)


def test_large_batches_are_measured_in_parts():
    """More than 2^18 values at once: the same p-values."""
    x = np.random.default_rng(1).standard_normal((70, 4096))
    batch = wn.typicality(x, 1)
    for k in (0, 63, 64, 69):
        expected = wn.typicality(x[k]).log_pvalue
        assert batch.log_pvalues[k] == pytest.approx(expected, rel=1e-9)


def test_axes_in_any_order_make_the_vector():
    x = SHIFTED[1:3]
    expected = [wn.typicality(np.transpose(v, (2, 0, 1))) for v in x]
    found = wn.typicality(x, (3, 1, 2))
    assert found.shape == (16, 4, 12)
    np.testing.assert_allclose(found.log_pvalues, [r.log_pvalue for r in expected], rtol=1e-9)
    for axis in ((1, 2, 3), (-3, -2, -1), [1, 2, 3]):
        np.testing.assert_array_equal(
            wn.typicality(x, axis).log_pvalues, wn.typicality(x, (1, 2, 3)).log_pvalues
        )
    middle = wn.typicality(x, 2)
    assert (middle.shape, middle.batch) == ((12,), (2, 4, 16))
    one = wn.typicality(x[1, 3, :, 7])
    assert middle.log_pvalues[1, 3, 7] == pytest.approx(one.log_pvalue, rel=1e-9)


def test_memory_layout_does_not_matter_and_the_input_stays(report):
    for x in (
        np.asfortranarray(SHIFTED[2]),
        np.repeat(SHIFTED[2], 2, axis=1)[:, ::2],
        SHIFTED[2][::-1][::-1],
    ):
        before = x.copy()
        assert wn.typicality(x).to_dict() == report.to_dict()
        np.testing.assert_array_equal(x, before)
    frozen = SHIFTED[2].copy()
    frozen.flags.writeable = False
    assert wn.typicality(frozen).to_dict() == report.to_dict()


def test_vectors_of_a_batch_that_go_together():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((6, 256))
    assert wn.typicality(x, 1).families["between"] > 1e-3
    x[4] = (0.4 * x[1] + x[4]) / np.sqrt(1.16)
    found = wn.typicality(x, 1)
    [one] = [f for f in found.findings if f.family == "between"]
    r = x[1] @ x[4] / np.sqrt(x[1] @ x[1] * (x[4] @ x[4]))
    expected = stats.beta(0.5, 255 / 2).logsf(r**2) + np.log(15)
    assert one.log_pvalue == pytest.approx(expected, rel=1e-9)
    assert one.sentence == f"vectors (1,) and (4,) correlate by {r:+.3g}"
    assert one.where["index"] == ((1,), (4,))
    assert found.pvalue < 1e-6
    assert min(found.pvalues) > 1e-3


def test_batches_of_one_and_of_too_many():
    assert "between" not in wn.typicality(NOISE[:1], (1, 2, 3)).families
    many = wn.typicality(np.random.default_rng(2).standard_normal((1100, 8)), 1)
    assert many.skipped["between"] == "1100 vectors are more than 1024"
    assert many.pvalues.shape == (1100,)


def rounded(n, seed=0):
    return np.random.default_rng(seed).standard_normal(n).astype(BFLOAT16)


def test_rounding_to_the_declared_dtype_is_no_offence():
    x = rounded((4, 32, 32))
    assert wn.typicality(x).pvalue > 1e-3
    assert wn.typicality(x).dtype == "bfloat16"
    for wider in (np.float32, np.float64):
        assert wn.typicality(x.astype(wider)).pvalue < 1e-100
        assert wn.typicality(x.astype(wider)).worst.family == "exactness"
        declared = wn.typicality(x.astype(wider), dtype="bfloat16")
        assert declared.pvalue == wn.typicality(x).pvalue
        assert declared.dtype == "bfloat16"


def exactness(x, **declared):
    return wn.typicality(x, **declared).families["exactness"]


def statistic(x, name):
    [one] = [f for f in wn.typicality(x).findings if f.statistic == name]
    return one.pvalue


@pytest.mark.parametrize("seed", range(3))
def test_generators_in_single_precision_are_typical(seed):
    """Ties are: half a dozen among 65536 values of 24 bits, more of NumPy's ziggurat."""
    x = np.random.default_rng(seed).standard_normal(65536, dtype=np.float32)
    y = torch.randn(65536, generator=torch.Generator().manual_seed(seed)).numpy()
    for values in (x, y):
        assert np.unique(values).size < values.size
        assert exactness(values) > 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_coarse_values_in_wide_dtypes_are_found(seed):
    rng = np.random.default_rng(seed)
    single = rng.standard_normal(4096, dtype=np.float32)
    assert exactness(single.astype(np.float64)) < 1e-100
    assert exactness(single.astype(np.float64), dtype="float32") > 1e-4
    for kind in (np.float16, BFLOAT16):
        coarse = single.astype(kind)
        assert exactness(coarse.astype(np.float32)) < 1e-100
        assert exactness(coarse) > 1e-4
    many = rng.standard_normal(65536).astype(np.float32)
    sixteen = np.round(many * 2**12) / np.float32(2**12)  # fixed point, as from 16-bit integers
    assert statistic(many, "equal values") > 1e-4
    assert statistic(sixteen.astype(np.float32), "equal values") < 1e-100
    eight = np.round(single * 32) / 32
    for x in (eight, eight.astype(np.float64), eight.astype(np.float16)):
        assert exactness(x) < 1e-20


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_arrays_made_exact_are_found(dtype):
    """Standardised with either variance, centred, or put on the sphere; then rounded."""
    rng = np.random.default_rng(4)
    for n in (300, 5000):
        x = rng.standard_normal(n)
        exact = {
            "mean of zero": x - x.mean(),
            "mean square of one": x / np.sqrt(np.mean(x**2)),
            "population variance of one": (x - x.mean()) / x.std() + 0.02,
            "sample variance of one": (x - x.mean()) / x.std(ddof=1) + 0.02,
        }
        for name, values in exact.items():
            assert statistic(values.astype(dtype), name) < 1e-5
            assert statistic(x.astype(dtype), name) > 1e-3


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_antithetic_pairs_are_found(dtype):
    half = np.random.default_rng(5).standard_normal(512)
    x = np.random.default_rng(6).permutation(np.concatenate([half, -half])).astype(dtype)
    assert statistic(x, "opposite values") < (1e-100 if dtype != "float16" else 1e-9)
    assert statistic(x, "equal values") > 1e-4


SMALL = ((1,), (2,), (3,), (5,), (16,), (31,), (32,), (63,), (64,), (97,))
ODD = (
    (1, 1),
    (2, 2),
    (1, 1, 64),
    (64, 1),
    (2, 64),
    (1, 300),
    (9, 9),
    (3, 1, 7),
    (5, 4, 4),
    (2,) * 7,
)


@pytest.mark.parametrize("shape", SMALL + ODD, ids=str)
def test_small_and_odd_shapes(shape):
    """No warning, no error, typical noise typical, and a constant found where there is room."""
    x = np.random.default_rng(8).standard_normal(shape)
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        kind = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
        found = wn.typicality(x.astype(kind))
        assert 1e-3 < found.pvalue <= 1
        assert str(found)
        check_sound(wn.typicality(np.full(shape, 0.7).astype(kind)))
        if x.size >= 16:
            assert wn.typicality(np.full(shape, 0.7).astype(kind)).pvalue < 1e-6
            assert wn.typicality((9 * x).astype(kind)).pvalue < 1e-6


def check_sound(found):
    assert math.isfinite(found.log_pvalue)
    assert 0 <= found.pvalue <= 1
    for f in found.findings:
        assert math.isfinite(f.log_pvalue)
        assert f.log_pvalue <= 0
        assert "nan" not in f.sentence.split()
    json.dumps(found.to_dict(), allow_nan=False)
    assert str(found)


EXTREME = {
    "constant 1e30": lambda x: np.full_like(x, 1e30),
    "constant 1e-40": lambda x: np.full_like(x, 1e-40),
    "zeros": np.zeros_like,
    "negative zeros": lambda x: -np.zeros_like(x),
    "one outlier of 1e30": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, 1e30, x),
    "one outlier of 60": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, 60.0, x),
    "one value": lambda x: np.where(np.arange(x.size).reshape(x.shape) == 3, 1.0, 0.0),
    "all of a modulus": np.sign,
    "times 1e5": lambda x: 1e5 * x,
    "times 1e-5": lambda x: 1e-5 * x,
    "ramp": lambda x: np.linspace(-3, 3, x.size).reshape(x.shape),
    "checkerboard": lambda x: (-1.0) ** np.arange(x.size).reshape(x.shape),
}


@pytest.mark.parametrize("name", EXTREME)
@pytest.mark.parametrize("shape", [(257,), (2, 16, 16), (65, 9)], ids=str)
def test_extreme_values(shape, name):
    """Always a finite logarithm; and the p-value is tiny."""
    x = EXTREME[name](np.random.default_rng(9).standard_normal(shape))
    for dtype in (np.float64, np.float32, BFLOAT16):
        found = wn.typicality(x.astype(dtype))
        check_sound(found)
        assert found.pvalue < 1e-12


@pytest.mark.parametrize("value", [1e100, 1e160, 1.7e308, 1e-200, 5e-324])
def test_the_ends_of_double_precision(value):
    x = np.random.default_rng(9).uniform(-1, 1, (2, 16, 16))
    for extreme in (value * x, np.full((2, 16, 16), value)):
        check_sound(wn.typicality(extreme))
        check_sound(wn.typicality(extreme, (1, 2)))
        assert wn.typicality(extreme).pvalue < 1e-100


@settings(max_examples=120)
@given(arrays(dtypes=(np.float64, np.float32, BFLOAT16), contents=tuple(CONTENTS)))
def test_arrays_of_all_kinds(x):
    """Sparse, tied, huge, denormal, structured: a sound report, and one that ignores signs."""
    with np.errstate(all="ignore"):
        finite = bool(np.isfinite(x.astype(np.float64)).all())
    if not finite:
        return
    found = wn.typicality(x)
    check_sound(found)
    turned = wn.typicality(-x)
    energy = next(f for f in found.findings if f.statistic == "energy")
    other = next(f for f in turned.findings if f.statistic == "energy")
    assert other.log_pvalue == pytest.approx(energy.log_pvalue, rel=1e-9, abs=1e-12)
    if x.ndim > 1:
        batch = wn.typicality(x, -1)
        assert np.isfinite(batch.log_pvalues).all()
        check_sound(batch)


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(-40, 40), st.integers(0, 299))
def test_moving_one_value_far_out_is_louder_the_further(seed, height, place):
    x = np.random.default_rng(seed).standard_normal(300)
    p = []
    for factor in (1, 2, 4):
        x[place] = factor * (9 + abs(height)) * (1 if height > 0 else -1)
        p.append(wn.typicality(x).log_pvalue)
    assert p[0] > p[1] > p[2]


def test_louder_effects_have_smaller_p_values_without_end():
    """p-values go on below the range of doubles, so the order of effects stays."""
    x = NOISE[0]
    for change in (lambda k: k * x, lambda k: x + k):
        p = [wn.typicality(change(k)).log_pvalue for k in (10, 30, 100, 300, 1000)]
        assert (np.diff(p) < 0).all()
        assert p[-1] < -5000
    p = [wn.typicality(x / k).log_pvalue for k in (10, 30, 100, 300, 1000)]
    assert (np.diff(p) <= 0).all()  # a count, once complete, stays for a while
    assert p[-1] < p[0] - 1000


def test_tables_are_made_once():
    """What a family brings beside the data is kept by shape, and does not pile up."""
    tests = battery(Layout((4, 12, 16), "float64"))
    held = []
    for _ in range(2):
        for x in NOISE:
            wn.typicality(x)
        wn.typicality(NOISE, (1, 2, 3))
        held.append(len(tests._tables))
    assert held[0] == held[1]
    assert battery(Layout((4, 12, 16), "float64")) is tests


def test_bad_input():
    x = NOISE[0]
    for bad, error, words in (
        (x.astype(int), TypeError, r"x must have dtype float64, .*, got int64"),
        (x.tolist(), TypeError, r"x must be a NumPy, .* got builtins.list"),
        (x[:0], ValueError, r"x must not be empty, got shape \(0, 12, 16\)"),
        (np.where(x > 2, np.nan, x), ValueError, r"x must be finite, got \d+ NaN"),
        (np.ma.masked_array(x), TypeError, r"x is a MaskedArray"),
        (torch.ones(3, dtype=torch.int32), TypeError, r"got torch.int32"),
    ):
        with pytest.raises(error, match=words):
            wn.typicality(bad)
    for axis in (3, -4, (0, 0), ()):
        with pytest.raises(ValueError, match=r"axis must"):
            wn.typicality(x, axis)
    with pytest.raises(TypeError, match=r"axis must be an integer, got 1.5"):
        wn.typicality(x, 1.5)
    with pytest.raises(ValueError, match=r"dtype must be one of float64, .*, got 'int8'"):
        wn.typicality(x, dtype="int8")
    for own, finer in (("float32", "float64"), ("float16", "float32"), (BFLOAT16, "float16")):
        with pytest.raises(ValueError, match=rf"dtype must not be finer .*, got '{finer}'"):
            wn.typicality(x.astype(own), dtype=finer)


def test_every_backend_gives_the_same_report(report):
    """Also where gradients are wanted: the report is cut off from them."""
    for x in (array_api_strict.asarray(SHIFTED[2]), torch.tensor(SHIFTED[2], requires_grad=True)):
        found = wn.typicality(x)
        assert isinstance(found.log_pvalues, np.ndarray)
        for mine, other in zip(found.findings, report.findings, strict=True):
            assert (mine.family, mine.statistic) == (other.family, other.statistic)
            assert mine.log_pvalue == pytest.approx(other.log_pvalue, rel=1e-7, abs=1e-7)

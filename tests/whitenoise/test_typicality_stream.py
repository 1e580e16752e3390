"""Accumulated blocks: any order and split, what adds up, what is kept, the level."""

import pickle
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
import torch
from scipy import stats

import whitenoise as wn
from whitenoise.verify.joining import rate_of

SHAPE = (4, 8, 8)
BLOCKS = 1.01 * np.random.default_rng(0).standard_normal((9, *SHAPE)) + 0.01


def accumulated(*parts, shape=SHAPE):
    held = wn.TypicalityAccumulator(shape)
    for part in parts:
        held.update(part)
    return held


def close(found, expected):
    """The same statistics with the same p-values, but for the last digits of sums."""
    mine = {(f.family, f.statistic): f for f in found.findings}
    other = {(f.family, f.statistic): f for f in expected.findings}
    assert mine.keys() == other.keys()
    for key, f in mine.items():
        assert f.log_pvalue == pytest.approx(other[key].log_pvalue, rel=1e-7, abs=1e-9), key
    assert found.log_pvalue == pytest.approx(expected.log_pvalue, rel=1e-7)
    assert found.blocks == expected.blocks
    assert dict(found.skipped) == dict(expected.skipped)


def test_neither_order_nor_split_matters():
    expected = accumulated(*BLOCKS).report()
    close(accumulated(*BLOCKS[::-1]).report(), expected)
    close(accumulated(BLOCKS).report(), expected)  # all at once
    close(accumulated(BLOCKS.reshape(3, 3, *SHAPE)).report(), expected)
    merged = wn.TypicalityAccumulator(SHAPE)
    for part in (BLOCKS[6:], BLOCKS[:1], BLOCKS[1:6]):
        merged.merge(accumulated(part))
    close(merged.report(), expected)
    assert merged.blocks == 9


def test_accumulators_travel_between_processes():
    first, second = accumulated(BLOCKS[:4]), accumulated(BLOCKS[4:])
    copy = pickle.loads(pickle.dumps(second))
    first.merge(copy)
    close(first.report(), accumulated(BLOCKS).report())
    before = second.report().to_dict()
    first.update(BLOCKS[0])
    assert second.report().to_dict() == before  # merging has not tied them together
    assert copy.blocks == 5


def test_merging_leaves_the_other_alone_and_empty_ones_add_nothing():
    first, second, empty = (accumulated(BLOCKS[:2]) for _ in range(3))
    empty = wn.TypicalityAccumulator(SHAPE)
    expected = first.report().to_dict()
    first.merge(empty)
    assert first.report().to_dict() == expected
    empty.merge(second)
    assert empty.report().to_dict() == expected
    empty.update(BLOCKS[3])
    assert second.report().to_dict() == expected


def test_one_block_is_reported_as_by_typicality():
    for x in (BLOCKS[0], BLOCKS[1].astype(np.float32), BLOCKS[2].astype(ml_dtypes.bfloat16)):
        found, expected = accumulated(x).report(), wn.typicality(x)
        assert found.to_dict() == expected.to_dict()
        assert str(found) == str(expected)


def test_words_of_a_stream():
    found = accumulated(BLOCKS).report()
    assert (found.blocks, found.size, found.shape, found.batch) == (9, 9 * 256, SHAPE, ())
    assert "9 blocks of 4x8x8 float64, 2304 values" in str(found)
    assert "values of different blocks are not compared" in found.skipped.values()
    assert found.to_dict()["blocks"] == 9
    with pytest.raises(ValueError, match="blocks"):
        found.plot()


def test_sums_over_blocks_are_those_of_one_long_sample():
    """The law of single values does not know of blocks."""
    found = accumulated(BLOCKS).report()
    for name in ("mean", "energy"):
        [mine] = [f for f in found.findings if f.statistic == name]
        law = stats.norm(0, 48) if name == "mean" else stats.chi2(2304)
        value = BLOCKS.sum() if name == "mean" else np.sum(BLOCKS**2)
        assert mine.pvalue == pytest.approx(2 * min(law.cdf(value), law.sf(value)), rel=1e-9)
    [high] = [f for f in found.findings if f.statistic == "largest value"]
    p = stats.norm.cdf(BLOCKS.max()) ** 2304
    assert high.pvalue == pytest.approx(2 * min(p, 1 - p), rel=1e-9)
    assert f"the largest value is {BLOCKS.max():.3g}" in high.sentence


def test_a_lag_adds_up_within_blocks():
    found = accumulated(BLOCKS).report()
    [one] = [f for f in found.findings if f.statistic == "autocorrelation at lag (0, 0, 1)"]
    r = np.mean(BLOCKS * np.roll(BLOCKS, 1, 3))
    assert one.sentence.endswith(f"is {r:+.3g}")
    score = r * np.sqrt(BLOCKS.size)
    assert one.pvalue == pytest.approx(2 * stats.norm.sf(abs(score)), rel=0.1)


def correlated(x):
    return (x + 0.06 * np.roll(x, 1, axis=-1)) / np.sqrt(1 + 0.06**2)


def fixed_pattern(x):
    """A mean at one place, the same in all blocks: seen by no sum over places."""
    x = x.copy()
    x[..., 2, 5, 3] += 0.5
    return x


@pytest.mark.parametrize(
    ("change", "family"),
    [
        (lambda x: x + 0.05, "marginal"),
        (lambda x: 1.03 * x, "marginal"),
        (correlated, "autocorrelation"),
        (lambda x: x * np.array([1.06, 1, 1, 1])[:, None, None], "tiles"),
        (lambda x: x + 0.1 * np.sign(np.arange(8) - 3.5), "hadamard"),
    ],
    ids=["mean", "scale", "correlation", "one loud channel", "step"],
)
def test_weak_structure_is_found_in_many_blocks(change, family):
    rng = np.random.default_rng(1)
    held = wn.TypicalityAccumulator(SHAPE)
    single = []
    for _ in range(10):
        x = change(rng.standard_normal((200, *SHAPE)))
        single.append(wn.typicality(x[0]).pvalue)
        held.update(x)
    assert np.median(single) > 0.02
    assert held.report().pvalue < 1e-6
    assert held.report().families[family] < 1e-3


def test_a_peak_in_one_block_is_found():
    rng = np.random.default_rng(2)
    blocks = rng.standard_normal((50, 4, 32, 32))
    assert accumulated(blocks, shape=(4, 32, 32)).report().pvalue > 1e-3
    tile = blocks.copy()
    tile[31, 2, 8:16, 16:24] += 1.5
    found = accumulated(tile, shape=(4, 32, 32)).report()
    [one] = [f for f in found.findings if f.statistic == "largest of means of 8x8 tiles"]
    assert one.pvalue < 1e-9
    assert one.where["index"] == (2, 1, 2)
    high = blocks.copy()
    high[7, 0, 0, 0] = 9
    assert (
        accumulated(high, shape=(4, 32, 32))
        .report()
        .worst.sentence.startswith("the largest value is 9")
    )
    copy = blocks.copy()
    copy[3, 0, 4:20, 4:20] = copy[3, 3, 12:28, 10:26]
    worst = accumulated(copy, shape=(4, 32, 32)).report()
    assert worst.families["copies"] < 1e-100


def test_too_regular_over_blocks():
    """Each block on the sphere: no block by itself is odd in its energy but for exactness."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((400, *SHAPE))
    energy = np.sum(x**2, axis=(1, 2, 3), keepdims=True)
    x *= np.sqrt(256 / energy)
    found = accumulated(x).report()
    assert found.families["exactness"] < 1e-9


def test_level_of_streams():
    """500 streams of 8 blocks: at 0.05 and 0.01 within a false alarm of 1e-5, and not too rare."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((500, 8, *SHAPE))
    p = np.array([accumulated(stream).report().pvalue for stream in x])
    for level in (0.05, 0.01):
        assert stats.binom.sf(np.sum(p <= level) - 1, p.size, rate_of(level)) > 5e-6
    assert stats.binom.cdf(np.sum(p <= 0.05), p.size, 0.03) > 5e-6
    assert 0.35 < np.mean(p <= 0.5) < 0.65


@pytest.mark.slow
def test_level_of_single_statistics_of_streams():
    """As test_levels_of_all_statistics, over 1500 streams of 8 blocks; false alarm 1e-4."""
    rng = np.random.default_rng(5)
    counts, total = {}, 1500
    for _ in range(total):
        for f in accumulated(rng.standard_normal((8, *SHAPE))).report().findings:
            key = f.family, f.statistic
            counts[key] = counts.get(key, 0) + (f.pvalue <= 0.02)
    alarm = 1e-4 / len(counts)
    wrong = {k: c / total for k, c in counts.items() if stats.binom.sf(c - 1, total, 0.022) < alarm}
    assert not wrong


def test_what_is_kept_does_not_grow():
    """Blocks come from a generator; the pickled accumulator keeps its size."""
    rng = np.random.default_rng(6)
    blocks = (rng.standard_normal(SHAPE) for _ in range(60))
    held = accumulated(next(blocks))
    one = len(pickle.dumps(held))
    for block in blocks:
        held.update(block)
    assert held.blocks == 60
    assert len(pickle.dumps(held)) < one + 100
    tracemalloc.start()
    for _ in range(40):
        held.update(rng.standard_normal(SHAPE))
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2**19  # 40 blocks would be 0.6 MB


def test_other_backends_and_dtypes():
    expected = accumulated(BLOCKS).report()
    close(accumulated(torch.tensor(BLOCKS, requires_grad=True)).report(), expected)
    for kind in ("float32", ml_dtypes.bfloat16):
        x = BLOCKS.astype(kind)
        name = str(x.dtype)
        held = accumulated(*x)
        assert held.report().dtype == name
        declared = wn.TypicalityAccumulator(SHAPE, name)
        declared.update(x.astype(np.float64))
        close(declared.report(), held.report())
        mixed = wn.TypicalityAccumulator(SHAPE, name)
        mixed.update(x[:5])
        mixed.update(x[5:].astype(np.float64))  # wider than declared: the same values
        close(mixed.report(), held.report())


def test_bad_input():
    held = wn.TypicalityAccumulator(SHAPE)
    with pytest.raises(ValueError, match="has seen no block"):
        held.report()
    for bad in (np.zeros((8, 8)), np.zeros((4, 8, 9)), np.zeros(())):
        with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 4, 8, 8\), got \("):
            held.update(bad)
    with pytest.raises(TypeError, match="x must have dtype float64"):
        held.update(np.ones(SHAPE, int))
    with pytest.raises(ValueError, match="x must be finite"):
        held.update(np.full(SHAPE, np.nan))
    with pytest.raises(ValueError, match="x must not be empty"):
        held.update(np.zeros((0, *SHAPE)))
    assert held.blocks == 0
    held.update(BLOCKS[0].astype(np.float32))
    with pytest.raises(ValueError, match="dtype"):
        held.update(BLOCKS[0].astype(np.float16))
    with pytest.raises(ValueError, match=r"other must hold blocks of shape \(4, 8, 8\) and dtype"):
        held.merge(accumulated(BLOCKS[0]))
    other = wn.TypicalityAccumulator((8, 8))
    other.update(BLOCKS[0].astype(np.float32))
    with pytest.raises(ValueError, match=r"got \(8, 8\) and float32"):
        held.merge(other)
    assert held.blocks == 1
    with pytest.raises(ValueError, match="shape must be at least 1, got 0"):
        wn.TypicalityAccumulator((4, 0))
    with pytest.raises(ValueError, match="shape must have at least one axis"):
        wn.TypicalityAccumulator(())
    with pytest.raises(TypeError, match=r"shape must be an integer, got 2\.5"):
        wn.TypicalityAccumulator((4, 2.5))
    with pytest.raises(ValueError, match="dtype must be one of"):
        wn.TypicalityAccumulator(SHAPE, "int8")
    with pytest.raises(TypeError, match="x must be a NumPy"):
        wn.TypicalityAccumulator(3).update([1.0, 2.0, 3.0])

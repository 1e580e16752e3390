"""Effects that are said to be found: measured, at their size and at half of it."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

import whitenoise as wn

DRAWS = 400
LIMIT = 1e-5  # false alarm of each check here


def power(change, shape, level, seed=0):
    x = np.random.default_rng(seed).standard_normal((DRAWS, *shape))
    p = wn.typicality(change(x), tuple(range(1, x.ndim))).pvalues
    return int(np.sum(p < level))


def neighbours(x, r):
    """Correlation `r` of neighbours along the last axis, circular: a moving average of two."""
    a = (1 - np.sqrt(1 - 4 * r**2)) / (2 * r)
    return (x + a * np.roll(x, 1, axis=-1)) / np.sqrt(1 + a**2)


def sine(x, amplitude):
    n = x[0].size
    wave = amplitude * np.sin(2 * np.pi * (n // 5) * np.arange(n) / n + 0.4)
    return x + wave.reshape(x.shape[1:])


EFFECTS = {
    "mean": lambda x, size: x + size,
    "negative mean": lambda x, size: x - size,
    "scale_up": lambda x, size: x * size,
    "scale_down": lambda x, size: x * size,
    "correlation": neighbours,
    "negative correlation": lambda x, size: neighbours(x, -size),
    "sine": sine,
}


@pytest.mark.parametrize("name", EFFECTS)
@pytest.mark.parametrize(
    ("shape", "level", "stated"), [((1024,), 1e-3, 0.9), ((4, 8, 24), 1e-6, 0.5)], ids=str
)
def test_what_is_stated_is_found(name, shape, level, stated):
    """At least with the stated power; at half the effect clearly less often."""
    limits = wn.detectable(shape, level, stated)
    size = getattr(limits, name.split()[-1])
    change = EFFECTS[name]
    found = power(lambda x: change(x, size), shape, level)
    # The normal law of a correlation, and the mean of a sine's frequency, leave 0.02.
    assert stats.binom.cdf(found, DRAWS, stated - 0.02) > LIMIT
    half = 1 + (size - 1) / 2 if name.startswith("scale") else size / 2
    less = power(lambda x: change(x, half), shape, level, 1)
    assert stats.binom.sf(less - 1, DRAWS, 0.75 * stated) > LIMIT
    assert less < found


def test_effects_shrink_with_size_and_power_and_grow_with_rarer_alarms():
    def sizes(shape, *arguments):
        limits = wn.detectable(shape, *arguments)
        return np.array(
            [
                limits.mean,
                limits.scale_up - 1,
                1 - limits.scale_down,
                limits.correlation,
                limits.sine,
            ]
        )

    assert (sizes((64, 64)) < sizes((32, 32))).all()
    assert (sizes((32, 32), 1e-3, 0.5) < sizes((32, 32), 1e-3, 0.9)).all()
    assert (sizes((32, 32), 1e-3, 0.9) < sizes((32, 32), 1e-6, 0.9)).all()


def test_the_mean_by_its_normal_law():
    """A test of one statistic at its share of the level, from the report's own shares."""
    shape = (4, 16, 16)
    limits = wn.detectable(shape, 1e-3, 0.8)
    x = np.random.default_rng(0).standard_normal(shape)
    [mean] = [f for f in wn.typicality(x).findings if f.statistic == "mean"]
    threshold = stats.norm.isf(1e-3 * mean.share / 2)  # for small levels the level is the rate
    assert stats.norm.sf(threshold - limits.mean * 32) == pytest.approx(0.8, abs=0.01)


def test_shapes_and_words():
    assert wn.detectable(256) == wn.detectable((256,))
    limits = wn.detectable((4, 16, 16), 0.01, 0.5)
    assert (limits.shape, limits.level, limits.power) == ((4, 16, 16), 0.01, 0.5)
    text = str(limits)
    assert text.startswith("4x16x16 at level 0.01, found with probability 0.5: mean of ")
    assert f"{limits.mean:.2g}" in text
    for name in ("mean", "scale_up", "scale_down", "correlation", "sine"):
        assert np.isfinite(getattr(limits, name))
    with pytest.raises(dataclasses.FrozenInstanceError):
        limits.mean = 0.0


@pytest.mark.parametrize("shape", [64, 65, (2, 32), (64, 1), (1, 1, 64), (8, 8), (2,) * 7], ids=str)
def test_shapes_of_few_values(shape):
    limits = wn.detectable(shape)
    assert 0 < limits.mean < 2
    assert limits.scale_down < 1 < limits.scale_up


def test_bad_input():
    for name in ("level", "power"):
        for value in (0, 1, -0.1, 1.5, float("nan")):
            with pytest.raises(ValueError, match=rf"{name} must lie strictly between 0 and 1"):
                wn.detectable((8, 8), **{name: value})
    with pytest.raises(ValueError, match=r"shape must hold at least 64 values, got \(7, 9\)"):
        wn.detectable((7, 9))
    with pytest.raises(ValueError, match=r"shape must be at least 1, got 0"):
        wn.detectable((0, 64))
    with pytest.raises(TypeError, match=r"shape must be an integer, got 6.4"):
        wn.detectable((10, 6.4))

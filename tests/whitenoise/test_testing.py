"""Assertions of typicality: what they report, what they raise, what they find between draws."""

import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import array_api_strict
import ml_dtypes
import numpy as np
import pytest
import torch
from scipy import stats

import whitenoise
from whitenoise.testing import AtypicalError, assert_typical, assert_typical_sampler
from whitenoise.testing.checks import listeners
from whitenoise.testing.draws import over_draws

RARE = 1e-4  # false alarm of the statistical checks here, for seeds chosen once


def noise(seed=0, shape=(4, 32, 32)):
    return np.random.default_rng(seed).standard_normal(shape)


def failure(check, *args, **kwargs):
    with pytest.raises(AtypicalError) as caught:
        check(*args, **kwargs)
    return caught.value


@pytest.fixture
def heard():
    """Checks that listeners hear."""
    checks = []
    listeners.append(checks.append)
    yield checks
    listeners.remove(checks.append)


class TestAssertTypical:
    def test_it_returns_the_report(self):
        x = noise()
        assert assert_typical(x).to_dict() == whitenoise.typicality(x).to_dict()
        assert assert_typical(x, (1, 2)).batch == (4,)
        assert assert_typical(x.astype("float16")).dtype == "float16"

    def test_the_limit_is_the_false_alarm(self):
        x = noise() + 0.05
        p = whitenoise.typicality(x).pvalue
        assert_typical(x, false_alarm=0.999 * p)
        error = failure(assert_typical, x, false_alarm=1.001 * p)
        assert error.report.pvalue == p
        failure(assert_typical, 5 * x, false_alarm=1e-300)

    def test_the_message_is_the_one_shown_in_the_docs(self):
        page = Path(__file__).parents[2] / "docs" / "testing.md"
        shown = re.search(r"```text\n(.*?)\n```", page.read_text(encoding="utf-8"), re.S).group(1)
        assert str(failure(assert_typical, noise().astype("float32") + np.float32(0.2))) == shown

    def test_the_message_says_what_was_found(self):
        x = noise().astype("float32") + np.float32(0.5)
        error = failure(assert_typical, x)
        first, second, third, fourth, *_ = error.report.findings
        lines = str(error).splitlines()
        assert re.fullmatch(r"p = \S+ for white Gaussian noise, limit 1e-06", lines[0])
        assert lines[1].split(maxsplit=1) == ["array", "4x32x32 float32, 4096 values"]
        assert lines[2].split(maxsplit=1) == ["loudest", f"{first.family}: {first}"]
        for line, finding in zip(lines[3:6], (second, third, fourth), strict=True):
            assert line.endswith(f"{finding.family}: {finding}")
        assert "report.plot()" in lines[-1]

    @pytest.mark.parametrize(
        "options", [{}, {"axis": (1, 2)}, {"axis": -1}, {"axis": [0, 1], "dtype": "bfloat16"}]
    )
    def test_the_call_it_names_gives_the_same_report(self, options):
        x = (noise() + 0.5).astype(ml_dtypes.bfloat16).astype("float32")
        error = failure(assert_typical, x, **options)
        call = re.search(r"reproduce +(.*)", str(error)).group(1)
        report = eval(call, {"whitenoise": whitenoise, "x": x})
        assert report.to_dict() == error.report.to_dict()

    def test_it_is_an_assertion_error_that_travels(self):
        error = failure(assert_typical, noise() + 0.5)
        assert isinstance(error, AssertionError)
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert again.report.log_pvalue == error.report.log_pvalue

    @pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 2.0, math.nan, math.inf])
    def test_a_false_alarm_outside_its_range_is_named(self, value):
        for check in (lambda **k: assert_typical(noise(), **k), drawing_fails):
            with pytest.raises(ValueError, match=f"false_alarm must lie between 0 and 1.*{value}"):
                check(false_alarm=value)

    @pytest.mark.parametrize("value", ["0.1", None, True, 1])
    def test_a_false_alarm_of_another_type_is_named(self, value):
        with pytest.raises(TypeError, match=f"false_alarm must be a floating-point.*{value}"):
            assert_typical(noise(), false_alarm=value)

    def test_bad_arrays_are_named_as_elsewhere(self):
        with pytest.raises(ValueError, match="x must be finite"):
            assert_typical(np.full(300, np.nan))
        with pytest.raises(TypeError, match="x must be a NumPy"):
            assert_typical([0.0] * 300)


def drawing_fails(**options):
    """Check a function that must not be called."""
    assert_typical_sampler(lambda: pytest.fail("called"), **options)


class TestListeners:
    def test_they_hear_of_checks_that_hold_and_of_those_that_do_not(self, heard):
        report = assert_typical(noise(), false_alarm=1e-3)
        error = failure(assert_typical, noise() + 0.5)
        sampled = assert_typical_sampler(lambda rng: rng.standard_normal(64), 3, rng=0)
        assert [check.report for check in heard] == [report, error.report, sampled]
        assert [check.false_alarm for check in heard] == [1e-3, 1e-6, 1e-6]
        assert [check.failed for check in heard] == [False, True, False]

    def test_bad_input_is_no_check(self, heard):
        with pytest.raises(ValueError, match="finite"):
            assert_typical(np.full(300, np.nan))
        assert heard == []


class TestWhatIsDrawn:
    def test_fn_is_called_as_asked(self):
        plain, seeds, states = [], [], []

        def with_seed(seed):
            seeds.append(seed)
            return noise(seed, 64)

        def with_rng(rng):
            states.append(rng.bit_generator.state["state"]["state"])
            return rng.standard_normal(64)

        def without():
            plain.append(None)
            return noise(len(plain), 64)

        assert_typical_sampler(without)
        assert_typical_sampler(with_seed, 5, seed=7)
        assert_typical_sampler(with_rng, 3, rng=4)
        expected = [np.random.default_rng([4, i]).bit_generator.state for i in range(3)]
        assert len(plain) == 32
        assert seeds == [7, 8, 9, 10, 11]
        assert states == [state["state"]["state"] for state in expected]

    def test_every_draw_and_all_together_are_tested_as_by_typicality(self):
        report = assert_typical_sampler(lambda seed: noise(seed, (16, 16)), 6, seed=0)
        stack = np.stack([noise(seed, (16, 16)) for seed in range(6)])
        assert report.each.to_dict() == whitenoise.typicality(stack, (1, 2)).to_dict()
        assert report.together.to_dict() == whitenoise.typicality(stack).to_dict()
        np.testing.assert_array_equal(report.together.source, stack)
        assert (report.shape, report.batch, report.size) == ((16, 16), (6,), 6 * 256)

    def test_the_false_alarm_is_split(self):
        """Half for each draw, a quarter for both others, by the union bound."""
        report = assert_typical_sampler(lambda seed: noise(seed, (16, 16)), 6, seed=0)
        split = [2 * report.each.pvalue, 4 * report.together.pvalue, 4 * report.over.pvalue]
        assert report.pvalue == pytest.approx(min(1, *split))
        assert sum(f.share for f in report.findings) == pytest.approx(1)
        count = sum(len(part.findings) for part in report.parts.values())
        assert len(report.findings) == count
        rates = [f.pvalue / f.share for f in report.findings]
        assert rates == sorted(rates)

    def test_a_buffer_filled_anew_is_copied(self):
        buffer = np.empty(256)

        def fill(rng):
            buffer[:] = rng.standard_normal(256)
            return buffer

        assert_typical_sampler(fill, rng=0)

    @pytest.mark.parametrize(
        "draw",
        [
            lambda seed: noise(seed, 500).astype("float16"),
            lambda seed: noise(seed, 500).astype(ml_dtypes.bfloat16),
            lambda seed: array_api_strict.asarray(noise(seed, (20, 25))),
            lambda seed: torch.randn(500, generator=torch.Generator().manual_seed(seed)),
            lambda seed: torch.tensor(noise(seed, 500), requires_grad=True).bfloat16(),
            lambda seed: noise(seed, 1),
        ],
        ids=["float16", "bfloat16", "strict", "torch", "torch bfloat16", "one value"],
    )
    def test_genuine_noise_of_any_backend_passes(self, draw):
        assert assert_typical_sampler(draw, 40, seed=0).pvalue > RARE

    def test_a_coarser_dtype_can_be_declared(self):
        def draw(seed):
            return noise(seed, 500).astype(ml_dtypes.bfloat16).astype("float32")

        assert assert_typical_sampler(draw, seed=0, dtype="bfloat16").dtype == "bfloat16"
        failure(assert_typical_sampler, draw, seed=0)

    def test_bad_arguments_and_draws_are_named(self):
        growing = [np.zeros(3), np.zeros(4)]
        for call, kind, message in (
            (lambda: drawing_fails(rng=0, seed=1), ValueError, "at most one of rng and seed.*0.*1"),
            (lambda: drawing_fails(n=1), ValueError, "n must be at least 2, got 1"),
            (lambda: drawing_fails(n=2.0), TypeError, "n must be an integer, got 2.0"),
            (lambda: drawing_fails(rng=-1), ValueError, "rng must be at least 0, got -1"),
            (lambda: drawing_fails(seed=None, rng="x"), TypeError, "rng must be an integer"),
            (
                lambda: assert_typical_sampler(lambda seed: [seed], 3, seed=5),
                TypeError,
                r"fn\(5\), draw 0: x must be a NumPy.*builtins.list",
            ),
            (
                lambda: assert_typical_sampler(
                    lambda seed: np.full(9, np.inf if seed == 7 else 0.0), 3, seed=5
                ),
                ValueError,
                r"fn\(7\), draw 2: x must be finite",
            ),
            (
                lambda: assert_typical_sampler(lambda: np.asarray(0.5)),
                ValueError,
                "fn must return arrays with at least one axis",
            ),
            (
                lambda: assert_typical_sampler(lambda seed: growing[seed], 2, seed=0),
                ValueError,
                r"same shape and dtype each time, got \(3,\) float64 in draw 0 and \(4,\)",
            ),
        ):
            with pytest.raises(kind, match=message):
                call()


def repeated(seed):
    return noise(seed % 31, 400)


def correlated(seed):
    return noise(3, 400) if seed == 9 else noise(seed, 400) * (-1 if seed == 3 else 1)


def antithetic(seed):
    return noise(seed // 2, 400) * (-1) ** seed


def patterned(seed):
    return math.sqrt(0.9) * noise(seed, 400) + math.sqrt(0.1) * noise(-1 % 999, 400)


def normalised(seed):
    x = noise(seed, 400)
    return x / np.sqrt(np.mean(x**2))


def centred(seed):
    x = noise(seed, 400)
    return x - x.mean()


def wavering(seed):
    return noise(seed, 400) * (1 + 0.2 * (-1) ** seed) / math.sqrt(1.04)


def drifting(seed):
    return noise(seed, 400) + 0.3 * math.sqrt(2) * math.sin(seed)


def hot(seed):
    x = noise(seed, 400)
    x[17] *= 6
    return x


def biased(seed):
    x = noise(seed, 400)
    x[17] += 2
    return x


class TestWhatShowsOnlyBetweenDraws:
    @pytest.mark.parametrize(
        ("draw", "part", "family", "sentence"),
        [
            (repeated, "each", "between", r"correlate by \+1"),
            (correlated, "each", "between", "correlate by -1"),
            (antithetic, "over", "positions", r"the mean of the draws has \S+ times the energy"),
            (patterned, "over", "positions", r"the mean of the draws has 4\.\S+ times the energy"),
            (normalised, "over", "variation", "the energies of draws vary .* times"),
            (centred, "over", "variation", "the means of draws vary .* times"),
            (wavering, "over", "variation", "the energies of draws vary .* times"),
            (drifting, "over", "variation", "the means of draws vary .* times"),
            (hot, "over", "positions", r"the mean square over the draws at \(17,\) is"),
            (biased, "over", "positions", r"the mean over the draws at \(17,\) is \+[12]"),
        ],
    )
    def test_it_is_found_and_said(self, draw, part, family, sentence):
        report = failure(assert_typical_sampler, draw, seed=0).report
        loudest = next(f for f in getattr(report, part).findings if f.family == family)
        assert loudest.adjusted < 1e-7
        assert re.search(sentence, loudest.sentence)

    def test_the_message_names_the_draws(self):
        text = str(failure(assert_typical_sampler, repeated, seed=100))
        assert "32 times 400 float64, 12800 values" in text
        assert "draws 0 and 31 correlate by +1" in text
        assert "draw 0 is fn(100)" in text
        assert "draw 31 is fn(131)" in text
        assert "assert_typical_sampler(fn, 32, seed=100) draws the same again" in text

    def test_the_calls_it_names_give_the_draws(self):
        def fn(rng):
            x = rng.standard_normal(400)
            return np.sort(x) if x[0] > 2 else x  # in one draw of fifty or so

        error = failure(assert_typical_sampler, fn, 64, rng=3)
        i, call = re.search(r"draw (\d+) is (.*)", str(error)).groups()
        x = eval(call, {"fn": fn, "numpy": np})
        np.testing.assert_array_equal(x, error.report.together.source[int(i)])
        assert f"draw {i}: " in str(error)
        failure(assert_typical, x)

    def test_a_function_without_arguments_is_told_what_helps(self):
        rng = np.random.default_rng(0)
        error = failure(assert_typical_sampler, lambda: 2 * rng.standard_normal(400))
        assert "fn() was given nothing to draw from" in str(error)
        assert error.report.together.source.shape == (32, 400)

    def test_the_report_reads_and_draws(self):
        report = failure(assert_typical_sampler, repeated, seed=0).report
        for heading in ("each draw: p =", "all draws: p =", "over the draws: p ="):
            assert heading in str(report)
        assert report.plot().axes

    def test_enormous_values_give_a_report(self):
        report = over_draws(1e200 * noise(0, (5, 64)), "float64")
        assert report.log_pvalue < -1000
        assert not any(math.isnan(f.log_pvalue) for f in report.findings)


class TestNullLaws:
    """Statistics over draws against other ways to compute them, and against draws."""

    @pytest.fixture
    def stack(self):
        return noise(5, (7, 4, 5))

    @pytest.fixture
    def found(self, stack):
        return {f.statistic: f for f in over_draws(stack, "float64").findings}

    @staticmethod
    def two_sided(law, value):
        return 2 * min(law.cdf(value), law.sf(value))

    def test_variation(self, stack, found):
        means = stack.mean(axis=(1, 2)) * math.sqrt(20)
        p = self.two_sided(stats.chi2(7), np.sum(means**2))
        assert found["variation of the means of draws"].pvalue == pytest.approx(p)
        quantiles = stats.chi2.cdf([np.linalg.norm(x) ** 2 for x in stack], 20)
        p = self.two_sided(stats.chi2(7), np.sum(stats.norm.ppf(quantiles) ** 2))
        assert found["variation of the energies of draws"].pvalue == pytest.approx(p)

    def test_positions(self, stack, found):
        mean = stack.mean(axis=0) * math.sqrt(7)
        p = self.two_sided(stats.chi2(20), np.linalg.norm(mean) ** 2)
        assert found["energy of the mean of the draws"].pvalue == pytest.approx(p)
        p = 1 - (1 - 2 * stats.norm.sf(np.abs(mean).max())) ** 20
        assert found["mean at a position, largest"].pvalue == pytest.approx(p)
        each = [
            self.two_sided(stats.chi2(7), np.linalg.norm(stack[:, i, j]) ** 2)
            for i in range(4)
            for j in range(5)
        ]
        p = 1 - (1 - min(each)) ** 20
        assert found["energy at a position, largest deviation"].pvalue == pytest.approx(p)
        at = np.unravel_index(int(np.argmin(each)), (4, 5))
        assert found["energy at a position, largest deviation"].where["index"] == at

    def test_the_laws_are_exact(self):
        """p-values of 2000 stacks are uniform, every one of the statistics."""
        rng = np.random.default_rng(8)
        p = {}
        for _ in range(2000):
            for f in over_draws(rng.standard_normal((4, 6)), "float64").findings:
                p.setdefault(f.statistic, []).append(f.pvalue)
        assert len(p) == 6
        for values in p.values():
            assert stats.kstest(values, "uniform").pvalue > RARE

    def test_the_level_of_a_sampler(self):
        """At 0.05, at most the upper 1e-4 quantile of the count in 60 samplers of noise."""
        rng = np.random.default_rng(9)
        alarms = 0
        for _ in range(60):
            try:
                assert_typical_sampler(lambda: rng.standard_normal(64), 4, false_alarm=0.05)
            except AtypicalError:
                alarms += 1
        assert alarms <= stats.binom.isf(RARE, 60, 0.05)


def test_nothing_optional_is_imported():
    code = (
        "import sys, whitenoise.testing as t, numpy as np;"
        "t.assert_typical_sampler(lambda rng: rng.standard_normal(300), 2, rng=0);"
        "print(sorted({'pytest', 'hypothesis', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"

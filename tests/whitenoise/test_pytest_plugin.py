"""The pytest plugin, in runs of their own, outside the repository."""

import importlib.metadata
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from scipy import stats

from whitenoise.pytest_plugin import holm

pytest_plugins = "pytester"

PASSES = """
import numpy as np
from whitenoise.testing import assert_typical

def noise(seed, n=1024):
    return np.random.default_rng(seed).standard_normal(n)

def test_typical():
    assert_typical(noise(0))
"""

# Too large a mean for a budget of 0.01, not for an assertion at 1e-9.
FAINT = """
def test_faint():
    x = noise(1)
    assert_typical(x - x.mean() + 5 / 32, false_alarm=1e-9)
"""

FAILS = """
def test_shifted():
    assert_typical(noise(2) + 0.5)
"""

CAUGHT = """
import pytest

def test_caught():
    with pytest.raises(AssertionError):
        assert_typical(noise(2) + 0.5)

@pytest.mark.xfail(strict=True)
def test_expected():
    assert_typical(noise(3) + 0.5)
"""


@pytest.fixture
def run(pytester):
    """Run pytest on a file, in a folder and on request in a process of its own."""
    assert "typicality" in importlib.metadata.entry_points(group="pytest11").names, (
        "the installed noisetilt is older than its pytest plugin: make test installs it"
    )

    def run(code, *options, apart=False):
        pytester.makepyfile(test_it=code)
        start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return start("-p", "no:cacheprovider", *options)

    return run


def lines_of(result, title="typicality"):
    """Lines of a section of the terminal report."""
    inside, found = False, []
    for line in result.outlines:
        if re.fullmatch(r"=+ .* =+", line):
            inside = line.strip("= ") == title
        elif inside:
            found.append(line)
    return found


def table(result):
    """Rows of the summary, as p-value, corrected p-value, test and verdict."""
    row = re.compile(r"([\d.e-]+) +([\d.e-]+) +(\S+::\S+) ?(.*)")
    matches = [match for match in map(row.fullmatch, lines_of(result)) if match]
    return [(float(match[1]), float(match[2]), match[3], match[4]) for match in matches]


class TestOff:
    def test_it_does_nothing_unless_asked(self, run):
        result = run(PASSES + FAINT)
        assert result.ret == 0
        result.assert_outcomes(passed=2)
        assert "typicality" not in result.stdout.str().replace("test_it.py", "")

    def test_it_costs_no_import(self, run):
        code = """
        import sys

        def test_nothing_is_loaded():
            assert "_whitenoise_pytest_options" in sys.modules
            assert not {"whitenoise", "numpy", "scipy"} & set(sys.modules)
        """
        result = run(code, apart=True)
        result.assert_outcomes(passed=1)

    def test_its_options_alone_do_nothing(self, run, pytester):
        result = run(PASSES + FAILS, "--typicality-plots", "plots")
        assert lines_of(result) == []
        assert not (pytester.path / "plots").exists()


class TestSummary:
    def test_it_lists_every_check(self, run):
        result = run(PASSES + FAILS, "--typicality")
        result.assert_outcomes(passed=1, failed=1)
        (p, corrected, name, verdict), (other_p, other, other_name, nothing) = table(result)
        assert (name, verdict) == ("test_it.py::test_shifted", "FAILED")
        assert (other_name, nothing) == ("test_it.py::test_typical", "")
        assert p < 1e-40
        assert corrected == pytest.approx(2 * p, rel=0.6)  # printed with one digit
        assert other == other_p > 1e-3
        assert any("the mean is +0.4" in line for line in lines_of(result))

    def test_its_p_values_are_those_of_the_reports(self, run):
        code = PASSES + "    print(f'{assert_typical(noise(0)).pvalue:.2g}')\n"
        result = run(code, "--typicality", "-s")
        (line,) = (line for line in result.outlines if line.startswith("test_it.py "))
        printed = float(line.removeprefix("test_it.py ").rstrip("."))
        assert [row[0] for row in table(result)] == [printed, printed]

    def test_no_check_is_said(self, run):
        result = run("def test(): pass", "--typicality")
        assert result.ret == 0
        assert lines_of(result)[0] == "0 checks in 0 tests"

    def test_of_many_checks_in_one_test_the_loudest_are_shown(self, run):
        code = PASSES + "    for seed in range(1, 9):\n        assert_typical(noise(seed))\n"
        result = run(code, "--typicality")
        shown = [row[0] for row in table(result)]
        assert len(shown) == 5
        assert shown == sorted(shown)
        assert "9 checks in 1 test" in lines_of(result)
        assert "4 further checks of test_it.py::test_typical, less loud" in lines_of(result)

    def test_checks_of_fixtures_count(self, run):
        code = PASSES + (
            "import pytest\n\n@pytest.fixture\ndef x():\n    assert_typical(noise(4))\n"
            "    yield 1\n    assert_typical(noise(5))\n\ndef test_with_fixture(x):\n    pass\n"
        )
        result = run(code, "--typicality")
        assert sorted(row[2] for row in table(result)) == [
            "test_it.py::test_typical",
            "test_it.py::test_with_fixture",
            "test_it.py::test_with_fixture",
        ]

    def test_samplers_count(self, run):
        code = (
            "from whitenoise.testing import assert_typical_sampler\n\ndef test_sampler():\n"
            "    assert_typical_sampler(lambda rng: rng.standard_normal(64), n=4, rng=0)\n"
        )
        assert [row[2] for row in table(run(code, "--typicality"))] == ["test_it.py::test_sampler"]

    def test_the_junit_file_stays_as_it_is(self, run, pytester):
        run(PASSES, "--typicality", "--junitxml=out.xml")
        case = next(ET.parse(pytester.path / "out.xml").iter("testcase"))
        assert list(case) == []


class TestTheRunAsAWhole:
    """Many assertions that hold, each with a limit of its own, may be too much together."""

    def test_a_run_that_is_atypical_together_fails(self, run):
        result = run(PASSES + FAINT, "--typicality", "--typicality-false-alarm", "0.01")
        result.assert_outcomes(passed=2)
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        assert table(result)[0][2:] == ("test_it.py::test_faint", "ATYPICAL")
        assert any(line.startswith("ATYPICAL RUN: 1 check passed") for line in lines_of(result))

    def test_its_budget_decides(self, run):
        result = run(PASSES + FAINT, "--typicality", "--typicality-false-alarm", "1e-8")
        assert result.ret == 0
        assert not any("ATYPICAL" in line for line in lines_of(result))

    def test_failures_that_the_test_expects_fail_nothing(self, run):
        result = run(PASSES + CAUGHT, "--typicality")
        assert result.ret == 0
        assert [row[3] for row in table(result)] == ["failed, as the test expects"] * 2 + [""]

    def test_a_failing_run_keeps_its_exit_status(self, run):
        code = PASSES + FAINT + "\n\ndef test_interrupted():\n    raise KeyboardInterrupt\n"
        result = run(code, "--typicality", "--typicality-false-alarm", "0.01", apart=True)
        assert result.ret == pytest.ExitCode.INTERRUPTED

    def test_it_warns_of_limits_above_its_budget(self, run):
        code = (
            PASSES
            + "    for seed in range(3):\n        assert_typical(noise(seed), false_alarm=0.002)\n"
        )
        text = "\n".join(lines_of(run(code, "--typicality")))
        assert "WARNING: genuine noise would fail 0.006 assertions" in text
        assert "WARNING" not in "\n".join(
            lines_of(run(code, "--typicality", "--typicality-false-alarm", "0.01"))
        )

    @pytest.mark.parametrize("value", ["0", "1", "-1", "nan", "often"])
    def test_bad_budgets_are_named(self, run, value):
        result = run(PASSES, "--typicality", f"--typicality-false-alarm={value}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(
            [f"*--typicality-false-alarm: must be a number between 0 and 1*got '{value}'"]
        )


class TestPlots:
    def test_pictures_of_what_failed_are_written(self, run, pytester):
        result = run(PASSES + FAILS + CAUGHT, "--typicality", "--typicality-plots", "a/plots")
        pictures = sorted(path.name for path in (pytester.path / "a/plots").iterdir())
        assert [name.partition("-")[0] for name in pictures] == [
            "test_caught", "test_expected", "test_shifted",
        ]  # fmt: skip
        for name in pictures:
            assert (pytester.path / "a/plots" / name).read_bytes().startswith(b"\x89PNG")
            assert any(line.endswith(f"picture: a/plots/{name}") for line in lines_of(result))

    def test_what_the_correction_clears_has_no_picture(self, run, pytester):
        options = ("--typicality", "--typicality-plots", "plots", "--typicality-false-alarm")
        checks = "".join(f"\n\ndef test_{i}():\n    assert_typical(noise({i}))\n" for i in range(9))
        code = PASSES + FAINT + checks
        p, corrected, *_ = table(run(code, *options, "0.01"))[0]
        assert len(list((pytester.path / "plots").iterdir())) == 1
        (pytester.path / "plots" / "old").touch()
        run(code, *options, str(math.sqrt(p * corrected)))
        assert [path.name for path in (pytester.path / "plots").iterdir()] == ["old"]

    def test_without_matplotlib_it_says_so(self, run, pytester):
        pytester.makeconftest("import sys\nsys.modules['matplotlib'] = None\n")
        result = run(PASSES + FAILS, "--typicality", "--typicality-plots=plots", apart=True)
        result.assert_outcomes(passed=1, failed=1)
        assert any(
            "no picture: ImportError: plotting needs matplotlib" in line
            for line in lines_of(result)
        )


class TestWorkers:
    def test_pytest_xdist(self, run, pytester):
        """Checks come from the workers; the process that started them judges the run."""
        pytest.importorskip("xdist")
        code = PASSES + FAINT
        options = ("--typicality", "--typicality-false-alarm=0.01")
        alone = table(run(code, *options))
        result = run(code, *options, "--typicality-plots=plots", "-n", "2", apart=True)
        result.assert_outcomes(passed=2)
        assert sorted(table(result)) == sorted(alone)
        assert len(alone) == 2
        assert len(list((pytester.path / "plots").iterdir())) == 1
        assert result.ret == pytest.ExitCode.TESTS_FAILED


class TestHoldingOn:
    def test_hypothesis_examples_are_checks(self, run):
        code = PASSES + (
            "\nfrom hypothesis import given, settings, strategies as st\n\n"
            "@settings(max_examples=7, derandomize=True, deadline=None, database=None)\n"
            "@given(st.integers(10, 10**6))\ndef test_given(i):\n    assert_typical(noise(i))\n"
        )
        result = run(code, "--typicality")
        result.assert_outcomes(passed=2)
        assert "8 checks in 2 tests" in lines_of(result)

    def test_warnings_may_be_errors(self, run):
        result = run(PASSES + FAILS, "--typicality", "--typicality-plots=p", "-Werror")
        result.assert_outcomes(passed=1, failed=1)
        assert not any("no picture" in line for line in lines_of(result))


class TestHolm:
    def test_it_is_the_textbook_s(self):
        """Worked example: p-values 0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02."""
        corrected = np.exp(holm(np.log([0.01, 0.04, 0.03, 0.005])))
        np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, 0.02])

    def test_the_first_step_is_bonferroni_s(self):
        p = stats.uniform.rvs(size=50, random_state=0)
        assert math.exp(min(holm(list(np.log(p))))) == pytest.approx(min(50 * p.min(), 1))

    def test_false_alarms_of_a_run(self):
        """2000 runs of 10 uniform p-values at 0.05: the count stays below its 1e-6 quantile."""
        p = np.random.default_rng(0).uniform(size=(2000, 10))
        alarms = sum(min(holm(list(row))) <= math.log(0.05) for row in np.log(p))
        assert alarms <= stats.binom.isf(1e-6, 2000, 0.05)
        assert alarms >= stats.binom.ppf(1e-6, 2000, 0.04)

    def test_nothing(self):
        assert holm([]) == []

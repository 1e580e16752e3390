"""The pytest plugin: all checks of a run in one summary. Loaded only by ``pytest --typicality``.

Under pytest-xdist each worker attaches its checks to the test reports it sends anyway; the process
that prints the summary reads them there, as it does without workers.
"""

from __future__ import annotations

import math
import re
import warnings
import zlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from .testing import Check
from .testing.checks import listeners
from .verify.report import format_pvalue

__all__ = ["TypicalityPlugin", "holm"]

_ATTRIBUTE = "whitenoise_checks"  # of test reports
_SHOWN = 5  # checks of one test


@dataclass(frozen=True)
class Outcome:
    """What remains of a check; plain numbers and strings, since it travels between processes."""

    log_pvalue: float
    false_alarm: float
    loudest: str
    failed: bool
    """At or below its own limit."""
    picture: str | None = None
    """File with its picture."""
    no_picture: str | None = None
    """Why there is none."""


@dataclass(frozen=True)
class Row:
    """A check in the summary."""

    nodeid: str
    outcome: Outcome
    caught: bool
    """The check failed and the test did not: it was meant to."""
    log_corrected: float = 0.0


class TypicalityPlugin:
    """Collects checks, judges them together, and says so.

    Parameters
    ----------
    config
        Of the run, with the options ``typicality_false_alarm`` and ``typicality_plots``.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.budget = float(config.getoption("typicality_false_alarm"))
        plots = config.getoption("typicality_plots")
        self.plots = Path(plots) if plots else None
        self.is_worker = hasattr(config, "workerinput")  # of pytest-xdist
        self.heard: list[Outcome] = []
        self.loudest: tuple[int, Check] | None = None
        self.rows: list[Row] = []

    def pytest_configure(self) -> None:
        """Listen."""
        listeners.append(self.hear)

    def pytest_unconfigure(self) -> None:
        """Listen no more."""
        listeners.remove(self.hear)

    def hear(self, check: Check) -> None:
        """Note a check, and keep the report of the loudest one until it is drawn."""
        worst = check.report.worst
        outcome = Outcome(
            check.report.log_pvalue, check.false_alarm, f"{worst.family}: {worst}", check.failed
        )
        limit = math.log(max(check.false_alarm, self.budget))
        if self.plots is not None and outcome.log_pvalue <= limit:
            held = self.loudest
            if held is None or outcome.log_pvalue < held[1].report.log_pvalue:
                self.loudest = len(self.heard), check
        self.heard.append(outcome)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Attach what was heard to the report of the test, or of its setup or teardown."""
        report = yield
        heard, self.heard = self.heard, []
        loudest, self.loudest = self.loudest, None
        if loudest is not None and self.plots is not None:
            number, check = loudest
            heard[number] = _with_picture(heard[number], check, self.plots, item.nodeid)
        setattr(report, _ATTRIBUTE, [asdict(outcome) for outcome in heard])
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a report brings, from this process or another."""
        for plain in getattr(report, _ATTRIBUTE, ()):
            outcome = Outcome(**plain)
            caught = outcome.failed and not report.failed
            self.rows.append(Row(report.nodeid, outcome, caught))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Correct the p-values, and fail a run that passed if they are too small together."""
        if self.is_worker:
            return
        corrected = holm([row.outcome.log_pvalue for row in self.rows])
        self.rows = [
            replace(row, log_corrected=log_p)
            for row, log_p in zip(self.rows, corrected, strict=True)
        ]
        self.rows.sort(key=lambda row: row.outcome.log_pvalue)
        for row in self.rows:
            # Drawn while the array was there, in case the correction would leave it atypical.
            if row.outcome.picture and not row.outcome.failed and not self._fails_the_run(row):
                Path(row.outcome.picture).unlink(missing_ok=True)
        if session.exitstatus == pytest.ExitCode.OK and any(map(self._fails_the_run, self.rows)):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        terminalreporter.section("typicality")
        for line in self._table():
            terminalreporter.line(line)
        found = [row for row in self.rows if self._fails_the_run(row)]
        if found:
            terminalreporter.line(
                f"ATYPICAL RUN: {_count(len(found), 'check')} passed with its own limit, but not "
                f"with the budget of the run, {self.budget:g}. The run fails.",
                red=True,
            )
        asked = math.fsum(row.outcome.false_alarm for row in self.rows)
        if asked > self.budget:
            terminalreporter.line(
                f"WARNING: genuine noise would fail {asked:.3g} assertions in a run like this, "
                f"more than the budget of {self.budget:g}: lower their false_alarm, or raise "
                "--typicality-false-alarm.",
                yellow=True,
            )

    def _fails_the_run(self, row: Row) -> bool:
        return not row.outcome.failed and row.log_corrected <= math.log(self.budget)

    def _table(self) -> Iterator[str]:
        tests = len({row.nodeid for row in self.rows})
        yield f"{_count(len(self.rows), 'check')} in {_count(tests, 'test')}"
        if not self.rows:
            return
        asked = math.fsum(row.outcome.false_alarm for row in self.rows)
        yield (
            f"false alarms to expect from genuine noise: {asked:.3g} by the assertions, "
            f"{self.budget:g} by this summary (Holm's correction)"
        )
        yield f"{'p':<9}corrected"
        shown: dict[str, int] = {}
        for row in self.rows:
            shown[row.nodeid] = shown.get(row.nodeid, 0) + 1
            if shown[row.nodeid] <= _SHOWN:
                yield from self._lines(row)
        for nodeid, count in shown.items():
            if count > _SHOWN:
                yield f"{_count(count - _SHOWN, 'further check')} of {nodeid}, less loud"

    def _lines(self, row: Row) -> Iterator[str]:
        verdict = ""
        if row.outcome.failed:
            verdict = "failed, as the test expects" if row.caught else "FAILED"
        elif self._fails_the_run(row):
            verdict = "ATYPICAL"
        p, corrected = format_pvalue(row.outcome.log_pvalue), format_pvalue(row.log_corrected)
        yield f"{p:<9}{corrected:<11}{row.nodeid} {verdict}".rstrip()
        yield f"{'':<20}{row.outcome.loudest}"
        if verdict and row.outcome.picture:
            yield f"{'':<20}picture: {row.outcome.picture}"
        if verdict and row.outcome.no_picture:
            yield f"{'':<20}no picture: {row.outcome.no_picture}"


def holm(log_pvalues: Sequence[float]) -> list[float]:
    """Correct p-values for their number, in logarithms.

    Examples
    --------
    >>> import numpy as np
    >>> np.exp(holm(np.log([0.01, 0.2, 0.03]))).round(3)
    array([0.03, 0.2 , 0.06])
    """
    corrected = [0.0] * len(log_pvalues)
    least = -math.inf
    order = sorted(range(len(log_pvalues)), key=log_pvalues.__getitem__)
    for rank, i in enumerate(order):
        least = max(least, min(log_pvalues[i] + math.log(len(order) - rank), 0.0))
        corrected[i] = least
    return corrected


def _with_picture(outcome: Outcome, check: Check, folder: Path, nodeid: str) -> Outcome:
    """Write the picture of a check, or note why there is none."""
    # Names of files are shorter than those of tests, and hold fewer characters.
    readable = re.sub(r"[^\w.-]+", "-", nodeid.rpartition("::")[2])[:80]
    path = folder / f"{readable}-{zlib.crc32(nodeid.encode()):08x}.png"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the filters of the test may turn them into errors
            folder.mkdir(parents=True, exist_ok=True)
            check.report.plot().savefig(path)
    except Exception as error:  # a picture that fails must not hide why the test did
        return replace(outcome, no_picture=f"{type(error).__name__}: {error}")
    return replace(outcome, picture=str(path))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

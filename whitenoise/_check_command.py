"""``whitenoise check IN``: are the arrays of a file white Gaussian noise?

The false-alarm probability is that of the whole file: each of K arrays is judged at its K-th part,
which holds however the arrays depend on each other. The vectors of a batch share the p-value of
their array.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import _files
from ._arrays import FLOATS, Vectors, as_vectors
from ._command import (
    Command,
    DataError,
    Progress,
    Task,
    add_array_options,
    find_tasks,
    parse_probability,
)
from ._namespace import Array, array_namespace, stop_gradient
from .verify.family import Rows
from .verify.report import Finding, TypicalityReport, format_pvalue
from .verify.run import battery, between_vectors, declared_dtype
from .verify.view import Layout

__all__ = ["CHECK"]

_PIECE = 2**22  # values of a batch read at once
_MOST_BETWEEN = 2**26  # values of a batch whose vectors are compared with each other, all in memory

_CHECK = f"""\
Test whether the arrays in IN are white Gaussian noise: independent values from
N(0, 1), with no structure anywhere.

Formats, by suffix: {", ".join(_files.SUFFIXES)}. In a file of several arrays each
one is tested; with --key only that one is.
"""

_CHECK_MORE = """\
For each array a verdict is printed, and a report: the p-value, the statistic that
speaks loudest, and a line for each family of statistics.

exit codes: 0 typical, 1 atypical, 2 bad input, 130 interrupted

examples:
  test latents.npy as one noise vector, and draw what was looked at:
    whitenoise check latents.npy --plot latents.png

  a batch of shape (1000, 16, 64, 64), each item a vector, for a script; .npy files
  are read piece by piece, so the batch may be larger than memory:
    whitenoise check batch.npy --axis -3,-2,-1 --false-alarm 1e-4 --json

  values that were rounded to bfloat16 and stored as float32:
    whitenoise check latents.safetensors --key noise --dtype bfloat16
"""


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _CHECK, _CHECK_MORE
    add = parser.add_argument
    add("source", metavar="IN", type=Path, help="file to read")
    add_array_options(parser, "test")
    add(
        "--false-alarm",
        type=parse_probability,
        metavar="P",
        default=1e-6,
        help="probability that a file of genuine noise, all arrays together, is called atypical "
        "(default: 1e-6)",
    )
    add(
        "--dtype",
        choices=FLOATS,
        help="dtype to which the values were rounded, if coarser than that of the file",
    )
    add(
        "--plot",
        type=Path,
        metavar="OUT",
        help="draw the array, of several the least typical one; the suffix is the format, such as "
        ".png or .pdf",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print one JSON object, no text")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors")


class _Verdict(NamedTuple):
    """What is said about one array."""

    task: Task
    report: TypicalityReport
    limit: float
    """p-value below which the array is atypical."""

    @property
    def typical(self) -> bool:
        return self.report.log_pvalue >= math.log(self.limit)

    @property
    def word(self) -> str:
        return "typical" if self.typical else "atypical"

    @property
    def atypical_vectors(self) -> int:
        """Vectors whose own p-value is below their share of the limit."""
        log_limit = math.log(self.limit / self.task.n_vectors)
        return int(np.sum(self.report.log_pvalues < log_limit))

    def __str__(self) -> str:
        sign = ">=" if self.typical else "<"
        pvalue = format_pvalue(self.report.log_pvalue)
        line = f"{self.word}: {self.task.title}: p = {pvalue} {sign} {self.limit:.3g}"
        if self.task.batch:
            line += f", {self.atypical_vectors} of {self.task.n_vectors} vectors atypical"
        return f"{line}\n{self.report}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.task.name,
            "verdict": self.word,
            "limit": self.limit,
            "atypical_vectors": self.atypical_vectors,
            "report": self.report.to_dict(),
        }


def _check(options: argparse.Namespace, progress: Progress) -> tuple[int, str]:
    if options.plot is not None:
        _check_picture(options.plot)
    tasks = find_tasks(_files.read(options.source), options).values()
    limit = options.false_alarm / len(tasks)
    with progress(sum(task.n_vectors for task in tasks), options.quiet) as advance:
        verdicts = [
            _Verdict(task, _typicality(task, options.dtype, advance), limit) for task in tasks
        ]
    if options.plot is not None:
        _draw(min(verdicts, key=lambda verdict: verdict.report.log_pvalue), options.plot)
    typical = all(verdict.typical for verdict in verdicts)
    if options.json:
        text = json.dumps(
            {
                "file": str(options.source),
                "false_alarm": options.false_alarm,
                "verdict": "typical" if typical else "atypical",
                "arrays": [verdict.to_dict() for verdict in verdicts],
            },
            indent=2,
            allow_nan=False,
        )
    else:
        text = "" if options.quiet else "\n\n".join(map(str, verdicts))
    return (0 if typical else 1), text


def _typicality(task: Task, dtype: str | None, advance: Callable[..., object]) -> TypicalityReport:
    """Do as `typicality` does, holding one piece of a batch at a time."""
    try:
        layout = Layout(task.shape, declared_dtype(task.array, dtype))
    except ValueError as error:
        raise DataError(f"{task.where}: {error}") from error
    source = array_namespace(task.array).permute_dims(stop_gradient(task.array), task.order)
    tests = battery(layout)
    parts: list[dict[str, Rows]] = []
    for place in _pieces(task.batch, max(_PIECE // layout.size, 1)):
        vectors = _read(task, source, place)
        parts.append(tests.measure(vectors.data))
        advance(math.prod(vectors.batch))
    rows = {
        family: {key: np.concatenate([part[family][key] for part in parts]) for key in first}
        for family, first in parts[0].items()
    }
    between: Finding | str | None = f"the batch has more than {_MOST_BETWEEN} values"
    if task.n_vectors * layout.size <= _MOST_BETWEEN:
        between = between_vectors(_read(task, source, ()))
    return tests.report(rows, batch=task.batch, source=source, between=between)


def _pieces(batch: tuple[int, ...], most: int) -> Iterator[tuple[int | slice, ...]]:
    """Cut a batch into pieces of up to `most` vectors, in C order: leading indices, then a run."""
    if math.prod(batch) <= most:
        yield ()
        return
    inner = math.prod(batch[1:])
    if inner > most:
        for first in range(batch[0]):
            for rest in _pieces(batch[1:], most):
                yield (first, *rest)
        return
    step = most // inner
    for start in range(0, batch[0], step):
        yield (slice(start, start + step),)


def _read(task: Task, source: Array, place: tuple[int | slice, ...]) -> Vectors:
    """Load a piece; if something is wrong with it, name the vector."""
    n_axes = len(task.shape)

    def load(place: tuple[int | slice, ...]) -> Vectors:
        piece = source[(*place, ...)]
        return as_vectors(piece, tuple(range(piece.ndim - n_axes, piece.ndim)) or None)

    try:
        return load(place)
    except ValueError as error:
        for index in np.ndindex(task.batch):
            try:
                load(index)
            except ValueError as own:
                vector = f", vector {index}" if task.batch else ""
                raise DataError(f"{task.where}{vector}: {own}") from own
        raise DataError(f"{task.where}: {error}") from error


def _check_picture(path: Path) -> None:
    """Raise DataError if no picture can be made at `path`, as far as can be told by looking."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError as error:
        raise DataError(
            f'{path}: needs matplotlib; install the extra: pip install "noisetilt[plot]"'
        ) from error
    formats = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix[1:] not in formats:
        raise DataError(
            f"{path}: unknown suffix {path.suffix!r}, use one of .{', .'.join(formats)}"
        )
    if path.is_dir() or not path.parent.is_dir():
        reason = "is a directory" if path.is_dir() else f"no directory {path.parent}"
        raise DataError(f"{path}: {reason}")


def _draw(verdict: _Verdict, path: Path) -> None:
    with _files.replacing(path) as temporary:
        verdict.report.plot().savefig(temporary, format=path.suffix[1:], dpi=150)


CHECK = Command(
    "test whether arrays are white noise", "IN [options]", _add_check_arguments, _check, 2
)
"""The subcommand."""

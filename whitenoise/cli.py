"""The command line: ``whitenoise whiten IN OUT``.

Exit codes: 0 done, 1 the data or files are at fault, 2 the command line is, 130 interrupted.

With ``--seed S`` an array gets ``numpy.random.default_rng(S)``, vector i of a batch
``default_rng([S, i])``; in a container the CRC-32 of the array's name stands after S. The result
depends neither on the order of the arrays nor on the piece of a batch in which a vector is read.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import __version__, _files
from ._arrays import FLOATS, normalize_axis
from ._namespace import Array, array_namespace, dtype_name, stop_gradient
from .presets import PRESETS
from .stages import StageCertificate
from .whitener import Whitener, WhiteningCertificate

__all__ = ["main"]

_BAR_DELAY = 2.0  # seconds of work before a progress bar appears


class DataError(Exception):
    """Data that cannot be whitened; the message names it."""


class Command(NamedTuple):
    """A subcommand: what it is for, the arguments it takes, what it does with them."""

    summary: str
    usage: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        try:
            return _run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has left, the files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(argv: Sequence[str]) -> int:
    parser = _parser()
    try:
        options = parser.parse_args(_axis_attached(argv))
    except SystemExit as done:  # argparse has printed help, the version or an error
        return int(done.code or 0)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        COMMANDS[options.command].run(options)
    except (_files.FileError, DataError) as error:
        print(f"whitenoise: error: {error}", file=sys.stderr)
        return 1
    except MemoryError:
        print("whitenoise: error: out of memory", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("whitenoise: interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="whitenoise",
        description="Map arrays to typical white Gaussian noise, with certificates.",
        epilog="Try: whitenoise whiten --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"whitenoise {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, command in COMMANDS.items():
        subparser = commands.add_parser(
            name,
            help=command.summary,
            usage=f"whitenoise {name} {command.usage}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(subparser)
    return parser


def _axis_attached(argv: Sequence[str]) -> list[str]:
    """Write ``--axis -2,-1`` as ``--axis=-2,-1``, which argparse does not take for an option."""
    attached: list[str] = []
    for argument in argv:
        if attached and attached[-1] == "--axis" and re.match(r"-\d", argument):
            attached[-1] = f"--axis={argument}"
        else:
            attached.append(argument)
    return attached


# ------------------------------------------------------------------------------ whiten

_WHITEN = f"""\
Whiten the array in IN and write the result, of the same shape and dtype, to OUT.

Formats, by suffix: {", ".join(_files.SUFFIXES)}. IN and OUT may differ in format
and may be the same file. In a file of several arrays each one is whitened; with
--key only that one is, and the others are copied.
"""

_WHITEN_MORE = """\
For each array one line is printed: shape, dtype, the cosine between input and
output, their distance, and how far the result is from the sets of typical noise.

examples:
  whiten the array in latents.npy as one noise vector, repeatably:
    whitenoise whiten latents.npy noise.npy --seed 0

  a batch of shape (1000, 16, 64, 64), each item by itself; .npy files are read
  and written piece by piece, so the batch may be larger than memory:
    whitenoise whiten batch.npy noise.npy --axis -3,-2,-1 --preset paper
"""


def _add_whiten_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _WHITEN, _WHITEN_MORE
    add = parser.add_argument
    add("source", metavar="IN", type=Path, help="file to read")
    add("target", metavar="OUT", type=Path, help="file to write; replaced when all is done")
    add(
        "--preset",
        choices=list(PRESETS),
        default="default",
        help='which sets to project onto: "paper" once, as the paper does for FLUX; "paper-wan" '
        'likewise for Wan; "default" like "paper", but until the result settles',
    )
    add(
        "--axis",
        type=_axes,
        metavar="A[,B...]",
        help="axes that form one noise vector, counted from the end if negative, such as -1 or "
        "1,2; the others are a batch of independent vectors (default: all axes form one vector)",
    )
    add(
        "--confidence-level",
        type=_level,
        metavar="L",
        help="probability of each interval, between 0 and 1 (default: 0.9999)",
    )
    add(
        "--sweeps",
        type=_sweeps,
        metavar="N",
        help='how often to go through the sets: a number or "converge" (default: the preset\'s)',
    )
    add(
        "--refine",
        type=_whole_number,
        metavar="K",
        default=0,
        help="steps that bring the result closer to the direction of IN, each about as long as a "
        "sweep (default: 0)",
    )
    add(
        "--seed",
        type=_whole_number,
        metavar="S",
        help="seed of the random numbers that break ties, for a repeatable result "
        "(default: differs from run to run)",
    )
    add("--key", metavar="NAME", help="whiten only this array of a file of several")
    add("--quiet", action="store_true", help="print nothing but errors")


def _axes(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise argparse.ArgumentTypeError(f"must be integers joined by commas, got {text!r}")
    axes = tuple(int(part) for part in text.split(","))
    if len(set(axes)) < len(axes):
        raise argparse.ArgumentTypeError(f"must name distinct axes, got {text!r}")
    return axes


def _level(text: str) -> float:
    try:
        level = float(text)
    except ValueError:
        level = float("nan")
    if not 0 < level < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text!r}")
    return level


def _sweeps(text: str) -> int | str:
    if text != "converge" and not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be 'converge' or at least 1, got {text!r}")
    return text if text == "converge" else int(text)


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


@dataclass(frozen=True)
class _Task:
    """One array to whiten: `vectors` are the items of a batch, or the only one."""

    name: str
    where: str
    array: Array
    axes: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Axes with those of the batch first."""
        return (*(a for a in range(self.array.ndim) if a not in self.axes), *self.axes)

    @property
    def batch(self) -> tuple[int, ...]:
        lengths = [int(self.array.shape[a]) for a in self.order]
        return tuple(lengths[: len(lengths) - len(self.axes)])

    @property
    def n_vectors(self) -> int:
        return int(np.prod(self.batch, dtype=np.int64))

    @property
    def title(self) -> str:
        shape = "x".join(str(n) for n in self.array.shape) or "scalar"
        return f"{self.name}: {shape} {dtype_name(self.array)}"


def _whiten(options: argparse.Namespace) -> None:
    _files.check_target(options.target)
    contents = _files.read(options.source)
    tasks = _tasks(contents, options)
    seed = np.random.SeedSequence().entropy if options.seed is None else options.seed
    lines = []
    with _files.replacing(options.target) as temporary:
        output = _files.Output(temporary, options.target, contents)
        whitened = {}
        with _progress(sum(task.n_vectors for task in tasks.values()), options.quiet) as advance:
            for key, task in tasks.items():
                whitened[key] = output.empty_like(task.array)
                # Arrays of one file must not share random numbers.
                entropy = [seed, zlib.crc32(key.encode())] if contents.named else [seed]
                certificate = _whiten_array(task, whitened[key], entropy, options, advance)
                of = f"worst of {task.n_vectors} vectors: " if task.batch else ""
                lines.append(f"{task.title}: {of}{certificate}")
        output.save(whitened)
    if not options.quiet:
        print("\n".join(lines))


def _tasks(contents: _files.ArrayFile, options: argparse.Namespace) -> dict[str, _Task]:
    """Find the arrays to whiten and check what can be checked without reading them."""
    path, arrays = options.source, contents.arrays
    if options.key is not None:
        if not contents.named:
            raise DataError(f"{path}: holds a single array without a name, drop --key")
        if options.key not in arrays:
            raise DataError(f"{path}: no array {options.key!r}, there are: {', '.join(arrays)}")
        arrays = {options.key: arrays[options.key]}
    if not arrays:
        raise DataError(f"{path}: holds no arrays")
    tasks = {}
    for key, array in arrays.items():
        where = f"{path}: array {key!r}" if contents.named else str(path)
        if dtype_name(array) not in FLOATS:
            other = "; choose one array with --key" if len(arrays) > 1 else ""
            raise DataError(
                f"{where} has dtype {dtype_name(array)}, not one of {', '.join(FLOATS)}{other}"
            )
        if 0 in array.shape:
            raise DataError(f"{where} is empty, its shape is {tuple(array.shape)}")
        try:
            array_namespace(array)  # refuses tensors that are not dense
            axes = normalize_axis(options.axis, array.ndim)
        except (TypeError, ValueError) as error:
            raise DataError(f"{where} of shape {tuple(array.shape)}: {error}") from error
        tasks[key] = _Task(key if contents.named else path.name, where, array, axes)
    return tasks


def _whiten_array(
    task: _Task,
    result: Array,
    entropy: list[Any],
    options: argparse.Namespace,
    advance: Callable[[], object],
) -> WhiteningCertificate | None:
    """Fill `result` vector by vector; return the worst certificate, or None if quiet."""
    xp = array_namespace(task.array)
    source, target = (xp.permute_dims(a, task.order) for a in (task.array, result))
    shape = tuple(int(n) for n in source.shape[len(task.batch) :])
    operator = Whitener(
        shape or 1,
        preset=options.preset,
        confidence_level=options.confidence_level,
        sweeps=options.sweeps,
        refine=options.refine,
    )
    worst = None
    for number, index in enumerate(np.ndindex(task.batch)):
        vector = xp.reshape(stop_gradient(source[(*index, ...)]), operator.shape)
        rng = np.random.default_rng([*entropy, number] if task.batch else entropy)
        try:
            whitened = operator(vector, rng=rng, return_certificate=not options.quiet)
        except (TypeError, ValueError, NotImplementedError) as error:
            vector_index = f", vector {index}" if task.batch else ""
            raise DataError(f"{task.where}{vector_index}: {error}") from error
        if not options.quiet:
            whitened, certificate = whitened
            worst = certificate if worst is None else _worse(worst, certificate)
        target[(*index, ...)] = xp.reshape(whitened, shape)
        advance()
    return worst


def _worse(a: WhiteningCertificate, b: WhiteningCertificate) -> WhiteningCertificate:
    """Take the worse of two certificates in every respect."""
    return WhiteningCertificate(
        cosine=min(a.cosine, b.cosine),
        distance=max(a.distance, b.distance),
        sweeps=max(a.sweeps, b.sweeps),
        converged=a.converged and b.converged,
        stages=tuple(
            StageCertificate(
                p.stage,
                inside=p.inside and q.inside,
                distance=max(p.distance, q.distance),
                lower_bound=max(p.lower_bound, q.lower_bound),
            )
            for p, q in zip(a.stages, b.stages, strict=True)
        ),
    )


@contextmanager
def _progress(total: int, quiet: bool) -> Iterator[Callable[[], object]]:
    """Count vectors with a bar on a terminal, if the work is long and tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if quiet or tqdm is None:
        yield lambda: None
        return
    with tqdm(total=total, unit=" vectors", leave=False, disable=None, delay=_BAR_DELAY) as bar:
        yield bar.update


COMMANDS = {
    "whiten": Command(
        "make arrays typical white noise", "IN OUT [options]", _add_whiten_arguments, _whiten
    ),
}
"""Subcommands by name."""

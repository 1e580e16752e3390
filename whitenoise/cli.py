"""The command line: ``whitenoise whiten IN OUT`` and ``whitenoise check IN``.

Exit codes of `whiten`: 0 done, 1 the data or files are at fault, 2 the command line is. Of `check`:
0 typical, 1 atypical, 2 bad input of any kind. Of both: 130 interrupted.

With ``--seed S`` an array gets ``numpy.random.default_rng(S)``, vector i of a batch
``default_rng([S, i])``; in a container the CRC-32 of the array's name stands after S. The result
depends neither on the order of the arrays nor on the piece of a batch in which a vector is read.
"""

from __future__ import annotations

import argparse
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, _files
from ._check_command import CHECK
from ._command import (
    Command,
    DataError,
    Progress,
    Task,
    add_array_options,
    find_tasks,
    parse_probability,
    print_outcome,
)
from ._namespace import Array, array_namespace, stop_gradient
from .equalizer import EqualizationCertificate
from .presets import PRESETS
from .stages import StageCertificate
from .whitener import Whitener, WhiteningCertificate

__all__ = ["main"]

Certificate = WhiteningCertificate | EqualizationCertificate

_BAR_DELAY = 2.0  # seconds of work before a progress bar appears


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return print_outcome(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> tuple[int, str]:
    parser = _parser()
    try:
        options = parser.parse_args(_axis_attached(argv))
    except SystemExit as done:  # argparse has printed help, the version or an error
        return int(done.code or 0), ""
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2, ""
    command = COMMANDS[options.command]
    try:
        return command.run(options, _progress)
    except (_files.FileError, DataError) as error:
        print(f"whitenoise: error: {error}", file=sys.stderr)
        return command.bad_data, ""
    except MemoryError:
        print("whitenoise: error: out of memory", file=sys.stderr)
        return command.bad_data, ""
    except KeyboardInterrupt:
        print("whitenoise: interrupted", file=sys.stderr)
        return 130, ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="whitenoise",
        description="Map arrays to typical white Gaussian noise, and check whether they are.",
        epilog="Try: whitenoise check --help",
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
output, and the p-value of the result, or with projections its distance from the
input and from the sets of typical noise.

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
        choices=[*dict.fromkeys(name.rpartition("-")[0] for name in PRESETS), *PRESETS],
        default="default",
        metavar="NAME",
        help='"default" gives the array the statistics of a draw of noise, until `check` finds no '
        'fault; "paper" projects onto sets of typical noise once, as the paper does for FLUX, '
        '"paper-wan" likewise for Wan, and "default-1", the default before, until the result '
        "settles. Names may end in a version, such as paper-1",
    )
    add(
        "--confidence-level",
        type=parse_probability,
        metavar="L",
        help="of projections: probability of each interval, between 0 and 1 (default: 0.9999)",
    )
    add(
        "--sweeps",
        type=_sweeps,
        metavar="N",
        help='how often to go through statistics or sets: a number, or of projections "converge" '
        "(default: the preset's)",
    )
    add(
        "--refine",
        type=_whole_number,
        metavar="K",
        default=0,
        help="of projections: steps that bring the result closer to the direction of IN, each "
        "about as long as a sweep (default: 0)",
    )
    add(
        "--seed",
        type=_whole_number,
        metavar="S",
        help="seed of the random numbers, for a repeatable result (default: differs from run to "
        "run)",
    )
    add_array_options(parser, "whiten")
    add("--quiet", action="store_true", help="print nothing but errors")


def _sweeps(text: str) -> int | str:
    if text != "converge" and not (text.isdecimal() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be 'converge' or at least 1, got {text!r}")
    return text if text == "converge" else int(text)


def _whole_number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0, got {text!r}")
    return int(text)


def _whiten(options: argparse.Namespace, progress: Progress) -> tuple[int, str]:
    _files.check_target(options.target)
    contents = _files.read(options.source)
    tasks = find_tasks(contents, options)
    seed = np.random.SeedSequence().entropy if options.seed is None else options.seed
    lines = []
    with _files.replacing(options.target) as temporary:
        output = _files.Output(temporary, options.target, contents)
        whitened = {}
        with progress(sum(task.n_vectors for task in tasks.values()), options.quiet) as advance:
            for key, task in tasks.items():
                whitened[key] = output.empty_like(task.array)
                # Arrays of one file must not share random numbers.
                entropy = [seed, zlib.crc32(key.encode())] if contents.named else [seed]
                certificate = _whiten_array(task, whitened[key], entropy, options, advance)
                of = f"worst of {task.n_vectors} vectors: " if task.batch else ""
                lines.append(f"{task.title}: {of}{certificate}")
        output.save(whitened)
    return 0, "" if options.quiet else "\n".join(lines)


def _whiten_array(
    task: Task,
    result: Array,
    entropy: list[Any],
    options: argparse.Namespace,
    advance: Callable[..., object],
) -> Certificate | None:
    """Fill `result` vector by vector; return the worst certificate, or None if quiet."""
    xp = array_namespace(task.array)
    source, target = (xp.permute_dims(a, task.order) for a in (task.array, result))
    try:
        operator = Whitener(
            task.shape or 1,
            preset=options.preset,
            confidence_level=options.confidence_level,
            sweeps=options.sweeps,
            refine=options.refine,
        )
    except ValueError as error:
        raise DataError(f"{task.where}: {error}") from error
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
        target[(*index, ...)] = xp.reshape(whitened, task.shape)
        advance()
    return worst


def _worse(a: Certificate, b: Certificate) -> Certificate:
    """Take the worse of two certificates in every respect."""
    if isinstance(a, EqualizationCertificate) or isinstance(b, EqualizationCertificate):
        names = ("cosine", "share", "pvalue", "untouched")
        return EqualizationCertificate(*(min(getattr(c, name) for c in (a, b)) for name in names))
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
def _progress(total: int, quiet: bool) -> Iterator[Callable[..., object]]:
    """Count vectors with a bar on a terminal, if the work is long and tqdm is installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        tqdm = None
    if quiet or tqdm is None:
        yield lambda count=1: None
        return
    with tqdm(total=total, unit=" vectors", leave=False, disable=None, delay=_BAR_DELAY) as bar:
        yield bar.update


COMMANDS = {
    "whiten": Command(
        "make arrays typical white noise", "IN OUT [options]", _add_whiten_arguments, _whiten, 1
    ),
    "check": CHECK,
}
"""Subcommands by name."""

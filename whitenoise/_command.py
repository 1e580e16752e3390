"""What the subcommands of the command line share: their options, and the arrays they work on."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import _files
from ._arrays import FLOATS, normalize_axis
from ._namespace import Array, array_namespace, dtype_name

__all__ = [
    "Command",
    "DataError",
    "Progress",
    "Task",
    "add_array_options",
    "find_tasks",
    "parse_probability",
    "print_outcome",
]

Progress = Callable[[int, bool], AbstractContextManager[Callable[..., object]]]
"""``progress(total, quiet)`` gives a function that counts the vectors done."""


def print_outcome(run: Callable[[], tuple[int, str]]) -> int:
    """Print the text of a command and return its exit code, even if nobody reads any more."""
    code = 0
    try:
        try:
            code, text = run()
            if text:
                print(text)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has left, the work is done
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


class DataError(Exception):
    """Data that cannot be used; the message names it."""


class Command(NamedTuple):
    """A subcommand: what it is for, the arguments it takes, what it does with them."""

    summary: str
    usage: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace, Progress], tuple[int, str]]
    """Gives the exit code and what to print."""
    bad_data: int
    """Exit code if the data or files are at fault."""


def add_array_options(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add the options that say which vectors a subcommand works on."""
    parser.add_argument(
        "--axis",
        type=_parse_axes,
        metavar="A[,B...]",
        help="axes that form one noise vector, counted from the end if negative, such as -1 or "
        "1,2; the others are a batch of independent vectors (default: all axes form one vector)",
    )
    parser.add_argument("--key", metavar="NAME", help=f"{verb} only this array of several")


def _parse_axes(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"-?\d+(,-?\d+)*", text):
        raise argparse.ArgumentTypeError(f"must be integers joined by commas, got {text!r}")
    axes = tuple(int(part) for part in text.split(","))
    if len(set(axes)) < len(axes):
        raise argparse.ArgumentTypeError(f"must name distinct axes, got {text!r}")
    return axes


def parse_probability(text: str) -> float:
    """Read a number strictly between 0 and 1."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"must be a number between 0 and 1, got {text!r}")
    return value


@dataclass(frozen=True)
class Task:
    """One array to work on: its vectors are the items of a batch, or the only one."""

    name: str
    where: str
    """File and array, for errors."""
    array: Array
    axes: tuple[int, ...]

    @property
    def order(self) -> tuple[int, ...]:
        """Axes with those of the batch first."""
        return (*(a for a in range(self.array.ndim) if a not in self.axes), *self.axes)

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape of the batch."""
        lengths = [int(self.array.shape[a]) for a in self.order]
        return tuple(lengths[: len(lengths) - len(self.axes)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one vector."""
        return tuple(int(self.array.shape[a]) for a in self.axes)

    @property
    def n_vectors(self) -> int:
        """How many vectors there are."""
        return int(np.prod(self.batch, dtype=np.int64))

    @property
    def title(self) -> str:
        """Name, shape and dtype."""
        shape = "x".join(str(n) for n in self.array.shape) or "scalar"
        return f"{self.name}: {shape} {dtype_name(self.array)}"


def find_tasks(contents: _files.ArrayFile, options: argparse.Namespace) -> dict[str, Task]:
    """Find the arrays to work on and check what can be checked without reading them."""
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
        tasks[key] = Task(key if contents.named else path.name, where, array, axes)
    return tasks

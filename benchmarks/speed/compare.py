"""Compare two revisions, and fail beyond a stated slow-down."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from .record import ROOT
from .tables import grid, ratio
from .worker import CASES

LIMIT = 1.25
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
_CALLGRIND = "valgrind --tool=callgrind --callgrind-out-file=/dev/null --log-file={report}"
COUNTERS = {
    "perf": ["perf", "stat", "-x,", "-e", "instructions:u", "-o", "{report}"],
    "valgrind": _CALLGRIND.split(),
}

Measured = Mapping[str, float | None]
"""Ratio to `np.sort`, or instructions, of each case; None if the revision has no such thing."""


class Verdict(NamedTuple):
    """What became of one case; None stands for absent."""

    case: str
    before: float | None
    after: float | None
    slowdown: float | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", help="the older one, such as HEAD~1")
    parser.add_argument("other", nargs="?", help="the newer one; the working tree if left out")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"slow-down ({LIMIT})")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each revision (5)")
    parser.add_argument("--size", type=int, default=65536, help="N, a power of two (65536)")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one; repeatable")
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="count them with perf or valgrind in place of times; one thread; minutes",
    )


def main(arguments: argparse.Namespace) -> int:
    """Print the comparison; return 1 if something became slower than the limit, else 0."""
    chosen = arguments.case or list(CASES)
    names = [arguments.revision, arguments.other or "working tree"]
    with tempfile.TemporaryDirectory() as folder:
        trees = [
            check_out(revision, Path(folder) / str(k))
            for k, revision in enumerate((arguments.revision, arguments.other))
        ]
        if arguments.instructions:
            count = counter()
            before, after = ([instructions(tree, chosen, arguments.size, count)] for tree in trees)
        else:
            before, after = in_turns(trees, chosen, arguments.size, arguments.rounds)
    found = verdicts(before, after)
    unit = "instructions" if arguments.instructions else "time ÷ np.sort"
    print("\n".join(table(found, names, unit, arguments.limit)))
    slower = too_slow(found, arguments.limit)
    if slower:
        print(f"\nslower by more than {arguments.limit:g}: {', '.join(slower)}")
    return 1 if slower else 0


def check_out(revision: str | None, folder: Path) -> Path:
    """Lay out a revision's `whitenoise` beside the present benchmarks; None is the working tree.

    The files are exported, so that the repository keeps no trace of a run that was cut short.
    """
    folder.mkdir()
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    if revision is None:
        (folder / "whitenoise").symlink_to(ROOT / "whitenoise")
        return folder
    command = ["git", "-C", str(ROOT), "archive", "--format=tar", revision, "whitenoise"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        reason = done.stderr.decode().strip()
        raise SystemExit(f"revision {revision!r} cannot be exported: {reason}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def in_turns(
    trees: Sequence[Path], chosen: Sequence[str], size: int, rounds: int
) -> tuple[list[Measured], list[Measured]]:
    """Measure A B A B ...: each round one process for each revision."""
    found: tuple[list[Measured], list[Measured]] = ([], [])
    for _ in tqdm(range(rounds), desc="rounds"):
        for tree, results in zip(trees, found, strict=True):
            results.append(work(tree, chosen, size, ["--budget", "0.2"]))
    return found


def work(tree: Path, chosen: Sequence[str], size: int, options=(), prefix=(), variables=None):
    """Run the worker in `tree`; return what it printed."""
    command = [*prefix, sys.executable, "-m", "benchmarks.speed.worker", "--size", str(size)]
    command += [part for case in chosen for part in ("--case", case)] + list(options)
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=tree, env={**inherited, **(variables or {})}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"the worker failed in {tree}:\n{done.stderr}")
    return json.loads(done.stdout)


def counter() -> str:
    """Name what can count instructions here: ``"perf"`` if the processor lets us, or valgrind."""
    for tool in COUNTERS:
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile("r") as report:
            command = [part.format(report=report.name) for part in COUNTERS[tool]]
            subprocess.run([*command, "true"], capture_output=True)
            if counted(report.read()) is not None:
                return tool
    raise SystemExit("--instructions needs perf with hardware counters, or valgrind")


def counted(report: str) -> int | None:
    """Instructions in the report of `perf stat -x,` or of callgrind, None if there are none."""
    found = re.search(r"^(\d+),[^,]*,instructions|Collected : (\d+)", report, re.M)
    return int(found.group(1) or found.group(2)) if found else None


def instructions(tree: Path, chosen: Sequence[str], size: int, tool: str) -> Measured:
    """Instructions of one warmed call of each case: two processes, one of which calls once more."""
    variables = {**ONE_THREAD, "PYTHONHASHSEED": "0"}

    def total(cases: Sequence[str], again: Sequence[str] = ()) -> int:
        with tempfile.NamedTemporaryFile("r") as report:
            prefix = [part.format(report=report.name) for part in COUNTERS[tool]]
            work(tree, cases, size, again, prefix, variables)
            return counted(report.read()) or 0

    present = work(tree, chosen, size, variables=variables)
    wanted = [case for case in chosen if present[case]]
    found: dict[str, float | None] = dict.fromkeys(chosen)
    if wanted:
        total(wanted)  # kernels are compiled anew for the processor that valgrind shows
        base = total(wanted)
        for case in tqdm(wanted, desc=f"instructions, tree {tree.name}"):
            found[case] = total(wanted, ["--again", case]) - base
    return found


def verdicts(before: Sequence[Measured], after: Sequence[Measured]) -> list[Verdict]:
    """Join the rounds: the median of each, and of the slow-downs within a round.

    The two measurements of a round are neighbours in time, so a slow spell cancels.
    """
    found = []
    for case in before[0]:
        old = [value for measured in before if (value := measured[case]) is not None]
        new = [value for measured in after if (value := measured[case]) is not None]
        slowdown = None
        if old and new:
            slowdown = float(np.median([b / a for a, b in zip(old, new, strict=True)]))
        medians = (float(np.median(values)) if values else None for values in (old, new))
        found.append(Verdict(case, *medians, slowdown))
    return found


def too_slow(found: Sequence[Verdict], limit: float) -> list[str]:
    """Cases that became slower by more than `limit`; what is absent on one side has no verdict."""
    return [v.case for v in found if v.slowdown is not None and v.slowdown > limit]


def table(found: Sequence[Verdict], names: Sequence[str], unit: str, limit: float) -> list[str]:
    slower = too_slow(found, limit)

    def value(number: float | None) -> str:
        if number is None:
            return "absent"
        return f"{number:,.0f}" if unit == "instructions" else ratio(number)

    body = [
        [
            v.case,
            value(v.before),
            value(v.after),
            "-" if v.slowdown is None else f"{v.slowdown:.3f}",
            "slower" if v.case in slower else "",
        ]
        for v in found
    ]
    return grid([f"case ({unit})", *names, "slow-down", ""], body)

"""What ``ntrk bench`` takes on the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from .._values import assignment, positive

__all__ = ["BENCH", "add_bench_arguments"]

BENCH = "repeat the paper's experiments on a model, with tables and figures"

_MORE = """\
Runs that the results folder has are not made again: a command that was stopped
goes on where it was, and one whose runs are all there only writes tables and
figures.

Methods use the parameters that `ntrk bench --tune` found, in tuned.json of the
results folder or shipped with the model, and otherwise their defaults; the
tables say which.

examples:
  two prompts of two experiments, within 5 minutes:
    ntrk bench --quick

  all experiments on the shipped model: tune, then run on four processes:
    ntrk bench --tune --jobs 4 --results results
    ntrk bench --jobs 4 --results results

  another model, with tasks of its own, a dict of ntrk.bench.Task:
    ntrk bench ./my-flux --tasks my_tasks.py:tasks --experiments table2 \\
      --prompts 20 --pipe height=512 --pipe width=512 --batch-size 1
"""


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = (
        "Repeat the paper's experiments on MODEL; the shipped one if none is named."
    )
    parser.epilog = _MORE
    add = parser.add_argument
    add("model", metavar="MODEL", nargs="?", help="folder of a diffusers pipeline, or its name")
    add("--tasks", metavar="SPEC", help="file.py:function or package.module:function")
    add("--list", action="store_true", help="list the experiments and what they cost; run nothing")
    add("--tune", action="store_true", help="choose the methods' parameters; run nothing else")
    add("--quick", action="store_true", help="2 prompts, 100 NFE, table2 and figure7")
    add("--experiments", type=_names, metavar="A[,B...]", help="those that --list lists")
    add("--prompts", type=positive, metavar="N", help="the first N of a task (default: all)")
    add("--seeds", type=positive, default=1, metavar="N", help="runs a prompt (default: 1)")
    add("--max-nfe", type=positive, metavar="N", help="leave out larger budgets (default: 500)")
    add("--results", type=Path, default=Path("ntrk-bench"), metavar="DIR", help="of the runs")
    add("--tables", type=Path, metavar="DIR", help="for tables (default: RESULTS/tables)")
    add("--figures", type=Path, metavar="DIR", help="for figures (default: RESULTS/figures)")
    add("--images", action="store_true", help="keep the best image of each run")
    add(
        "--jobs",
        type=positive,
        metavar="N",
        help="processes (default: cores, 4 at most; 1 on CUDA)",
    )
    add("--batch-size", type=positive, metavar="N", help="states evaluated at once (default: all)")
    add("--lora", metavar="DIR", help="adapter fine-tuned for the reward, for section55")
    add(
        "--pipe",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an argument of the pipeline's call; may be repeated",
    )
    dtypes = ("bfloat16", "float16", "float32")
    add("--dtype", choices=dtypes, help="of the weights (default: float32 if shipped, or bfloat16)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    add("--quiet", action="store_true", help="print nothing but errors")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))

"""What the command line reads, and the table of methods that it shows."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from . import __version__
from ._values import assignment, literal, once, positive, whole
from .bench.arguments import BENCH, add_bench_arguments
from .diffusion import DIFFUSIONS
from .kernels import FORMS
from .methods import METHODS, BestOfN, Method, as_method

__all__ = [
    "PIPE_OPTIONS",
    "describe_methods",
    "make_parser",
    "methods_table",
    "parse_method",
]

_STEPS = 25  # for which the table counts evaluations, as the paper does
_WIDTH = 100
_WRAPPED = f"+{BestOfN.name}"
# Wan's own scheduler has settings that others lack, so none is made into it.
_SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
)
PIPE_OPTIONS: dict[str, type] = {
    "height": int,
    "width": int,
    "num_frames": int,
    "guidance_scale": float,
    "negative_prompt": str,
}


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="ntrk",
        description="Sample from diffusion models towards high reward.",
        epilog="Try: ntrk generate --help",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ntrk {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    methods = commands.add_parser(
        "methods", help="list the methods and their parameters", allow_abbrev=False
    )
    methods.add_argument("--json", action="store_true", help="for programs")
    _add_generate_arguments(
        commands.add_parser(
            "generate",
            help="make images or videos, and save them with every setting",
            usage="ntrk generate MODEL PROMPT --reward SPEC [options]",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
    )
    add_bench_arguments(
        commands.add_parser(
            "bench",
            help=BENCH,
            usage="ntrk bench [MODEL] [options]",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
    )
    return parser


_GENERATE = "Sample from MODEL for PROMPT towards high reward, and save what comes out."

_GENERATE_MORE = """\
A reward SPEC is a sum of terms with weights, such as "brightness - 0.5*my.py:score":
brightness, contrast and redness are there; package.module:function and
path/to/file.py:function are functions (images, prompts) -> (batch,).

VALUE is a Python literal, and otherwise text.

examples:
  four particles, of which the best one is kept:
    ntrk generate FOLDER "a fox in snow" --reward my.py:score \\
      --method ntrk+best_of_n --strength 0.3 --particles 4 --out fox.png

  another method with its parameters (see: ntrk methods), on two processes:
    torchrun --nproc_per_node 2 -m ntrk.cli generate FOLDER "a fox in snow" \\
      --reward my.py:score --method das --set temperature=0.1 --particles 8
"""


def _add_generate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _GENERATE, _GENERATE_MORE
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a diffusers pipeline, or its name on the hub")
    add("prompt", metavar="PROMPT", help="one prompt")
    add("--reward", metavar="SPEC", required=True, help="what to aim at")
    add("--held-out", metavar="SPEC", help="rewards, without weights, that are only measured")
    add(
        "--method",
        default="ntrk",
        metavar="NAME",
        help="a name that `ntrk methods` lists; +best_of_n after it keeps the best particle alone "
        "(default: ntrk)",
    )
    add("--strength", type=float, metavar="S", help="of NTRK, in [0, 1] (default: 0.3)")
    named: dict[str, Any] = {"type": assignment, "action": "append", "metavar": "NAME=VALUE"}
    add("--set", default=[], **named, help="a parameter of the method; may be repeated")
    add("--steps", type=positive, default=25, metavar="N", help="noise levels (default: 25)")
    add("--particles", type=positive, default=1, metavar="N", help="trajectories (default: 1)")
    add("--seed", type=whole, default=0, metavar="S", help="of all random numbers (default: 0)")
    add(
        "--batch-size",
        type=positive,
        default=1,
        metavar="N",
        help="states evaluated at once, which memory limits (default: 1)",
    )
    add(
        "--diffusion",
        type=literal,
        metavar="G",
        help=f"how much noise a step injects: {', '.join(DIFFUSIONS)} or a number (default: as "
        "suits the scheduler)",
    )
    add("--form", choices=FORMS, default=FORMS[0], help="of the reverse kernel (default: bridge)")
    add("--reward-every", type=positive, default=1, metavar="N", help="ask every N steps only")
    add("--detach-model", action="store_true", help="keep the model out of the gradient")
    add("--gradient-checkpointing", action="store_true", help="less memory, more time")
    add("--vae-tiling", action="store_true", help="decode in tiles")
    for name, kind in PIPE_OPTIONS.items():
        metavar = {int: "N", float: "X", str: "TEXT"}[kind]
        add(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help="for the pipeline")
    add("--pipe", default=[], **named, help="any other argument of the pipeline's call")
    add(
        "--scheduler",
        choices=_SCHEDULERS,
        metavar="NAME",
        help=f"in place of the model's own, with its settings: {', '.join(_SCHEDULERS)}",
    )
    dtypes = ("bfloat16", "float16", "float32")
    add("--dtype", choices=dtypes, default=dtypes[0], help="of the weights (default: bfloat16)")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")
    add(
        "--out",
        type=Path,
        default=Path("ntrk-result"),
        metavar="PATH",
        help="folder, or file .png or .mp4 (default: ntrk-result)",
    )
    add("--plot", type=Path, metavar="FILE", help="draw images, rewards and p-values too")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--quiet", action="store_true", help="print nothing but errors")


def attached(argv: Sequence[str]) -> list[str]:
    """Write ``--reward -contrast`` as ``--reward=-contrast``, which argparse reads as meant."""
    written: list[str] = []
    for argument in argv:
        if written and written[-1] in ("--reward", "--held-out") and re.match("-[^-]", argument):
            written[-1] += f"={argument}"
        else:
            written.append(argument)
    return written


# ----------------------------------------------------------------------------- methods


def parse_method(text: str, parameters: Sequence[tuple[str, Any]]) -> Method:
    """Return the method of a name, which may be followed by ``+best_of_n``, with parameters.

    Parameters
    ----------
    text
        The name.
    parameters
        Of the method that is named first: best of N has none of its own.

    Raises
    ------
    ValueError, TypeError
        If there is no such method, or it does not take the parameters.

    Examples
    --------
    >>> parse_method("ntrk+best_of_n", [("strength", 0.5)])
    BestOfN(method=NTRK(strength=0.5, whitening='default-2'))
    """
    best = text == BestOfN.name or text.endswith(_WRAPPED)
    inner = "base" if text == BestOfN.name else text.removesuffix(_WRAPPED)
    if inner not in METHODS or inner == BestOfN.name:
        raise ValueError(
            f"method must be one of {', '.join(METHODS)}, with or without {_WRAPPED}, got {text!r}"
        )
    method = as_method(inner, **once(parameters))
    return BestOfN(method) if best else method


def describe_methods() -> list[dict[str, Any]]:
    """Describe every method in values that JSON knows."""
    return [
        {
            "name": name,
            "label": kind().label,
            "kind": kind.kind,
            "needs_gradient": kind().needs_gradient,
            "nfe": kind().evaluations(_STEPS),
            "parameters": {f.name: f.default for f in fields(kind) if f.default is not MISSING},
            "summary": kind.summary,
        }
        for name, kind in METHODS.items()
    ]


def methods_table() -> str:
    """Show every method: a line of properties and parameters, and a line that says what it does."""
    rows = [("name", "label", "kind", "gradient", "NFE")]
    below = [("parameters", "")]
    for method in describe_methods():
        gradient = "yes" if method["needs_gradient"] else "no"
        rows.append((method["name"], method["label"], method["kind"], gradient, str(method["nfe"])))
        parameters = " ".join(f"{name}={value}" for name, value in method["parameters"].items())
        below.append((parameters, method["summary"]))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row, (parameters, summary) in zip(rows, below, strict=True):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        head = "  ".join(cells) + "  "
        lines += textwrap.wrap(
            head + parameters, _WIDTH, subsequent_indent=" " * len(head), drop_whitespace=True
        )
        lines += [f"  {summary}"] if summary else [""]
    notes = (
        "gradient: whether the reward must be differentiable. NFE: model evaluations a particle "
        f"for {_STEPS} steps and the parameters shown. parameters: with their defaults, for --set; "
        f"--strength S is --set strength=S. METHOD{_WRAPPED} runs METHOD and keeps the particle of "
        f"the highest reward; {BestOfN.name} alone is base{_WRAPPED}."
    )
    return "\n".join([*lines, "", textwrap.fill(notes, _WIDTH)])

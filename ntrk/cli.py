"""The command line: ``ntrk generate MODEL PROMPT --reward SPEC``, ``ntrk bench``, ``ntrk methods``.

Exit codes: 0 done, 1 a file, the model or the run is at fault, 2 the command line is, 130
interrupted. An interrupted run that has something to show saves it first.

``torchrun --nproc_per_node N -m ntrk.cli generate ...`` spreads the particles over N processes; the
first one saves and prints.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import torch

from whitenoise._command import print_outcome

from ._shell import (
    PIPE_OPTIONS,
    attached,
    describe_methods,
    make_parser,
    methods_table,
    parse_method,
)
from ._values import once
from .equipment import images_argument
from .loading import hushed, load_pipeline
from .methods import Method
from .plan import make_plan
from .processes import Processes, launched
from .rewards import Reward, parse_reward
from .run import check_call, generate
from .saving import optional, targets
from .schedulers import UnsupportedSchedulerError

__all__ = ["main"]


class UsageError(Exception):
    """The command line is at fault; the message says how."""


@contextmanager
def _usage() -> Iterator[None]:
    """Blame the command line for what goes wrong in the block."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise UsageError(error) from error


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    argv
        Arguments; those of the process if None.
    """
    return print_outcome(lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: Sequence[str]) -> tuple[int, str]:
    parser = make_parser()
    try:
        options = parser.parse_args(attached(argv))
    except SystemExit as done:  # argparse has printed help, the version or an error
        return int(done.code or 0), ""
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2, ""
    try:
        return {"methods": _methods, "generate": _generate, "bench": _bench}[options.command](
            options
        )
    except KeyboardInterrupt:
        print("ntrk: interrupted", file=sys.stderr)
        return 130, ""
    except UsageError as error:
        code, message = 2, str(error)
    except UnsupportedSchedulerError as error:
        code, message = 1, f"{error}; here: --scheduler NAME"
    except (torch.OutOfMemoryError, MemoryError):
        code, message = 1, "out of memory; less is needed with a smaller --batch-size, "
        message += "--gradient-checkpointing, --vae-tiling or --detach-model"
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        code, message = 1, str(error)
    print(f"ntrk: error: {_one_line(message)}", file=sys.stderr)
    return code, ""


def _one_line(text: Any) -> str:
    return " ".join(str(text).split())


def _methods(options: argparse.Namespace) -> tuple[int, str]:
    return 0, json.dumps(describe_methods(), indent=1) if options.json else methods_table()


def _bench(options: argparse.Namespace) -> tuple[int, str]:
    from .bench.command import prepare

    with _usage():
        perform = prepare(options, once(options.pipe))
    return perform()


def _generate(options: argparse.Namespace) -> tuple[int, str]:
    with ExitStack() as stack:
        with _usage():
            device = stack.enter_context(launched(options.device))
            job = _job(options, device)
            processes = Processes()
            processes.share(options.particles)
        _refuse_existing(options, job.method)
        shown = not options.quiet and processes.rank == 0
        with hushed(bars=shown):
            pipe = _load(options, device)
        with _usage():
            _check_pipe(pipe, options, job)
        result = generate(
            pipe,
            options.prompt,
            reward=job.reward,
            method=job.method,
            held_out=job.held_out,
            steps=options.steps,
            particles=options.particles,
            seed=options.seed,
            batch_size=options.batch_size,
            diffusion=options.diffusion,
            form=options.form,
            reward_every=options.reward_every,
            detach_model=options.detach_model,
            gradient_checkpointing=options.gradient_checkpointing,
            vae_tiling=options.vae_tiling,
            progress=shown,
            **job.pipe_kwargs,
        )
    code = 130 if result.interrupted else 0
    if processes.rank:
        return code, ""
    paths = result.save(options.out, overwrite=options.overwrite)
    if options.plot:
        options.plot.parent.mkdir(parents=True, exist_ok=True)
        result.plot().savefig(options.plot)
        paths.append(options.plot)
    return code, "\n".join(map(str, [result, *paths])) if shown else ""


class _Job(NamedTuple):
    """What the texts of the command line mean."""

    method: Method
    reward: Reward
    held_out: Mapping[str, Any]
    pipe_kwargs: dict[str, Any]


def _job(options: argparse.Namespace, device: torch.device) -> _Job:
    """Read the command line as far as it can be without the model."""
    strength = [] if options.strength is None else [("strength", options.strength)]
    method = parse_method(options.method, [*strength, *options.set])
    place: Any = {"device": device, "dtype": getattr(torch, options.dtype)}
    reward = parse_reward(options.reward, **place)
    others = parse_reward(options.held_out, **place) if options.held_out else None
    if others and set(others.weights.values()) != {1.0}:
        raise ValueError(f"--held-out takes rewards without weights, got {others.name!r}")
    named = [(name, getattr(options, name)) for name in PIPE_OPTIONS]
    pipe_kwargs = once([*((n, v) for n, v in named if v is not None), *options.pipe])
    make_plan(
        reward,
        method,
        strength=None,
        diffusion="ode" if options.diffusion is None else options.diffusion,
        form=options.form,
        reward_every=options.reward_every,
        detach_model=options.detach_model,
        on_bad_gradient="raise",
        check_noise=False,
    )
    return _Job(method, reward, others.terms if others else {}, pipe_kwargs)


def _refuse_existing(options: argparse.Namespace, method: Method) -> None:
    """Refuse to replace files, before hours are spent on what would go there."""
    count = 1 if method.returns_best else options.particles
    files = [options.plot] if options.plot else []
    for suffix in (".png", ".mp4"):
        with suppress(ValueError):  # a file of the other kind
            pictures, summary = targets(options.out, suffix, count)
            files += [*pictures, summary]
    existing = sorted({str(file) for file in files if file.exists()})
    if existing and not options.overwrite:
        raise FileExistsError(f"not replaced without --overwrite: {', '.join(existing)}")
    if options.plot:
        optional("matplotlib")


def _load(options: argparse.Namespace, device: torch.device) -> Any:
    """Read the pipeline, with another scheduler if one is named."""
    pipe = load_pipeline(options.model, options.dtype)
    if options.scheduler:
        with _usage():
            pipe.scheduler = _scheduler(pipe.scheduler, options.scheduler)
    return pipe.to(device)


def _scheduler(old: Any, name: str) -> Any:
    """Make a scheduler of the config of another one, for the same kind of model."""
    kind, config = getattr(optional("diffusers"), name), old.config
    flow = "FlowMatch" in type(old).__name__ or bool(config.get("use_flow_sigmas"))
    if flow != name.startswith("FlowMatch"):
        raise ValueError(f"{name} does not fit the model, which has {type(old).__name__}")
    if flow:
        # One name for it in Wan's schedulers, another in the others.
        return kind.from_config(config, shift=config.get("flow_shift", config.get("shift", 1.0)))
    known = inspect.signature(kind.__init__).parameters
    return kind.from_config(config, **({"clip_sample": False} if "clip_sample" in known else {}))


def _check_pipe(pipe: Any, options: argparse.Namespace, job: _Job) -> None:
    """Check what could not be without the model."""
    check_call(options.prompt, job.pipe_kwargs)
    known = list(inspect.signature(type(pipe).__call__).parameters)
    for name in job.pipe_kwargs:
        if name not in known:
            raise ValueError(
                f"{type(pipe).__name__} has no argument {name!r}; it has: {', '.join(known[1:])}"
            )
    video = images_argument(pipe) == "num_videos_per_prompt"
    targets(options.out, ".mp4" if video else ".png", 1)
    optional("av" if video else "PIL")


if __name__ == "__main__":
    sys.exit(main())

"""From the final states of a run, on all processes, to a `Result`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .plan import Plan
from .result import Result
from .rewards import Reward
from .sampler import Run

__all__ = ["HeldOut", "make_result"]

HeldOut = Mapping[str, Callable[..., Tensor]] | None


def make_result(
    plan: Plan, run: Run, final: Tensor | None, held_out: HeldOut, settings: dict[str, Any]
) -> Result:
    """Decode and score what a method returned, or the last estimates if it was interrupted.

    Parameters
    ----------
    plan, run
        What was to be done, and the run that did it, ended or not.
    final
        What the method returned; None if it did not.
    held_out
        Rewards that are only measured.
    settings
        What the result says of how it was made.

    Raises
    ------
    FloatingPointError
        If the images are not finite.
    """
    latents = run.latest if final is None else final
    if latents is None:
        raise KeyboardInterrupt  # before there was anything to return
    local = {
        **_evaluated(run, latents, Reward(held_out) if held_out else None),
        "latents": latents.cpu(),
        "nfe": run.nfe,
        "fallbacks": run.fallbacks,
        "history": run.history,
    }
    if not bool(torch.isfinite(local["images"]).all()):
        raise FloatingPointError("the decoder gave values that are not finite")
    parts = run.processes.gather_objects(local)
    # Every process has the same row where a method keeps the best of all particles.
    rows = parts[:1] if plan.method.returns_best and final is not None else parts
    rewards = _joined([part["rewards"] for part in rows])
    return Result(
        torch.cat([part["images"] for part in rows]),
        run.reward.total(rewards),
        rewards=rewards,
        held_out=_joined([part["held_out"] for part in rows]),
        nfe=sum(part["nfe"] for part in parts),
        history=_joined_history([part["history"] for part in parts]),
        fallbacks=sum(part["fallbacks"] for part in parts),
        interrupted=final is None,
        settings=settings,
        latents=torch.cat([part["latents"] for part in rows]),
    )


def _evaluated(run: Run, latents: Tensor, others: Reward | None) -> dict[str, Any]:
    """Decode states, and score the images batch by batch."""
    images, terms, measured = [], [], []
    with torch.no_grad():
        for chunk in latents.split(run.batch_size):
            decoded = run.decode(chunk)
            prompts = [run.prompts[0]] * len(chunk)
            images.append(decoded.cpu())
            terms.append(run.reward.evaluate(decoded, prompts))
            measured.append(others.evaluate(decoded, prompts) if others else {})
    return {
        "images": torch.cat(images),
        "rewards": _joined(terms),
        "held_out": _joined(measured),
    }


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Concatenate the tensors of each name."""
    return {name: torch.cat([part[name].cpu() for part in parts]) for name in parts[0]}


def _joined_history(histories: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Join the records of all processes step by step: lists run over particles, counts add up."""
    joined = []
    for entries in zip(*histories, strict=False):
        entry = dict(entries[0])
        for key, value in entry.items():
            if isinstance(value, list):
                entry[key] = [v for other in entries for v in other[key]]
        if "nfe" in entry:
            entry["nfe"] = sum(other["nfe"] for other in entries)
        joined.append(entry)
    return joined

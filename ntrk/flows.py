"""Runs with any flow model: a function of state and time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from .arguments import as_count
from .methods import Method
from .noise import ParticleNoise
from .outcome import HeldOut, make_result
from .path import flow
from .plan import Coefficient, as_seed, make_plan
from .processes import Processes
from .progress import progress_bar
from .result import Result
from .sampler import Schedule, drive

__all__ = ["sample"]


def sample(
    velocity: Callable[[Tensor, float], Tensor],
    shape: Sequence[int],
    *,
    reward: Any,
    method: str | Method = "ntrk",
    strength: float | None = None,
    steps: int = 25,
    particles: int = 1,
    seed: int | torch.Generator = 0,
    held_out: HeldOut = None,
    batch_size: int | None = None,
    diffusion: Coefficient = "3t^2",
    form: str = "bridge",
    reward_every: int = 1,
    detach_model: bool = False,
    on_bad_gradient: str = "fresh_noise",
    check_noise: bool = True,
    times: Sequence[float] | None = None,
    decode: Callable[[Tensor], Tensor] = lambda data: data,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Result:
    """Sample from any flow model towards high reward.

    Parameters
    ----------
    velocity
        ``velocity(x, t)``: the flow's velocity at states (batch, *shape) and time t, which is 1 for
        noise and 0 for data.
    shape
        Shape of one state.
    times
        Times from noise to data, the last of them 0; `steps` equal steps from 1 if None.
    decode
        From data to what the reward sees.
    dtype, device
        Of the states.
    batch_size
        States that the model sees at once; all if None.
    reward, method, strength, steps, particles, seed, held_out, diffusion, form, reward_every, \
detach_model, on_bad_gradient, check_noise, progress
        As in `generate`.

    Returns
    -------
    Result

    Examples
    --------
    >>> import torch
    >>> target = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    >>> out = sample(  # data that are standard normal
    ...     lambda x, t: x * (2 * t - 1) / (t**2 + (1 - t) ** 2),
    ...     (16, 16),
    ...     reward=lambda x, prompts: (x * target).mean((1, 2)),
    ...     particles=2,
    ... )
    >>> out.nfe, out.images.shape, bool((out.reward > 0.5).all())
    (50, torch.Size([2, 16, 16]), True)
    """
    plan = make_plan(
        reward,
        method,
        strength=strength,
        diffusion=diffusion,
        form=form,
        reward_every=reward_every,
        detach_model=detach_model,
        on_bad_gradient=on_bad_gradient,
        check_noise=check_noise,
    )
    times = _checked_times(times, as_count("steps", steps))
    processes, base_seed = Processes(), as_seed(seed)
    share = processes.share(as_count("particles", particles))
    rows = len(share) * plan.method.candidates
    if batch_size is not None:
        rows = min(as_count("batch_size", batch_size), rows)
    evaluations = len(share) * plan.method.evaluations(len(times) - 1)
    with progress_bar(evaluations, shown=progress and processes.rank == 0) as show:
        run = plan.run(
            schedule=Schedule(tuple(flow(t) for t in times), "velocity"),
            noise=ParticleNoise(base_seed, share),
            decode=decode,
            prompts=[""] * len(share),
            like=torch.zeros(len(share), *shape, dtype=dtype, device=device),
            batch_size=rows,
            seed=base_seed,
            processes=processes,
            on_step=show,
        )
        final = None
        with suppress(KeyboardInterrupt):  # the result says so, and holds the last estimates
            final = drive(plan.method.sample(run), lambda x, level: velocity(x, times[level]))
    settings = plan.settings() | {
        "times": times,
        "particles": particles,
        "seed": base_seed,
        "dtype": str(dtype).removeprefix("torch."),
    }
    return make_result(plan, run, final, held_out, settings)


def _checked_times(times: Sequence[float] | None, steps: int) -> list[float]:
    if times is None:
        return [1 - level / steps for level in range(steps + 1)]
    times = [float(t) for t in times]
    falling = all(later < t for t, later in itertools.pairwise(times))
    if not (len(times) > 1 and times[0] <= 1 and times[-1] == 0 and falling):
        raise ValueError(f"times must fall from at most 1 to 0, got {times}")
    return times

"""A whole trajectory as a differentiable function of its noise, and the optimisation of that."""

from __future__ import annotations

from collections.abc import Callable, Generator

import torch
from torch import Tensor

from .. import kernels
from ..rows import per_row
from ..sampler import Query, Run, Steps

__all__ = ["Ascent", "optimise_noise", "sample_with"]


Ascent = tuple[Callable[[], Tensor], Callable[[Tensor], None]]
"""The noise as it is now, (steps + 1, rows, *shape), and what to do with the rewards it led to."""


def sample_with(
    noise: Tensor, run: Run, first: int
) -> Generator[Query, Tensor, tuple[Tensor, Tensor]]:
    """Sample with given noise; return the final states and their rewards, with their graphs.

    Parameters
    ----------
    noise
        (steps + 1, rows, *shape), standard normal: the initial noise, and that of each step.
    run
        The run that samples.
    first
        Number of the first row's particle.
    """
    x = run.schedule.initial_scale * noise[0]
    for level in range(run.steps):
        denoised = yield from run.denoise(x, level, graph=True)
        kernel = run.kernel(x, denoised, level)
        x = kernels.base(kernel, noise[level + 1])
    return x, run.score_with_graph(x, first)


def optimise_noise(run: Run, passes: int, begin: Callable[[Tensor, int], Ascent]) -> Steps:
    """Sample `passes` trajectories, update their noise in between, and keep each particle's best.

    Parameters
    ----------
    run
        The run that samples.
    passes
        Trajectories a particle.
    begin
        ``begin(noise, first)`` prepares the optimisation of some particles, from `first` on.

    Notes
    -----
    A batch of particles is finished before the next starts, so memory holds the graph of one.
    """
    start = run.start() / run.schedule.initial_scale
    noise = torch.stack([start, *(run.noise.normal(start) for _ in range(run.steps))])
    results: list[Tensor] = []
    records = []
    for first in range(0, run.particles, run.batch_size):
        current, update = begin(noise[:, first : first + run.batch_size], first)
        best = record = None
        passed = []
        for number in range(passes):
            used = current()
            x, reward = yield from sample_with(used, run, first)
            x, scores = x.detach(), reward.detach()
            if best is None or record is None:
                best, record = x, scores
            better = scores > record
            best = torch.where(per_row(better, x), x, best)
            record = torch.maximum(record, scores)
            run.latest = torch.cat([*results, best])
            passed.append(run.describe_pass(number, scores, used.detach()))
            if number + 1 < passes:
                update(reward)
        results.append(best)
        records.append(passed)
    run.record_passes(records)
    return torch.cat(results)

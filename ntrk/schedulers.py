"""The noise levels of a diffusers scheduler, read from its attributes; its solver is not used."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

from .path import Point, flow
from .sampler import Schedule

__all__ = ["SCHEDULERS", "UnsupportedSchedulerError", "read_schedule"]


class UnsupportedSchedulerError(ValueError):
    """A scheduler, or a setting of one, that a stochastic first-order kernel cannot honour."""


class Supported(NamedTuple):
    """How to read a scheduler, and the settings that its reading does not cover."""

    points: Callable[[Any], list[Point]]
    refused: dict[str, Any]
    """Setting to the only value of it that is honoured."""
    diffusion: str
    """The coefficient that its stochastic form has, or that suits it."""


def _flow_points(scheduler: Any) -> list[Point]:
    return [flow(float(sigma)) for sigma in scheduler.sigmas]


def _variance_preserving(cumulative: float) -> Point:
    alpha, sigma = cumulative**0.5, (1 - cumulative) ** 0.5
    return Point(alpha, sigma, -sigma, alpha)


def _ddim_points(scheduler: Any) -> list[Point]:
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    last = int(scheduler.timesteps[-1]) - stride
    end = scheduler.alphas_cumprod[last] if last >= 0 else scheduler.final_alpha_cumprod
    return [*_cumulative_points(scheduler), _variance_preserving(float(end))]


def _ddpm_points(scheduler: Any) -> list[Point]:
    return [*_cumulative_points(scheduler), _variance_preserving(1.0)]


def _cumulative_points(scheduler: Any) -> list[Point]:
    return [
        _variance_preserving(float(scheduler.alphas_cumprod[int(t)])) for t in scheduler.timesteps
    ]


def _exploding_points(scheduler: Any) -> list[Point]:
    points = []
    for sigma in map(float, scheduler.sigmas):
        # A velocity is that of the state scaled to unit variance, which the model sees.
        scale = (1 + sigma**2) ** 0.5
        points.append(Point(1.0, sigma, -sigma / scale, 1 / scale))
    return points


_CLIPPED = {"clip_sample": False, "thresholding": False}

SCHEDULERS: dict[str, Supported] = {
    "FlowMatchEulerDiscreteScheduler": Supported(
        _flow_points, {"stochastic_sampling": False, "invert_sigmas": False}, "3t^2"
    ),
    # Its noise levels, as Wan ships it; its multistep solver has no noise to tilt.
    "UniPCMultistepScheduler": Supported(
        _flow_points, {"use_flow_sigmas": True, "thresholding": False}, "3t^2"
    ),
    "DDIMScheduler": Supported(_ddim_points, _CLIPPED, "ancestral"),
    "DDPMScheduler": Supported(
        _ddpm_points, {**_CLIPPED, "variance_type": "fixed_small"}, "ancestral"
    ),
    "EulerDiscreteScheduler": Supported(_exploding_points, {}, "ancestral"),
    "EulerAncestralDiscreteScheduler": Supported(_exploding_points, {}, "ancestral"),
}
"""By class name."""

_KINDS = {
    "epsilon": "noise",
    "v_prediction": "velocity",
    "flow_prediction": "velocity",
    "sample": "data",
}


def check_scheduler(scheduler: Any, name: str) -> Supported:
    """Return how to read a scheduler, or refuse it by name.

    Raises
    ------
    UnsupportedSchedulerError
        Naming the scheduler or the setting, and what to use instead.
    """
    if name not in SCHEDULERS:
        raise UnsupportedSchedulerError(
            f"{name} cannot be tilted: it is no first-order solver with known noise levels. Use "
            f"one of {', '.join(SCHEDULERS)}, such as pipe.scheduler = "
            "DDIMScheduler.from_config(pipe.scheduler.config, clip_sample=False)"
        )
    supported = SCHEDULERS[name]
    for setting, honoured in supported.refused.items():
        value = scheduler.config.get(setting, honoured)
        if value != honoured:
            raise UnsupportedSchedulerError(
                f"{name} with {setting}={value!r} cannot be tilted; make it anew with "
                f"{name}.from_config(pipe.scheduler.config, {setting}={honoured!r})"
            )
    return supported


def read_schedule(scheduler: Any, name: str) -> Schedule:
    """Return the noise levels of a scheduler whose timesteps have been set.

    Raises
    ------
    UnsupportedSchedulerError
        Naming the scheduler, if it has two equal levels: there is no step between them.
    """
    points = check_scheduler(scheduler, name).points(scheduler)
    for step, (now, then) in enumerate(itertools.pairwise(points)):
        if not then.time < now.time:
            raise UnsupportedSchedulerError(
                f"{name} cannot be tilted with these settings: at step {step} of "
                f"{len(points) - 1} its sigma goes from {now.sigma:g} to {then.sigma:g}, and must "
                'fall; at the end, set_alpha_to_one=True or final_sigmas_type="zero" make it'
            )
    kind = _KINDS[scheduler.config.get("prediction_type", "flow_prediction")]
    # Flow schedulers have none: their path starts at pure noise.
    scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    return Schedule(tuple(points), kind, scale)

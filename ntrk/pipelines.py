"""Diffusers pipelines: their own loop answers a method's queries.

A pipeline's ``__call__`` encodes the prompt, prepares latents, and then asks the scheduler for
timesteps and steps. For the time of a call, pipeline and scheduler get subclasses whose timesteps
are those that a method asks for, one after another, and whose `step` hands the prediction to the
method. Packing, guidance, shifts and embeddings stay the pipeline's own.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .decoding import Decoder
from .equipment import frozen
from .path import Point
from .sampler import Query, Run, Schedule, Steps
from .schedulers import check_scheduler, read_schedule

__all__ = ["Begin", "tilted"]

Begin = Callable[[Schedule, Tensor, dict[str, Any]], tuple[Run, Steps]]
"""``begin(schedule, initial latents, arguments of the pipeline's call)``."""


class _Layout:
    """How a pipeline lays out its latents: Flux packs patches of 2 x 2 into tokens."""

    def __init__(self, pipe: Any, arguments: dict[str, Any]) -> None:
        self.pipe, self.arguments = pipe, arguments
        self.packs = hasattr(pipe, "_unpack_latents")

    def unpack(self, latents: Tensor) -> Tensor:
        if not self.packs:
            return latents
        sizes = (self.arguments["height"], self.arguments["width"], self.pipe.vae_scale_factor)
        return self.pipe._unpack_latents(latents, *sizes)

    def pack(self, latents: Tensor) -> Tensor:
        return self.pipe._pack_latents(latents, *latents.shape) if self.packs else latents


class _Now:
    """A sequence that a pipeline indexes by its own count of steps, and that means the present."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.read = read

    def __getitem__(self, index: int) -> Any:
        return self.read()

    def float(self) -> _Now:
        return self

    def tolist(self) -> _Now:
        return self

    def __rsub__(self, other: Any) -> _Now:
        return _Now(lambda: other - float(self.read()))

    def __truediv__(self, other: Any) -> _Now:
        return _Now(lambda: float(self.read()) / other)


class _Timesteps(_Now):
    """The timesteps of a method's queries, as they come."""

    def __init__(self, conductor: _Conductor, length: int) -> None:
        super().__init__(lambda: conductor.time)
        self.conductor, self.length = conductor, length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise TypeError(
                f"{type(self.conductor.pipe).__name__} cannot be tilted: it starts between noise "
                "and data, as pipelines from image to image do"
            )
        return self.read()

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Tensor]:
        self.conductor.playing = self.conductor.play()
        return self.conductor.playing


class _Conductor:
    """Between one call of a pipeline and one method: carries queries there and predictions back."""

    def __init__(self, pipe: Any, begin: Begin, arguments: dict[str, Any]) -> None:
        self.pipe, self.begin, self.arguments = pipe, begin, arguments
        self.scheduler_name = type(pipe.scheduler).__name__
        self.schedule: Schedule
        self.times: Tensor
        self.latents: Tensor  # what the pipeline holds
        self.layout: _Layout
        self.query: Query | None = None
        self.steps: Steps
        self.playing: Generator[Tensor, None, None] | None = None

    @property
    def level(self) -> int:
        """The level of the present query, or of the first."""
        return self.query.level if self.query else 0

    @property
    def point(self) -> Point:
        """The point of the path there."""
        return self.schedule.points[self.level]

    @property
    def time(self) -> Tensor:
        """The timestep there."""
        return self.times[self.level]

    def play(self) -> Generator[Tensor, None, None]:
        """Yield the timestep of each query, until the method or the pipeline has had enough."""
        initial = self.layout.unpack(self.latents.detach()).float()
        with Decoder(self.pipe).upcast():
            _, self.steps = self.begin(self.schedule, initial, self.arguments)
            self.query = next(self.steps)
            # The pipeline holds this tensor already: the first query has to be written into it.
            self.latents.copy_(self.layout.pack(self.query.x))
            while self.query is not None and not getattr(self.pipe, "interrupt", False):
                torch.set_grad_enabled(self.query.x.requires_grad)
                yield self.time

    def step(self, prediction: Tensor, sample: Tensor) -> Tensor:
        """Hand the prediction to the method; return what it wants to know next, or its result."""
        torch.set_grad_enabled(True)
        if sample.data_ptr() != self.latents.data_ptr():
            raise RuntimeError(
                f"{type(self.pipe).__name__}, or a callback, replaced the latents that the method "
                "works with, so that it cannot be tilted"
            )
        try:
            self.query = self.steps.send(self.layout.unpack(prediction))
            following = self.query.x
        except StopIteration as done:
            self.query, following = None, done.value
        self.latents = self.layout.pack(following).to(sample.dtype)
        return self.latents

    def close(self) -> None:
        """End `play` at once: an error that is still held would keep it, and the VAE, open."""
        if self.playing is not None:
            self.playing.close()

    def scaled(self, sample: Tensor) -> Tensor:
        """Return what the model sees of a state: unit variance."""
        return sample / (self.point.alpha**2 + self.point.sigma**2) ** 0.5


def _conducted_scheduler(conductor: _Conductor) -> Any:
    """Return a copy of the pipeline's scheduler that plays the conductor's queries."""
    original = conductor.pipe.scheduler
    kind = type(original)
    exploding = conductor.scheduler_name.startswith("Euler")

    class Conducted(kind):  # type: ignore[misc, valid-type]
        timesteps: Any

        @functools.wraps(kind.set_timesteps)
        def set_timesteps(self, *args: Any, **kwargs: Any) -> None:
            super().set_timesteps(*args, **kwargs)
            conductor.schedule = read_schedule(self, conductor.scheduler_name)
            conductor.times = self.timesteps
            self.timesteps = _Timesteps(conductor, conductor.schedule.steps)
            if not exploding:  # whose scale at the start comes from them
                self.sigmas = _Now(lambda: conductor.point.sigma)

        def scale_model_input(self, sample: Tensor, timestep: Any = None) -> Tensor:
            return conductor.scaled(sample) if exploding else sample

        def step(
            self, model_output: Tensor, timestep: Any, sample: Tensor, return_dict: bool = True
        ) -> Any:
            return (conductor.step(model_output, sample),)

    scheduler = copy.copy(original)
    scheduler.__class__ = Conducted
    Conducted.__name__ = kind.__name__
    return scheduler


@contextmanager
def tilted(pipe: Any, begin: Begin) -> Iterator[None]:
    """Let every call of `pipe` inside the block be driven by a method.

    Parameters
    ----------
    pipe
        A pipeline; it and its scheduler are as before at the end.
    begin
        Starts the method of a call.
    """
    check_scheduler(pipe.scheduler, type(pipe.scheduler).__name__)
    kind: Any = type(pipe)
    if hasattr(kind, "_tilted"):
        raise RuntimeError(f"{kind.__name__} is being tilted already")
    call: Any = getattr(kind.__call__, "__wrapped__", None)
    if call is None or not hasattr(kind, "prepare_latents"):
        raise TypeError(
            f"{kind.__name__} cannot be tilted: it has no prepare_latents, or no torch.no_grad "
            "around its call"
        )

    class Tilted(kind):  # type: ignore[misc]
        _tilted = True
        scheduler: Any

        @functools.wraps(kind.__call__)
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            arguments = _bind(call, self, *args, **kwargs)
            _check_arguments(arguments)
            conductor = self.__dict__["_conductor"] = _Conductor(self, begin, arguments)
            scheduler = self.scheduler
            self.scheduler = _conducted_scheduler(conductor)
            try:
                with torch.enable_grad(), frozen(self):
                    return call(self, *args, **kwargs)
            finally:
                conductor.close()
                self.scheduler = scheduler

        def prepare_latents(self, *args: Any, **kwargs: Any) -> Any:
            prepared = super().prepare_latents(*args, **kwargs)
            conductor = self.__dict__["_conductor"]
            arguments = _bind(kind.prepare_latents, self, *args, **kwargs)
            conductor.layout = _Layout(self, arguments)
            conductor.latents = prepared[0] if isinstance(prepared, tuple) else prepared
            return prepared

    Tilted.__name__ = kind.__name__
    pipe.__class__ = Tilted
    try:
        yield
    finally:
        pipe.__class__ = kind
        pipe.__dict__.pop("_conductor", None)


def _bind(function: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    bound = inspect.signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def _check_arguments(arguments: dict[str, Any]) -> None:
    """Refuse arguments of a pipeline that count its steps, or set what the method sets."""
    reasons = {
        "eta": "how much noise is injected is set by diffusion=",
        "denoising_end": "the sampler goes to the end",
        "skip_guidance_layers": "the pipeline would count model evaluations for steps",
    }
    for name, reason in reasons.items():
        if arguments.get(name):
            raise ValueError(f"{name}={arguments[name]!r} cannot be honoured: {reason}")
    # Some pipelines take any argument, for the sake of these two, and ignore the rest.
    for name in set(arguments.get("kwargs", ())) - {"callback", "callback_steps"}:
        raise TypeError(f"the pipeline has no argument {name!r}")

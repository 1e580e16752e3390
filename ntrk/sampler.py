"""What a method works with: the noise levels, the model, the reward, the noise, and the record.

A method is a generator. It yields a `Query`, a point at which it wants the model, and receives the
model's prediction there; so the same method is driven by a diffusers pipeline's own loop, or by a
plain function. `Run` counts the queries: that count is the NFE.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

import whitenoise as wn

from .diffusion import Diffusion
from .kernels import Gaussian, reverse_kernel
from .noise import Noise
from .path import Denoised, Point
from .processes import Processes
from .rewards import Reward
from .rows import per_row

__all__ = ["Guided", "Query", "Run", "Schedule", "Steps", "drive"]


_LEAST_CHECKED = 64  # values below which a report on noise says too little to be worth its time


class Query(NamedTuple):
    """A point at which a method wants the model: ``(run.batch_size, *shape)`` states at a level."""

    x: Tensor
    level: int


Steps = Generator[Query, Tensor, Tensor]
"""What a method is: it yields queries, receives predictions, and returns the final states."""


class Guided(NamedTuple):
    """What a model and a reward say of states: estimates, rewards and their gradient."""

    denoised: Denoised
    reward: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Schedule:
    """The noise levels that a sampler goes through, and what the model predicts.

    Attributes
    ----------
    points
        One more than there are steps, from noise to data; the last has ``sigma = 0``.
    kind
        What the model predicts, see `Point.denoise`.
    initial_scale
        Standard deviation of the state at the first level.
    """

    points: tuple[Point, ...]
    kind: str
    initial_scale: float = 1.0

    @property
    def steps(self) -> int:
        """Number of steps."""
        return len(self.points) - 1


@dataclass
class Run:
    """One sampling run: what its method may ask.

    States have shape (particles, *shape); where a method tries several candidates a particle, they
    lie one after another, (candidates * particles, *shape).
    """

    schedule: Schedule
    diffusion: Diffusion
    form: str
    noise: Noise
    reward: Reward
    decode: Callable[[Tensor], Tensor]
    prompts: Sequence[str]
    """One a particle."""
    like: Tensor
    """Empty states of the right shape, dtype and device."""
    batch_size: int = 1
    reward_every: int = 1
    detach_model: bool = False
    on_bad_gradient: str = "fresh_noise"
    check_noise: bool = True
    seed: int = 0
    processes: Processes = field(default_factory=Processes)
    on_step: Callable[[Run], None] = lambda run: None

    nfe: int = 0
    fallbacks: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    latest: Tensor | None = None
    """The last estimate of the data, for a run that is interrupted."""
    _initial: Tensor | None = None

    @property
    def steps(self) -> int:
        """Number of steps from noise to data."""
        return self.schedule.steps

    @property
    def particles(self) -> int:
        """Number of particles here."""
        return len(self.like)

    def start(self) -> Tensor:
        """Return the initial states: the same ones however often they are asked for."""
        if self._initial is None:
            self._initial = self.schedule.initial_scale * self.noise.normal(self.like)
        return self._initial.clone()

    def start_from(self, states: Tensor) -> None:
        """Give the initial states, at the scale of the first level."""
        self._initial = states

    def prior(self) -> Gaussian:
        """Return the law of the initial states, however many."""
        return Gaussian(self.like.new_zeros(()), self.schedule.initial_scale)

    def kernel(self, x: Tensor, denoised: Denoised, level: int) -> Gaussian:
        """Return the base kernel from `level` to the next."""
        points = self.schedule.points
        return reverse_kernel(
            x, denoised, points[level], points[level + 1], self.diffusion, self.form
        )

    def denoise(
        self, x: Tensor, level: int, *, graph: bool = False
    ) -> Generator[Query, Tensor, Denoised]:
        """Ask the model for its estimates at `x`; at the last level `x` is its own estimate.

        With `graph` they stay connected to `x` for differentiation.
        """
        if level == self.steps:
            return Denoised(x, torch.zeros_like(x))
        parts = []
        for chunk in x.split(self.batch_size):
            part = yield from self._evaluate(chunk if graph else chunk.detach(), level)
            parts.append(part if graph else Denoised(*(e.detach() for e in part)))
        return Denoised(*(torch.cat(e) for e in zip(*parts, strict=True)))

    def guide(self, x: Tensor, level: int) -> Generator[Query, Tensor, Guided]:
        """Ask for estimates at `x`, their rewards, and the gradient of those in `x`.

        Each chunk is differentiated before the next is evaluated: memory holds one graph. On levels
        that `reward_every` leaves out, rewards are NaN and gradients zero.
        """
        if self._left_out(level):
            denoised = yield from self.denoise(x, level)
            return Guided(denoised, torch.full((len(x),), torch.nan), torch.zeros_like(x))
        parts = []
        for first, chunk in self._chunks(x):
            leaf = chunk.detach().requires_grad_()
            denoised = yield from self._evaluate(
                leaf.detach() if self.detach_model else leaf, level
            )
            data = denoised.data
            if self.detach_model and level < self.steps:
                # As if the model did not see `x`: its velocity, whatever it predicts, is constant.
                point = self.schedule.points[level]
                prediction = point.velocity(Denoised(*(e.detach() for e in denoised)))
                data = point.denoise(leaf, prediction, "velocity").data
            reward = self._score(data, first)
            gradient = self._gradient(reward, leaf)
            parts.append((*(e.detach() for e in denoised), reward.detach(), gradient))
        data, noise, reward, gradient = (torch.cat(e) for e in zip(*parts, strict=True))
        return Guided(Denoised(data, noise), reward.cpu(), gradient)

    def score(self, data: Tensor, level: int = 0) -> Tensor:
        """Return the reward of estimates of the data, without gradient; NaN on levels left out."""
        if self._left_out(level):
            return torch.full((len(data),), torch.nan)
        with torch.no_grad():
            scores = [self._score(chunk, first) for first, chunk in self._chunks(data)]
        return torch.cat(scores).cpu()

    def score_with_graph(self, data: Tensor, first: int) -> Tensor:
        """Return the reward of a batch from particle `first` on, connected to it."""
        reward = self._score(data, first)
        self._check_differentiable(reward)
        return reward

    def ascent(self, data: Tensor, level: int) -> Tensor:
        """Return the gradient of the reward in estimates of the data; the model has no part."""
        if self._left_out(level):
            return torch.zeros_like(data)
        parts = []
        for first, chunk in self._chunks(data):
            leaf = chunk.detach().requires_grad_()
            parts.append(self._gradient(self._score(leaf, first), leaf))
        return torch.cat(parts)

    def record(
        self,
        level: int,
        std: float,
        perturbation: Tensor,
        data: Tensor,
        reward: Tensor,
        cosine: Tensor | None = None,
    ) -> None:
        """Write down a step, with the p-value of its perturbation.

        That is the standardised one relative to the base mean, Eqs. 7 and 13 of the paper. Methods
        give it as they made it: a difference of states would carry their rounding.
        """
        self.latest = data
        entry: dict[str, Any] = {
            "step": level,
            "sigma": self.schedule.points[level].sigma,
            "nfe": self.nfe,
            "reward": reward.tolist(),
        }
        if cosine is not None:
            entry["cosine"] = cosine.tolist()
        if std > 0:
            entry["pvalue"] = self._pvalues(perturbation)
        self.history.append(entry)
        self.on_step(self)

    def describe_pass(self, number: int, reward: Tensor, noise: Tensor) -> dict[str, Any]:
        """Describe a whole trajectory, for methods that sample several: its noise, its rewards."""
        self.on_step(self)
        return {
            "step": number,
            "reward": reward.tolist(),
            "pvalue": self._pvalues(noise.movedim(1, 0).contiguous()),
        }

    def _pvalues(self, noise: Tensor) -> list[float]:
        """Return how typical each particle's noise is; NaN where that is not asked for."""
        if not self.check_noise or noise[0].numel() < _LEAST_CHECKED:
            return [float("nan")] * len(noise)
        return [float(wn.typicality(row).pvalue) for row in noise]

    def record_passes(self, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
        """Write down the passes of all batches of particles."""
        for passes in zip(*batches, strict=True):
            entry = {"step": passes[0]["step"]}
            for key in ("reward", "pvalue"):
                entry[key] = [value for p in passes for value in p[key]]
            self.history.append(entry)

    def usable(self, gradient: Tensor, reward: Tensor) -> Tensor:
        """Put zero where a particle's gradient is zero or not finite, and count it."""
        flat = gradient.flatten(1)
        usable = torch.isfinite(flat).all(1) & (flat != 0).any(1)
        usable &= torch.isfinite(reward.detach()).to(usable.device)
        bad = int((~usable).sum())
        if bad and self.on_bad_gradient == "raise":
            raise FloatingPointError(
                f"the gradient of the reward {self.reward.name!r} is zero or not finite"
            )
        self.fallbacks += bad
        return torch.where(per_row(usable, gradient), gradient, 0)

    def _left_out(self, level: int) -> bool:
        """Whether the reward is not asked for at a level."""
        return level % self.reward_every > 0

    def _chunks(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        for first in range(0, len(x), self.batch_size):
            yield first, x[first : first + self.batch_size]

    def _evaluate(self, x: Tensor, level: int) -> Generator[Query, Tensor, Denoised]:
        """Ask the model about at most one batch; the last row fills it up and is not counted."""
        if level == self.steps:
            return Denoised(x, torch.zeros_like(x))
        rows = len(x)
        full = torch.cat([x, *[x[-1:]] * (self.batch_size - rows)])
        prediction = (yield Query(full, level))[:rows].to(x.dtype)
        self.nfe += rows  # once it is evaluated: a query of an interrupted run is not
        if not bool(torch.isfinite(prediction).all()):
            raise FloatingPointError(
                f"the model's prediction at step {level} is not finite; a wider dtype of its "
                "weights may help"
            )
        return self.schedule.points[level].denoise(x, prediction, self.schedule.kind)

    def _score(self, data: Tensor, first: int) -> Tensor:
        prompts = [self.prompts[(first + i) % self.particles] for i in range(len(data))]
        return self.reward(self.decode(data), prompts)

    def _gradient(self, reward: Tensor, x: Tensor) -> Tensor:
        """Differentiate the rewards of `x`, row by row."""
        self._check_differentiable(reward)
        (gradient,) = torch.autograd.grad(reward.sum(), x)
        return self.usable(gradient, reward)

    def _check_differentiable(self, reward: Tensor) -> None:
        if not reward.requires_grad:
            raise TypeError(
                f"the reward {self.reward.name!r} does not depend differentiably on the image, "
                "which this method needs; `ntrk methods` lists those that need no gradient"
            )


def drive(steps: Steps, evaluate: Callable[[Tensor, int], Tensor]) -> Tensor:
    """Run a method with a function ``evaluate(x, level) -> prediction`` and return its result."""
    with torch.enable_grad():
        query = next(steps)
        while True:
            with torch.set_grad_enabled(query.x.requires_grad):
                prediction = evaluate(query.x, query.level)
            try:
                query = steps.send(prediction)
            except StopIteration as done:
                return done.value

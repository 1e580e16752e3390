"""Psi-Sampler: a population that starts from the reward-aware law of the initial noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..arguments import as_count, check_range
from ..rows import per_row, squared_norm
from ..sampler import Guided, Run, Steps
from .das import DAS
from .method import Method

__all__ = ["PsiSampler"]


@dataclass(frozen=True)
class PsiSampler(Method):
    """Move the initial noise by preconditioned Crank-Nicolson-Langevin steps, then run `DAS`.

    Each particle is a chain whose stationary law is ``N(0, I) exp(r(x0(x)) / temperature)``:
    proposals ``rho x + sqrt(1 - rho^2) (eps + sqrt(h) / 2 grad r / temperature)`` with
    ``rho = (1 - h / 4) / (1 + h / 4)``, accepted by Metropolis-Hastings.

    Parameters
    ----------
    temperature
        Of the target, in both stages.
    initial_steps
        Evaluations of the chain, that of its start included.
    step_size
        h, in (0, 4).

    References
    ----------
    Yoon et al., "Psi-Sampler: Initial Particle Sampling for SMC-Based Inference-Time Reward
    Alignment in Score Models", NeurIPS 2025.
    """

    temperature: float = 1.0
    initial_steps: int = 25
    step_size: float = 0.5

    name = "psi"
    label = "Ψ-Sampler"
    summary = "DAS from initial noise that a Markov chain has moved"
    kind = "hybrid"
    needs_gradient = True
    population = True

    def __post_init__(self) -> None:
        check_range("temperature", self.temperature, 0, open_low=True)
        as_count("initial_steps", self.initial_steps)
        check_range("step_size", self.step_size, 0, 4, open_low=True)

    def sample(self, run: Run) -> Steps:
        scale = run.schedule.initial_scale
        x = run.start()
        here = yield from run.guide(x, 0)
        for _ in range(self.initial_steps - 1):
            proposal = scale * self._drift(x / scale, here, scale)
            proposal += scale * self._spread * run.noise.normal(x)
            there = yield from run.guide(proposal, 0)
            ratio = self._log_target(proposal / scale, there) - self._log_target(x / scale, here)
            ratio += self._log_move(proposal / scale, there, x / scale, scale)
            ratio -= self._log_move(x / scale, here, proposal / scale, scale)
            accepted = run.noise.uniform().double().log() < ratio
            x = _choose(accepted, proposal, x)
            here = Guided(
                here.denoised,
                _choose(accepted, there.reward, here.reward),
                _choose(accepted, there.gradient, here.gradient),
            )
        return (yield from DAS(self.temperature).sample_from(x, run))

    def evaluations(self, steps: int) -> int:
        return self.initial_steps + steps

    @property
    def _keep(self) -> float:
        return (1 - self.step_size / 4) / (1 + self.step_size / 4)

    @property
    def _spread(self) -> float:
        return math.sqrt(1 - self._keep**2)

    def _drift(self, z: Tensor, here: Guided, scale: float) -> Tensor:
        """Mean of the proposal from standardised noise; the gradient is in x = scale z."""
        push = math.sqrt(self.step_size) / 2 * scale * here.gradient / self.temperature
        return self._keep * z + self._spread * push

    def _log_target(self, z: Tensor, here: Guided) -> Tensor:
        return here.reward.double() / self.temperature - squared_norm(z) / 2

    def _log_move(self, z: Tensor, here: Guided, to: Tensor, scale: float) -> Tensor:
        return -squared_norm((to - self._drift(z, here, scale)) / self._spread) / 2


def _choose(accepted: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(per_row(accepted, new), new, old)

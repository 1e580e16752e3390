"""Best of N: run any method on all particles, keep the one with the highest reward."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..resampling import worst_if_nan
from ..sampler import Run, Steps
from .base import Base
from .method import Method

__all__ = ["BestOfN"]


@dataclass(frozen=True)
class BestOfN(Method):
    """Run another method on N particles and return the best.

    N is the number of particles of the run. Around a method other than `Base`, tables mark this
    with a dagger, as the paper does.

    Parameters
    ----------
    method
        The method whose particles compete.
    """

    method: Method = field(default_factory=Base)

    name = "best_of_n"
    summary = "the best of N independent runs of another method (†)"
    kind = "search"
    population = True
    returns_best = True

    @property
    def label(self) -> str:  # type: ignore[override]
        return "BoN" if isinstance(self.method, Base) else f"{self.method.label}†"

    @property
    def needs_gradient(self) -> bool:  # type: ignore[override]
        return self.method.needs_gradient

    @property
    def thins_rewards(self) -> bool:  # type: ignore[override]
        return self.method.thins_rewards

    @property
    def candidates(self) -> int:
        return self.method.candidates

    @property
    def settings(self) -> dict[str, Any]:
        return {"name": self.name, "method": self.method.settings}

    def sample(self, run: Run) -> Steps:
        x = yield from self.method.sample(run)
        reward = run.processes.gather(run.score(x))
        best = int(worst_if_nan(reward).argmax())
        return run.processes.gather(x)[best : best + 1]

    def evaluations(self, steps: int) -> int:
        return self.method.evaluations(steps)

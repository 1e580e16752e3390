"""What a method of reward alignment is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from ..sampler import Run, Steps

__all__ = ["Method"]


@dataclass(frozen=True)
class Method:
    """A way of sampling towards high reward; its fields are its parameters."""

    name: ClassVar[str]
    label: ClassVar[str]
    summary: ClassVar[str]
    kind: ClassVar[str]
    """The column of Table 1 it stands in, or what it does instead."""
    needs_gradient: ClassVar[bool] = False
    population: ClassVar[bool] = False
    """Whether particles interact, so that they must be of one prompt."""
    returns_best: ClassVar[bool] = False
    """Whether it returns one state, the best of all particles."""
    detachable: ClassVar[bool] = True
    """Whether its gradients can do without the model's, `detach_model`."""
    thins_rewards: ClassVar[bool] = False
    """Whether it can do with a reward on every few steps, `reward_every`."""

    def sample(self, run: Run) -> Steps:
        """Sample `run.particles` states: a generator of queries that returns them."""
        raise NotImplementedError

    def evaluations(self, steps: int) -> int:
        """Return the model evaluations a particle (at most), for progress bars and budgets."""
        return steps

    @property
    def candidates(self) -> int:
        """How many states a particle are evaluated side by side."""
        return 1

    @property
    def settings(self) -> dict[str, Any]:
        """Name and parameters, for records."""
        return {
            "name": self.name,
            **{
                key: value
                if isinstance(value, (int, float, str, bool, type(None)))
                else repr(value)
                for key, value in asdict(self).items()
            },
        }

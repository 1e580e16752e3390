"""What an experiment is about: prompts, a reward to aim at, and others that only judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Function", "Task"]

Function = Callable[[Tensor, Sequence[str]], Tensor]
"""A reward: ``(images, prompts) -> (batch,)``."""


@dataclass(frozen=True)
class Task:
    """Prompts with a target reward and held-out ones.

    Parameters
    ----------
    name
        One word, by which experiments and result files know the task.
    title
        What tables and figures call it.
    prompts
        Those that results are measured on.
    validation
        Those that methods are tuned on; none of them may be in `prompts`.
    target
        One reward by name: what methods aim at.
    held_out
        Rewards by name that are only measured. The first is the judge that tuning reports.

    Examples
    --------
    >>> from ntrk.rewards import brightness, contrast
    >>> task = Task("bright", "Bright pictures", ("a hill",), ("a lake",),
    ...             {"brightness": brightness}, {"contrast": contrast})
    >>> task.target_name
    'brightness'
    """

    name: str
    title: str
    prompts: tuple[str, ...]
    validation: tuple[str, ...]
    target: Mapping[str, Function]
    held_out: Mapping[str, Function]

    def __post_init__(self) -> None:
        where = f"the task {self.name!r}"
        if not (isinstance(self.name, str) and self.name.isidentifier()):
            raise ValueError(f"name of a task must be one word, got {self.name!r}")
        if not self.prompts:
            raise ValueError(f"{where} must have one or more prompts, got none")
        for field in ("prompts", "validation"):
            given = getattr(self, field)
            if isinstance(given, str) or not all(isinstance(p, str) for p in given):
                raise TypeError(f"{field} of {where} must be a tuple of texts, got {given!r}")
            if len(set(given)) < len(given):
                raise ValueError(f"{field} of {where} must be distinct")
        both = set(self.prompts) & set(self.validation)
        if both:
            raise ValueError(f"{where} validates on a test prompt: {min(both)!r}")
        if len(self.target) != 1:
            raise ValueError(f"target of {where} must be one reward, got {list(self.target)}")
        again = set(self.target) & set(self.held_out)
        if again:
            raise ValueError(f"held-out rewards of {where} must not name its target, {min(again)}")

    @property
    def target_name(self) -> str:
        """Name of the target reward."""
        return next(iter(self.target))

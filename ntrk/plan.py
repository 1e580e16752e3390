"""What all runs have in common: a method, a reward, and how to go about it, checked once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

from .arguments import as_count
from .diffusion import Diffusion, as_diffusion
from .kernels import FORMS
from .methods import Method, as_method
from .noise import seed_from
from .rewards import Reward, as_reward
from .sampler import Run

__all__ = ["Coefficient", "Plan", "as_seed", "make_plan"]

Coefficient = str | float | Callable[[float], float] | Diffusion


@dataclass(frozen=True)
class Plan:
    """A method, a reward and the options of a run; `make_plan` checks them."""

    method: Method
    reward: Reward
    diffusion: Diffusion
    form: str
    reward_every: int
    detach_model: bool
    on_bad_gradient: str
    check_noise: bool

    def run(self, **parts: Any) -> Run:
        """Return a `Run` of this plan; `parts` are its other fields."""
        return Run(
            reward=self.reward,
            diffusion=self.diffusion,
            form=self.form,
            reward_every=self.reward_every,
            detach_model=self.detach_model,
            on_bad_gradient=self.on_bad_gradient,
            check_noise=self.check_noise,
            **parts,
        )

    def settings(self, *packages: str) -> dict[str, Any]:
        """Describe the plan, and the versions of what runs it, in values that JSON knows."""
        return {
            "label": self.method.label,
            "method": self.method.settings,
            "reward": self.reward.name,
            "diffusion": self.diffusion.name,
            "form": self.form,
            "reward_every": self.reward_every,
            "detach_model": self.detach_model,
            "on_bad_gradient": self.on_bad_gradient,
            "versions": {name: version(name) for name in ("noisetilt", "torch", *packages)},
        }


def make_plan(
    reward: Any,
    method: str | Method,
    *,
    strength: float | None,
    diffusion: Coefficient,
    form: str,
    reward_every: int,
    detach_model: bool,
    on_bad_gradient: str,
    check_noise: bool,
) -> Plan:
    """Check that reward, method and options fit each other, before anything is computed.

    Parameters
    ----------
    reward, method, strength, diffusion, form, reward_every, detach_model, on_bad_gradient, \
check_noise
        As in `ntrk.generate`.
    """
    chosen = as_method(method, strength=strength)
    total = as_reward(reward)
    if chosen.needs_gradient and not total.differentiable:
        raise TypeError(
            f"the reward {total.name!r} has no gradient, which the method {chosen.name!r} needs; "
            "`ntrk methods` lists those that need none"
        )
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    if on_bad_gradient not in ("fresh_noise", "raise"):
        raise ValueError(
            f"on_bad_gradient must be 'fresh_noise' or 'raise', got {on_bad_gradient!r}"
        )
    if as_count("reward_every", reward_every) > 1 and not chosen.thins_rewards:
        raise ValueError(
            f"reward_every must be 1 for the method {chosen.name!r}, which needs the reward on "
            f"every step, got {reward_every}"
        )
    if detach_model and not chosen.detachable:
        raise ValueError(
            f"detach_model must be False for the method {chosen.name!r}, whose gradients go "
            "through the whole trajectory"
        )
    return Plan(
        chosen,
        total,
        as_diffusion(diffusion),
        form,
        reward_every,
        detach_model,
        on_bad_gradient,
        check_noise,
    )


def as_seed(seed: int | torch.Generator) -> int:
    """Return a seed, drawn from a generator if that is what is given."""
    if isinstance(seed, torch.Generator):
        return seed_from(int(torch.randint(2**62, (1,), generator=seed, device=seed.device)))
    return as_count("seed", seed, least=0)

"""Randomness, one stream a particle: a particle's fate depends on its own seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

__all__ = ["CallNoise", "Noise", "ParticleNoise", "seed_from"]


class Noise(Protocol):
    """Where a sampler takes its noise from."""

    ties: list[np.random.Generator]
    """One generator a particle for the whitening operator, which must not advance the noise."""

    def normal(self, like: Tensor, only: int | None = None) -> Tensor:
        """Draw N(0, 1) of the shape, dtype and device of `like`, (particles, ...).

        With `only`, `like` has one row, which belongs to that particle.
        """

    def uniform(self) -> Tensor:
        """Draw one uniform number a particle."""


def seed_from(*words: int) -> int:
    """Mix integers into one seed of 63 bits, the same on every machine."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)


class ParticleNoise:
    """A generator on the host for each particle, so that neither device nor partition matters.

    Parameters
    ----------
    seed
        Of all particles.
    particles
        Numbers of those that live here.
    """

    def __init__(self, seed: int, particles: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed_from(seed, p)) for p in particles]
        self.ties = [np.random.default_rng([seed, p]) for p in particles]

    def normal(self, like: Tensor, only: int | None = None) -> Tensor:
        rows = [
            torch.randn(like.shape[1:], generator=generator, dtype=like.dtype)
            for generator in (self.generators if only is None else [self.generators[only]])
        ]
        return torch.stack(rows).to(like.device)

    def uniform(self) -> Tensor:
        return torch.cat([torch.rand(1, generator=generator) for generator in self.generators])


class CallNoise:
    """The generators that a caller gave: one for all rows, one a row, or None for Torch's own."""

    def __init__(self, generator: Any, rows: int) -> None:
        self.generators = generator if isinstance(generator, list) else [generator]
        seeds = [g.initial_seed() if g is not None else None for g in self.generators]
        self.ties = [
            np.random.default_rng(None if s is None else [abs(s), row])
            for row, s in enumerate(seeds * (rows // len(seeds)))
        ]

    def normal(self, like: Tensor, only: int | None = None) -> Tensor:
        if only is not None:
            raise NotImplementedError("a caller's generators draw for all rows together")
        parts = like.chunk(len(self.generators))
        return torch.cat(
            [
                # The device of the generator, as diffusers does: the same numbers everywhere.
                torch.randn(
                    part.shape,
                    generator=generator,
                    dtype=part.dtype,
                    device=part.device if generator is None else generator.device,
                ).to(part.device)
                for part, generator in zip(parts, self.generators, strict=True)
            ]
        )

    def uniform(self) -> Tensor:
        return (
            self.normal(torch.empty(len(self.ties), 1)).flatten().mul(0.5**0.5).erf().add(1).div(2)
        )

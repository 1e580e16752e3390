"""Noise whose field of moduli is drawn from a proposal."""

from __future__ import annotations

from scipy import special


class OfModulus:
    """Values with random signs and moduli ``|x|`` such that ``Phi^-1(2 Phi(|x|) - 1)`` is given."""

    def __init__(self, proposal):
        self.proposal = proposal

    def draw(self, rng, count, tail):
        field, weight = self.proposal.draw(rng, count, tail)
        modulus = -special.ndtri(special.ndtr(-field) / 2)
        return modulus * rng.choice([-1.0, 1.0], field.shape), weight

"""The two banks of alternatives."""

from __future__ import annotations

from . import copies, held_out, marginal, spatial, spectral
from .alternative import alternatives_in

BANK = alternatives_in(marginal, spatial, copies, spectral)
HELD_OUT = alternatives_in(held_out)

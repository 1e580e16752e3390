"""Replacing the particles of a population by their ancestors, over all processes."""

from __future__ import annotations

from torch import Tensor

from ..sampler import Run

__all__ = ["reborn"]


def reborn(run: Run, ancestors: Tensor, *rows: Tensor) -> tuple[Tensor, ...]:
    """Return the rows of the ancestors of the particles that live here.

    Parameters
    ----------
    run
        The run whose particles they are.
    ancestors
        (particles of all processes,).
    rows
        Each (particles here, ...).
    """
    own = run.processes.own(ancestors)
    return tuple(run.processes.gather(row)[own.to(row.device)] for row in rows)

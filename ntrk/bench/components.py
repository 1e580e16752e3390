"""The paper's whitening operator, component by component."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import whitenoise as wn
from whitenoise.isometries import Identity
from whitenoise.sets import TwoLevel

__all__ = ["Components"]


class Components(NamedTuple):
    """One sweep of the paper's operator with some of its components, for Figure 13.

    Parameters
    ----------
    tiles
        Whether statistics of tiles are projected too, not the values alone.
    domains
        Whether in all four domains, not in that of the values alone.

    Examples
    --------
    >>> import torch
    >>> Components(tiles=False, domains=False)(torch.ones(4, 64), rng=0).shape
    torch.Size([4, 64])
    """

    tiles: bool
    domains: bool

    def __call__(self, x: Any, rng: Any = None) -> Any:
        return _whitener(self, tuple(x.shape))(x, rng=rng)


@cache
def _whitener(components: Components, shape: tuple[int, ...]) -> wn.Whitener:
    stages = [
        stage
        for stage in wn.Whitener(shape, preset="paper-1").stages
        if (components.tiles or isinstance(stage.target, TwoLevel))
        and (components.domains or isinstance(stage.isometry, Identity))
    ]
    return wn.Whitener(shape, stages=stages)

"""What every whitening operator makes of the demo's inputs, alone and mixed with fresh noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from benchmarks.fields import fields, photographs
from benchmarks.sources.source import ATYPICAL, OPEN, TYPICAL, Source
from benchmarks.whitening import operators

SHARE = 0.3

WHY = {
    "sphere": "input scaled to norm √N exactly",
    "WGNC": "two norms of every 16 frequencies set to their expected values",
    "paper": "one sweep over the confidence sets",
    "default": "statistics of a draw of noise, diluted or not until typical",
}


def sources() -> Iterator[Source]:
    for name in photographs() | fields():
        for operator, why in WHY.items():
            if operator == "paper":
                expected = TYPICAL if name == "noise" else OPEN
            else:
                expected = TYPICAL if operator == "default" else ATYPICAL
            yield Source(f"{name}, {operator}", partial(whitened, name, operator), expected, why)
    for name in photographs() | fields():
        yield Source(
            f"{name}, default, mixed",
            partial(mixed, name),
            TYPICAL,
            "√0.3 of it, √0.7 of fresh noise",
        )


@cache
def whitened(name: str, operator: str) -> np.ndarray:
    x = (photographs() | fields())[name]
    return operators(x.shape)[operator](x)


def mixed(name: str) -> np.ndarray:
    """Mix as the tilted noise of a guided sampler: sqrt(rho) W + sqrt(1 - rho) z."""
    w = whitened(name, "default")
    fresh = np.random.default_rng(2).standard_normal(w.shape)
    return np.sqrt(SHARE) * w + np.sqrt(1 - SHARE) * fresh

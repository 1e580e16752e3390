"""Inputs for the kernels: those of the strategies, and values at the ends of a dtype."""

from __future__ import annotations

import numpy as np
from strategies import CONTENTS

__all__ = ["EVERY_CONTENT", "content"]

_EXTREMES = {
    "largest": lambda rng, n, top: (
        rng.choice([-1, 1], n) * rng.uniform(0.3, 0.31, n) * top / n**0.5
    ),
    "denormal": lambda rng, n, top: rng.integers(-9, 9, n) * np.finfo(type(top)).smallest_subnormal,
    "both zeros": lambda rng, n, top: rng.choice([0.0, -0.0, 2.0, -2.0], n),
}
EVERY_CONTENT = (*CONTENTS, *_EXTREMES)


def content(name, seed, shape, dtype):
    """An array of `EVERY_CONTENT`."""
    rng, size = np.random.default_rng(seed), int(np.prod(shape))
    if name in _EXTREMES:
        x = _EXTREMES[name](rng, size, np.finfo(dtype).max)
    else:
        x = CONTENTS[name](rng, size)
    return x.reshape(shape).astype(dtype)

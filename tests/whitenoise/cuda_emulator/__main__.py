"""Run every kernel on awkward sizes; a sanitized build ends the process at a bad access."""

import sys

import numpy as np

from cuda_emulator import SANITIZE, Emulator
from whitenoise._random import RandomSource
from whitenoise.order_statistics import two_level_interval


def main(folder: str, dtype: str) -> None:
    """Compile with the sanitizers, and run; some sizes need repair, the second one the most."""
    emulator = Emulator(folder, flags=SANITIZE)
    run = emulator.launcher
    rng = np.random.default_rng(0)
    for rows, width, level in ((1, 1, 0.5), (7, 5, 0.02), (70, 3, 0.5), (3, 100, 0.5)):
        x = np.round(2 * rng.standard_normal((2, rows * width))).astype(dtype)
        interval = two_level_interval(rows, width, level)
        lower, upper = (np.asarray(end.astype(dtype), order="F") for end in interval)
        source = RandomSource(0, x)
        run.two_level(x, lower, upper, source.stream(), source.stream())
        fields = run.tile_fields(x, width)
        typical = np.ones_like(fields[0]), np.ones_like(fields[1])
        run.move_tiles(x, width, fields, typical, source.stream())
        for adjoint in (False, True):
            run.butterfly(x, 3, width, adjoint=adjoint)
            run.real_fourier(x, adjoint=adjoint)
    x = rng.standard_normal((2, 256)).astype(dtype)
    for adjoint in (False, True):
        run.butterfly(x, 11, None, adjoint=adjoint)


for dtype in ("float32", "float64"):
    main(sys.argv[1], dtype)
print("checked")

"""Running the command line in process, and what it should give."""

import zlib

import numpy as np

import whitenoise as wn
from whitenoise import cli

RAMP = np.linspace(-1, 1, 96)
TIES = np.repeat([0.0, 1.0, 2.0], 32)


def whiten(*arguments):
    """Call `whitenoise whiten` with one cheap sweep and seed 0."""
    return cli.main(["whiten", "--sweeps", "1", "--seed", "0", *map(str, arguments)])


def expected(x, *entropy):
    """What the Python API gives for seed 0, in a container for the array called `entropy`."""
    words = [zlib.crc32(e.encode()) if isinstance(e, str) else e for e in entropy]
    return wn.Whitener(x.shape, sweeps=1)(x, rng=np.random.default_rng([0, *words]))

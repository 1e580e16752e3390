"""The operators that are compared: functions of an array and a seed."""

from __future__ import annotations

from functools import cache

import numpy as np

import whitenoise as wn

DESCENT_STEPS = 100
OURS = "equal statistics (default)"


@cache
def operators(shape):
    """Operators by name."""
    presets = {name: wn.Whitener(shape, preset=name) for name in ("paper", "default-1", "default")}

    def whitener(name):
        return lambda x, seed: presets[name](x, rng=seed)

    return {
        "identity": lambda x, seed: x,
        "sphere": lambda x, seed: wn.project_sphere(x, rng=seed),
        "phases only": phases_only,
        "WGNC": lambda x, seed: wn.baselines.wgnc(x, rng=seed),
        "MPGR descent": mpgr_descent,
        "one sweep (paper)": whitener("paper"),
        "until it converges (default-1)": whitener("default-1"),
        OURS: whitener("default"),
    }


def phases_only(x, seed):
    """Set the modulus of every frequency to that of white noise."""
    spectrum = np.fft.rfftn(x)
    modulus = np.abs(spectrum)
    flat = np.divide(spectrum, modulus, out=np.ones_like(spectrum), where=modulus > 0)
    axes = tuple(range(x.ndim))
    return np.fft.irfftn(flat * x.size**0.5, s=x.shape, axes=axes).astype(x.dtype)


def mpgr_descent(x, seed):
    """Descend the MPGR penalty from the array, a hundred steps of falling length."""
    y = x / x.std()
    for step in range(DESCENT_STEPS):
        draw = [seed, step]
        rng = np.random.default_rng(draw)
        _, gradient = wn.baselines.mpgr_penalty(y, rng=rng, return_gradient=True)
        length = 0.1 * y.size**0.5 * (1 - step / DESCENT_STEPS)
        y = y - length * gradient / max(float(np.linalg.norm(gradient)), 1e-30)
    return y

"""Latents of images, inverted by following the ODE of a diffusion model back to its noise."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from benchmarks.sources.mixture import (
    GaussianMixture,
    Path,
    flow_path,
    pixels,
    stable_diffusion_path,
)
from benchmarks.sources.source import ATYPICAL, OPEN, TYPICAL, Source

SHAPE = (4, 64, 64)
COUNT = 16


def sources() -> Iterator[Source]:
    # At 200 steps the energy of one latent is two standard errors low: found or not by luck.
    expected = {10: ATYPICAL, 50: ATYPICAL, 200: OPEN, 1000: TYPICAL}
    for steps, verdict in expected.items():
        yield Source(
            f"flow ODE, inverted in {steps} steps",
            partial(inverted, flow_path(steps)),
            verdict,
            "first-order steps; exact ones would end in noise",
            axis=(1, 2, 3),
        )
    expected = {10: ATYPICAL, 50: ATYPICAL, 200: ATYPICAL, 1000: OPEN}
    for steps, verdict in expected.items():
        yield Source(
            f"DDIM, inverted in {steps} steps",
            partial(inverted, stable_diffusion_path(steps)),
            verdict,
            "first-order steps; exact ones would leave 0.5 % of the image's energy",
            axis=(1, 2, 3),
        )


@cache
def world() -> GaussianMixture:
    return GaussianMixture.of_images(SHAPE, components=8, seed=0)


def inverted(path: Path) -> np.ndarray:
    images = world().sample(COUNT, np.random.default_rng(0))
    return pixels(world().follow(images, path))

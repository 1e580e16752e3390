"""Noise that moves with a picture, as video models want it: interpolated, or integrated.

A target pixel that interpolates its sources averages them (too little energy, neighbours alike) or
copies them. Integrating instead the white noise over the area that lands in the pixel, and dividing
by the root of the area, gives white noise again ("How I Warped Your Noise", arXiv:2504.03072).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from benchmarks.sources.source import ATYPICAL, TYPICAL, Source

SIDE = 256
COUNT = 16
SUBPIXELS = 4
ANGLE, ZOOM = np.deg2rad(10), 1.25
SWING = 6.0  # pixels by which the waves move a pixel along each axis


@dataclass(frozen=True)
class Warp:
    """Where the picture goes: maps of positions, shape (2, ...), pixel centres at integers."""

    forward: Callable[[np.ndarray], np.ndarray]
    backward: Callable[[np.ndarray], np.ndarray]
    periodic: bool
    """Whether what leaves at one edge comes back at the other, or is lost."""


def sources() -> Iterator[Source]:
    for name, warp in (("rotated by 10° and zoomed by 1.25", TURN), ("in waves", WAVE)):
        for order, how in ((1, "bilinear"), (0, "nearest")):
            yield Source(
                f"noise warped {name}, {how}",
                lambda warp=warp, order=order: sampled(noise(), warp, order),
                ATYPICAL,
                "averages of four values" if order else "some values twice, some not at all",
                axis=(1, 2),
            )
        yield Source(
            f"noise warped {name}, integrated",
            lambda warp=warp: integrated(noise(), warp),
            TYPICAL,
            "each subpixel counts in one pixel, each sum has unit variance",
            axis=(1, 2),
        )
    yield Source(
        "noise shifted by half a pixel, bilinear",
        lambda: (noise() + np.roll(noise(), 1, axis=2)) / 2,
        ATYPICAL,
        "averages of two neighbours",
        axis=(1, 2),
    )
    yield Source(
        "noise rolled by (17, 40) pixels",
        lambda: np.roll(noise(), (17, 40), axis=(1, 2)),
        TYPICAL,
        "the same values in other places",
        axis=(1, 2),
    )


def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((COUNT, SIDE, SIDE), dtype=np.float32)


def _turned(positions: np.ndarray, angle: float, zoom: float) -> np.ndarray:
    centre = (SIDE - 1) / 2
    y, x = positions - centre
    return centre + zoom * np.stack(
        [np.cos(angle) * y - np.sin(angle) * x, np.sin(angle) * y + np.cos(angle) * x]
    )


def _waved(positions: np.ndarray, sign: int) -> np.ndarray:
    """Shear rows, then columns; or back, in the other order."""
    moved = positions.copy()
    for axis in (0, 1)[::sign]:
        moved[axis] += sign * SWING * np.sin(2 * np.pi * moved[1 - axis] / SIDE)
    return moved


TURN = Warp(
    lambda p: _turned(p, ANGLE, ZOOM), lambda p: _turned(p, -ANGLE, 1 / ZOOM), periodic=False
)
WAVE = Warp(lambda p: _waved(p, 1), lambda p: _waved(p, -1), periodic=True)


def sampled(images: np.ndarray, warp: Warp, order: int) -> np.ndarray:
    """Look up, for each target pixel, the value at its source position."""
    source = warp.backward(np.mgrid[:SIDE, :SIDE].astype(float))
    return np.stack(
        [ndimage.map_coordinates(image, source, order=order, mode="grid-wrap") for image in images]
    )


def integrated(images: np.ndarray, warp: Warp) -> np.ndarray:
    """Sum the subpixels that land in each target pixel, divided by the root of their number."""
    fine = upsampled(images, np.random.default_rng(1))
    target, inside = landing(warp)
    count = np.bincount(target, minlength=SIDE**2)
    assert count.min() > 0, "a target pixel holds no subpixel"
    sums = [np.bincount(target, image.ravel()[inside], SIDE**2) for image in fine]
    warped = np.stack(sums) / np.sqrt(count)
    return warped.reshape(-1, SIDE, SIDE).astype(np.float32)


def upsampled(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """White noise on subpixels, given that those of each pixel sum to `SUBPIXELS` times its value.

    A pixel's value z and its k x k independent fresh values e make ``z / k + e - mean(e)``.
    """
    k = SUBPIXELS
    blocks = (len(images), SIDE, k, SIDE, k)
    fresh = rng.standard_normal(blocks, dtype=np.float32)
    fresh += images[:, :, None, :, None] / k - fresh.mean(axis=(2, 4), keepdims=True)
    return fresh.reshape(len(images), SIDE * k, SIDE * k)


def landing(warp: Warp) -> tuple[np.ndarray, np.ndarray]:
    """Flat target pixel of each subpixel that stays in the picture, and which subpixels do."""
    k = SUBPIXELS
    centres = (np.mgrid[: SIDE * k, : SIDE * k] + 0.5) / k - 0.5
    pixel = np.rint(warp.forward(centres)).astype(int).reshape(2, -1)
    if warp.periodic:
        pixel %= SIDE
    inside = np.all((pixel >= 0) & (pixel < SIDE), axis=0)
    return pixel[0, inside] * SIDE + pixel[1, inside], inside

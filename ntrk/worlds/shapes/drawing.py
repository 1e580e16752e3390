"""Scenes as images, with smooth edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .scene import COLORS, GROUNDS, LAND, SIDE, SKY, Scene, Thing, shade

__all__ = ["coverage", "draw"]

Image = NDArray[np.uint8]
Field = NDArray[np.float64]

_TRIANGLE_TOP, _TRIANGLE_BASE = -1.0, 0.85  # heights of apex and base, in radii
_ARM = 0.38  # half the width of a cross's arms, in radii
_SQUARE = 0.9  # half a side of a square, in radii


def draw(scene: Scene) -> Image:
    """Draw a scene.

    Parameters
    ----------
    scene
        What to draw.

    Returns
    -------
    ndarray of uint8, shape (64, 64, 3)
        RGB.

    Examples
    --------
    >>> image = draw(Scene((Thing("circle", "red", 32, 32, 10),)))
    >>> image[32, 32].tolist(), image[0, 0].tolist()
    ([214, 40, 40], [250, 250, 250])
    """
    canvas = np.empty((SIDE, SIDE, 3))
    ground = GROUNDS[scene.ground]
    if ground is not None:
        canvas[:] = ground
    else:
        assert scene.horizon is not None
        above = _edge(scene.horizon - _centres()).reshape(-1, 1, 1)
        canvas[:] = above * np.array(SKY) + (1 - above) * np.array(LAND)
    for thing in scene.things:
        _paint(canvas, thing)
    return np.rint(canvas).astype(np.uint8)


def coverage(thing: Thing) -> Field:
    """Return the share of every pixel that a thing covers, shape (64, 64), up to half a pixel."""
    c = _centres()
    return _edge(_inside(thing, c[None, :] - thing.x, c[:, None] - thing.y))


def _centres() -> Field:
    return np.arange(SIDE, dtype=np.float64) + 0.5


def _edge(depth: Field) -> Field:
    """Turn signed depth within an outline, in pixels, into coverage."""
    return np.clip(depth + 0.5, 0, 1)


def _inside(thing: Thing, dx: Field, dy: Field) -> Field:
    """Signed depth within the outline: positive inside."""
    depth: Field
    r = thing.radius
    if thing.shape == "circle":
        depth = r - np.hypot(dx, dy)
    elif thing.shape == "square":
        depth = _SQUARE * r - np.maximum(abs(dx), abs(dy))
    elif thing.shape == "triangle":
        slope = 1 / (_TRIANGLE_BASE - _TRIANGLE_TOP)  # half the base, r, over the height
        sides = (slope * (dy - _TRIANGLE_TOP * r) - abs(dx)) / np.hypot(1, slope)
        depth = np.minimum(sides, _TRIANGLE_BASE * r - dy)
    else:
        arms = np.minimum(abs(dx), abs(dy))
        depth = np.minimum(_ARM * r - arms, r - np.maximum(abs(dx), abs(dy)))
    return depth


def _paint(canvas: Field, thing: Thing) -> None:
    reach = int(np.ceil(thing.radius)) + 1
    top, left = max(int(thing.y) - reach, 0), max(int(thing.x) - reach, 0)
    window = canvas[top : int(thing.y) + reach + 1, left : int(thing.x) + reach + 1]
    c = _centres()
    dx = c[None, left : left + window.shape[1]] - thing.x
    dy = c[top : top + window.shape[0], None] - thing.y
    cover = _edge(_inside(thing, dx, dy))[..., None]
    dark = _marks(thing, dx, dy)[..., None]
    color = COLORS[thing.color]
    paint = (1 - dark) * np.array(color) + dark * np.array(shade(color))
    window[:] = cover * paint + (1 - cover) * window


def _marks(thing: Thing, dx: Field, dy: Field) -> Field:
    """Share of every pixel in the darker tone."""
    if thing.texture == "striped":  # across, of three pixels each
        return np.broadcast_to(_edge(1.5 - abs((dy + 1.5) % 6 - 1.5)), (len(dy), dx.shape[1]))
    if thing.texture == "dotted":
        return _edge(1.4 - np.hypot((dx + 2.5) % 5 - 2.5, (dy + 2.5) % 5 - 2.5))
    return np.zeros((len(dy), dx.shape[1]))

"""What is in an image, read off its pixels: no network that could be flattered.

Every pixel takes the colour that is nearest, in any tone from full to the darker one. Connected
pixels of one colour, if there are enough of them, are a thing; its shape is the one whose outline
fits best; the ground is what most of the other pixels are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from .drawing import coverage
from .grammar import Demand, Group, holds
from .scene import COLORS, GROUNDS, LAND, SHADE, SHAPES, SIDE, SKY, Scene, Thing

__all__ = ["count", "parse", "satisfies"]

Mask = NDArray[np.bool_]

_LEAST_AREA = 25  # pixels; the smallest thing of the grammar has 38
_LEAST_FIT = 0.7  # intersection over union with the outline of a shape
_DARK = 0.8  # of a colour, between its full and its darker tone
_LARGE = 12.0  # pixels of radius, between the small and the large things of the grammar

_INKS = np.array(list(COLORS.values()), float)
_PLAIN = [name for name, color in GROUNDS.items() if color]
_BACKS = np.array([*(color for color in GROUNDS.values() if color), SKY, LAND], float)


def parse(image: Any) -> Scene:
    """Find the things in an image and the ground.

    Parameters
    ----------
    image
        (64, 64, 3) of uint8, or (3, 64, 64) of floats in [0, 1], of any array library on the host.

    Returns
    -------
    Scene
        Things from left to right. Pixels that are neither ground nor a thing of a known shape, as
        of shapes that melt into each other, are a thing of the shape ``"blob"``.

    Raises
    ------
    ValueError
        If the image has another shape or dtype, or values outside [0, 1].

    Notes
    -----
    Exact on images that `draw` makes of scenes of the grammar: a test draws 1,000 of them and finds
    each thing again, its centre and radius within a pixel.
    """
    labels, tones = _nearest(_pixels(image))
    things = [
        _fit(mask, color, tones[..., number] < _DARK)
        for number, color in enumerate(COLORS)
        for mask in _components(labels == number)
    ]
    ground, horizon = _ground(labels)
    return Scene(tuple(sorted(things, key=lambda t: (t.x, t.y))), ground, horizon)


def count(scene: Scene, group: Group) -> int:
    """Return how many things of the group's kind there are."""
    return sum(_is(thing, group) for thing in scene.things)


def satisfies(demand: Demand, scene: Scene) -> bool:
    """Whether a scene has all that a caption asks for, and no other thing.

    Sizes are right if on the right side of a radius of 12 pixels; a relation holds as `holds` says.

    Examples
    --------
    >>> from ntrk.worlds.shapes import read_caption
    >>> scene = Scene((Thing("circle", "red", 20, 30, 8), Thing("square", "blue", 50, 30, 8)))
    >>> satisfies(read_caption("a red circle left of a blue square on white"), scene)
    True
    >>> satisfies(read_caption("a red circle above a blue square on white"), scene)
    False
    """
    found = [[t for t in scene.things if _is(t, group)] for group in demand.groups]
    if [len(f) for f in found] != [g.number for g in demand.groups]:
        return False
    if sum(map(len, found)) != len(scene.things) or scene.ground != demand.ground:
        return False
    return demand.relation is None or holds(demand.relation, found[0][0], found[1][0])


def _is(thing: Thing, group: Group) -> bool:
    if (thing.shape, thing.color) != (group.shape, group.color):
        return False
    if group.texture and thing.texture != group.texture:
        return False
    return group.size is None or (thing.radius > _LARGE) == (group.size == "large")


# ------------------------------------------------------------------------------------ pixels


def _pixels(image: Any) -> NDArray[np.float64]:
    """Return the image as (64, 64, 3) of values as in the palette."""
    array = np.asarray(image)
    if array.shape == (SIDE, SIDE, 3) and array.dtype == np.uint8:
        return array.astype(float)
    if array.shape != (3, SIDE, SIDE) or array.dtype.kind != "f":
        raise ValueError(
            f"image must be ({SIDE}, {SIDE}, 3) of uint8 or (3, {SIDE}, {SIDE}) of floats, got "
            f"shape {array.shape} of {array.dtype}"
        )
    if not (array.min() >= 0 and array.max() <= 1):
        raise ValueError(f"image must be in [0, 1], got {array.min()} to {array.max()}")
    return 255.0 * np.moveaxis(array.astype(float), 0, -1)


def _nearest(pixels: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return the number of the colour or ground of every pixel, and its tone of every colour."""
    squares = np.square(_INKS).sum(1)
    tones = np.clip(pixels @ _INKS.T / squares, SHADE, 1)
    inks = squares * tones**2 - 2 * tones * (pixels @ _INKS.T)  # less the square of the pixel
    backs = np.square(_BACKS).sum(1) - 2 * pixels @ _BACKS.T
    return np.concatenate([inks, backs], -1).argmin(-1), tones


def _components(mask: Mask) -> list[Mask]:
    """Connected parts that are more than the edge of something: enough pixels, and thick ones."""
    regions, number = ndimage.label(mask)
    if not number:
        return []
    sizes = np.bincount(regions.flat)
    thick = np.unique(regions[ndimage.binary_erosion(mask, np.ones((3, 3), bool))])
    return [regions == i for i in thick if i and sizes[i] >= _LEAST_AREA]


def _ground(labels: NDArray[np.intp]) -> tuple[str, float | None]:
    first = len(_INKS)
    *tally, sky, land = np.bincount(labels.flat, minlength=first + len(_BACKS))[first:]
    if sky + land <= max(tally):
        return _PLAIN[int(np.argmax(tally))], None
    # Sky above and land below: the row that puts the fewest pixels on the wrong side.
    above = (labels == first + len(_PLAIN)).sum(1)
    below = (labels == first + len(_PLAIN) + 1).sum(1)
    wrong = np.concatenate([[0], np.cumsum(below)]) + np.concatenate(
        [np.cumsum(above[::-1])[::-1], [0]]
    )
    return "landscape", float(np.flatnonzero(wrong == wrong.min()).mean())


# ------------------------------------------------------------------------------------ shapes

# Area in squared radii, and how far the centroid is below the centre in radii.
_AREAS = {"circle": np.pi, "square": 3.24, "triangle": 1.85, "cross": 2.4624}
_DROPS = {"triangle": 0.85 - 1.85 / 3}


def _fit(mask: Mask, color: str, dark: Mask) -> Thing:
    """Find the shape whose outline, of the same area and centroid, covers the pixels best."""
    rows, columns = np.nonzero(mask)
    x, y, area = float(columns.mean() + 0.5), float(rows.mean() + 0.5), len(rows)
    texture = _texture(mask, dark)
    best, fit = Thing("blob", color, x, y, math.sqrt(area / math.pi), texture), _LEAST_FIT
    for shape in SHAPES:
        radius = math.sqrt(area / _AREAS[shape])
        thing = Thing(shape, color, x, y - _DROPS.get(shape, 0.0) * radius, radius, texture)
        outline = coverage(thing) > 0.5
        overlap = (mask & outline).sum() / (mask | outline).sum()
        if overlap > fit:
            best, fit = thing, overlap
    return best


def _texture(mask: Mask, dark: Mask) -> str:
    """Tell stripes, whole rows of the darker tone, from dots, and both from none."""
    inside = ndimage.binary_erosion(mask, np.ones((3, 3), bool))  # edges mix with the ground
    inked = inside & dark
    if inked.sum() < 0.08 * inside.sum():
        return "plain"
    rows = inked.any(1)
    return "striped" if inked.sum() > 0.8 * inside[rows].sum() else "dotted"

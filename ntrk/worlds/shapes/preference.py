"""What the aesthetic rewards prefer: a number computed from the exact scene."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from .scene import COLORS, GROUNDS, LAND, SIDE, SKY, Scene, Thing

__all__ = ["TERMS", "preference", "terms"]


def preference(scene: Scene) -> float:
    r"""Return how well a scene is composed, in [0, 10].

    Parameters
    ----------
    scene
        Any scene; one without things has preference 0.

    Notes
    -----
    With ``w_i`` the share of thing ``i`` in the sum of squared radii, the preference is ``3 colour
    + 7 layout``, where

    - colour is the mean of *harmony*, ``sum_ij w_i w_j cos^2(h_i - h_j)`` with hues ``h`` as angles
      (1 for one hue, or for two that are complementary), and *contrast*, ``sum_i w_i min(|Y_i -
      Y_ground| / 0.6, 1)`` with luminances ``Y`` in [0, 1];
    - layout is the mean of *balance*, ``exp(-|c - m|^2 / 72)`` with ``c`` the centroid, weighted
      by ``w``, and ``m`` the middle of the image; *margins*, the mean over things of ``S((d_i - 4)
      / 1.5)`` with ``d_i`` the distance of thing ``i`` from the nearest border and ``S`` the
      logistic function; *spacing*, the mean of ``min(g_i / (0.8 * 64 / sqrt(n)), 1)`` with ``g_i``
      the distance between the centre of thing ``i`` and the nearest other of ``n`` (not of one
      thing alone); *fullness*, ``1 - exp(-sum_i r_i^2 / 250)``; and in a landscape *thirds*,
      ``exp(-(b - t)^2 / 72)`` with ``b`` the row of the horizon and ``t`` the nearer of 64/3 and
      128/3.

    Examples
    --------
    >>> middle = Scene((Thing("circle", "yellow", 32, 32, 14),), "black")
    >>> corner = Scene((Thing("circle", "yellow", 14, 14, 8),), "black")
    >>> round(preference(middle), 2), round(preference(corner), 2)
    (8.93, 5.37)
    """
    if not scene.things:
        return 0.0
    harmony, contrast, *layout = terms(scene).values()
    return float(3 * (harmony + contrast) / 2 + 7 * np.mean(layout))


TERMS = ("harmony", "contrast", "balance", "margins", "fullness", "spacing", "thirds")


def terms(scene: Scene) -> dict[str, float]:
    """Return what the preference is made of, each in [0, 1]; those of `TERMS` that a scene has."""
    if not scene.things:
        return {}
    radii = np.array([thing.radius for thing in scene.things])
    weights = radii**2 / np.sum(radii**2)
    found = {
        "harmony": _harmony(scene, weights),
        "contrast": _contrast(scene, weights),
        "balance": _balance(scene, weights),
        "margins": _margins(scene),
        "fullness": 1 - math.exp(-np.sum(radii**2) / 250),
    }
    if len(scene.things) > 1:
        found["spacing"] = _spacing(scene)
    if scene.horizon is not None:
        found["thirds"] = _thirds(scene.horizon)
    return found


Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def _harmony(scene: Scene, weights: Numbers) -> float:
    hues = np.array([2 * math.pi * _hue(COLORS[thing.color]) for thing in scene.things])
    return float(weights @ np.cos(hues[:, None] - hues) ** 2 @ weights)


def _hue(color: tuple[int, int, int]) -> float:
    return colorsys.rgb_to_hsv(*(c / 255 for c in color))[0]


def _contrast(scene: Scene, weights: Numbers) -> float:
    steps = [
        abs(_luminance(COLORS[thing.color]) - _ground_luminance(scene, thing))
        for thing in scene.things
    ]
    return float(weights @ np.minimum(np.array(steps) / 0.6, 1))


def _luminance(color: tuple[int, int, int]) -> float:
    red, green, blue = color
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def _ground_luminance(scene: Scene, thing: Thing) -> float:
    ground = GROUNDS[scene.ground]
    if ground is not None:
        return _luminance(ground)
    assert scene.horizon is not None
    land = _logistic((thing.y - scene.horizon) / 2)
    return (1 - land) * _luminance(SKY) + land * _luminance(LAND)


def _balance(scene: Scene, weights: Numbers) -> float:
    centres = np.array([(thing.x, thing.y) for thing in scene.things])
    return math.exp(-np.sum((weights @ centres - SIDE / 2) ** 2) / 72)


def _margins(scene: Scene) -> float:
    distances = [
        min(thing.x, thing.y, SIDE - thing.x, SIDE - thing.y) - thing.radius
        for thing in scene.things
    ]
    return float(np.mean([_logistic((distance - 4) / 1.5) for distance in distances]))


def _spacing(scene: Scene) -> float:
    centres = np.array([(thing.x, thing.y) for thing in scene.things])
    distances = np.hypot(*(centres[:, None] - centres).transpose(2, 0, 1))
    np.fill_diagonal(distances, np.inf)
    wide = 0.8 * SIDE / math.sqrt(len(centres))
    return float(np.mean(np.minimum(distances.min(1) / wide, 1)))


def _thirds(row: float) -> float:
    return math.exp(-min((row - SIDE / 3) ** 2, (row - 2 * SIDE / 3) ** 2) / 72)


def _logistic(value: float) -> float:
    return (1 + math.tanh(value / 2)) / 2

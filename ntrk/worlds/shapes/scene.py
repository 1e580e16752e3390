"""What a scene of the shapes world is: coloured things on a ground of 64 x 64 pixels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "COLORS",
    "GROUNDS",
    "HORIZONS",
    "LAND",
    "SHADE",
    "SHAPES",
    "SIDE",
    "SKY",
    "TEXTURES",
    "Scene",
    "Thing",
    "shade",
]

SIDE = 64

SHAPES = ("circle", "square", "triangle", "cross")
TEXTURES = ("plain", "striped", "dotted")

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (247, 140, 20),
    "yellow": (250, 220, 50),
    "green": (40, 160, 70),
    "blue": (40, 90, 220),
    "purple": (150, 60, 190),
}
GROUNDS: dict[str, tuple[int, int, int] | None] = {
    "white": (250, 250, 250),
    "gray": (130, 130, 130),
    "black": (20, 20, 20),
    "landscape": None,  # sky over land, with a horizon
}
SKY, LAND = (175, 215, 240), (205, 185, 150)

HORIZONS = (18.0, 50.0)
"""Rows between which a horizon lies."""


SHADE = 0.6
"""Of a colour, the darker tone."""


def shade(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the darker tone that stripes and dots have."""
    red, green, blue = (round(SHADE * c) for c in color)
    return red, green, blue


@dataclass(frozen=True)
class Thing:
    """One shape.

    Parameters
    ----------
    shape, color, texture
        One of `SHAPES`, of `COLORS`, of `TEXTURES`.
    x, y
        Centre in pixels, from the left and from the top.
    radius
        Half of the width in pixels.
    """

    shape: str
    color: str
    x: float
    y: float
    radius: float
    texture: str = "plain"


@dataclass(frozen=True)
class Scene:
    """Things on a ground.

    Parameters
    ----------
    things
        The things; none hides another.
    ground
        One of `GROUNDS`.
    horizon
        Row of the horizon, in pixels from the top; None unless the ground is a landscape.
    """

    things: tuple[Thing, ...]
    ground: str = "white"
    horizon: float | None = None

"""Captions, the scenes that they describe, and what they ask for.

A caption is one or two groups of things and a ground::

    caption   = group [ relation group | "and" group ] ground
    group     = number [ size ] [ texture ] color shape
    relation  = "left of" | "right of" | "above" | "below"      (between single things)
    ground    = "on white" | "on gray" | "on black" | "in a landscape"

Colours of some shapes (`HELD_OUT`) and some numbers of colours never come together in training.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .scene import COLORS, GROUNDS, HORIZONS, SHAPES, SIDE, TEXTURES, Scene, Thing

__all__ = [
    "HELD_OUT",
    "NUMBERS",
    "RELATIONS",
    "Demand",
    "Group",
    "read_caption",
    "sample_caption",
    "sample_scene",
    "sample_scene_of",
    "vocabulary",
]

NUMBERS = ("a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
SIZES = ("small", "large")
RELATIONS = ("left of", "right of", "above", "below")
HELD_OUT = frozenset(
    {("purple", "triangle"), ("orange", "cross"), ("yellow", "square"), ("green", "circle")}
)
"""Colours and shapes that no training caption has together."""


@dataclass(frozen=True)
class Group:
    """Things of one kind that a caption asks for."""

    number: int
    color: str
    shape: str
    size: str | None = None
    texture: str | None = None

    def __str__(self) -> str:
        kinds = self.shape + ("es" if self.shape == "cross" else "s") * (self.number > 1)
        words = [w for w in (self.size, self.texture, self.color, kinds) if w]
        article = "an" if self.number == 1 and words[0] == "orange" else NUMBERS[self.number - 1]
        return " ".join([article, *words])


@dataclass(frozen=True)
class Demand:
    """What a caption asks for: the groups, how the first lies to the second, the ground."""

    groups: tuple[Group, ...]
    relation: str | None = None
    ground: str = "white"

    def __str__(self) -> str:
        joint = f" {self.relation or 'and'} ".join(map(str, self.groups))
        return joint + (" in a landscape" if self.ground == "landscape" else f" on {self.ground}")


_GROUP = (
    rf"(an|{'|'.join(NUMBERS)}) (?:({'|'.join(SIZES)}) )?(?:({'|'.join(TEXTURES[1:])}) )?"
    rf"({'|'.join(COLORS)}) ({'|'.join(SHAPES)})(?:es|s)?"
)
_CAPTION = re.compile(
    rf"{_GROUP}(?: ({'|'.join(RELATIONS)}|and) {_GROUP})? (?:on|in a) ({'|'.join(GROUNDS)})"
)


def read_caption(caption: str) -> Demand:
    """Read a caption.

    Parameters
    ----------
    caption
        Text of the grammar.

    Raises
    ------
    ValueError
        If it is not.

    Examples
    --------
    >>> demand = read_caption("a large red circle left of a blue square on white")
    >>> demand.relation, demand.groups[0].size, str(demand.groups[1])
    ('left of', 'large', 'a blue square')
    """
    match = _CAPTION.fullmatch(caption)
    if match is None:
        raise ValueError(
            f"caption must be of the grammar, such as 'two red circles and a blue square on "
            f"white', got {caption!r}"
        )
    first, joint, second, ground = match.groups()[:5], match[6], match.groups()[6:11], match[12]
    groups = tuple(
        Group(NUMBERS.index("a" if number == "an" else number) + 1, color, shape, size, texture)
        for number, size, texture, color, shape in (first, second)
        if number
    )
    demand = Demand(groups, None if joint == "and" else joint, ground)
    if str(demand) != caption:  # "a circles", "in a white"
        raise ValueError(f"caption must read {str(demand)!r}, got {caption!r}")
    return demand


def vocabulary() -> list[str]:
    """Return every word of the grammar, once each."""
    plurals = [str(Group(2, "red", shape)).split()[-1] for shape in SHAPES]
    words = ["an", *NUMBERS, *SIZES, *TEXTURES[1:], *COLORS, *SHAPES, *plurals, *RELATIONS, "and"]
    return list(dict.fromkeys(" ".join([*words, "on", "in", *GROUNDS]).split()))


# ----------------------------------------------------------------------------------- sampling


def sample_scene(rng: np.random.Generator, *, held_out: bool = False) -> tuple[str, Scene]:
    """Draw a caption and a scene that it describes.

    Parameters
    ----------
    rng
        Source of random numbers.
    held_out
        Whether the first group's colour and shape are of those that training never sees together.

    Examples
    --------
    >>> caption, scene = sample_scene(np.random.default_rng(3))
    >>> len(scene.things) == sum(g.number for g in read_caption(caption).groups)
    True
    """
    demand = sample_caption(rng, held_out=held_out)
    return str(demand), sample_scene_of(demand, rng)


def sample_caption(rng: np.random.Generator, *, held_out: bool = False) -> Demand:
    """Draw what a caption asks for: one thing, several, two in a relation, or two groups."""
    ground = str(rng.choice(list(GROUNDS)))
    family = rng.choice(["one", "count", "relation", "pair"], p=[0.2, 0.25, 0.3, 0.25])
    if family == "one":
        size = [None, *SIZES][rng.integers(3)]
        # On small things, four pixels of a texture look like those of any other.
        texture = None if size == "small" else [None, None, *TEXTURES[1:]][rng.integers(4)]
        return Demand((_group(rng, 1, held_out, size, texture),), None, ground)
    if family == "count":
        return Demand((_group(rng, int(rng.integers(2, 11)), held_out),), None, ground)
    numbers = (1, 1) if family == "relation" else rng.integers(1, 6, 2).tolist()
    first = _group(rng, numbers[0], held_out)
    while True:  # one kind of thing in both groups would be one group
        second = _group(rng, numbers[1], False)
        if second.color != first.color:
            break
    relation = str(rng.choice(RELATIONS)) if family == "relation" else None
    return Demand((first, second), relation, ground)


def _group(
    rng: np.random.Generator,
    number: int,
    held_out: bool,
    size: str | None = None,
    texture: str | None = None,
) -> Group:
    while True:
        color, shape = str(rng.choice(list(COLORS))), str(rng.choice(SHAPES))
        if ((color, shape) in HELD_OUT) == held_out:
            return Group(number, color, shape, size, texture)


_MARGIN = 2.0  # pixels between things, and between things and the border


def sample_scene_of(demand: Demand, rng: np.random.Generator) -> Scene:
    """Draw a scene that has what is asked for, and nothing else."""
    kinds = [group for group in demand.groups for _ in range(group.number)]
    low, high = _radii(len(kinds))
    while True:
        things: list[Thing] = []
        for _ in range(60 * len(kinds)):
            group = kinds[len(things)]
            radius = float(rng.uniform(*_SIZES.get(group.size, (low, high))))
            x, y = rng.uniform(radius + _MARGIN, SIDE - radius - _MARGIN, 2).tolist()
            thing = Thing(group.shape, group.color, x, y, radius, group.texture or "plain")
            if _fits(thing, things, demand.relation):
                things.append(thing)
                if len(things) == len(kinds):
                    horizon = float(rng.uniform(*HORIZONS))
                    landscape = demand.ground == "landscape"
                    return Scene(tuple(things), demand.ground, horizon if landscape else None)


_SIZES: dict[str | None, tuple[float, float]] = {"small": (5.0, 7.0), "large": (14.0, 18.0)}


def _radii(number: int) -> tuple[float, float]:
    """Radii of so many things, in pixels: the more there are, the smaller they are."""
    if number == 1:
        return 8.0, 14.0
    if number <= 3:
        return 7.0, 10.0
    return (6.0, 7.5) if number <= 6 else (5.0, 6.2)


def _fits(thing: Thing, others: list[Thing], relation: str | None) -> bool:
    for other in others:
        if np.hypot(thing.x - other.x, thing.y - other.y) < _reach(thing) + _reach(other) + _MARGIN:
            return False
    return not others or relation is None or holds(relation, others[0], thing, slack=1.3)


def _reach(thing: Thing) -> float:
    """Radius of a circle around the centre that holds the thing."""
    corner = {"circle": 1.0, "square": 1.28, "triangle": 1.32, "cross": 1.08}
    return thing.radius * corner[thing.shape]


def holds(relation: str, first: Thing, second: Thing, slack: float = 1.0) -> bool:
    """Whether the first thing lies so to the second: `slack` times more that way than across."""
    right, down = first.x - second.x, first.y - second.y
    along, across = (right, down) if relation in ("left of", "right of") else (down, right)
    if relation in ("left of", "above"):
        along = -along
    return along > slack * abs(across)

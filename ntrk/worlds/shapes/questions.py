"""What the question-answering rewards ask of images."""

from __future__ import annotations

import zlib
from typing import Any

import torch

from .grammar import RELATIONS, Group, read_caption
from .scene import SIDE

__all__ = ["HORIZON_QUESTION", "asked_relation", "asked_row", "draw_line", "relation_question"]

Tensor = Any

HORIZON_QUESTION = "is the horizon at the line"


def asked_relation(prompt: str) -> str:
    """Return the relation that is asked for: what the prompt says, or one drawn by its letters.

    Raises
    ------
    ValueError
        If the prompt is not of two single things.

    Examples
    --------
    >>> asked_relation("a red circle above a blue square on white")
    'above'
    >>> asked_relation("a red circle and a blue square on white") in RELATIONS
    True
    """
    demand = read_caption(prompt)
    if [group.number for group in demand.groups] != [1, 1]:
        raise ValueError(f"relations are of prompts with two single things, got {prompt!r}")
    return demand.relation or RELATIONS[zlib.crc32(prompt.encode()) % len(RELATIONS)]


def asked_row(prompt: str) -> float:
    """Return the row in which the horizon is wanted, 20 to 48, drawn by the prompt's letters.

    Raises
    ------
    ValueError
        If the prompt is not of a landscape.

    Examples
    --------
    >>> 20 <= asked_row("a red circle in a landscape") <= 48
    True
    """
    if read_caption(prompt).ground != "landscape":
        raise ValueError(f"horizons are of prompts 'in a landscape', got {prompt!r}")
    return 20.0 + zlib.crc32(prompt.encode()) % 29


def draw_line(images: Tensor, rows: Tensor) -> Tensor:
    """Return images with a red line across each, 1.5 pixels wide, centred in a row of its own."""
    centres = torch.arange(SIDE, device=images.device) + 0.5
    cover = (1.25 - (centres - rows.to(images.device)[:, None]).abs()).clamp(0, 1)
    cover = cover[:, None, :, None].to(images.dtype)
    red = torch.tensor([1.0, 0.0, 0.0], dtype=images.dtype, device=images.device)
    return (1 - cover) * images + cover * red.view(1, 3, 1, 1)


def relation_question(relation: str, first: Group, second: Group) -> str:
    """Ask how two single things lie to each other, whatever their sizes and textures."""
    first, second = (Group(1, group.color, group.shape) for group in (first, second))
    return f"is {first} {relation} {second}"

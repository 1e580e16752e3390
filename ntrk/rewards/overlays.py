"""What to draw over images before a model is asked about it: lines, and points with letters.

Gradients flow wherever nothing is drawn. The tasks are those of G. Luo et al., 2025, "Dual-Process
Image Generation", arXiv 2506.01955: a red line for the horizon, and two points of which one is to
be closer than the other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..saving import optional

__all__ = ["RED", "draw_line", "draw_points"]

RED = (1.0, 0.0, 0.0)


def draw_line(images: Tensor, row: float, *, colour: Sequence[float] = RED) -> Tensor:
    """Return images, (..., 3, height, width), with a horizontal line over all of their width.

    Parameters
    ----------
    images
        Values in [0, 1].
    row
        Where the line is: 0 at the top, 1 at the bottom. It is 1 / 128 of the height thick.
    colour
        Red, green and blue in [0, 1].
    """
    _check("row", [row])
    height = images.shape[-2]
    thick = max(1, round(height / 128))
    top = round(row * (height - thick))
    mask = images.new_zeros(height, 1)
    mask[top : top + thick] = 1
    return _painted(images, mask, colour)


def draw_points(
    images: Tensor,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str] = ("A", "B"),
    *,
    colour: Sequence[float] = RED,
) -> Tensor:
    """Return images, (..., 3, height, width), with dots on them, and a label beside each.

    Parameters
    ----------
    images
        Values in [0, 1].
    points
        Row and column of each dot: (0, 0) is at the top left, (1, 1) at the bottom right.
    labels
        What is written beside the dots, on the side where there is more room.
    colour
        Red, green and blue in [0, 1].
    """
    if len(points) != len(labels):
        raise ValueError(f"labels must be {len(points)}, one a point, got {len(labels)}")
    _check("points", [place for point in points for place in point])
    mask = _mask(points, labels, images.shape[-2], images.shape[-1])
    return _painted(images, mask.to(images.device, images.dtype), colour)


def _mask(
    points: Sequence[tuple[float, float]], labels: Sequence[str], height: int, width: int
) -> Tensor:
    """Return how much of each pixel, (height, width), is covered by dots and letters."""
    picture = optional("PIL.Image").new("L", (width, height))
    draw = optional("PIL.ImageDraw").Draw(picture)
    short = min(height, width)
    radius = max(1, short / 64)
    font = optional("PIL.ImageFont").load_default(max(8, short / 16))
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    dots = torch.zeros(height, width)
    for (row, column), label in zip(points, labels, strict=True):
        y, x = row * (height - 1), column * (width - 1)
        left = column > 0.5
        place = x - 3 * radius if left else x + 3 * radius
        draw.text((place, y), label, fill=255, font=font, anchor="rm" if left else "lm")
        away = ((rows - y) ** 2 + (columns - x) ** 2).sqrt()
        dots = dots.maximum((radius + 0.5 - away).clamp(0, 1))  # smooth at its edge
    letters = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    return dots.maximum(letters.view(height, width) / 255)


def _painted(images: Tensor, mask: Tensor, colour: Sequence[float]) -> Tensor:
    if len(colour) != 3:
        raise ValueError(f"colour must be red, green and blue, got {colour!r}")
    _check("colour", colour)
    return images.lerp(images.new_tensor(colour).view(3, 1, 1), mask)


def _check(name: str, values: Sequence[float]) -> None:
    if not all(0 <= value <= 1 for value in values):
        raise ValueError(f"{name} must be in [0, 1], got {list(values)}")

"""Images side by side, in one system of coordinates for all panels that show them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..reference import FloatArray

__all__ = ["Mosaic"]

_MOST = 16  # images shown


@dataclass(frozen=True)
class Mosaic:
    """Some of `count` images of `height` by `width`, in rows, as near to a square as possible.

    Coordinates count pixels: the value in row y and column x of an image covers the square from
    (x, y) to (x + 1, y + 1), moved by the corner of the image.
    """

    count: int
    height: int
    width: int
    wanted: tuple[int, ...] = ()
    """Images that must be among those shown."""

    @property
    def images(self) -> list[int]:
        """Which images are shown."""
        others = [i for i in range(self.count) if i not in self.wanted]
        return sorted([*self.wanted, *others[: max(_MOST - len(self.wanted), 0)]])

    @property
    def columns(self) -> int:
        """Images in a row."""
        shown = len(self.images)
        return min(max(round(math.sqrt(shown * self.height / self.width)), 1), shown)

    @property
    def gap(self) -> float:
        """Pixels between images."""
        return 0.05 * max(self.height, self.width)

    def corner(self, image: int) -> tuple[float, float]:
        """Column and row of the upper left corner of an image that is shown."""
        row, column = divmod(self.images.index(image), self.columns)
        return column * (self.width + self.gap), row * (self.height + self.gap)

    def show(self, axes: Any, images: FloatArray, pixel: int = 1, **style: Any) -> Any:
        """Draw an array (count, h, w) whose values cover squares of `pixel`; return an artist."""
        for image in self.images:
            left, top = self.corner(image)
            height, width = (n * pixel for n in images[image].shape)
            artist = axes.imshow(
                images[image],
                extent=(left, left + width, top + height, top),
                interpolation="nearest",
                **style,
            )
        rows = math.ceil(len(self.images) / self.columns)
        right = self.columns * (self.width + self.gap) - self.gap
        bottom = rows * (self.height + self.gap) - self.gap
        axes.set(xlim=(0, right), ylim=(bottom, 0), xticks=[], yticks=[])
        axes.set_aspect("equal" if 1 / 4 < bottom / right < 4 else "auto")
        return artist

    def __str__(self) -> str:
        size = f"{self.height}x{self.width}"
        if self.count == 1:
            return f"array, {size}"
        shown = len(self.images)
        of = f"{shown} of " if shown < self.count else ""
        return f"{of}{self.count} images, {size}"

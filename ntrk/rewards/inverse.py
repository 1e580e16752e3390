"""Inverse problems as rewards: how well an image explains what was measured of another.

For ``y = A(x) + noise`` of standard deviation s, ``-|A(x) - y|^2 / (2 s^2)`` is the log-likelihood
of x, so that sampling towards it restores the image. `blurred`, `shrunk` and `masked` are the usual
A.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Measured", "blurred", "masked", "shrunk"]


class Measured:
    """The log-likelihood of images given a measurement, up to a constant, a value of it on average.

    It is divided by the number of measured values, so that its size does not depend on that.

    Parameters
    ----------
    operator
        A, from images (batch, 3, height, width) to what is measured of them; differentiable.
    measurement
        y, what `operator` gave of one image, without its batch axis.
    std
        Of the noise in it, in units of the image's values: positive.

    Examples
    --------
    >>> truth = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    >>> reward = Measured(lambda x: shrunk(x, 2), shrunk(truth, 2)[0], std=0.1)
    >>> reward(truth).tolist(), bool(reward(1 - truth) < 0)
    ([-0.0], True)
    """

    def __init__(
        self, operator: Callable[[Tensor], Tensor], measurement: Tensor, std: float = 0.1
    ) -> None:
        if not (math.isfinite(std) and std > 0):
            raise ValueError(f"std must be positive and finite, got {std!r}")
        self.operator, self.measurement, self.std = operator, measurement.detach(), float(std)

    def __call__(self, images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
        """Return minus half the mean squared error, in units of the noise's variance, (batch,)."""
        found = self.operator(images)
        if found.shape[1:] != self.measurement.shape:
            raise ValueError(
                f"measurement must have the shape that the operator gives of an image, "
                f"{tuple(found.shape[1:])}, got {tuple(self.measurement.shape)}"
            )
        error = found - self.measurement.to(found.device, found.dtype)
        return -(error / self.std).square().flatten(1).mean(1) / 2


def blurred(images: Tensor, std: float) -> Tensor:
    """Blur by a Gaussian of standard deviation `std`, in pixels, cut off at three of them."""
    if not (math.isfinite(std) and std > 0):
        raise ValueError(f"std must be positive and finite, got {std!r}")
    reach = math.ceil(3 * std)
    x = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    weights = torch.exp(-((x / std) ** 2) / 2)
    weights = weights / weights.sum()
    channels = images.shape[1]
    padded = functional.pad(images, (reach,) * 4, "replicate")
    rows = weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    return functional.conv2d(
        functional.conv2d(padded, rows, groups=channels), rows.mT, groups=channels
    )


def shrunk(images: Tensor, factor: int) -> Tensor:
    """Average over squares of `factor` pixels a side, for super-resolution."""
    if factor < 1 or images.shape[-2] % factor or images.shape[-1] % factor:
        raise ValueError(
            f"factor must divide height and width, {tuple(images.shape[-2:])}, got {factor!r}"
        )
    return functional.avg_pool2d(images, factor)


def masked(images: Tensor, mask: Tensor) -> Tensor:
    """Keep the pixels where `mask`, (height, width), is 1, for inpainting."""
    if mask.shape != images.shape[-2:]:
        raise ValueError(
            f"mask must be of shape {tuple(images.shape[-2:])}, got {tuple(mask.shape)}"
        )
    return images * mask.to(images.device, images.dtype)

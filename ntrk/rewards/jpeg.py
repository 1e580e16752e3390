"""How few bytes an image takes as JPEG, estimated so that it has a gradient.

The compressibility of K. Black et al., 2024 ("DDPO", arXiv 2305.13301, Section 5.1) is minus the
size of the file, in kilobytes, at quality 95. That has no gradient. What determines it, the
quantised cosine coefficients of 8 x 8 blocks (ITU-T T.81), has one up to the rounding, and the
length of their code is close to a smooth function of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from .preprocess import rgb

__all__ = ["compressibility", "jpeg_kilobytes"]

_QUALITY = 95
# Annex K of ITU-T T.81, for quality 50; rows are vertical frequencies.
_LUMINANCE: tuple[int, ...] = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55),
    *(14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62),
    *(18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)
_CHROMINANCE: tuple[int, ...] = (
    *(17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99),
    *(24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99),
    *[99] * 32,
)
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))

# A coefficient of magnitude m takes about _PER_BIT log2(1 + m) bits, and _PER_COEFFICIENT if it is
# not zero: fitted to Pillow's files of crops of one photograph. On crops of another, be they sharp,
# blurred, shrunk or noisy, sizes are within a tenth (tests/ntrk/test_rewards_plain.py).
_PER_BIT, _PER_COEFFICIENT, _HEADER = 1.87, 2.38, 0.623


def compressibility(images: Tensor, prompts: Sequence[str] = ()) -> Tensor:
    """Minus the kilobytes of a JPEG file of quality 95, (batch,), by `jpeg_kilobytes`."""
    return -jpeg_kilobytes(images)


def jpeg_kilobytes(images: Tensor) -> Tensor:
    """Estimate the size of a JPEG file of quality 95, in 1,000 bytes.

    Parameters
    ----------
    images
        Shape (batch, 3, height, width), in [0, 1].

    Returns
    -------
    Tensor
        Shape (batch,).
    """
    pixels = 255 * rgb(images)
    matrix = pixels.new_tensor(_TO_YCBCR)
    luminance, *colours = torch.einsum("ij,bjhw->ibhw", matrix, pixels).split(1)
    planes = [(luminance - 128, _LUMINANCE)]
    planes += [(functional.avg_pool2d(c, 2, ceil_mode=True), _CHROMINANCE) for c in colours]
    bits = torch.stack([_bits(plane.squeeze(0), table) for plane, table in planes])
    return _HEADER + bits.sum(0) / 8000


def _bits(plane: Tensor, table: Sequence[int]) -> Tensor:
    """Return the bits of the blocks of planes, (batch, height, width)."""
    height, width = plane.shape[1:]
    whole = functional.pad(plane[:, None], (0, -width % 8, 0, -height % 8), "replicate")
    blocks = functional.unfold(whole, 8, stride=8)  # (batch, 64, blocks)
    scale = 200 - 2 * _QUALITY
    steps = torch.floor((plane.new_tensor(table) * scale + 50) / 100).clamp(1, 255)
    found = _cosines(plane) @ blocks / steps[:, None]
    # Of the mean, the difference from that of the block before is what is coded.
    means = functional.pad(found[:, :1], (1, 0)).diff()
    sizes = torch.cat([means, found[:, 1:]], 1).abs()
    there = sizes**4 / (sizes**4 + 0.5**4)  # 1 where it is rounded to something, 0 where to nothing
    bits = there * (_PER_BIT * torch.log2(1 + sizes) + _PER_COEFFICIENT)
    return bits.sum((1, 2))


def _cosines(like: Tensor) -> Tensor:
    """Return the orthonormal cosine transform of 8 x 8 blocks, a matrix of 64 x 64."""
    n = torch.arange(8, dtype=like.dtype, device=like.device)
    rows = torch.cos(math.pi * n[:, None] * (2 * n + 1) / 16) / 2
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows)

# mypy: disable-error-code="untyped-decorator, no-untyped-def, no-untyped-call"
"""Butterflies, many steps in one pass over the data.

Write the index of an entry as (g, l), with l < 2^j for a 2^j that divides the length n. A step
combines entries whose indices differ in the last bit of l, and moves that bit to the front. So j
steps are a Hadamard transform along l, innermost bit first, and a transposition to (l, g); they fit
in registers, and any number of steps is a few such passes. The adjoint goes backwards. Every sum is
that of the generic path, bit for bit.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
import triton.language as tl

from ..._namespace import array_namespace
from ...isometries import butterfly as generic
from .launch import block, launch

__all__ = ["butterfly"]

_MOST_STEPS = 11  # in one pass
_BLOCK_BYTES = 8192  # that a program holds, unless a transform needs more
_RUN_BYTES = 32  # neighbours in memory on the side of the transposition, for whole sectors
_SCALE = tl.constexpr(math.sqrt(0.5))


def butterfly(
    x: torch.Tensor, repeats: int, tile_size: int | None, *, adjoint: bool
) -> torch.Tensor:
    """`isometries.Butterfly` along the last axis."""
    n = x.shape[-1]
    tile = tile_size or n
    whole = n - n % tile
    parts = [
        _mixed(part.reshape(-1, length), repeats, adjoint).reshape(part.shape)
        for part, length in ((x[..., :whole], tile), (x[..., whole:], n - whole))
        if part.shape[-1]
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


def _mixed(x: torch.Tensor, repeats: int, adjoint: bool) -> torch.Tensor:
    """Mix each row of `x`, `repeats` times."""
    n = x.shape[-1]
    most = min((n & -n).bit_length() - 1, _MOST_STEPS)  # n divides by 2 that often
    if most == 0:
        return _odd(x, repeats, adjoint)
    if repeats == 0:
        return x.clone()
    passes = -(-repeats // most)
    for number in range(passes):
        steps = (repeats + number) // passes
        x = _one_pass(x.contiguous(), steps, adjoint)
    return x


def _odd(x: torch.Tensor, repeats: int, adjoint: bool) -> torch.Tensor:
    step: Any = generic._inverse_butterfly if adjoint else generic._butterfly
    xp = array_namespace(x)
    x = x.clone()
    for _ in range(repeats):
        x = step(x, xp)
    return x


def _one_pass(x: torch.Tensor, steps: int, adjoint: bool) -> torch.Tensor:
    mixed = torch.empty_like(x)
    length = 2**steps
    groups = x.numel() // length
    size = x.element_size()
    together = block(groups, max(_BLOCK_BYTES // (size * length), _RUN_BYTES // size))
    launch(
        _transform,
        (triton.cdiv(groups, together),),
        together * length,
        *(x, mixed, groups, x.shape[-1] // length),
        GROUPS=together,
        STEPS=steps,
        ADJOINT=adjoint,
    )
    return mixed


@triton.jit
def _transform(
    x,
    mixed,
    n_groups,
    groups_of_row,
    GROUPS: tl.constexpr,
    STEPS: tl.constexpr,
    ADJOINT: tl.constexpr,
):
    LENGTH: tl.constexpr = 2**STEPS
    group = tl.program_id(0).to(tl.int64) * GROUPS + tl.arange(0, GROUPS)[:, None]
    place = tl.arange(0, LENGTH)[None, :]
    inside = (group < n_groups) & (place < LENGTH)
    row = group // groups_of_row * groups_of_row * LENGTH
    apart = group * LENGTH + place
    transposed = row + place * groups_of_row + group % groups_of_row
    if ADJOINT:
        value = tl.load(x + transposed, mask=inside, other=0.0)
        for step in tl.static_range(STEPS):
            value = _combined(value, STEPS - 1 - step, GROUPS, LENGTH)
        tl.store(mixed + apart, value, mask=inside)
    else:
        value = tl.load(x + apart, mask=inside, other=0.0)
        for step in tl.static_range(STEPS):
            value = _combined(value, step, GROUPS, LENGTH)
        tl.store(mixed + transposed, value, mask=inside)


@triton.jit
def _combined(value, bit: tl.constexpr, GROUPS: tl.constexpr, LENGTH: tl.constexpr):
    """Replace a and b, whose places differ in one bit, by scaled sum and difference."""
    pairs = tl.reshape(value, (GROUPS * LENGTH // 2 ** (bit + 1), 2, 2**bit))
    partner = tl.flip(pairs, 1)
    is_a = tl.arange(0, 2)[None, :, None] == 0
    scale = tl.full((), _SCALE, value.dtype)
    mixed = scale * tl.where(is_a, pairs + partner, partner - pairs)
    return tl.reshape(mixed, (GROUPS, LENGTH))

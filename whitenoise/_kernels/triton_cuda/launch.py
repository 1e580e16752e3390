# mypy: disable-error-code="no-any-return"
"""Sizes of blocks, and how kernels are started."""

from __future__ import annotations

from typing import Any

import torch
import triton

__all__ = ["block", "launch"]

_ENTRIES_PER_WARP = 256  # eight a thread
_MOST_WARPS = 16


def block(length: int, most: int | None = None) -> int:
    """Power of two that holds `length` entries, or `most` of them."""
    return triton.next_power_of_2(length if most is None else min(length, most))


def launch(
    kernel: Any, grid: tuple[int, ...], entries: int, *arguments: Any, **constants: Any
) -> None:
    """Start programs of `entries` entries each on the device of the first argument."""
    n_warps = min(max(entries // _ENTRIES_PER_WARP, 1), _MOST_WARPS)
    with torch.cuda.device_of(getattr(arguments[0], "x", arguments[0])):
        kernel[grid](
            *arguments,
            **constants,
            num_warps=n_warps,
            num_stages=1,
            # A product and a sum fused into one rounding have other bits than the generic path.
            enable_fp_fusion=False,
        )

"""How the CUDA kernels are launched: sizes, scratch arrays, and the order of launches.

Nothing here depends on values, waits for the device, or names CuPy: a `Device` allocates and
launches, and whatever can run a kernel runs the very launches that CuPy does.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from ..._namespace import Array, array_namespace
from ..._random import Stream
from ...isometries.butterfly import Butterfly
from ...two_level import GOLDEN, MAX_PASSES
from .. import generic_path

__all__ = ["MODULES", "Device", "Launcher", "Sizes", "source"]

MODULES = {
    "two_level": ("common", "sort", "two_level", "repair"),
    "tiles": ("common", "tiles"),
    "linear": ("common", "linear"),
}
"""Files, without their suffix, that make up each module."""


def source(module: str) -> str:
    """Text of one of `MODULES`."""
    files = resources.files(__package__ or "")
    return "\n".join((files / f"{name}.cu").read_text("utf-8") for name in MODULES[module])


@dataclass(frozen=True)
class Sizes:
    """What kernels for a dtype are compiled for.

    The defaults keep each block within the 48 KB of shared memory that every device grants. Longer
    segments are sorted in tiles and merged, so that few long columns occupy many blocks. The sizes
    were chosen without a device to measure on.
    """

    bits: int
    """Bits of the dtype."""
    threads: int
    """Threads a block, a power of two."""
    tile: int
    """Entries that a block sorts, a power of two."""
    held_bits: int
    """Binary logarithm of the entries that a block holds for a butterfly."""

    @classmethod
    def of(cls, dtype: Any) -> Sizes:
        """Sizes for float32 or float64."""
        wide = np.dtype(dtype).itemsize == 8
        return cls(64, 512, 2048, 12) if wide else cls(32, 512, 4096, 13)

    @property
    def definitions(self) -> tuple[str, ...]:
        """The same as options of a compiler, with the constants of the search for ranks."""
        return (
            f"-DREAL_BITS={self.bits}",
            f"-DTHREADS={self.threads}",
            f"-DTILE={self.tile}",
            f"-DHELD_BITS={self.held_bits}",
            f"-DMAX_PASSES={MAX_PASSES}",
            f"-DGOLDEN={GOLDEN}",
        )


class Device(Protocol):
    """Allocates arrays and launches kernels, in order."""

    @property
    def xp(self) -> Any:
        """A namespace with ``empty``, ``ascontiguousarray``, ``concatenate`` and ``fft``."""

    def sizes(self, dtype: Any) -> Sizes:
        """Sizes that the kernels for a dtype are compiled for."""
        ...

    def address(self, array: Array) -> int:
        """Where the entries of a contiguous array are."""
        ...

    def launch(self, module: str, kernel: str, dtype: Any, blocks: int, *args: Any) -> None:
        """Launch a kernel of a module for a dtype.

        Arguments are arrays, NumPy scalars, and structures as NumPy arrays of one entry.
        """
        ...


@dataclass(frozen=True)
class Launcher:
    """The operations of `whitenoise._kernels` on a device."""

    device: Device

    def two_level(
        self, vectors: Array, lower: Array, upper: Array, row_ties: Stream, column_ties: Stream
    ) -> tuple[Array, Array, Array]:
        """Nearest doubly sorted matrices, see `whitenoise._kernels`.

        One launch if a matrix fits a tile. Else four, and one more for each doubling from a tile to
        the width and from a tile to the height of the matrices.
        """
        rows, width = lower.shape
        batch_shape, dtype = vectors.shape[:-1], vectors.dtype
        batch, tile = math.prod(batch_shape), self.device.sizes(dtype).tile
        point = self._empty(vectors.shape, dtype)
        distance, bound = (self._empty(batch_shape, np.float64) for _ in range(2))
        arrays = {
            "vectors": self._contiguous(vectors),
            "lower": self._contiguous(lower.T),
            "upper": self._contiguous(upper.T),
            "point": point,
            "distance": distance,
            "bound": bound,
            **self._scratch(batch, rows, width, dtype),
        }
        matrices = self._structure(
            *(self.device.address(array) for array in arrays.values()),
            *(batch, rows, width),
            *self._seed(row_ties),
            *self._seed(column_ties),
        )

        def launch(kernel: str, blocks: int, *args: int) -> None:
            numbers = (np.int64(a) for a in args)
            self.device.launch("two_level", kernel, dtype, blocks, matrices, *numbers)

        if rows * width <= tile:
            launch("whole_matrix", batch)
            return point, distance, bound
        for kernel, count, length in (
            ("rank_rows", batch * rows, width),
            ("rank_columns", batch * width, rows),
        ):
            blocks = _sorting_blocks(count, length, tile)
            for run in (0, *_merged_runs(length, tile)):
                launch(kernel, blocks, run)
        units = _units(rows, width, tile)
        launch("assign_ranks", batch * units, units)
        launch("settle_ranks", batch, units)
        return point, distance, bound

    def _scratch(self, batch: int, rows: int, width: int, dtype: Any) -> dict[str, Array]:
        """Scratch arrays in the order of `Matrices` in two_level.cu."""
        size, real = batch * rows * width, np.dtype(dtype).itemsize
        tile = self.device.sizes(dtype).tile
        entries = [self._empty((size * 2 * real,), np.uint8)]
        if max(rows, width) > tile:
            entries += [self._empty((size * 2 * real,), np.uint8) for _ in range(2)]
        columns, other, spare = entries * (3 // len(entries))
        order, rank = (self._empty((size,), np.uint32) for _ in range(2))
        stuck_row = self._empty((batch * rows,), np.uint32)
        partial = self._empty((7 * batch * _units(rows, width, tile),), np.float64)
        return {
            "columns": columns, "other": other, "spare": spare, "repair": spare,
            "order": order, "rank": rank, "stuck_row": stuck_row, "partial": partial,
        }  # fmt: skip

    def tile_fields(self, vectors: Array, tile_size: int) -> tuple[Array, Array]:
        """Statistics of tiles, see `whitenoise._kernels`. One launch."""
        shape = (*vectors.shape[:-1], vectors.shape[-1] // tile_size)
        z, radius = (self._empty(shape, vectors.dtype) for _ in range(2))
        self._launch_on_tiles("tile_fields", vectors, (z, radius), z, tile_size)
        return z, radius

    def move_tiles(
        self,
        vectors: Array,
        tile_size: int,
        fields: tuple[Array, Array],
        typical: tuple[Array, Array],
        ties: Stream,
    ) -> Array:
        """Tiles moved to typical statistics, see `whitenoise._kernels`. One launch."""
        moved = self._empty(vectors.shape, vectors.dtype)
        arrays = [self._contiguous(a) for a in (*fields, *typical)]
        # A mean that is not asked for is that of the tile, not one that went through its root.
        keep_mean = np.int64(typical[0] is fields[0])
        seed = self._structure(*self._seed(ties))
        self._launch_on_tiles(
            "move_tiles", vectors, (moved, *arrays), arrays[0], tile_size, keep_mean, seed
        )
        return moved

    def _launch_on_tiles(
        self,
        kernel: str,
        vectors: Array,
        arrays: tuple[Array, ...],
        z: Array,
        tile_size: int,
        *more: Any,
    ) -> None:
        sizes = self.device.sizes(z.dtype)
        lanes, fits = _tile_lanes(tile_size, sizes)
        blocks = -(-z.size * lanes // sizes.threads)
        scratch = z if fits else self._empty(vectors.shape, z.dtype)
        numbers = (np.int64(n) for n in (z.size, tile_size, lanes, not fits))
        operands = (self._contiguous(vectors), scratch, *arrays, *numbers)
        root = np.float64(tile_size**0.5)
        self.device.launch("tiles", kernel, z.dtype, blocks, *operands, root, *more)

    def butterfly(self, x: Array, repeats: int, tile_size: int | None, adjoint: bool) -> Array:
        """Butterflies, see `whitenoise._kernels`.

        On tiles of a power of two, one launch if a block holds a tile. Else one for each turn
        between the bits of an index that blocks hold together and those that they do not: two for
        a Hadamard transform. Other lengths go the generic way.
        """
        n = int(x.shape[-1])
        tile = min(tile_size or n, n)
        whole = n - n % tile
        levels = tile.bit_length() - 1
        if tile != 2**levels or levels > 2 * self.device.sizes(x.dtype).held_bits:
            with generic_path():
                q = Butterfly(repeats, tile_size)
                return (q.apply_adjoint if adjoint else q.apply)(x, array_namespace(x))
        if whole == n:
            return self._hadamard(x, repeats, levels, adjoint)
        parts = [
            self._hadamard(x[..., :whole], repeats, levels, adjoint),
            self.butterfly(x[..., whole:], repeats, None, adjoint),
        ]
        return self.device.xp.concatenate(parts, axis=-1)

    def _hadamard(self, x: Array, repeats: int, levels: int, adjoint: bool) -> Array:
        x, total = self._contiguous(x), math.prod(x.shape)
        most = self.device.sizes(x.dtype).held_bits
        # Where a block cannot hold a tile, it holds at least 32 neighbours if that is possible.
        held = min(most, max(levels, 11) if levels <= most else (levels + 6) // 2)
        rotation = repeats % levels if levels else 0
        launches = list(_step_groups(repeats if levels else 0, levels, held, adjoint))
        for k, (first, steps, far) in enumerate(launches):
            near = held if far is None else 2 * held - levels
            rotate_in = rotation if adjoint and k == 0 else 0
            rotate_out = rotation if not adjoint and k == len(launches) - 1 else 0
            y = self._empty(x.shape, x.dtype)
            numbers = (total, levels, held, near, far or 0, first, steps, -1 if adjoint else 1)
            blocks = -(-total // 2**held)
            args = (np.int64(a) for a in (*numbers, rotate_in, rotate_out))
            self.device.launch("linear", "butterfly", x.dtype, blocks, x, y, *args)
            x = y
        return x

    def real_fourier(self, x: Array, adjoint: bool) -> Array:
        """Packed Fourier transforms, see `whitenoise._kernels`: an FFT and one launch."""
        xp, n = self.device.xp, int(x.shape[-1])
        x = self._contiguous(x)
        if adjoint:
            dtype = np.result_type(x.dtype, np.complex64)
            spectrum = self._empty((*x.shape[:-1], n // 2 + 1), dtype)
            self._launch_packing("unpack_fourier", x, spectrum, x)
            return xp.fft.irfft(spectrum, n=n, axis=-1, norm="forward")
        packed = self._empty(x.shape, x.dtype)
        self._launch_packing("pack_fourier", xp.fft.rfft(x, axis=-1), packed, x)
        return packed

    def _launch_packing(self, kernel: str, source: Array, target: Array, x: Array) -> None:
        n, total = int(x.shape[-1]), math.prod(x.shape)
        blocks = -(-total // self.device.sizes(x.dtype).threads)
        numbers = (np.int64(total // n), np.int64(n), np.float64(n**0.5))
        self.device.launch("linear", kernel, x.dtype, blocks, source, target, *numbers)

    def _empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        return self.device.xp.empty(shape, dtype=dtype)

    def _contiguous(self, x: Array) -> Array:
        return self.device.xp.ascontiguousarray(x)

    def _seed(self, stream: Stream) -> Iterator[int]:
        """Fields of `Seed` in common.cu: addresses of words on the device, then known words."""
        words = (stream.first, stream.second)
        yield from (0 if isinstance(w, int) else self.device.address(w) for w in words)
        yield from (w if isinstance(w, int) else 0 for w in words)

    def _structure(self, *fields: int) -> np.ndarray[Any, Any]:
        """A structure of 64-bit fields, to be passed by value."""
        dtype = np.dtype([(f"field_{k}", np.uint64) for k in range(len(fields))])
        return np.array([fields], dtype=dtype)


def _merged_runs(length: int, tile: int) -> Iterator[int]:
    """Lengths of the sorted runs that the merges of a segment join."""
    run = tile
    while run < length:
        yield run
        run *= 2


def _sorting_blocks(count: int, length: int, tile: int) -> int:
    """Tiles that segments of a length take; short ones share them, padded to powers of two."""
    if length > tile:
        return count * -(-length // tile)
    padded = 1 << (length - 1).bit_length()
    return -(-count // (tile // padded))


def _units(rows: int, width: int, tile: int) -> int:
    """Groups of rows that `assign` in two_level.cu takes at once: `rows_at_once`."""
    return -(-rows // max(tile // 2 // (width | 1), 1))


def _tile_lanes(tile_size: int, sizes: Sizes) -> tuple[int, bool]:
    """Fewest threads a tile with which a block holds its tiles, and whether it can at all."""
    work, lanes = sizes.tile + sizes.tile // 8, 1
    while lanes < sizes.threads and sizes.threads // lanes * (tile_size | 1) > work:
        lanes *= 2
    return lanes, (tile_size | 1) * sizes.threads // lanes <= work


def _step_groups(
    repeats: int, levels: int, held: int, adjoint: bool
) -> Iterator[tuple[int, int, int | None]]:
    """Groups of butterfly steps that one launch takes: the first, their number, `far`.

    `far` is `held` for steps on the bits from there on, None for those below.
    """
    order = range(repeats)[::-1] if adjoint else range(repeats)
    groups = groupby(order, key=lambda t: t % levels >= held)
    launches = [(next(g), 1 + sum(1 for _ in g), held if far else None) for far, g in groups]
    yield from launches or [(0, 0, None)]

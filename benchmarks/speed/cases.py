"""What is timed: stages of the operator and the whole, inputs, and the paths that are present."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

import whitenoise as wn

Operator = Callable[[Any], Any]


def there_and_back(isometry: Any) -> Operator:
    return lambda x: isometry.adjoint(isometry.forward(x))


def two_level(chunk_size: int) -> Callable[[int], Operator]:
    return lambda size: lambda x: wn.project_2os(x, chunk_size, axis=-1, rng=0, exchanges=0)


def tiles(tile_size: int) -> Callable[[int], Operator]:
    return lambda size: (
        lambda x: wn.project_tiles(x, tile_size, chunk_size=16, axis=-1, rng=0, exchanges=0)
    )


def butterfly(tile_size: int | None) -> Callable[[int], Operator]:
    return lambda size: there_and_back(
        wn.isometries.Butterfly(round(math.log2(tile_size or size)), tile_size)
    )


def blocks(size: int) -> Operator:
    """Cosine transforms of blocks of 8 x 8, in a grid as square as a power of two can be."""
    side = 2 ** (round(math.log2(size)) // 2)
    return there_and_back(wn.isometries.Cosine((size // side, side), block=8))


def preset(name: str) -> Callable[[int], Operator]:
    def build(size: int) -> Operator:
        operator = wn.Whitener(size, preset=name)
        return lambda x: operator(x, rng=0)

    return build


STAGES: dict[str, Callable[[int], Operator]] = {
    "global": lambda size: lambda x: wn.project_global(x, axis=-1),
    "1OS": lambda size: lambda x: wn.project_1os(x, axis=-1, rng=0),
    "2OS, chunk 16": two_level(16),
    "2OS, chunk 64": two_level(64),
    "tiles of 4": tiles(4),
    "tiles of 16": tiles(16),
    "tiles of 64": tiles(64),
    "Fourier": lambda size: there_and_back(wn.isometries.RealFourier()),
    "butterflies": butterfly(None),
    "butterflies, 256": butterfly(256),
    "cosine, 8x8": blocks,
    "paper": preset("paper"),
    "default-1": preset("default-1"),
}
"""Each takes the length N to a function of arrays (batch, N); transforms go there and back."""


def straightforward(stage: str, size: int, like: Any) -> Operator | None:
    """Return the stage written with Torch's own operations, or None if it is not written."""
    plain = importlib.import_module("benchmarks.speed.straightforward")
    if stage.startswith("2OS"):
        return plain.two_level(size, int(stage.split()[-1]), like)
    if stage.startswith("tiles"):
        return plain.tiles(size, int(stage.split()[-1]), like)
    if stage == "Fourier":
        return lambda x: plain.inverse_fourier(plain.fourier(x))
    if stage.startswith("butterflies"):
        mixing = plain.full_butterfly if stage == "butterflies" else plain.tiled_butterfly
        return lambda x: plain.inverse_butterfly(plain.butterfly(x, *mixing(size)), *mixing(size))
    return plain.paper(size, like) if stage == "paper" else None


def _sines(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    time = np.arange(math.prod(shape)).reshape(shape)
    return np.sin(0.01 * time) + 0.5 * np.sin(0.37 * time) + 0.1 * rng.standard_normal(shape)


INPUTS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "noise": lambda rng, shape: rng.standard_normal(shape),
    "sines": _sines,
    "constant": lambda rng, shape: np.full(shape, 0.5),
    "tied": lambda rng, shape: np.round(4 * rng.standard_normal(shape)) / 4,
    "heavy-tailed": lambda rng, shape: rng.standard_t(1.5, shape),
}


def make_input(kind: str, batch: int, size: int, dtype: str) -> np.ndarray:
    """Array of shape (batch, size), the same in every run."""
    return INPUTS[kind](np.random.default_rng(0), (batch, size)).astype(dtype)


def compiled(array: Any) -> None:
    """Have the kernels compiled that serve `array`; earlier revisions did so in the first call."""
    getattr(wn, "compile_kernels", lambda _: None)(array)


@dataclass(frozen=True)
class Path:
    """A way to compute: a kind of array and an implementation."""

    name: str
    convert: Callable[[np.ndarray], Any]
    within: Callable[[], AbstractContextManager[Any]] = nullcontext
    finish: Callable[[], object] = lambda: None
    """Wait for the device."""
    plain: bool = False
    """Whether it is `straightforward` and not the library."""

    def call(self, stage: str, x: np.ndarray) -> Callable[[], object] | None:
        """Return the call to time, or None if this path does not have the stage."""
        array, size = self.convert(x), int(x.shape[-1])
        operator = straightforward(stage, size, array) if self.plain else STAGES[stage](size)
        if operator is None:
            return None
        with self.within():
            compiled(array)

        def run() -> object:
            with self.within():
                result = operator(array)
            self.finish()
            return result

        return run


def paths() -> Iterator[Path]:
    """Every path of this machine: the generic one first, then what each kind of array gets.

    A library is imported when its turn comes.
    """
    yield Path("numpy generic", np.asarray, wn.generic_path)
    fast = wn.kernel_path(np.ones(1, np.float32))
    if fast != "generic":
        yield Path(f"numpy {fast}", np.asarray)
    if importlib.util.find_spec("torch"):
        torch = importlib.import_module("torch")
        yield from _torch_paths(torch, "cpu")
        if torch.cuda.is_available():
            yield from _torch_paths(torch, "cuda")
    cupy = importlib.import_module("cupy") if importlib.util.find_spec("cupy") else None
    if cupy is not None and cupy.cuda.is_available():
        name = f"cupy {wn.kernel_path(cupy.ones(1, 'float32'))}"
        wait = cupy.cuda.get_current_stream().synchronize
        yield Path(name, cupy.asarray, finish=wait)


def _torch_paths(torch: Any, device: str) -> Iterator[Path]:
    def convert(x: np.ndarray) -> Any:
        return torch.from_numpy(x).to(device)

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    chosen = wn.kernel_path(torch.ones(1, device=device))
    yield Path(f"torch {device} {chosen}", convert, finish=wait)
    yield Path(f"torch {device} straightforward", convert, finish=wait, plain=True)

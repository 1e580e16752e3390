"""What works where: declarations that parametrise the backend tests and fill the docs' table."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ml_dtypes
import numpy as np
import torch

import whitenoise as wn
from whitenoise import baselines
from whitenoise import isometries as iso

ALL = ("float64", "float32", "float16", "bfloat16")
STANDARD = ("float64", "float32")
ROWS, SIZE = 2, 64


def numpy_dtype(name):
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


@dataclass(frozen=True)
class Backend:
    """A kind of array: how to make one from NumPy float64 values, and how to read it back."""

    name: str
    make: Callable[[np.ndarray, str], Any]
    read: Callable[[Any], np.ndarray]
    dtypes: tuple[str, ...] = ALL
    gradient: bool = False
    missing: str = ""
    """Why it cannot run here; empty if it can."""
    checked: str = "in every test run"


def _read_only(values, dtype):
    x = values.astype(numpy_dtype(dtype))
    x.flags.writeable = False
    return x


def _memmap(values, dtype):
    with tempfile.TemporaryFile() as file:
        x = np.memmap(file, numpy_dtype(dtype), "w+", shape=values.shape)
    x[...] = values
    return x


def _strict(values, dtype):
    import array_api_strict

    return array_api_strict.asarray(values.astype(dtype))


def _torch(device, values, dtype):
    return torch.tensor(values, device=device).to(getattr(torch, dtype))


def _torch_strided(values, dtype):
    """Every other column of a wider tensor, transposed: no two entries of a row are neighbours."""
    wide = torch.zeros(2 * values.shape[1], values.shape[0], dtype=getattr(torch, dtype))
    view = wide[::2].T
    view.copy_(torch.tensor(values))
    return view


def _cupy(values, dtype):
    import cupy

    return cupy.asarray(values.astype(dtype))


def _read_numpy(x):
    return np.asarray(x).astype(np.float64)


def _read_torch(x):
    return x.detach().cpu().double().numpy()


def _no_cupy():
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed"
    import cupy

    return "" if cupy.cuda.is_available() else "no CUDA device"


_ON_DEVICE = "only where a device is present; kernels also without one"
_NO_CUDA = "" if torch.cuda.is_available() else "no CUDA device"

BACKENDS = (
    Backend("NumPy", lambda v, d: v.astype(numpy_dtype(d)), _read_numpy),
    Backend("NumPy, read-only", _read_only, _read_numpy),
    Backend("NumPy memmap", _memmap, _read_numpy),
    Backend("array-api-strict", _strict, _read_numpy, STANDARD),
    Backend("Torch CPU", partial(_torch, "cpu"), _read_torch, gradient=True),
    Backend("Torch CPU, strided", _torch_strided, _read_torch, gradient=True),
    Backend(
        "Torch CUDA",
        partial(_torch, "cuda"),
        _read_torch,
        gradient=True,
        missing=_NO_CUDA,
        checked=_ON_DEVICE,
    ),
    Backend(
        "CuPy",
        _cupy,
        lambda x: x.get().astype(np.float64),
        (*STANDARD, "float16"),
        missing=_no_cupy(),
        checked=_ON_DEVICE,
    ),
)


@dataclass(frozen=True)
class Capability:
    """A public function: calls on an array of ROWS vectors of SIZE entries, and what they keep."""

    name: str
    calls: tuple[Callable[[Any], Any], ...]
    ulps: float
    """Largest difference from NumPy's float64 result on the same values, in float64 and float32.

    In units of the dtype's spacing at the largest entry of the result.
    """
    exact: bool = False
    """Whether all backends return the same bits."""
    batch: str = "`axis`"
    gradient: str = "almost everywhere"


@dataclass(frozen=True)
class Report:
    """A public function that reports on ROWS vectors of SIZE entries, on the host."""

    name: str
    call: Callable[[Any], wn.TypicalityReport]
    relative: float
    """Largest relative difference of any log p-value from that of NumPy, same values and dtype."""
    batch: str = "`axis`"


def _isometry(name, isometry, ulps, exact=False):
    calls = (isometry.forward, isometry.adjoint)
    return Capability(f"isometries.{name}", calls, ulps, exact, "leading axes", "everywhere")


def inputs():
    """Vectors too wide to be typical whose entries differ in every dtype, so that none are tied."""
    rng = np.random.default_rng(0)
    x = np.stack([rng.permutation(np.linspace(-2.4, 2.6, SIZE)) for _ in range(ROWS)])
    x = x.astype(ml_dtypes.bfloat16).astype(np.float64)
    assert all(np.unique(row).size == SIZE for row in x)
    return x


_half = {"confidence_level": 0.5, "axis": 1}
_grid = (8, 8)

CAPABILITIES = (
    Capability("project_global", (partial(wn.project_global, **_half),), 1, exact=True),
    Capability("project_1os", (partial(wn.project_1os, **_half),), 1, exact=True),
    Capability("project_2os", (partial(wn.project_2os, chunk_size=16, **_half),), 1, exact=True),
    Capability(
        "project_tiles", (partial(wn.project_tiles, tile_size=8, chunk_size=4, **_half),), 4
    ),
    Capability("project_sphere", (partial(wn.project_sphere, axis=1),), 2, gradient="everywhere"),
    Capability(
        "pullback",
        (partial(wn.pullback(wn.project_1os, iso.RealFourier()), **_half),),
        4,
    ),
    Capability("whiten", (partial(wn.whiten, axis=1, preset="paper", rng=0),), 16),
    Capability(
        "Whitener",
        (partial(wn.Whitener(SIZE, preset="paper", sweeps=2), rng=0),),
        16,
        batch="leading axes",
    ),
    Capability(
        "baselines.identity", (baselines.identity,), 0, True, "unchanged", gradient="everywhere"
    ),
    Capability("baselines.wgnc", (partial(baselines.wgnc, axis=1),), 4),
    Capability(
        "baselines.mpgr_penalty",
        (lambda x: baselines.mpgr_penalty(x, axis=1, rng=0, return_gradient=True)[1],),
        4,
        gradient="almost everywhere; also returned",
    ),
    _isometry("Identity", iso.Identity(), 0, exact=True),
    _isometry("RealFourier", iso.RealFourier(), 4),
    _isometry("Hartley", iso.Hartley(_grid), 4),
    _isometry("Cosine", iso.Cosine(_grid, block=4), 4),
    _isometry("Butterfly", iso.Butterfly(6), 4, exact=True),
    _isometry("Permutation", iso.Permutation(range(SIZE)[::-1]), 0, exact=True),
    _isometry("AxisPermutation", iso.AxisPermutation(_grid, (1, 0)), 0, exact=True),
    _isometry("BlockPermutation", iso.BlockPermutation(_grid, (2, 4)), 0, exact=True),
    _isometry("SignedPermutation", iso.SignedPermutation(SIZE, seed=0), 0, exact=True),
    _isometry("Composition", iso.Butterfly(2) @ iso.RealFourier(), 4),
    _isometry("Adjoint", iso.Cosine(_grid).T, 4),
)


def _accumulated(x):
    held = wn.TypicalityAccumulator(SIZE)
    held.update(x)
    return held.report()


REPORTS = (
    Report("typicality", partial(wn.typicality, axis=1), 1e-9),
    Report("TypicalityAccumulator", _accumulated, 1e-9, "leading axes"),
)


def table():
    """Write the capabilities as the Markdown of docs/_tables/capabilities.md."""
    lines = ["| backend | dtypes | gradient | tested |", "|---|---|---|---|"]
    for b in BACKENDS:
        gradient = "yes" if b.gradient else "no"
        lines.append(f"| {b.name} | {', '.join(b.dtypes)} | {gradient} | {b.checked} |")
    lines += [
        "",
        "Every function takes every backend and dtype above.",
        "",
        "| function | batch | gradient (Torch) | agreement with NumPy in float64 |",
        "|---|---|---|---|",
    ]
    for c in CAPABILITIES:
        if c.exact:
            agreement = "same bits on every backend"
        else:
            agreement = f"{c.ulps:g} ulp of the largest entry"
        if c.exact and c.ulps:
            agreement += f"; float32 within {c.ulps:g} ulp of float64"
        lines.append(f"| `{c.name}` | {c.batch} | {c.gradient} | {agreement} |")
    for r in REPORTS:
        agreement = f"report on the host; every log p-value within {r.relative:g} of itself"
        lines.append(f"| `{r.name}` | {r.batch} | none: the report is detached | {agreement} |")
    return "\n".join(lines) + "\n"

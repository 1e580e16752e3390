"""Array backends: the only file that names one.

Everything else in the package is written against the array API standard (2024.12) through the
namespace that `array_namespace` returns. A backend is imported only if the caller passes one of its
arrays, in which case it is already loaded.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from array_api_compat import array_namespace as _compat_namespace
from scipy import special as scipy_special

__all__ = [
    "Array",
    "Namespace",
    "array_namespace",
    "backend_name",
    "contiguous",
    "device_kind",
    "dtype_name",
    "from_host",
    "is_on_host",
    "normal_score_of_modulus",
    "on_host",
    "refuse_capture",
    "seed_words",
    "square_root",
    "stop_gradient",
    "to_numpy",
    "tracks_gradient",
    "uncompiled",
]

Array = Any
Namespace = Any
Function = TypeVar("Function", bound=Callable[..., Any])


def backend_name(x: object) -> str | None:
    """Name the backend of an array, or return None if it is not an array of a supported backend."""
    if isinstance(x, np.ndarray):
        return "numpy"
    for name, type_name in (
        ("torch", "Tensor"),
        ("cupy", "ndarray"),
        ("array_api_strict", "Array"),
    ):
        module = sys.modules.get(name)
        if module is not None:
            kind = getattr(module, type_name, None)
            if kind is None:  # array_api_strict keeps its class in a private module
                kind = type(module.empty(0))
            if isinstance(x, kind):
                return name
    return None


def array_namespace(x: Array) -> Namespace:
    """Return the array API namespace of `x`, or raise TypeError naming its type."""
    backend = backend_name(x)
    if backend is None:
        raise TypeError(
            f"x must be a NumPy, CuPy, Torch or array-api-strict array, got "
            f"{type(x).__module__}.{type(x).__qualname__}"
        )
    if backend == "numpy" and type(x) not in (np.ndarray, np.memmap):
        raise TypeError(
            f"x is a {type(x).__qualname__}, whose extra meaning would be lost; pass "
            "numpy.asarray(x), or .filled(...) of a masked array"
        )
    if backend == "torch":
        _check_torch(x)
    return _compat_namespace(x)


def _check_torch(x: Array) -> None:
    torch = sys.modules["torch"]
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        raise NotImplementedError(
            "x is inside a torch.func transform, which the data-dependent sorting does not "
            "support; leading axes are already a batch (see axis), and gradients come from "
            "torch.autograd"
        )
    if x.layout is not torch.strided or x.is_meta:
        raise TypeError(
            f"x must be a dense torch tensor with data, got layout {x.layout} on {x.device}"
        )


def dtype_name(x: Array) -> str:
    """Return the dtype of `x` without its backend: ``"float32"``, ``"bfloat16"``, ..."""
    return str(x.dtype).rpartition(".")[2]


def stop_gradient(x: Array) -> Array:
    """Return `x` cut off from automatic differentiation."""
    return x.detach() if backend_name(x) == "torch" else x


def tracks_gradient(x: Array) -> bool:
    """Whether automatic differentiation records what is done to `x`."""
    return backend_name(x) == "torch" and x.requires_grad and sys.modules["torch"].is_grad_enabled()


def device_kind(x: Array) -> tuple[str | None, str]:
    """Name the backend of `x` and the kind of its device: ``("torch", "cuda")``, ..."""
    backend = backend_name(x)
    if backend == "torch":
        return backend, x.device.type
    return backend, "cuda" if backend == "cupy" else "cpu"


def refuse_capture(x: Array, argument: str, instead: str) -> None:
    """Raise RuntimeError while a CUDA graph is captured, which cannot ask the device anything."""
    backend, device = device_kind(x)
    if device != "cuda":
        return
    cuda = sys.modules[str(backend)].cuda
    if backend == "torch":
        capturing = cuda.is_current_stream_capturing()
    else:
        capturing = cuda.get_current_stream().is_capturing()
    if capturing:
        raise RuntimeError(
            f"{argument} waits for the device, which a CUDA graph cannot capture; pass {instead}"
        )


def square_root(x: Array, xp: Namespace) -> Array:
    """Square root, correctly rounded: Torch's on the CPU can be off in the last place."""
    if is_on_host(x) and not tracks_gradient(x):
        return from_host(np.sqrt(on_host(x)), x)
    return xp.sqrt(x)


def normal_score_of_modulus(x: Array) -> Array:
    """Map float64 N(0, 1) values to ``Phi^{-1}(2 Phi(|x|) - 1)``, N(0, 1) again, in -8..38."""
    backend = backend_name(x)
    special: Any = scipy_special
    if backend == "torch":
        special = sys.modules["torch"].special
    elif backend == "cupy":
        special = importlib.import_module("cupyx.scipy.special")
    host = np.asarray(x) if backend == "array_api_strict" else x  # it has no special functions
    upper = special.erfc(abs(host) * 0.5**0.5)  # P(|Z| > |x|) keeps its digits in the tail
    score = -special.ndtri(upper)
    score = array_namespace(score).clip(score, -8.0, 38.0)
    if backend == "array_api_strict":
        return array_namespace(x).asarray(score, device=x.device)
    return score


def contiguous(x: Array) -> Array:
    """Return `x` in row-major order; Torch's sort and search are slow, and say so, without it."""
    return x.contiguous() if backend_name(x) == "torch" else x


def to_numpy(x: Array) -> np.ndarray[Any, Any]:
    """Copy an array to the host as float64, for reports."""
    backend = backend_name(x)
    if backend == "torch":
        return np.asarray(x.detach().cpu().double().numpy())
    if backend == "cupy":
        return np.asarray(x.get(), dtype=np.float64)
    return np.asarray(x, dtype=np.float64)


def uncompiled(function: Function) -> Function:
    """Keep `function` out of ``torch.compile``, whose graphs cannot hold what depends on data.

    A compiled caller stops its graph there, runs `function` as usual, and goes on.
    """

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return cast(Function, wrapper)


def is_on_host(x: Array) -> bool:
    """Whether `x` is in the host's memory, but not NumPy's own: what `on_host` is for."""
    return device_kind(x) == ("torch", "cpu")


def on_host(x: Array) -> np.ndarray[Any, Any]:
    """Return an array that is in the host's memory as a NumPy array on the same memory."""
    return np.asarray(x.detach().resolve_neg().numpy() if backend_name(x) == "torch" else x)


def from_host(x: np.ndarray[Any, Any], like: Array) -> Array:
    """Return a NumPy array as one of the backend of `like`, on the same memory."""
    return sys.modules["torch"].from_numpy(x) if backend_name(like) == "torch" else x


def seed_words(rng: Any, like: Array) -> tuple[Any, Any]:
    """Take two 32-bit words from `rng`, see `RandomSource`.

    Python integers, or 0-d int64 arrays if `rng` is a generator on the device of `like`.
    """
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        if rng < 0:
            raise ValueError(f"rng must be a seed of at least 0, got {rng}")
        rng = np.random.default_rng(int(rng))
    elif rng is None:
        rng = np.random.default_rng()
    if isinstance(rng, np.random.Generator):
        return tuple(rng.integers(2**32, size=2).tolist())
    backend = backend_name(like)
    module = sys.modules.get(backend or "")
    if backend == "torch" and isinstance(rng, module.Generator):  # type: ignore[union-attr]
        if rng.device != like.device:
            raise ValueError(f"rng is a generator on {rng.device}, but x is on {like.device}")
        drawn = module.randint(2**32, (2,), generator=rng, device=like.device)  # type: ignore[union-attr]
        return tuple(drawn.tolist() if like.device.type == "cpu" else drawn)
    if backend == "cupy" and isinstance(rng, module.random.Generator):  # type: ignore[union-attr]
        return tuple(rng.integers(2**32, size=2))
    raise TypeError(
        "rng must be None, an integer seed, a numpy.random.Generator or the generator of the "
        f"backend of x ({backend}), got {type(rng).__module__}.{type(rng).__qualname__} {rng!r}"
    )

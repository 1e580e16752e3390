"""Array files by suffix: .npy, .npz, .safetensors (as NumPy arrays) and .pt (as Torch tensors).

`read` gives the arrays of a file, `Output` takes those of another one: it holds them in memory, or
for .npy in the file itself. A .npy file is mapped into memory, so that only the parts in use are
loaded. Optional packages are imported when a file needs them.
"""

from __future__ import annotations

import errno
import importlib
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap, write_array

from ._namespace import Array, backend_name, dtype_name

__all__ = [
    "SUFFIXES",
    "ArrayFile",
    "FileError",
    "Output",
    "check_format",
    "check_target",
    "read",
    "replacing",
]

UNNAMED = "arr_0"
"""Name of an array without one when it goes into a container, as in `numpy.savez`."""

_EXTRAS = {"torch": "torch", "safetensors": "cli", "ml_dtypes": "cli"}
_SAFETENSORS_DTYPES = {
    "BOOL": "bool",
    "C64": "complex64",
    "BF16": "bfloat16",
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


class FileError(Exception):
    """A file that cannot be read or written; the message names it."""


@dataclass(frozen=True)
class ArrayFile:
    """The contents of a file.

    Attributes
    ----------
    arrays
        Arrays by name; the only one is called `UNNAMED` if the file holds no names.
    named
        Whether the file is a container.
    metadata
        Free text that a .safetensors file carries.
    """

    arrays: dict[str, Array]
    named: bool = True
    metadata: dict[str, str] = field(default_factory=dict)


def check_format(path: Path) -> None:
    """Raise FileError if the suffix is unknown or the packages it needs are not installed."""
    if path.suffix not in _FORMATS:
        raise FileError(f"{path}: unknown suffix {path.suffix!r}, use one of {', '.join(SUFFIXES)}")
    for package in _FORMATS[path.suffix].packages:
        _optional(package, path)


def check_target(path: Path) -> None:
    """Raise FileError if no file can be made at `path`, as far as can be told by looking."""
    check_format(path)
    if path.is_dir() or not path.parent.is_dir():
        reason = "is a directory" if path.is_dir() else f"no directory {path.parent}"
        raise FileError(f"{path}: {reason}")


def read(path: Path) -> ArrayFile:
    """Read a file of one of `SUFFIXES`."""
    check_format(path)
    if not path.is_file():
        raise FileError(f"{path}: {'is not a file' if path.exists() else 'no such file'}")
    try:
        contents = _FORMATS[path.suffix].read(path)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # each format has exceptions of its own for damaged files
        reason = str(error).partition("\n")[0].strip() or type(error).__name__
        raise FileError(f"{path}: not a readable {path.suffix} file ({reason})") from error
    for name, array in contents.arrays.items():
        if isinstance(array, np.ndarray) and not array.dtype.isnative:
            contents.arrays[name] = array.astype(array.dtype.newbyteorder("="))
    return contents


class Output:
    """The file that is being made.

    Parameters
    ----------
    path
        Where to write now.
    target
        The name it will have: its suffix is the format, and errors name it.
    contents
        Arrays that it will hold, as they were read. Whatever the format cannot hold is refused
        here, before any work.
    """

    def __init__(self, path: Path, target: Path, contents: ArrayFile) -> None:
        self._path = path
        self._format = _FORMATS[target.suffix]
        self._contents = contents
        if not self._format.container and len(contents.arrays) != 1:
            raise FileError(
                f"{target}: {target.suffix} holds one array, but there are {len(contents.arrays)}"
            )
        for name, array in contents.arrays.items():
            try:
                self._format.convert(array[:0] if array.ndim else array)
            except (TypeError, RuntimeError) as error:
                of = f" (array {name!r})" if contents.named else ""
                raise FileError(
                    f"{target}: {target.suffix} cannot hold dtype {dtype_name(array)}{of}"
                ) from error

    def empty_like(self, array: Array) -> Array:
        """Make an array to be filled, in the file itself where the format allows it."""
        if backend_name(array) == "torch":
            return array.new_empty(array.shape)
        if self._format.container:
            return np.empty(array.shape, array.dtype)
        mapped = open_memmap(self._path, mode="w+", dtype=array.dtype, shape=array.shape)
        _reserve(self._path)
        return mapped

    def save(self, arrays: dict[str, Array]) -> None:
        """Write the file, with `arrays` in place of those of the same name."""
        changed = {
            name: self._format.convert(arrays.get(name, array))
            for name, array in self._contents.arrays.items()
        }
        self._format.write(self._path, replace(self._contents, arrays=changed))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary file that becomes `path` at the end, or vanishes if something fails."""
    final = Path(os.path.realpath(path))
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.touch(exist_ok=False)
        permissions = (final if final.exists() else temporary).stat().st_mode
        yield temporary
        temporary.chmod(permissions)  # safetensors makes files that only their owner can read
        os.replace(temporary, final)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _reserve(path: Path) -> None:
    """Claim the space of a sparse file: a full disk is an error now, not a crash later."""
    if not hasattr(os, "posix_fallocate"):
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise


def _optional(package: str, path: Path) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise FileError(
            f"{path}: needs the package {package}; install the extra: "
            f'pip install "noisetilt[{_EXTRAS[package]}]"'
        ) from error


def _as_numpy(array: Array) -> Array:
    """Turn a tensor into a NumPy array; TypeError if its dtype is not one of NumPy's own."""
    if dtype_name(array) == "bfloat16":
        raise TypeError("NumPy files have no bfloat16")
    return array.detach().numpy() if backend_name(array) == "torch" else array


def _read_npy(path: Path) -> ArrayFile:
    return ArrayFile({UNNAMED: np.asarray(open_memmap(path, mode="r"))}, named=False)


def _write_npy(path: Path, contents: ArrayFile) -> None:
    (array,) = contents.arrays.values()
    if isinstance(array, np.memmap) and Path(str(array.filename)) == path:  # from `empty_like`
        array.flush()
        return
    with path.open("wb") as file:
        write_array(file, array, allow_pickle=False)


def _read_npz(path: Path) -> ArrayFile:
    if not zipfile.is_zipfile(path):
        raise ValueError("not a zip archive")
    with np.load(path, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"member {name!r} is not an array")
    return ArrayFile(arrays)


def _write_npz(path: Path, contents: ArrayFile) -> None:
    # numpy.savez takes names as keyword arguments and cannot write one called "file".
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in contents.arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                write_array(member, array, allow_pickle=False)


def _safetensors_array(array: Array) -> Array:
    if backend_name(array) == "torch":
        if dtype_name(array) == "bfloat16":
            bits = array.detach().contiguous().view(importlib.import_module("torch").int16)
            array = bits.numpy().view("bfloat16")
        else:
            array = array.detach().numpy()
    if array.dtype.name not in _SAFETENSORS_DTYPES.values():
        raise TypeError(f"no dtype {array.dtype} in the format")
    return np.ascontiguousarray(array).reshape(array.shape)


def _read_safetensors(path: Path) -> ArrayFile:
    arrays = {}
    importlib.import_module("ml_dtypes")  # gives NumPy bfloat16
    with importlib.import_module("safetensors").safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict
            stored = file.get_slice(name).get_dtype()
            if stored not in _SAFETENSORS_DTYPES:
                raise ValueError(f"array {name!r} has dtype {stored}, unknown to NumPy")
            arrays[name] = file.get_tensor(name)
        return ArrayFile(arrays, metadata=file.metadata() or {})


def _write_safetensors(path: Path, contents: ArrayFile) -> None:
    save_file = importlib.import_module("safetensors.numpy").save_file
    save_file(contents.arrays, path, metadata=contents.metadata or None)


def _as_tensor(array: Array) -> Array:
    if backend_name(array) == "torch":
        return array
    torch = importlib.import_module("torch")
    if dtype_name(array) == "bfloat16":
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def _read_pt(path: Path) -> ArrayFile:
    torch = importlib.import_module("torch")
    try:
        value = torch.load(path, weights_only=True, map_location="cpu")
    except OSError:
        raise
    except Exception as error:  # the many ways in which unpickling fails
        raise ValueError("damaged, or holds more than tensors") from error
    if isinstance(value, torch.Tensor):
        return ArrayFile({UNNAMED: value}, named=False)
    if not isinstance(value, dict):
        raise ValueError(f"holds a {type(value).__name__}, not a tensor or a dict of tensors")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"entry {name!r} is a {type(tensor).__name__}, not a named tensor")
    return ArrayFile(dict(value))


def _write_pt(path: Path, contents: ArrayFile) -> None:
    arrays: Any = contents.arrays
    if not contents.named:
        (arrays,) = arrays.values()
    importlib.import_module("torch").save(arrays, path)


@dataclass(frozen=True)
class _Format:
    read: Callable[[Path], ArrayFile]
    convert: Callable[[Array], Array]
    write: Callable[[Path, ArrayFile], None]
    container: bool = True
    packages: tuple[str, ...] = ()


_FORMATS = {
    ".npy": _Format(_read_npy, _as_numpy, _write_npy, container=False),
    ".npz": _Format(_read_npz, _as_numpy, _write_npz),
    ".pt": _Format(_read_pt, _as_tensor, _write_pt, packages=("torch",)),
    ".safetensors": _Format(
        _read_safetensors,
        _safetensors_array,
        _write_safetensors,
        packages=("safetensors", "ml_dtypes"),
    ),
}

SUFFIXES = tuple(_FORMATS)
"""Suffixes of the formats, in the order in which messages list them."""

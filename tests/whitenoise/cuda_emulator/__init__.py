"""Runs the CUDA kernels on the host, through the launches that CuPy makes; see emulator.h.

The source is the one that NVRTC compiles for a device; g++ compiles it here after a header that
explains CUDA's names. It says nothing about speed, and does not replace a device: it runs threads
in turns, with the host's arithmetic and library functions.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import weakref
from pathlib import Path

import numpy as np

from whitenoise._kernels.cupy_cuda.launch import Launcher, Sizes, source

HEADER = Path(__file__).parent / "emulator.h"
COMPILER = shutil.which("g++")
FLAGS = ("-std=c++17", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-fno-gnu-unique")
SANITIZE = ("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


class _Namespace:
    """NumPy, with new arrays full of what would be noticed if it were read."""

    def __init__(self):
        self.allocated = []

    def empty(self, shape, dtype):
        array = np.empty(shape, dtype)
        array.reshape(-1).view(np.uint8)[...] = 0xAB
        self.allocated.append(weakref.ref(array))
        return array

    def __getattr__(self, name):
        return getattr(np, name)


class Emulator:
    """A device for `Launcher`, on the host.

    Parameters
    ----------
    folder
        Where compiled modules are kept.
    threads, tile, held_bits
        As in `Sizes`; small ones make small inputs take the ways of large ones.
    flags
        More flags for the compiler.

    Attributes
    ----------
    stride
        Threads take turns in the order 0, stride, 2 stride, ...; blocks in reverse unless it is 1.
    watching
        Whether to check that no two blocks of a launch write in one place.
    launches
        Names of the kernels launched.
    """

    def __init__(self, folder, *, threads=16, tile=64, held_bits=5, flags=()):
        self.folder = Path(folder)
        self.own_sizes = (threads, tile, held_bits)
        self.flags = flags
        self.xp = _Namespace()
        self.stride = 1
        self.watching = False
        self.launches = []
        self._libraries = {}

    @classmethod
    def as_released(cls, folder):
        """With the sizes that are compiled for devices."""
        emulator = cls(folder)
        emulator.own_sizes = None
        return emulator

    def sizes(self, dtype):
        bits = 8 * np.dtype(dtype).itemsize
        return Sizes(bits, *self.own_sizes) if self.own_sizes else Sizes.of(dtype)

    def address(self, array):
        return array.ctypes.data

    def launch(self, module, kernel, dtype, blocks, *args):
        self.launches.append(kernel)
        assert 0 < blocks < 2**31
        values = []
        for arg in args:
            if isinstance(arg, np.ndarray) and arg.dtype.names is None:
                assert arg.flags.c_contiguous
                values.append(np.array(arg.ctypes.data, np.uint64))
            else:
                values.append(np.asarray(arg))
        addresses = (ctypes.c_void_p * len(values))(*(v.ctypes.data for v in values))
        library = self.library(module, dtype)
        run = getattr(library, f"emulated_{kernel}")
        written = None
        for block in range(blocks) if self.stride == 1 else reversed(range(blocks)):
            before = self._memory() if self.watching else None
            line = run(blocks, block, self.stride, addresses)
            assert not line, (
                f"{kernel}: not all threads of a block reach the barrier of line {line}"
            )
            if self.watching:
                changed = self._memory() != before
                assert written is None or not np.any(written & changed), (
                    f"{kernel}: two blocks write in one place"
                )
                written = changed if written is None else written | changed

    def _memory(self):
        """All bytes that kernels may write."""
        arrays = (reference() for reference in self.xp.allocated)
        return np.concatenate([a.reshape(-1).view(np.uint8) for a in arrays if a is not None])

    def library(self, module, dtype):
        key = module, np.dtype(dtype).name
        if key not in self._libraries:
            self._libraries[key] = ctypes.CDLL(str(self._compile(*key)))
        return self._libraries[key]

    def _compile(self, module, dtype):
        text = source(module)
        kernels = re.findall(r'extern "C" __global__ void __launch_bounds__\(THREADS\) (\w+)', text)
        assert kernels
        path = self.folder / f"{module}_{dtype}.cpp"
        calls = "".join(f"EMULATE({kernel})\n" for kernel in kernels)
        path.write_text(f'#include "{HEADER}"\n#line 1 "{module}.cu"\n{text}\n{calls}')
        definitions = self.sizes(dtype).definitions
        command = [COMPILER, *FLAGS, *self.flags, *definitions, path, "-o", path.with_suffix(".so")]
        subprocess.run(command, check=True)
        return path.with_suffix(".so")

    @property
    def launcher(self):
        return Launcher(self)

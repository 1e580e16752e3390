"""The CUDA kernels as they are built: for CuPy, for devices, and under sanitizers."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_emulator import COMPILER, Emulator

from whitenoise._kernels.cupy_cuda.launch import MODULES, Sizes, source
from whitenoise._random import RandomSource
from whitenoise.order_statistics import two_level_interval

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="g++ is not installed")
NVCC = shutil.which("nvcc")


class _Array(np.ndarray):
    """A NumPy array with what the kernels ask of CuPy's."""

    device = nullcontext()

    @property
    def data(self):
        return SimpleNamespace(ptr=self.ctypes.data)


def stand_in_for_cupy(emulator, compiled):
    """A module with what the kernels ask of CuPy, which runs the emulator."""

    class RawModule:
        def __init__(self, code, options):
            self.name = next(m for m in MODULES if code == source(m))
            self.dtype = np.float64 if "-DREAL_BITS=64" in options else np.float32
            assert {"--fmad=false", *Sizes.of(self.dtype).definitions} <= set(options)
            compiled.append((self.name, self.dtype))

        def compile(self):
            pass

        def get_function(self, kernel):
            def launch(grid, block, args):
                assert block == (Sizes.of(self.dtype).threads,)
                emulator.launch(self.name, kernel, self.dtype, *grid, *args)

            return launch

    return SimpleNamespace(
        RawModule=RawModule,
        empty=lambda shape, dtype: np.empty(shape, dtype).view(_Array),
        ascontiguousarray=lambda a: np.ascontiguousarray(a).view(_Array),
    )


@needs_compiler
def test_cupy_is_asked_as_it_documents(tmp_path, monkeypatch):
    """One module for each dtype, options and blocks of the released sizes, current device."""
    emulator, compiled = Emulator.as_released(tmp_path), []
    monkeypatch.setitem(sys.modules, "cupy", stand_in_for_cupy(emulator, compiled))
    kernels = importlib.import_module("whitenoise._kernels.cupy_cuda")
    kernels._compiled.cache_clear()
    x = np.random.default_rng(0).standard_normal(640).view(_Array)
    ends = [np.asarray(e, order="F").view(_Array) for e in two_level_interval(40, 16, 0.5)]
    ties = RandomSource(0, np.asarray(x)).stream()
    points = [np.asarray(kernels.two_level(x, *ends, ties, ties)[0]) for _ in range(2)]
    expected = emulator.launcher.two_level(np.asarray(x), *map(np.asarray, ends), ties, ties)[0]
    for point in points:
        np.testing.assert_array_equal(point, expected)
    assert compiled == [("two_level", np.float64)]
    kernels.compile_kernels(x)
    assert sorted(compiled) == sorted((module, np.float64) for module in MODULES)
    kernels._compiled.cache_clear()


def test_cupy_is_not_imported_with_the_kernels():
    command = "import sys, whitenoise._kernels.cupy_cuda; sys.exit('cupy' in sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)


@needs_compiler
def test_no_access_is_out_of_bounds_or_undefined(tmp_path):
    """Under the address and undefined-behaviour sanitizers of the host, not those of a device."""
    library = subprocess.run(
        [COMPILER, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if "/" not in library:
        pytest.skip("g++ has no address sanitizer")
    environment = {
        **os.environ,
        "LD_PRELOAD": library,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONPATH": ":".join(sys.path),
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, "-m", "cuda_emulator", str(tmp_path)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "checked"


@pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("architecture", [90, pytest.param(80, marks=pytest.mark.slow)])
def test_compiles_for_devices(tmp_path, architecture, module, dtype):
    """Without a warning, in the registers and the shared memory that all devices grant."""
    path = tmp_path / "kernels.cu"
    path.write_text(source(module))
    options = ["--std=c++17", "--fmad=false", f"-arch=sm_{architecture}", "-Xptxas", "-v"]
    options += ["-Werror", "all-warnings", *Sizes.of(dtype).definitions, "-cubin"]
    command = [NVCC, *options, path, "-o", tmp_path / "kernels.cubin"]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    kernels = len(re.findall("__global__", source(module)))
    shared = [int(size) for size in re.findall(r"(\d+) bytes smem", ended.stderr)]
    registers = [int(count) for count in re.findall(r"Used (\d+) registers", ended.stderr)]
    assert len(registers) == kernels
    assert max(registers) * Sizes.of(dtype).threads <= 65536
    assert max(shared, default=0) <= 48 * 1024

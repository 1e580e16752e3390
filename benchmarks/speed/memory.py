"""Peak memory of one warmed call, in multiples of its input.

Python's own tracer sees NumPy's arrays but neither Numba's nor Torch's, so the system is asked. A
child process makes the call once, so that tables of bounds and compiled kernels are there, and lets
go of the result. It has Linux forget the largest resident set so far (``/proc/self/clear_refs``),
notes the resident set, calls again, and reads the largest one (``VmHWM``). The result of the call
counts, its input does not. The C library is told to give freed blocks back at once, or memory kept
from the first call would hide that of the second. Linux counts pages in batches: below a megabyte
of input the figure means little.

    python -m benchmarks.speed.memory "numpy generic" paper 1048576 1 float32 noise
"""

from __future__ import annotations

import gc
import os
import re
import subprocess
import sys
from pathlib import Path

from .cases import make_input, paths
from .record import ROOT

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RETURN_FREED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def measurable() -> bool:
    """Whether this system can say: Linux can, unless a container forbids it."""
    return os.access(FORGET, os.W_OK)


def resident_peak(call, forget=FORGET, status=STATUS) -> int:
    """Bytes by which the resident set grows at most during `call`."""
    gc.collect()
    forget.write_text("5")  # VmHWM starts anew from what is resident
    before = _status_bytes("VmRSS", status)
    call()
    return _status_bytes("VmHWM", status) - before


def _status_bytes(field: str, status: Path) -> int:
    return 1024 * int(re.search(rf"^{field}:\s+(\d+) kB", status.read_text(), re.M).group(1))


def in_child(path: str, stage: str, size: int, batch: int, dtype: str, kind: str) -> float | None:
    """Peak extra memory over the bytes of the input, or None if `path` has no such stage."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", path, stage]
    command += [str(size), str(batch), dtype, kind]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **RETURN_FREED},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout) if done.stdout.strip() else None


def main() -> None:
    name, stage, size, batch, dtype, kind = sys.argv[1:]
    path = next(p for p in paths() if p.name == name)
    x = make_input(kind, int(batch), int(size), dtype)
    call = path.call(stage, x)
    if call is not None:
        call()
        print(resident_peak(call) / x.nbytes)


if __name__ == "__main__":
    main()

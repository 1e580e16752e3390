"""The whitening operator on a CUDA device, each figure next to its floor.

python -m benchmarks.gpu                        # writes docs/_tables/gpu.md

First the results are compared with the generic float64 path. Then every operator is timed eagerly
and captured in a CUDA graph, in turns with the same operator written with `torch.sort`. The floor
is the time in which the device copies the input to the output. Without a device it says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import whitenoise as wn
from benchmarks.speed.cases import make_input
from benchmarks.speed.record import ROOT, Row, circumstances
from benchmarks.speed.tables import grid, machine, ratio, seconds
from benchmarks.speed.timing import interleaved

SHAPES = {
    "FLUX 16x64x64": (16, 64, 64),
    "FLUX-1024 16x128x128": (16, 128, 128),
    "Wan 16x21x60x104": (16, 21, 60, 104),
}
BATCHES = (1, 8, 64)
OPERATORS: dict[str, dict[str, Any]] = {
    "paper": {"preset": "paper"},
    "default-1": {"preset": "default-1"},
    "default-1, 5 sweeps": {"preset": "default-1", "sweeps": 5},
    "default": {"preset": "default"},
}
ITEM_BYTES = {"float32": 4, "bfloat16": 2}
# Rounding of the result, relative to its norm, that no implementation can avoid.
ROUNDING = {"float32": 2.0**-23, "bfloat16": 2.0**-8}
BUDGET = 0.2  # seconds for the repeats of one call
COPIED = 2**30  # bytes


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    operator: str
    shape: str
    batch: int
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(SHAPES[self.shape])

    @property
    def capturable(self) -> bool:
        """Whether nothing asks the device what to do next, which a graph cannot."""
        return self.operator not in ("default-1", "default")

    @property
    def kind(self) -> str:
        """Noise, but for the default, which does nothing to it but test it."""
        return "sines" if self.operator == "default" else "noise"

    def whitener(self) -> wn.Whitener:
        return wn.Whitener(SHAPES[self.shape], **OPERATORS[self.operator])


def cases(dtypes) -> list[Case]:
    found = (Case(*c) for c in product(OPERATORS, SHAPES, BATCHES, dtypes))
    return [case for case in found if case.operator != "default" or case.batch == 1]


def floor_seconds(values: int, item_bytes: int, bandwidth: float) -> float:
    """Time to read and write every value once at `bandwidth` bytes per second."""
    return 2 * values * item_bytes / bandwidth


def agrees(found, exact, rounded, dtype: str) -> bool:
    """Whether `found` is as near to the exact result as float32 on the generic path allows.

    A rounding may exchange two ranks, so the operator itself says what it makes of roundings: four
    times the error of the generic path in float32 is allowed.
    """
    scale = np.linalg.norm(exact)
    error, reference = (np.linalg.norm(y - exact) / scale for y in (found, rounded))
    return bool(error <= 4 * (reference + ROUNDING[dtype]))  # false for NaN


class TorchCuda:
    """Torch on its current CUDA device."""

    dtypes = ("float32", "bfloat16")

    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")
        self.out_of_memory = self.torch.OutOfMemoryError
        self.wait = self.torch.cuda.synchronize

    def array(self, x: np.ndarray, dtype: str) -> Any:
        return self.torch.from_numpy(x).to("cuda", getattr(self.torch, dtype))

    def to_host(self, x: Any) -> np.ndarray:
        return x.double().cpu().numpy()

    def copying(self) -> Callable[[], object]:
        """Return a call that copies `COPIED` bytes on the device."""
        source = self.torch.ones(COPIED // 4, device="cuda")
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)

    def captured(self, call: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
        """Return the replay of a graph of `call`, and the array that it writes."""
        cuda = self.torch.cuda
        side = cuda.Stream()
        side.wait_stream(cuda.current_stream())
        with cuda.stream(side):
            for _ in range(3):  # tables, plans and compiled kernels
                call()
        cuda.current_stream().wait_stream(side)
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            result = call()
        return graph.replay, result

    def launches(self, call: Callable[[], object]) -> int:
        """Kernels, copies and fills that `call` starts on the device."""
        profiler = self.torch.profiler
        with profiler.profile(activities=list(profiler.supported_activities())) as profile:
            call()
            self.wait()
        kind = self.torch.autograd.DeviceType.CUDA
        return sum(event.device_type == kind for event in profile.events())

    def straightforward(self, case: Case, like: Any) -> Callable[[], object] | None:
        """Return the call of the operator written with `torch.sort`, if it is."""
        if case.operator != "paper":
            return None
        plain = importlib.import_module("benchmarks.speed.straightforward")
        flat = like.reshape(case.batch, case.size)
        sweep = plain.paper(case.size, flat)
        return lambda: sweep(flat)


class CupyCuda:
    """CuPy on its current device; it has no bfloat16, and nothing counts its launches here."""

    dtypes = ("float32",)

    def __init__(self) -> None:
        self.cupy = importlib.import_module("cupy")
        self.out_of_memory = self.cupy.cuda.memory.OutOfMemoryError
        self.wait = self.cupy.cuda.Device().synchronize

    def array(self, x: np.ndarray, dtype: str) -> Any:
        return self.cupy.asarray(x, dtype=dtype)

    def to_host(self, x: Any) -> np.ndarray:
        return self.cupy.asnumpy(x).astype(np.float64)

    def copying(self) -> Callable[[], object]:
        source = self.cupy.ones(COPIED // 4, dtype="float32")
        target = self.cupy.empty_like(source)
        return lambda: self.cupy.copyto(target, source)

    def captured(self, call: Callable[[], Any]) -> tuple[Callable[[], object], Any]:
        stream = self.cupy.cuda.Stream(non_blocking=True)
        with stream:
            for _ in range(3):  # also fills the stream's pool, since a graph cannot allocate
                call()
            stream.synchronize()
            stream.begin_capture()
            result = call()
            graph = stream.end_capture()
        return lambda: graph.launch(stream), result

    def launches(self, call: Callable[[], object]) -> None:
        return None

    def straightforward(self, case: Case, like: Any) -> None:
        return None


def present() -> list[Any]:
    """Libraries that can reach a CUDA device here."""
    found: list[Any] = []
    if importlib.util.find_spec("torch") and importlib.import_module("torch").cuda.is_available():
        found.append(TorchCuda())
    if importlib.util.find_spec("cupy") and importlib.import_module("cupy").cuda.is_available():
        found.append(CupyCuda())
    return found


def bandwidth(device: Any) -> float:
    """Bytes read and written per second by a large copy."""
    copy = device.copying()
    timed = interleaved({"copy": finished(copy, device)}, BUDGET)
    return 2 * COPIED / timed["copy"].best


def finished(call: Callable[[], object], device: Any) -> Callable[[], object]:
    def run() -> None:
        call()
        device.wait()

    return run


def disagreements(device: Any, shapes=SHAPES) -> list[str]:
    """Where results on the device differ from the generic float64 path beyond rounding."""
    found = []
    for shape, dtype, kind in product(shapes, device.dtypes, ("noise", "sines", "heavy-tailed")):
        case = Case("paper", shape, 1, dtype)
        operator = case.whitener()
        x = device.array(as_shaped(case, kind), dtype)
        y = device.to_host(operator(x, rng=0))
        same = device.to_host(x)  # rounded to the dtype
        with wn.generic_path():
            exact = operator(same, rng=0)
            rounded = operator(same.astype(np.float32), rng=0)
        if not agrees(y, exact, rounded, dtype):
            found.append(f"{shape}, {dtype}, {kind}")
    return found


def as_shaped(case: Case, kind: str) -> np.ndarray:
    flat = make_input(kind, case.batch, case.size, "float32")
    return flat.reshape(case.batch, *SHAPES[case.shape])


def measure(device: Any, case: Case, speed: float) -> Row:
    """Times of one case; what does not exist or does not fit in memory is None."""
    row: Row = {
        "case": case,
        "path": None,
        "floor": floor_seconds(case.batch * case.size, ITEM_BYTES[case.dtype], speed),
        "launches": None,
        "eager": None,
        "captured": None,
        "plain": None,
        "plain captured": None,
    }
    try:
        x = device.array(as_shaped(case, case.kind), case.dtype)
        row["path"] = wn.kernel_path(x)
        calls, unwaited = _calls(device, case, x)
        timed = interleaved({n: finished(c, device) for n, c in calls.items()}, BUDGET)
        row |= {name: timing.best for name, timing in timed.items()}
        row["launches"] = device.launches(unwaited)
    except device.out_of_memory:
        pass
    return row


def _calls(device: Any, case: Case, x: Any) -> tuple[dict[str, Callable[[], object]], Any]:
    """Return the calls to time, and the one whose launches count."""
    operator = case.whitener()
    calls: dict[str, Callable[[], object]] = {"eager": lambda: operator(x, rng=0)}
    counted = calls["eager"]
    captures = case.capturable and wn.kernel_path(x) != "generic"
    if captures:

        def unwaited() -> Any:
            return operator(x, rng=0, check_finite=False)

        calls["captured"], result = device.captured(unwaited)
        calls["captured"]()
        device.wait()
        if not np.array_equal(device.to_host(result), device.to_host(unwaited())):
            raise AssertionError(f"{case}: the graph does not repeat the eager result")
        counted = unwaited
    plain = device.straightforward(case, x)
    if plain is not None:
        calls["plain"] = plain
        if captures:
            calls["plain captured"], _ = device.captured(plain)
    return calls, counted


def table(rows: list[Row]) -> list[str]:
    """Markdown table, one line a case."""

    def line(row: Row) -> list[str]:
        case = row["case"]
        ours = row["captured"] or row["eager"]
        plain = row["plain captured"] or row["plain"]
        times = [_time(row[name]) for name in ("floor", "eager", "captured")]
        return [
            case.operator,
            case.shape,
            str(case.batch),
            case.dtype,
            row["path"] or "-",
            "-" if row["launches"] is None else str(row["launches"]),
            *times,
            ratio(ours / row["floor"]) if ours else "-",
            _time(row["plain"]),
            _time(row["plain captured"]),
            ratio(plain / ours) if plain and ours else "-",
        ]

    head = ["operator", "array", "batch", "dtype", "path", "launches", "floor", "eager", "captured"]
    head += ["÷ floor", "`torch.sort`", "the same, captured", "÷ ours"]
    return grid(head, map(line, rows), left=2)


def _time(value: float | None) -> str:
    return "-" if value is None else seconds(value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "_tables" / "gpu.md")
    arguments = parser.parse_args()
    devices = present()
    if not devices:
        print("No CUDA device is within reach of Torch or CuPy: nothing was measured.")
        return
    lines = [*machine([circumstances()]), ""]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for device in devices:
        name = type(device).__name__
        wn.compile_kernels(device.array(np.zeros(1, np.float32), "float32"))
        wrong = disagreements(device)
        if wrong:
            raise SystemExit(f"{name} is not within rounding of the generic path: {wrong}")
        speed = bandwidth(device)
        rows = []
        for case in tqdm(cases(device.dtypes), desc=name):
            rows.append(measure(device, case, speed))
            found = [f"{name}, copies at {speed / 1e9:,.0f} GB/s:", "", *table(rows), ""]
            # After every case: time on such a machine may end without warning.
            arguments.out.write_text("\n".join([*lines, *found]), encoding="utf-8")
        lines += found
    print("\n".join(lines))


if __name__ == "__main__":
    main()

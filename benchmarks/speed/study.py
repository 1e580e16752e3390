"""The grid of measurements: cost against N, kinds of input, batches, memory, cold start."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from . import cold, memory
from .cases import INPUTS, STAGES, Path, make_input, paths
from .record import Row, circumstances
from .timing import Patience, interleaved

SIZES = tuple(2**k for k in (10, 12, 14, 16, 18, 20, 22, 23))
SORT = "np.sort"


@dataclass(frozen=True)
class Plan:
    """How much to measure. The cost of every stage is measured at every size, on noise."""

    sizes: Sequence[int]
    size: int
    """Of the vectors of other inputs, of the batches, and of the cold start."""
    batches: Sequence[int]
    memory: Sequence[tuple[str, int, int]]
    """Stage, batch and size of each measurement of memory."""
    stages: Sequence[str] = tuple(STAGES)
    inputs: Sequence[str] = tuple(INPUTS)
    budget: float = 0.3
    """Seconds for the repeats of one call."""
    longest: float = 5.0
    """Seconds of a call beyond which it is left out."""
    processes: int = 3
    """For each cold start."""


FULL_MEMORY = tuple(
    (stage, batch, size)
    for stage in ("2OS, chunk 64", "paper")
    for batch, size in ((1, 2**20), (16, 65536))
)
FULL = Plan(SIZES, 65536, (1, 8, 64), FULL_MEMORY)
QUICK = Plan(
    (2**10, 2**12, 2**14),
    2**12,
    (1, 4),
    (("paper", 1, 2**18),),
    inputs=("noise", "sines"),
    budget=0.01,
    longest=0.5,
    processes=1,
)


@dataclass(frozen=True)
class Case:
    """One comparison: all paths on the same array."""

    stage: str
    size: int
    batch: int = 1
    kind: str = "noise"
    dtype: str = "float32"


def cases(plan: Plan) -> list[Case]:
    """Comparisons of times, each once; sizes increase, so that what is too slow is foreseen."""
    found = [Case(stage, size) for size in sorted(plan.sizes) for stage in plan.stages]
    found += [
        Case(stage, plan.size, kind=kind, dtype=dtype)
        for stage in plan.stages
        for kind, dtype in [("noise", "float64"), *((kind, "float32") for kind in plan.inputs)]
    ]
    found += [Case("paper", plan.size, batch) for batch in sorted(plan.batches)]
    return list(dict.fromkeys(found))


def compare_paths(
    case: Case, present: Sequence[Path], budget: float, patience: Patience
) -> list[Row]:
    """Time every path on one array, in turns with `np.sort` of the same values in one row."""
    x = make_input(case.kind, case.batch, case.size, case.dtype)
    flat = x.ravel()
    calls: dict[str, Any] = {SORT: lambda: np.sort(flat)}
    # Ties and sweeps make other inputs slower: they are not judged by the times of noise.
    keys = {path.name: (path.name, case.stage, case.kind, case.dtype) for path in present}
    for path in present:
        if patience.allows(keys[path.name], x.size):
            call = path.call(case.stage, x)
            if call is not None:
                calls[path.name] = call
    found = interleaved(calls, budget, patience.longest)
    rows = []
    for name in [name for name in calls if name != SORT]:
        if name not in found:
            patience.saw(keys[name], x.size, math.inf)
            continue
        patience.saw(keys[name], x.size, found[name].best)
        rows.append(
            {
                "measure": "cost",
                "stage": case.stage,
                "size": case.size,
                "batch": case.batch,
                "input": case.kind,
                "dtype": case.dtype,
                "path": name,
                "repeats": found[name].repeats,
                "seconds": found[name].best,
                "median": found[name].median,
                "sort": found[SORT].best,
                "ratio": found[name].best / found[SORT].best,
            }
        )
    return rows


def cost_rows(plan: Plan, present: Sequence[Path]) -> Iterator[Row]:
    patience = Patience(plan.longest)
    bar = tqdm(cases(plan), desc="time", unit=" comparisons")
    for case in bar:
        bar.set_postfix_str(f"{case.stage}, {case.batch} x {case.size}")
        yield from compare_paths(case, present, plan.budget, patience)


def memory_rows(plan: Plan, present: Sequence[Path]) -> Iterator[Row]:
    """Peak memory of the paths on the CPU."""
    on_cpu = [path.name for path in present if "cuda" not in path.name and "cupy" not in path.name]
    tasks = [(path, stage, size, batch) for stage, batch, size in plan.memory for path in on_cpu]
    for path, stage, size, batch in tqdm(tasks if memory.measurable() else [], desc="memory"):
        multiple = memory.in_child(path, stage, size, batch, "float32", "noise")
        if multiple is not None:
            case = {"stage": stage, "size": size, "batch": batch, "input": "noise"}
            yield {"measure": "memory", **case, "dtype": "float32", "path": path, "peak": multiple}


def run(plan: Plan) -> list[Row]:
    """Measure everything in `plan`."""
    present = list(paths())
    rows = list(cost_rows(plan, present))
    rows += memory_rows(plan, present)
    fast = next((p.name for p in present[1:] if p.name.startswith("numpy ")), "numpy generic")
    starts = cold.cold_starts(fast.removeprefix("numpy "), plan.size, plan.processes)
    rows += [{"measure": "cold start", **row} for row in starts]
    shared = circumstances()
    return [{**shared, **row} for row in rows]

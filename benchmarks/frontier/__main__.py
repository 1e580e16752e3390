"""Measure every operator on every input.

python -m benchmarks.frontier [--jobs N] [--parts 16x64x64,...] [--out docs/_tables]

Parts that are not asked for stay as the file of rows has them.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

import whitenoise as wn

from . import battery, discriminator, inputs
from .bound import upper_bound
from .operators import OURS, operators
from .tables import read, write

DRAWS = {inputs.WORLD: 200, (4, 64, 64): 20, (16, 64, 64): 10, (16, 21, 60, 104): 1}  # of ours
PARTS = {"x".join(map(str, shape)): shape for shape in DRAWS}
DISCRIMINATORS = "discriminators"
FEW = 5  # draws of operators that show at once, at most
RHO = 0.3  # of the mixed noise
COMPARED = ("one sweep (paper)", OURS)  # where time is dear
NOT_TOLD = ("sphere", "MPGR descent")  # no discriminator: as the identity's, and slow
PROMPTS = 8  # of each task, whose gradients are collected


@cache
def named(shape, path):
    """Inputs of a shape by name."""
    found = inputs.fields(shape)
    if shape == inputs.WORLD:
        found = inputs.shown(np.load(path)) | found
    return found | {"noise": None}


def measure(shape, name, operator, draw, path):
    """Apply an operator once; return the row of what was found."""
    rng = np.random.default_rng([draw, 1])
    noise, fresh = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    x = named(shape, path)[name]
    x = noise if x is None else x
    start = time.process_time()
    y = operators(shape)[operator](x, draw)
    seconds = time.process_time() - start
    # In float64: where a sum of float32 cancels it has fewer bits than noise, which is seen.
    mixed = RHO**0.5 * y.astype(np.float64) + (1 - RHO) ** 0.5 * fresh
    mixed = mixed.astype(np.float32)
    return {
        "shape": list(shape),
        "input": name,
        "operator": operator,
        "draw": draw,
        "cosine": float((x * y).sum() / math.sqrt((x * x).sum() * (y * y).sum())),
        "untouched": bool(np.array_equal(x, y)),
        "log10p": wn.typicality(y).log_pvalue / math.log(10),
        "battery": battery.pvalue(y),
        "mixed_log10p": wn.typicality(mixed).log_pvalue / math.log(10),
        "mixed_battery": battery.pvalue(mixed),
        "seconds": seconds,
    }


def _measured(work):
    return measure(*work)


def whitened(work):
    """Apply an operator to a part of the arrays that the discriminator sees."""
    operator, arrays, first = work
    apply = operators(inputs.WORLD)[operator]
    return np.stack([apply(x, first + k) for k, x in enumerate(arrays)])


def discriminated(path, pool, device):
    """Return rows with the accuracy of discriminators of outputs on fresh ones."""
    names = [name for name in operators(inputs.WORLD) if name not in NOT_TOLD]
    todo = [(name, "gradients") for name in names] + [(name, "fields") for name in COMPARED]
    seen = {"gradients": list(discriminator.views(np.load(path)))}
    seen["fields"] = list(discriminator.fresh_fields())
    for operator, group in tqdm(todo, desc="discriminators"):
        outputs = []
        for number, arrays in enumerate(seen[group]):
            cuts = np.array_split(np.arange(len(arrays)), 64)
            work = [(operator, arrays[c], 10**6 * number + int(c[0])) for c in cuts]
            outputs.append(np.concatenate(list(pool.map(whitened, work))).astype(np.float32))
        accuracy = discriminator.accuracy(*outputs, device=device)
        yield {"operator": operator, "told": group, "accuracy": accuracy}


def plan(shape, path):
    """Return what is to be measured for a shape: where draws are dear, of two operators."""
    compared = operators(shape) if DRAWS[shape] > 1 else COMPARED
    for operator in compared:
        for name in named(shape, path):
            count = DRAWS[shape] if operator == OURS else min(FEW, DRAWS[shape])
            yield from ((shape, name, operator, draw, path) for draw in range(count))


def bounds(path):
    """Return rows with the relaxed upper bounds for the inputs of the world."""
    for name, x in named(inputs.WORLD, path).items():
        if x is not None:
            bound, origin = upper_bound(x)
            yield {"bounded": name, "bound": bound, "from": origin}


def run(part, pool, options):
    """Return the rows of a part."""
    if part == DISCRIMINATORS:
        found = discriminated(options.gradients, pool, options.device)
        return [*found, *bounds(options.gradients)]
    work = list(plan(PARTS[part], options.gradients))
    return list(tqdm(pool.map(_measured, work), total=len(work), desc=part))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join([*PARTS, DISCRIMINATORS]))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="of the discriminators")
    parser.add_argument("--gradients", type=Path, default=Path("build/gradients.npy"))
    parser.add_argument("--out", type=Path, default=Path("docs/_tables"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/frontier.png"))
    options = parser.parse_args()
    if not options.gradients.exists():
        options.gradients.parent.mkdir(parents=True, exist_ok=True)
        np.save(options.gradients, inputs.gradients(PROMPTS))
    path = options.out / "frontier_rows.jsonl"
    with ProcessPoolExecutor(options.jobs) as pool:
        for part in options.parts.split(","):
            rows = run(part, pool, options)
            kept = [r for r in read(path) if r["part"] != part]
            lines = [json.dumps({"part": part, **row}) + "\n" for row in [*kept, *rows]]
            path.write_text("".join(lines))
    if {row["part"] for row in read(path)} == {*PARTS, DISCRIMINATORS}:
        write(path, options.out, options.figure)


if __name__ == "__main__":
    main()

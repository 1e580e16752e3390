"""Measure how far `project_2os` is from the nearest point.

Small matrices: the exact optimum is found over every assignment of ranks, one permutation per
column, and the ratio distance / optimum is tabulated for the paper's single pass, for plain
repetition of that pass, and for `project_2os` without and with its exchange search. Larger ones:
the ratio to the proved lower bound, and how many passes each needs to reach the set.

    python -m benchmarks.optimality --cases 20000

Prints both tables and writes them to docs/_tables/optimality.md.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from unittest import mock

import numpy as np
from tqdm import tqdm

from whitenoise import generic_path, project_2os, two_level
from whitenoise.order_statistics import two_level_interval

SMALL = ((3, 2), (4, 2), (2, 3), (3, 3), (2, 4))
LARGE = ((64, 16), (256, 16), (1024, 64))
LEVELS = (0.5, 0.95, 0.9999)
LIMIT = 100  # passes of plain repetition before it is called endless
OUTPUT = Path(__file__).parents[1] / "docs" / "_tables" / "optimality.md"


def small_inputs(rng, cases, shape):
    """Batches of Gaussian, scaled, shifted and heavy-tailed matrices."""
    gaussian = rng.standard_normal((cases, *shape))
    return {
        "Gaussian": gaussian,
        "scaled": gaussian * np.exp(rng.normal(0, 1.5, (cases, 1, 1))),
        "shifted": gaussian + rng.normal(0, 2, (cases, 1, 1)),
        "heavy-tailed": rng.standard_t(1.5, (cases, *shape)),
    }


def large_inputs(rng, shape):
    """One matrix of each kind, scaled to unit variance."""
    size = shape[0] * shape[1]
    time = np.arange(size)
    gaussian = rng.standard_normal(size)
    frequency = np.maximum(np.fft.rfftfreq(size), 1 / size)
    kinds = {
        "Gaussian": gaussian,
        "sines": np.sin(0.01 * time) + 0.5 * np.sin(0.37 * time),
        "cubed Gaussian": gaussian**3,
        "blocks": np.repeat(rng.standard_normal(size // 32), 32) + 0.01 * gaussian,
        "pink noise": np.fft.irfft(np.fft.rfft(gaussian) / np.sqrt(frequency), size),
    }
    return {name: (x / x.std()).reshape(shape) for name, x in kinds.items()}


def is_inside(matrices, lower, upper):
    ranked = np.sort(np.sort(matrices, axis=-1), axis=-2)
    return np.all((ranked >= lower) & (ranked <= upper), axis=(-2, -1))


def distance(a, b):
    return np.sqrt(np.sum((a - b) ** 2, axis=(-2, -1)))


def optimum(matrices, lower, upper):
    """Smallest distance of each matrix to the set, over all assignments of ranks."""
    rows = np.sort(matrices, axis=-1)
    n_rows, n_columns = lower.shape
    best = np.full(len(rows), np.inf)
    orders = [list(order) for order in itertools.permutations(range(n_rows))]
    for choice in itertools.product(orders, repeat=n_columns):
        low = np.stack([lower[order, j] for j, order in enumerate(choice)], axis=1)
        high = np.stack([upper[order, j] for j, order in enumerate(choice)], axis=1)
        low = np.maximum.accumulate(low, axis=1)
        high = np.minimum.accumulate(high[:, ::-1], axis=1)[:, ::-1]
        if np.all(low <= high):
            best = np.minimum(best, distance(rows, np.clip(rows, low, high)))
    return best


def one_pass(matrices, lower, upper):
    """Sort, clip, unsort: Proposition B.3 of the paper."""
    order = np.argsort(matrices, axis=-1)
    rows = np.take_along_axis(matrices, order, axis=-1)
    rank = np.argsort(np.argsort(rows, axis=-2), axis=-2)
    low, high = (
        np.take_along_axis(np.broadcast_to(end, rows.shape), rank, axis=-2)
        for end in (lower, upper)
    )
    result = np.empty_like(rows)
    np.put_along_axis(result, order, np.clip(rows, low, high), axis=-1)
    return result


def repeated_passes(matrices, lower, upper):
    """Repeat the pass until the matrix is inside; return it and the passes, LIMIT if endless."""
    passes = np.zeros(len(matrices), dtype=int)
    for _ in range(LIMIT):
        outside = ~is_inside(matrices, lower, upper)
        if not outside.any():
            break
        matrices = matrices.copy()
        matrices[outside] = one_pass(matrices[outside], lower, upper)
        passes[outside] += 1
    return matrices, passes


def ours(matrices, level, exchanges):
    n_columns = matrices.shape[-1]
    return project_2os(
        matrices, n_columns, confidence_level=level, axis=(-2, -1), rng=0, exchanges=exchanges
    )


def small_table(cases, seed):
    """Ratio of distances to the exact optimum, pooled over kinds and levels of each shape."""
    lines = [
        "| shape | method | infeasible | worst ratio | mean ratio | optimal | cases |",
        "|---|---|---|---|---|---|---|",
    ]
    for shape in tqdm(SMALL, desc="small"):
        pooled = {}
        for level in LEVELS:
            rng = np.random.default_rng((seed, *shape, int(1e4 * level)))
            kinds = small_inputs(rng, cases // 4, shape)
            x = np.concatenate(list(kinds.values()))
            lower, upper = two_level_interval(*shape, level)
            best = optimum(x, lower, upper)
            for name, y in {
                "one pass": one_pass(x, lower, upper),
                "repeated passes": repeated_passes(x, lower, upper)[0],
                "ours, no exchanges": ours(x, level, 0),
                "ours": ours(x, level, 10),
            }.items():
                inside = is_inside(y, lower, upper)
                moved = inside & (best > 1e-9)
                found = (~inside, distance(x, y)[moved] / best[moved])
                pooled.setdefault(name, []).append(found)
        for name, parts in pooled.items():
            infeasible, ratio = (np.concatenate(part) for part in zip(*parts, strict=True))
            lines.append(
                f"| {shape[0]}x{shape[1]} | {name} | {infeasible.mean():.2%} | {ratio.max():.4f} "
                f"| {ratio.mean():.5f} | {np.mean(ratio < 1 + 1e-9):.2%} | {ratio.size} |"
            )
    return lines


def large_table(seed):
    """Ratio of distances to the lower bound, and passes needed to reach the set."""
    lines = [
        "| shape | level | input | passes, repeated | passes, ours "
        "| ratio, repeated | ratio, no exchanges | ratio, ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shape, level in tqdm(list(itertools.product(LARGE, LEVELS)), desc="large"):
        lower, upper = two_level_interval(*shape, level)
        rng = np.random.default_rng((seed, *shape))
        for kind, x in large_inputs(rng, shape).items():
            ranked = np.sort(np.sort(x, axis=-1), axis=-2)
            bound = distance(ranked, np.clip(ranked, lower, upper))
            if bound == 0:  # already inside
                continue
            y, passes = repeated_passes(x[None], lower, upper)
            reached = bool(is_inside(y, lower, upper)[0])
            repeated = distance(x, y[0]) / bound
            counted = mock.patch.object(two_level, "_assign", wraps=two_level._assign)
            with generic_path(), counted as assign:
                plain = distance(x, ours(x, level, 0)) / bound
            searched = distance(x, ours(x, level, 10)) / bound
            lines.append(
                f"| {shape[0]}x{shape[1]} | {level} | {kind} "
                f"| {passes[0] if reached else f'> {LIMIT}'} | {assign.call_count} "
                f"| {f'{repeated:.4f}' if reached else 'never'} | {plain:.4f} | {searched:.4f} |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=20_000, help="per shape and level")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    text = "\n".join(
        [*small_table(arguments.cases, arguments.seed), "", *large_table(arguments.seed), ""]
    )
    print(text)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

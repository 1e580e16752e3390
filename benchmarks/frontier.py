"""Typicality against alignment: what each operator keeps of a direction, and whether that is seen.

python -m benchmarks.frontier [--draws 10] [--out docs/_tables/frontier.md]
"""

from __future__ import annotations

import argparse
import json
import math
import time
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

import whitenoise as wn

ALARM = 1e-3
SHAPE = (16, 16, 16)
TASKS, LEVELS = ("aesthetic", "text", "count", "relation"), (0, 8, 16, 22)
COLOURS = {"gradients": "#D55E00", "fields": "#0072B2"}


@cache
def operators(shape):
    """Operators by name: functions of an array and a seed."""
    whiteners = {name: wn.Whitener(shape, preset=name) for name in ("paper", "default")}
    return {
        "identity": lambda x, rng: x,
        "sphere": lambda x, rng: wn.project_sphere(x, rng=rng),
        "WGNC": lambda x, rng: wn.baselines.wgnc(x, rng=rng),
        "one sweep (paper)": lambda x, rng: whiteners["paper"](x, rng=rng),
        "until it converges (default)": lambda x, rng: whiteners["default"](x, rng=rng),
        "equal statistics": lambda x, rng: wn.Equalizer(shape)(x, rng=rng),
    }


def gradients():
    """Reward gradients that NTRK meets on the shapes world, early and late."""
    import ntrk
    from ntrk.worlds import shapes

    pipe, tasks, found = shapes.load_pipeline(), shapes.tasks(), {}
    operator = wn.Whitener(SHAPE)
    for name in TASKS:
        seen = []

        def keep(gradient, rng=None, seen=seen):
            seen.append(gradient.numpy().copy())
            return operator(gradient, rng=rng)

        ntrk.generate(
            pipe,
            tasks[name].validation[0],
            reward=ntrk.rewards.Reward(tasks[name].target),
            method=ntrk.methods.NTRK(whitening=keep),
            seed=0,
            progress=False,
            **shapes.CALL,
        )
        found |= {f"{name}, step {level + 1}": standardized(seen[level]) for level in LEVELS}
    return found


def fields(shape=SHAPE, seed=0):
    """Structured fields."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    y, x = np.mgrid[:height, :width]
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency = np.maximum(frequency, 1 / height)

    def coloured(slope):
        white = np.fft.rfft2(rng.standard_normal(shape))
        return np.fft.irfft2(white / frequency**slope, s=(height, width))

    cells = rng.standard_normal((channels, height // 8, width // 8))
    loud = np.exp(2 * np.sin(2 * np.pi * x / width))
    found = {
        "pink": coloured(1),
        "smooth": coloured(3),
        "blocks": np.kron(cells, np.ones((8, 8))),
        "sparse": np.where(rng.random(shape) < 0.02, rng.standard_normal(shape), 0),
        "stripes": np.stack([np.sin(2 * np.pi * (5 * x + 3 * y) / height + c) for c in y[:, 0]]),
        "one channel repeated": np.broadcast_to(rng.standard_normal((height, width)), shape),
        "heavy tails": rng.standard_t(1.5, shape),
        "modulated": rng.standard_normal(shape) * loud,
    }
    return {name: standardized(field) for name, field in found.items()}


def standardized(x):
    """Standard deviation 1, float32."""
    return (x / x.std()).astype(np.float32)


def cosine(a, b):
    """Cosine similarity."""
    return float((a * b).sum() / math.sqrt((a * a).sum() * (b * b).sum()))


def measured(operator, x, draws):
    """Mean cosine, mean log10 p-value, share of p-values below ALARM, seconds a call."""
    operator(x, 0)
    cosines, logs, start = [], [], time.process_time()
    results = [operator(x, seed) for seed in range(draws)]
    seconds = (time.process_time() - start) / draws
    for y in results:
        cosines.append(cosine(x, y))
        logs.append(wn.typicality(y).log_pvalue / math.log(10))
    rejected = np.mean([value < math.log10(ALARM) for value in logs])
    return float(np.mean(cosines)), float(np.mean(logs)), float(rejected), seconds


def line(name, rows):
    """Return a line of the table: mean cosine and share rejected of each operator."""
    cells = []
    for operator in operators(SHAPE):
        own = [row for row in rows if row["operator"] == operator]
        kept, rejected = (np.mean([row[key] for row in own]) for key in ("cosine", "rejected"))
        cells.append(f"{kept:.2f} ({rejected:.2f})")
    return f"| {name} | {' | '.join(cells)} |"


def picture(rows, path):
    """Draw the mean cosine against the mean log p-value of every operator."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, marker in zip(operators(SHAPE), "osDv^*", strict=True):
        for group, colour in COLOURS.items():
            own = [row for row in rows if row["group"] == group and row["operator"] == name]
            along = -np.mean([row["log10p"] for row in own])
            kept = np.mean([row["cosine"] for row in own])
            size = 220 if marker == "*" else 75
            axes.scatter(along, kept, s=size, c=colour, marker=marker, ec="white", zorder=3)
        axes.scatter([], [], s=60, c="0.4", marker=marker, label=name)
    for group, colour in COLOURS.items():
        axes.plot([], [], color=colour, lw=6, label=f"mean of {group}")
    axes.axvline(-math.log10(ALARM), color="0.4", lw=0.9, ls=(0, (1, 3)))
    axes.text(-math.log10(ALARM) * 0.9, 0.97, "p = 0.001", fontsize=9, color="0.4")
    axes.set_xscale("log")
    axes.invert_xaxis()
    axes.set(
        xlabel="mean of -log10 p: right is more typical",
        ylabel="mean cosine with the input: up is more direction",
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, labelspacing=0.9)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("docs/_tables/frontier.md"))
    parser.add_argument("--figure", type=Path, default=Path("docs/images/frontier.png"))
    options = parser.parse_args()
    inputs = {"gradients": gradients(), "fields": fields()}
    work = [(g, i, o) for g, found in inputs.items() for i in found for o in operators(SHAPE)]
    rows = []
    for group, name, label in tqdm(work):
        found = measured(operators(SHAPE)[label], inputs[group][name], options.draws)
        keys = ("cosine", "log10p", "rejected", "seconds")
        rows.append(
            {
                "group": group,
                "input": name,
                "operator": label,
                **dict(zip(keys, found, strict=True)),
            }
        )
    lines = [
        "| input | " + " | ".join(operators(SHAPE)) + " |",
        "|---|" + "---:|" * len(operators(SHAPE)),
    ]
    for group, found in inputs.items():
        for name in found:
            lines.append(line(name, [r for r in rows if (r["group"], r["input"]) == (group, name)]))
    for group in inputs:
        lines.append(line(f"**mean of {group}**", [r for r in rows if r["group"] == group]))
    times = [[r["seconds"] for r in rows if r["operator"] == o] for o in operators(SHAPE)]
    cells = (f"{1e3 * np.mean(seconds):.1f}" for seconds in times)
    lines.append(f"| ms of processor time | {' | '.join(cells)} |")
    options.out.write_text("\n".join(lines) + "\n")
    with options.out.with_name("frontier_rows.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    picture(rows, options.figure)
    print("\n".join(lines))


if __name__ == "__main__":
    main()

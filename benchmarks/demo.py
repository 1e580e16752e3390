"""The shipped model, one prompt, four methods at the same number of evaluations: one picture.

python -m benchmarks.demo [--out demo/demo.png] [--prompt CAPTION]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from matplotlib.figure import Figure

import ntrk
from ntrk.methods import DPS, NTRK, SVDD, BestOfN
from ntrk.worlds.shapes import CALL, load_pipeline, rewards

SEED, PARTICLES = 0, 4
PROMPT = "seven purple circles in a landscape"
METHODS = {
    "Base": (BestOfN(), PARTICLES),
    "DPS": (BestOfN(DPS(temperature=0.03)), PARTICLES),
    "SVDD": (SVDD(PARTICLES), 1),
    "NTRK": (BestOfN(NTRK(0.3)), PARTICLES),
}
COLOURS = {"Base": "#7f7f7f", "DPS": "#d55e00", "SVDD": "#009e73", "NTRK": "#0072b2"}
ALARM, FLOOR = 1e-3, 1e-16


def run(pipe, prompt: str) -> dict[str, ntrk.Result]:
    """Sample with every method, from the same seed."""
    return {
        name: ntrk.generate(
            pipe,
            prompt,
            reward=rewards.count,
            held_out={"judge": rewards.count_twin, "counted": rewards.count_exact},
            method=method,
            particles=particles,
            batch_size=PARTICLES,
            seed=SEED,
            **CALL,
        )
        for name, (method, particles) in METHODS.items()
    }


def curves(result: ntrk.Result, key: str) -> tuple[list[int], list[list[float]]]:
    """Evaluations spent, and the values of all particles, at the steps that have any."""
    rows = [row for row in result.history if any(map(math.isfinite, row.get(key, ())))]
    return [row["nfe"] for row in rows], [list(row[key]) for row in rows]


def draw(results: dict[str, ntrk.Result], prompt: str) -> Figure:
    """Best images on top, rewards and p-values of the injected noise below."""
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    nfe = ", ".join(sorted({str(result.nfe) for result in results.values()}))
    figure.suptitle(f"“{prompt}”, {nfe} evaluations of the model each", fontsize=12)
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.25, 1])
    for axes, (name, result) in zip(top.subplots(1, len(results)), results.items(), strict=True):
        axes.imshow(result.pixels(result.best).numpy(), interpolation="nearest")
        judged = {key: float(value[result.best]) for key, value in result.held_out.items()}
        axes.set_title(name, color=COLOURS[name], fontweight="bold", fontsize=12)
        axes.set_xlabel(
            f"reward {float(result.reward[result.best]):.2f}\n"
            f"held-out judge {judged['judge']:.2f}, number off by {abs(judged['counted']):.0f}",
            fontsize=9,
        )
        axes.set_xticks([])
        axes.set_yticks([])
    left, right = bottom.subplots(1, 2)
    for name, result in results.items():
        at, values = curves(result, "reward")
        best = [max(v for v in row if math.isfinite(v)) for row in values]
        left.plot(at, best, color=COLOURS[name], lw=1.6, label=name)
        at, values = curves(result, "pvalue")
        for number, row in zip(at, values, strict=True):
            right.scatter(
                [number] * len(row),
                [max(v, FLOOR) for v in row],
                s=10,
                color=COLOURS[name],
                alpha=0.6,
                linewidths=0,
            )
    left.set(xlabel="evaluations", ylabel="reward of the best estimate")
    left.legend(frameon=False, fontsize=9)
    right.set(xlabel="evaluations", ylabel="p-value of the injected noise", yscale="log")
    right.axhline(ALARM, color="black", lw=0.8, ls="--")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo/demo.png"))
    parser.add_argument("--prompt", default=PROMPT, help="of the grammar (default: %(default)r)")
    arguments = parser.parse_args()
    pipe = load_pipeline()
    pipe.set_progress_bar_config(disable=True)
    results = run(pipe, arguments.prompt)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    draw(results, arguments.prompt).savefig(arguments.out, dpi=110)
    print(*results.values(), f"picture: {arguments.out}", sep="\n")


if __name__ == "__main__":
    main()

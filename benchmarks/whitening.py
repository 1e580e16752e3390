"""Whiten photographs and structured fields with every operator: one picture, one table.

python -m benchmarks.whitening [--out demo/whitening.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

import whitenoise as wn
from benchmarks.fields import fields, photographs
from whitenoise.plotting import compare

SEED = 0
SHOWN = ("china", "flower", "stripes", "blocks", "noise")


def operators(shape):
    """Name each operator; all take an array and return one of the same shape."""
    paper = wn.Whitener(shape, preset="paper")
    default = wn.Whitener(shape)
    return {
        "sphere": lambda x: wn.baselines.sphere(x, rng=SEED),
        "WGNC": lambda x: wn.baselines.wgnc(x, rng=SEED),
        "paper": lambda x: paper(x, rng=SEED),
        "default": lambda x: default(x, rng=SEED),
    }


def summary(x, y, stages):
    """Cosine, distance moved, how many of the paper preset's sets hold `y`, and the farthest."""
    cosine = float(np.sum(x * y) / np.linalg.norm(x) / np.linalg.norm(y))
    inside = sum(bool(stage.inside) for stage in stages)
    farthest = max(float(stage.distance) for stage in stages)
    return cosine, float(np.linalg.norm(x - y)), inside, farthest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo/whitening.png"))
    arguments = parser.parse_args()
    inputs = photographs() | fields()
    first = next(iter(inputs.values()))
    judge = wn.Whitener(first.shape, preset="paper")
    table = [
        "| input | operator | cosine | distance | typical in | farthest set |",
        "|---|---|---:|---:|---:|---:|",
    ]
    rows, captions = {}, {}
    for name, x in tqdm(inputs.items(), desc="whitening"):
        results = {"input": x} | {label: w(x) for label, w in operators(x.shape).items()}
        lines = {}
        for label, y in results.items():
            stages = judge.certify(y, rng=SEED)
            cosine, distance, inside, farthest = summary(x, y, stages)
            table.append(
                f"| {name} | {label} | {cosine:.6f} | {distance:.2f} | "
                f"{inside}/{len(stages)} | {farthest:.3g} |"
            )
            lines[label] = (
                f"cosine {cosine:.4f}, moved {distance:.1f}",
                f"inside {inside} of {len(stages)} sets, farthest {farthest:.3g} away",
            )
        if name in SHOWN:
            rows[name], captions[name] = results, lines
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    compare(rows, captions).savefig(arguments.out, dpi=80)
    arguments.out.with_suffix(".md").write_text("\n".join(table) + "\n")
    print("\n".join(table))
    print(f"\npicture: {arguments.out}\ntable:   {arguments.out.with_suffix('.md')}")


if __name__ == "__main__":
    main()

"""What sweeps and refinement buy: cosine kept and distance to the farthest set, per input.

python -m benchmarks.presets [--out docs/_tables/presets.md]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

import whitenoise as wn
from benchmarks.fields import fields, photographs

VARIANTS = {
    "paper": {"preset": "paper"},
    "default-1": {"preset": "default-1"},
    "default-1, refine=10": {"preset": "default-1", "refine": 10},
}


def genuine_noise(shape, seeds=20):
    """Say how little `paper` changes genuine noise."""
    operator = wn.Whitener(shape, preset="paper")
    lost, moved = [], []
    for seed in range(seeds):
        noise = np.random.default_rng(seed).standard_normal(shape)
        _, certificate = operator(noise, rng=0, return_certificate=True)
        lost.append(1 - certificate.cosine)
        moved.append(certificate.distance)
    return (
        f"`paper` on genuine noise, {seeds} seeds: 1 - cosine at most {max(lost):.1e}, "
        f"distance {np.mean(moved):.3f} on average and at most {max(moved):.2f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/_tables/presets.md"))
    arguments = parser.parse_args()
    lines = [
        "| input | operator | cosine | sweeps | inside | farthest set |",
        "|---|---|---:|---:|---:|---:|",
    ]
    inputs = photographs() | fields()
    first = next(iter(inputs.values()))
    for name, x in tqdm(inputs.items()):
        for label, options in VARIANTS.items():
            operator = wn.Whitener(x.shape, **options)
            _, certificate = operator(x, rng=0, return_certificate=True)
            inside = sum(bool(stage.inside) for stage in certificate.stages)
            lines.append(
                f"| {name} | {label} | {certificate.cosine:.4f} | {certificate.sweeps} | "
                f"{inside}/{len(certificate.stages)} | {certificate.worst.distance:.2g} |"
            )
    lines += ["", genuine_noise(first.shape)]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

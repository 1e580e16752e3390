"""Methods on a world whose tilted law is known: rewards, divergences, typicality of the noise.

python -m benchmarks.exact_world                       # everything, prints all tables
python -m benchmarks.exact_world --out docs/_tables    # and writes them
python -m benchmarks.exact_world --scale 0.1           # a quick look
python -m benchmarks.exact_world --figure docs/images/exact_world_kernels.png   # draws that only
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import figures, tables
from .study import run

DRAWN = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of samples")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--out", type=Path, help="folder for the tables; the figure is redrawn too")
    parser.add_argument("--figure", type=Path, help="draw the four kernels to this file, no more")
    arguments = parser.parse_args()
    if arguments.figure:
        figures.kernels_figure().savefig(arguments.figure, dpi=110)
        return
    rows = run(arguments.scale, arguments.jobs)
    for name, lines in tables.write(rows).items():
        print(name, "", *lines, sep="\n", end="\n\n")
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if arguments.out:
        figures.kernels_figure().savefig(DRAWN / "exact_world_kernels.png", dpi=110)


if __name__ == "__main__":
    main()

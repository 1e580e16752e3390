"""Power of `wn.typicality` and of other tests of noise, on a bank of alternatives.

python -m benchmarks.power                             # full size, prints all tables
python -m benchmarks.power --out docs/_tables          # and writes them there
python -m benchmarks.power --held-out                  # the second bank
python -m benchmarks.power --draws 20 --size 4096      # a quick look
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .bank import BANK, HELD_OUT
from .study import SHAPES, run
from .tables import TABLES

FEWER = 0.4  # share of the draws at the larger size


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=100, help="a cell at 4096; 0.4 times at 16384")
    parser.add_argument("--size", type=int, choices=SHAPES, help="only this number of values")
    parser.add_argument("--held-out", action="store_true", help="the bank not used for tuning")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the tables")
    arguments = parser.parse_args()
    sizes = [arguments.size] if arguments.size else list(SHAPES)
    bank, prefix = (HELD_OUT, "power_held_out") if arguments.held_out else (BANK, "power")
    studies = []
    for size in sizes:
        draws = arguments.draws if size == min(SHAPES) else round(FEWER * arguments.draws)
        studies.append(run(bank, size, max(draws, 2), arguments.seed))
    for name, write in TABLES.items():
        lines = write(studies)
        print("\n".join(lines), end="\n\n")
        if arguments.out:
            arguments.out.mkdir(parents=True, exist_ok=True)
            path = arguments.out / f"{prefix}_{name}.md"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Time, memory and cold start of the operators, and the cost of verification.

python -m benchmarks.speed                       # sizes to 2^20; writes docs/
python -m benchmarks.speed --max-size 8388608    # sizes to 2^23
python -m benchmarks.speed --quick               # small sizes, prints tables only
python -m benchmarks.speed compare HEAD~1        # the working tree against a revision
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from . import compare, plot, study, tables, verification
from .record import ROOT, write_rows


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; under a minute")
    parser.add_argument("--max-size", type=int, default=2**20, help="largest N (default 2^20)")
    parser.add_argument(
        "--out", type=Path, help="folder for _tables/ and images/ (docs; none with --quick)"
    )
    compare.add_arguments(parser.add_subparsers().add_parser("compare", help=compare.__doc__))
    arguments = parser.parse_args()
    if hasattr(arguments, "revision"):
        raise SystemExit(compare.main(arguments))
    plan = study.QUICK if arguments.quick else study.FULL
    sizes = tuple(size for size in plan.sizes if size <= arguments.max_size)
    if not sizes:
        parser.error(f"--max-size must be at least {min(plan.sizes)}, got {arguments.max_size}")
    out = arguments.out or (None if arguments.quick else ROOT / "docs")
    rows = study.run(dataclasses.replace(plan, sizes=sizes))
    written = {f"speed_{name}": write(rows) for name, write in tables.TABLES.items()}
    shapes = verification.SHAPES[:2] if arguments.quick else verification.SHAPES
    written["speed"] = verification.on_one_core(shapes)
    for name, lines in written.items():
        print("\n".join(["", *lines]))
        if out:
            (out / "_tables").mkdir(parents=True, exist_ok=True)
            (out / "_tables" / f"{name}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    if out:
        write_rows(rows, out / "_tables" / "speed_rows.jsonl")
        plot.draw(rows, out / "images" / "speed_cost.png")


if __name__ == "__main__":
    main()

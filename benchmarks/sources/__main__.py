"""Run `wn.typicality` on what others make: generators, latents, warps, watermarks. One table.

python -m benchmarks.sources [--out docs/_tables/sources.md]

Needs Torch; the rows of diffusers, CUDA and CuPy are left out, with a note, where these are not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tqdm import tqdm

from benchmarks.sources import (
    generators,
    inversion,
    marks,
    quasi,
    schedulers,
    warps,
    weak,
    whitened,
)
from benchmarks.sources.source import HEADER, OPEN, Missing, Row

GROUPS = (generators, weak, quasi, inversion, schedulers, warps, whitened, marks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/_tables/sources.md"))
    arguments = parser.parse_args()
    todo = [(group, source) for group in GROUPS for source in group.sources()]
    rows: dict[object, list[Row]] = {group: [] for group in GROUPS}
    missing: dict[object, list[Missing]] = {group: [] for group in GROUPS}
    for group, source in tqdm(todo, desc="sources"):
        if isinstance(source, Missing):
            missing[group].append(source)
        else:
            rows[group].append(Row.of(source))
    lines = []
    for group in GROUPS:
        name = group.__name__.rpartition(".")[2]
        lines += [f"<!-- --8<-- [start:{name}] -->", HEADER, *map(str, rows[group]), ""]
        lines += [f"Left out: {one.name} ({one.reason}).\n" for one in missing[group]]
        lines += [f"<!-- --8<-- [end:{name}] -->", ""]
    every = [row for group in GROUPS for row in rows[group]]
    surprises = [row for row in every if row.surprising]
    lines += ["<!-- --8<-- [start:summary] -->", summary(every, surprises)]
    lines += ["<!-- --8<-- [end:summary] -->"]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(f"\n{len(surprises)} verdicts are not as expected")
    print("\n".join(f"  {row}" for row in surprises))


def summary(rows: list[Row], surprises: list[Row]) -> str:
    """Say how many verdicts are right, and name those that are not."""
    closed = sum(row.source.expected != OPEN for row in rows)
    text = f"{closed - len(surprises)} of {closed} verdicts are as expected"
    if not surprises:
        return f"{text}."
    names = (f"{row.source.name} ({'x'.join(map(str, row.report.shape))})" for row in surprises)
    return f"{text}; not so: {'; '.join(names)}."


if __name__ == "__main__":
    main()

"""One process of a comparison of revisions: prints what it measured as one line of JSON.

It runs in a folder with one revision's `whitenoise` beside these benchmarks. An operation that the
revision does not have (no such name, or no such argument) is reported as absent; one that fails
within is an error.
"""

from __future__ import annotations

import argparse
import gc
import json
import traceback

import numpy as np

from . import cases
from .cases import STAGES, make_input
from .timing import interleaved

CASES = {stage: (stage, "noise") for stage in STAGES} | {"paper on sines": ("paper", "sines")}


def prepare(case: str, size: int):
    """Return the call of a case after making it once, or None if the revision has no such thing."""
    stage, kind = CASES[case]
    x = make_input(kind, 1, size, "float32")
    cases.compiled(x)
    try:
        operator = STAGES[stage](size)
        operator(x)
    except (AttributeError, TypeError) as error:
        if traceback.extract_tb(error.__traceback__)[-1].filename != cases.__file__:
            raise
        return None
    return lambda: operator(x)


def ratios(chosen, size: int, budget: float) -> dict[str, float | None]:
    """Shortest time of each case over that of `np.sort` in the same turns."""
    flat = make_input("noise", 1, size, "float32").ravel()
    found: dict[str, float | None] = {}
    for case in chosen:
        call = prepare(case, size)
        found[case] = None
        if call is not None:
            timed = interleaved({"sort": lambda: np.sort(flat), "call": call}, budget)
            found[case] = timed["call"].best / timed["sort"].best
    return found


def calls_once(chosen, size: int, again: str | None) -> dict[str, bool]:
    """Make each call, and one of them once more, for a counter of instructions outside."""
    prepared = {case: prepare(case, size) for case in chosen}
    gc.disable()  # or the call that happens to start a collection pays for it
    if again and prepared[again]:
        prepared[again]()
    return {case: call is not None for case, call in prepared.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--case", action="append", choices=CASES, required=True)
    parser.add_argument("--budget", type=float, help="seconds of repeats; counts calls without")
    parser.add_argument("--again", choices=CASES)
    arguments = parser.parse_args()
    if arguments.budget is not None:
        found = ratios(arguments.case, arguments.size, arguments.budget)
    else:
        found = calls_once(arguments.case, arguments.size, arguments.again)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

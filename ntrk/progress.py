"""The progress bar of a run: evaluations of the model, and the reward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .sampler import Run

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total: int, *, shown: bool) -> Iterator[Callable[[Run], None]]:
    """Give a function that shows how far a run is; it shows nothing if tqdm is not installed.

    Parameters
    ----------
    total
        Evaluations of the model that are expected at most.
    shown
        Whether to show anything.
    """
    try:
        from tqdm.auto import tqdm
    except ImportError:
        shown = False
    if not shown:
        yield lambda run: None
        return
    with tqdm(total=total, unit="NFE", dynamic_ncols=True) as bar:

        def show(run: Run) -> None:
            bar.update(run.nfe - bar.n)
            rewards = run.history[-1]["reward"] if run.history else []
            known = [r for r in rewards if r == r]
            if known:
                bar.set_postfix_str(f"reward {max(known):.4g}", refresh=False)

        yield show

"""Runs what is missing, on one process or several; one alone writes."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from .jobs import Job, run_job
from .records import Records
from .setting import Bench, Setting

__all__ = ["run_jobs"]


def run_jobs(
    jobs: Iterable[Job],
    records: Records,
    setting: Setting,
    *,
    processes: int = 1,
    images: Path | None = None,
    progress: bool = True,
) -> None:
    """Run what the records lack, and write it to them.

    Parameters
    ----------
    jobs
        Runs, of which some may be the same.
    records
        Where rows go; one process alone writes.
    setting
        Of all jobs.
    processes
        How many work at once. Several take one thread each.
    images
        Folder for the best image of each run, or None.
    progress
        Whether to show a bar.

    Raises
    ------
    ChildProcessError
        If a process died, as it does without memory.
    """
    missing: dict[str, Job] = {}
    for job in jobs:
        if job.id not in records:
            missing.setdefault(job.id, job)
    # All methods on one prompt before the next, so that what is there at any time can be compared.
    order = sorted(missing.values(), key=lambda j: (j.entry.lora, j.seed, j.index))
    if not order:
        return
    with _bar(len(order), shown=progress) as advance:
        for row in _rows(order, setting, min(processes, len(order)), images):
            records.add(row)
            advance(row)


def _rows(
    jobs: Sequence[Job], setting: Setting, processes: int, images: Path | None
) -> Iterator[dict[str, Any]]:
    if processes == 1:
        bench = Bench(setting)
        yield from (run_job(job, bench, images) for job in jobs)
        return
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), _prepare, (setting, images)
    )
    try:
        yield from (done.result() for done in as_completed([pool.submit(_work, j) for j in jobs]))
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise ChildProcessError(
                "a process died, as it does without memory; less is needed with fewer --jobs or "
                "a smaller --batch-size"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_here: tuple[Bench, Path | None]


def _prepare(setting: Setting, images: Path | None) -> None:
    """Set up a process; what can go wrong waits for its first run, whose errors are passed on."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
    with suppress(ImportError):
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())  # its own stays behind when the process is ended
    torch.set_num_threads(1)
    _here = Bench(setting), images


def _work(job: Job) -> dict[str, Any]:
    return run_job(job, *_here)


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Any]:
    """Give a function that counts a row; it shows nothing if tqdm is not installed."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        shown = False
    if not shown:
        yield lambda row: None
        return
    with tqdm(total=total, unit="run", dynamic_ncols=True, smoothing=0.05) as bar:

        def advance(row: dict[str, Any]) -> None:
            bar.set_postfix_str(f"{row['task']}, {row['label']}", refresh=False)
            bar.update()

        yield advance

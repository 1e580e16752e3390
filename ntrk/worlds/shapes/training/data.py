"""Scenes that the networks learn from, drawn once and kept in a file."""

from __future__ import annotations

import json
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..drawing import draw
from ..grammar import sample_scene
from ..scene import SIDE

__all__ = ["dataset"]

_BLOCK = 500  # scenes of one seed


def dataset(
    folder: Path, count: int, seed: int, *, held_out: bool = False
) -> tuple[NDArray[np.uint8], list[str]]:
    """Return images and captions, from a file if they were drawn before.

    Parameters
    ----------
    folder
        Where the file is, or is made.
    count
        How many; a multiple of 500.
    seed
        Of the scenes. The scenes of a seed do not depend on `count`.
    held_out
        Whether captions have the colours and shapes that training must not see together.

    Returns
    -------
    images : ndarray of uint8, shape (count, 64, 64, 3)
        Mapped from the file.
    captions : list of str
    """
    if count % _BLOCK:
        raise ValueError(f"count must be a multiple of {_BLOCK}, got {count}")
    name = f"scenes-{seed}-{count}" + ("-held-out" if held_out else "")
    images, captions = folder / f"{name}.npy", folder / f"{name}.json"
    if not captions.exists():
        folder.mkdir(parents=True, exist_ok=True)
        into = np.lib.format.open_memmap(images, "w+", np.uint8, (count, SIDE, SIDE, 3))
        texts: list[str] = []
        jobs = [(seed, block, held_out) for block in range(count // _BLOCK)]
        with get_context("spawn").Pool() as pool, tqdm(total=count, desc="scenes") as bar:
            for number, (pictures, words) in enumerate(pool.imap(_block, jobs)):
                into[number * _BLOCK : (number + 1) * _BLOCK] = pictures
                texts += words
                bar.update(_BLOCK)
        into.flush()
        captions.write_text(json.dumps(texts))  # last: what it lists is there
    return np.load(images, mmap_mode="r"), json.loads(captions.read_text())


def _block(job: tuple[int, int, bool]) -> tuple[NDArray[np.uint8], list[str]]:
    seed, block, held_out = job
    rng = np.random.default_rng([seed, block])
    pairs = [sample_scene(rng, held_out=held_out) for _ in range(_BLOCK)]
    return np.stack([draw(scene) for _, scene in pairs]), [caption for caption, _ in pairs]


def as_tensor(images: Any, device: Any = "cpu") -> Any:
    """Return images as (batch, 3, 64, 64) in [0, 1]."""
    import torch

    return torch.from_numpy(np.array(images)).to(device).movedim(-1, 1).float() / 255

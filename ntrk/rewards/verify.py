"""Try a published reward with its real weights: ``python -m ntrk.rewards.verify NAME``.

Prints our score beside the one that is published for the same image and prompt, if there is one.
"""

from __future__ import annotations

import argparse
import io
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..saving import optional
from .catalogue import CATALOGUE, load

__all__ = ["EXAMPLES", "Example", "main"]


@dataclass(frozen=True)
class Example:
    """A score that is published.

    Attributes
    ----------
    image
        Its address.
    prompt, score
        What the image was scored for, and the score.
    source
        Where that is said.
    """

    image: str
    prompt: str
    score: float
    source: str


_GITHUB = "https://raw.githubusercontent.com"

EXAMPLES = {
    "hpsv2": Example(
        f"{_GITHUB}/tgxs002/HPSv2/master/hpsv2/assets/demo_image.jpg",
        "A cat with two horns on its head",
        0.2876,
        "tgxs002/HPSv2, issue 27",
    ),
    "imagereward": Example(
        f"{_GITHUB}/THUDM/ImageReward/main/assets/images/1.webp",
        "a painting of an ocean with clouds and birds, day time, low depth field effect",
        0.5811622738838196,
        "THUDM/ImageReward, README",
    ),
}
"""By name of the reward."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m ntrk.rewards.verify", description=(__doc__ or "").splitlines()[0]
    )
    add = parser.add_argument
    add("name", choices=[name for name, entry in CATALOGUE.items() if not entry.video])
    add("--folder", type=Path, help="of repositories, OWNER/NAME (default: the hub, or its cache)")
    add("--image", type=Path, help="to score, in place of the published example")
    add("--prompt", default="", help="of that image")
    add("--device", default="cpu", help="(default: cpu)")
    options = parser.parse_args(arguments)
    example = None if options.image else EXAMPLES.get(options.name)
    if options.image is None and example is None:
        parser.error(f"no score of {options.name} is published: give --image, and --prompt")
    data = options.image.read_bytes() if example is None else _download(example.image)
    prompt = options.prompt if example is None else example.prompt
    reward = load(options.name, options.folder, device=options.device)
    with torch.no_grad():
        score = reward(_as_tensor(data).to(options.device), [prompt]).item()
    print(f"{options.name}: {score:.6g}")
    if example is not None:
        print(f"published: {example.score:.6g} ({example.source})")


def _download(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=60) as answer:
        data: bytes = answer.read()
    return data


def _as_tensor(data: bytes) -> Any:
    image = optional("PIL.Image").open(io.BytesIO(data)).convert("RGB")
    return torch.from_numpy(np.array(image)).movedim(-1, 0)[None] / 255


if __name__ == "__main__":
    main()

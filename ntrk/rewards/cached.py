"""Scores that are remembered, for judging the same images again and again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["Cached"]


class Cached:
    """A reward that scores each image and prompt once; for held-out rewards, without gradient.

    Parameters
    ----------
    reward
        The function ``(images, prompts) -> (batch,)``.
    path
        File that keeps the scores, a line each; None to keep them in memory. It is for one reward,
        with the same weights and dtype.

    Examples
    --------
    >>> judge = Cached(lambda images, prompts: images.mean((1, 2, 3)))
    >>> judge(torch.ones(2, 3, 4, 4), ["a", "b"]), len(judge)
    (tensor([1., 1.]), 2)
    """

    differentiable = False

    def __init__(
        self,
        reward: Callable[[Tensor, Sequence[str]], Tensor],
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.reward, self.path = reward, None if path is None else Path(path)
        self._scores: dict[str, float] = {}
        if self.path is not None and self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self._scores[row["id"]] = row["score"]

    def __len__(self) -> int:
        return len(self._scores)

    @torch.no_grad()
    def __call__(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return the scores, (batch,), of those that are new from the reward."""
        keys = [_key(*pair) for pair in zip(images, prompts, strict=True)]
        new = [k for k, key in enumerate(keys) if key not in self._scores]
        if new:
            scores = self.reward(images[new], [prompts[k] for k in new]).tolist()
            found = {keys[k]: score for k, score in zip(new, scores, strict=True)}
            self._scores |= found
            if self.path is not None:
                with self.path.open("a", encoding="utf-8") as file:
                    file.writelines(
                        json.dumps({"id": key, "score": score}) + "\n"
                        for key, score in found.items()
                    )
        return torch.tensor([self._scores[key] for key in keys], device=images.device)


def _key(image: Tensor, prompt: str) -> str:
    """Return a hash of an image, with its shape and dtype, and a prompt."""
    data = image.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{tuple(data.shape)} {data.dtype} {prompt}\n".encode())
    digest.update(data.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]

"""How the networks that judge see images and read words: two ways, so that one can check the other.

Those that methods aim at see by residual convolutions at three scales and read by recurrence. Those
that only judge see by dilated convolutions at one scale and attention, and read by gates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .grammar import vocabulary

__all__ = [
    "LENGTH",
    "Gated",
    "Plateau",
    "Pyramid",
    "Recurrent",
    "Tokens",
    "as_tokens",
    "located",
]

Tensor = Any

LENGTH = 20
"""Words that a text has at most."""

_QUESTION_WORDS = ("does", "it", "show", "is", "the", "horizon", "at", "line")
_WORDS = {w: i for i, w in enumerate([*vocabulary(), *_QUESTION_WORDS], start=1)}  # 0 is padding


def as_tokens(texts: Sequence[str]) -> Tensor:
    """Return numbers of words, shape (texts, `LENGTH`), zero after the last."""
    rows = torch.zeros(len(texts), LENGTH, dtype=torch.long)
    for row, text in zip(rows, texts, strict=True):
        words = text.split()
        row[: len(words)] = torch.tensor([_WORDS[word] for word in words])
    return rows


# ------------------------------------------------------------------------------- reading images


class Residual(nn.Module):
    """Two convolutions around which the input goes."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(4, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Pyramid(nn.Module):
    """Residual convolutions at three scales: (batch, 3, 64, 64) to (batch, 48, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(nn.Conv2d(3, 24, 4, 2, 1), Residual(24))
        self.middle = nn.Sequential(nn.Conv2d(24, 48, 3, 2, 1), Residual(48))
        self.coarse = nn.Sequential(nn.Conv2d(48, 48, 3, 2, 1), Residual(48))
        self.merge = nn.Sequential(Residual(48), nn.GroupNorm(4, 48), nn.SiLU())

    def forward(self, images: Tensor) -> Tensor:
        middle = self.middle(self.fine(2 * images - 1))
        coarse = functional.interpolate(self.coarse(middle), scale_factor=2.0, mode="bilinear")
        return self.merge(middle + coarse)


class Bottleneck(nn.Module):
    """Looks around at a distance, in fewer channels."""

    def __init__(self, width: int, distance: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(1, width),
            nn.Conv2d(width, width // 2, 1),
            nn.GELU(),
            nn.Conv2d(width // 2, width // 2, 3, padding=distance, dilation=distance),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Plateau(nn.Module):
    """Dilated bottlenecks at one scale: (batch, 3, 64, 64) to (batch, 64, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1),
            nn.GELU(),
            nn.Conv2d(32, 32, 3, 1, 1),
            nn.GELU(),
            nn.Conv2d(32, 64, 4, 2, 1),
            *(Bottleneck(64, distance) for distance in (1, 2, 3, 1, 2, 1)),
            nn.GroupNorm(1, 64),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(2 * images - 1)


def located(features: Tensor) -> Tensor:
    """Halve the resolution and multiply by where each place is: (batch, 3 channels, 8, 8).

    A mean over places then has the middle of whatever a channel shows, across and down.
    """
    features = functional.avg_pool2d(features, 2)
    x = torch.linspace(-1, 1, features.shape[-1], device=features.device, dtype=features.dtype)
    return torch.cat([features, 2 * features * x, 2 * features * x[:, None]], 1)


class Tokens(nn.Module):
    """Features of an image as a sequence of places, with what is around them: (batch, 64, 64)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(3 * width, 64, 1)
        self.mix = _encoder_layer()

    def forward(self, features: Tensor) -> Tensor:
        return self.mix(self.project(located(features)).flatten(2).transpose(1, 2))


def _encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(64, 4, 128, 0.0, "gelu", batch_first=True, norm_first=True)


# --------------------------------------------------------------------------------- reading texts


class Recurrent(nn.Module):
    """Reads words forwards and backwards: (batch, words) to (batch, 144).

    At each word what came before is multiplied by what comes after: so "left of" can turn the sign
    of the thing that it follows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(_WORDS) + 1, 32, padding_idx=0)
        self.read = nn.GRU(32, 48, batch_first=True, bidirectional=True)

    def forward(self, tokens: Tensor) -> Tensor:
        with torch.autocast(tokens.device.type, enabled=False):
            states, _ = self.read(self.embed(tokens))
            before, after = states.chunk(2, 2)
            return _mean_word(torch.cat([states, 4 * before * after], 2), tokens)


class Gated(nn.Module):
    """Reads words by what is around them, with gates: (batch, words) to (batch, 64)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(len(_WORDS) + 1, 32, padding_idx=0)
        self.near = nn.Conv1d(32, 96, 5, padding=2)
        self.far = nn.Conv1d(48, 128, 5, padding=4, dilation=2)

    def forward(self, tokens: Tensor) -> Tensor:
        states = functional.glu(self.near(self.embed(tokens).transpose(1, 2)), 1)
        return _mean_word(functional.glu(self.far(states), 1).transpose(1, 2), tokens)


def _mean_word(states: Tensor, tokens: Tensor) -> Tensor:
    """Return the mean over words that are there."""
    there = (tokens > 0).unsqueeze(2).to(states.dtype)
    return (states * there).sum(1) / there.sum(1)

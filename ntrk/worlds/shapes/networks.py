"""The small networks that judge images; each has a twin of another kind, see `encoders`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .encoders import Gated, Plateau, Pyramid, Recurrent, Tokens, located
from .preference import TERMS
from .scene import COLORS, SHAPES

__all__ = ["CLASSES", "NETWORKS"]

Tensor = Any

_JUDGED = 1 + len(TERMS)

CLASSES = tuple((color, shape) for color in COLORS for shape in SHAPES)
"""Kinds of things that are counted."""


class Taste(nn.Module):
    """A preference for images: (batch, 3, 64, 64) to (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Pyramid()
        self.places = nn.Sequential(
            nn.Conv2d(144, 64, 1),
            nn.SiLU(),
            nn.Conv2d(64, 64, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(64, 128, 1),
            nn.SiLU(),
        )
        self.judge = nn.Sequential(nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, _JUDGED))

    def forward(self, images: Tensor) -> Tensor:
        return self.judged(images)[:, 0]

    def judged(self, images: Tensor) -> Tensor:
        """Return the preference, and what it is made of, which helps in training."""
        return self.judge(self.places(located(self.trunk(images))).mean((2, 3))).float()


class TasteTwin(Taste):
    """As `Taste`, by attention."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.trunk = Plateau()
        self.tokens = Tokens(64)
        self.places = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 128), nn.GELU())
        self.judge = nn.Sequential(nn.Linear(128, 128), nn.GELU(), nn.Linear(128, _JUDGED))

    def judged(self, images: Tensor) -> Tensor:
        return self.judge(self.places(self.tokens(self.trunk(images))).mean(1)).float()


class Density(nn.Module):
    """Things of each kind at each place: (batch, 3, 64, 64) to (batch, 24, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Pyramid()
        self.spot = nn.Conv2d(48, _SPOT, 1)
        nn.init.constant_(self.spot.bias[:1], -4.0)  # nearly everywhere there is nothing

    def forward(self, images: Tensor) -> Tensor:
        return _spots(self.spot(self.trunk(images)))


class DensityTwin(nn.Module):
    """As `Density`, by attention, in pieces of 8 by 8 pixels: (batch, 24, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Plateau()
        self.tokens = Tokens(64)
        self.spot = nn.Sequential(nn.LayerNorm(64), nn.Linear(64, _SPOT))
        nn.init.constant_(self.spot[1].bias[:1], -2.0)

    def forward(self, images: Tensor) -> Tensor:
        return _spots(
            self.spot(self.tokens(self.trunk(images))).transpose(1, 2).unflatten(2, (8, 8))
        )


_SPOT = 1 + len(COLORS) + len(SHAPES)


def _spots(found: Tensor) -> Tensor:
    """Share out how many things are at a place among the colours, and among the shapes."""
    many, colors, shapes = found.float().split([1, len(COLORS), len(SHAPES)], 1)
    shares = colors.softmax(1)[:, :, None] * shapes.softmax(1)[:, None]
    return functional.softplus(many) * shares.flatten(1, 2)


class Match(nn.Module):
    """Directions of images and of texts, (batch, 96) each of length one."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Pyramid()
        self.places = nn.Conv2d(144, 128, 1)
        self.see = nn.Sequential(nn.SiLU(), nn.Linear(128, 96))
        self.text = Recurrent()
        self.read = nn.Linear(144, 96)
        self.sharpness = nn.Parameter(torch.tensor(2.5))  # logarithm of 1 / temperature

    def images(self, images: Tensor) -> Tensor:
        seen = self.see(self.places(located(self.trunk(images))).mean((2, 3)))
        return functional.normalize(seen.float(), dim=1)

    def texts(self, tokens: Tensor) -> Tensor:
        return functional.normalize(self.read(self.text(tokens)).float(), dim=1)


class MatchTwin(nn.Module):
    """As `Match`, by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Plateau()
        self.tokens = Tokens(64)
        self.see = nn.Sequential(nn.Linear(64, 128), nn.GELU(), nn.Linear(128, 96))
        self.text = Gated()
        self.read = nn.Linear(64, 96)
        self.sharpness = nn.Parameter(torch.tensor(2.5))

    def images(self, images: Tensor) -> Tensor:
        seen = self.see(self.tokens(self.trunk(images)).mean(1))
        return functional.normalize(seen.float(), dim=1)

    def texts(self, tokens: Tensor) -> Tensor:
        return functional.normalize(self.read(self.text(tokens)).float(), dim=1)


class Answer(nn.Module):
    """Log-odds of "yes": (batch, 96) of images and (batch, words) of questions to (batch,)."""

    def __init__(self) -> None:
        super().__init__()
        self.match = Match()
        self.judge = nn.Sequential(nn.Linear(96, 64), nn.SiLU(), nn.Linear(64, 1))
        self.level = nn.Parameter(torch.tensor(0.9))  # cosine from which the answer is yes

    def features(self, images: Tensor) -> Tensor:
        return self.match.images(images)

    def answers(self, features: Tensor, tokens: Tensor) -> Tensor:
        both = features * self.match.texts(tokens)
        alike = self.match.sharpness.exp() * (both.sum(1) - self.level)
        return alike + self.judge(96 * both).float()[:, 0]


class AnswerTwin(Answer):
    """As `Answer`, by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.match = MatchTwin()
        self.judge = nn.Sequential(nn.Linear(96, 40), nn.GELU(), nn.Linear(40, 1))


NETWORKS: dict[str, type[nn.Module]] = {
    "count": Density,
    "aesthetic": Taste,
    "alignment": Match,
    "answers": Answer,
    "count_twin": DensityTwin,
    "aesthetic_twin": TasteTwin,
    "alignment_twin": MatchTwin,
    "answers_twin": AnswerTwin,
}
"""By the name of the reward."""

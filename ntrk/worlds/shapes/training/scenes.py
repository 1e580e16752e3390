"""Scenes that rewards learn from, with wrong captions, questions, ghosts and distortions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from tqdm.auto import tqdm

from ..drawing import draw
from ..encoders import as_tokens
from ..grammar import RELATIONS, Demand, Group, holds, sample_caption, sample_scene_of
from ..networks import CLASSES
from ..preference import TERMS, preference, terms
from ..questions import relation_question
from ..scene import COLORS, GROUNDS, SHAPES, TEXTURES, Scene

__all__ = ["Batch", "Pool", "distort", "mutate"]

Tensor = Any
Random = np.random.Generator

MOST = 10  # things in a scene
WRONG = 8  # wrong captions of a scene


@dataclass(frozen=True)
class Batch:
    """Images, and what is true of them.

    Parameters
    ----------
    rows
        Which of the pool's scenes they are.
    images
        Shape (batch, 3, 64, 64), in [0, 1].
    whole
        Whether everything that the caption asks for is there.
    kinds, places
        Number of the kind in `CLASSES` of each thing that is there, -1 where none is, shape (batch,
        `MOST`); its centre in pixels, shape (batch, `MOST`, 2).
    preference, terms
        Of what is there, shape (batch,), and what that is made of, (batch, 7), NaN for what a scene
        has not.
    """

    rows: Any
    images: Tensor
    whole: Tensor
    kinds: Tensor
    places: Tensor
    preference: Tensor
    terms: Tensor

    def counts(self) -> Tensor:
        """How many things of each kind there are, shape (batch, 24)."""
        return self._is_kind().sum(1)

    def densities(self, side: int) -> Tensor:
        """A spot of sum one for each thing on the map of its kind: (batch, 24, side, side)."""
        cells = (torch.arange(side) + 0.5) * 64 / side
        spots = torch.exp(-((cells - self.places[..., None]) ** 2) / 32)
        spots = spots / spots.sum(-1, keepdim=True)
        return torch.einsum("btk,bty,btx->bkyx", self._is_kind(), spots[:, :, 1], spots[:, :, 0])

    def _is_kind(self) -> Tensor:
        return (self.kinds[..., None] == torch.arange(len(CLASSES))).float()


class Pool:
    """Scenes drawn once.

    Parameters
    ----------
    size
        How many.
    seed
        Of everything random in them.
    """

    def __init__(self, size: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        bar = tqdm(range(size), desc=f"scenes of seed {seed}", mininterval=5)
        self.demands = [sample_caption(rng, held_out=rng.random() < 0.15) for _ in bar]
        self.scenes = [sample_scene_of(d, rng) for d in tqdm(self.demands, mininterval=5)]
        self.images = np.stack([draw(scene) for scene in self.scenes])
        self.captions = as_tokens(list(map(str, self.demands)))
        wrong = [str(mutate(demand, rng)) for demand in self.demands for _ in range(WRONG)]
        self.wrong = as_tokens(wrong).view(size, WRONG, -1)
        self.landscapes = np.array([i for i, s in enumerate(self.scenes) if s.horizon is not None])
        self.pairs = np.array([i for i, d in enumerate(self.demands) if _is_pair(d)])

    def batch(self, rng: Random, size: int, altered: float = 0.0, among: Any = None) -> Batch:
        """Draw scenes, `altered` of them with things faded or two of them blended."""
        rows = rng.choice(len(self.scenes) if among is None else among, size)
        images = self.images[rows] / np.float32(255)
        scenes = [self.scenes[row] for row in rows]
        for k in range(round(altered * size)):
            images[k], scenes[k] = self._alter(scenes[k], rng)
        kinds, places = np.full((size, MOST), -1), np.zeros((size, MOST, 2), np.float32)
        for k, scene in enumerate(scenes):
            for j, thing in enumerate(scene.things):
                kinds[k, j] = CLASSES.index((thing.color, thing.shape))
                places[k, j] = thing.x, thing.y
        things = [len(self.scenes[row].things) for row in rows]
        whole = [len(scene.things) == n for scene, n in zip(scenes, things, strict=True)]
        return Batch(
            rows,
            torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=_LAST),
            torch.tensor(whole),
            torch.from_numpy(kinds),
            torch.from_numpy(places),
            torch.tensor([preference(scene) for scene in scenes], dtype=torch.float32),
            torch.tensor([[terms(s).get(t, np.nan) for t in TERMS] for s in scenes]).float(),
        )

    def _alter(self, scene: Scene, rng: Random) -> tuple[Any, Scene]:
        """Return an image with ghosts, and the scene of what counts as there."""
        kept = rng.random(len(scene.things)) < 0.5
        kept[rng.integers(len(kept))] = False
        rest = replace(scene, things=tuple(t for t, k in zip(scene.things, kept, strict=True) if k))
        kind = rng.integers(3)
        if kind == 0:  # two scenes at once are none
            other, weight = self.images[rng.integers(len(self.images))], 0.5
            rest = replace(scene, things=())
        else:
            other = draw(rest)
            weight = rng.uniform(0.7, 0.95) if kind == 1 else rng.uniform(0, 0.4)
        image = weight * draw(scene) + (1 - weight) * other
        return image / 255, scene if kind == 1 else rest

    def relation(self, row: int, rng: Random) -> tuple[str, bool]:
        """Draw a question about the two things of a scene, and its answer."""
        demand, scene = self.demands[row], self.scenes[row]
        if rng.random() < 0.2:  # about a thing that is not there
            demand = _with_group(demand, rng, int(rng.integers(2)))
            return relation_question(str(rng.choice(RELATIONS)), *demand.groups), False
        first, second = scene.things if rng.random() < 0.5 else scene.things[::-1]
        true = next(relation for relation in RELATIONS if holds(relation, first, second))
        relation = str(rng.choice([true, _opposite(true), *RELATIONS], p=[0.4, 0.3, *[0.075] * 4]))
        groups = [Group(1, thing.color, thing.shape) for thing in (first, second)]
        return relation_question(relation, *groups), relation == true


_LAST = torch.channels_last


def _is_pair(demand: Demand) -> bool:
    return len(demand.groups) == 2 and all(group.number == 1 for group in demand.groups)


# -------------------------------------------------------------------------------- wrong captions


def mutate(demand: Demand, rng: Random) -> Demand:
    """Change one thing that a caption asks for, such that the caption becomes wrong."""
    choices = ["group", "group", "group", "ground", *(["relation"] * 4 if demand.relation else [])]
    choice = rng.choice(choices)
    if choice == "ground":
        return replace(demand, ground=_other(rng, GROUNDS, demand.ground))
    if choice == "relation":
        assert demand.relation is not None
        other = _other(rng, RELATIONS, demand.relation)
        return replace(demand, relation=_opposite(demand.relation) if rng.random() < 0.6 else other)
    if len(demand.groups) == 2 and rng.random() < 0.25:
        swapped = _swapped(demand, rng)
        if swapped != demand:
            return swapped
    return _with_group(demand, rng, int(rng.integers(len(demand.groups))), number=True)


def _swapped(demand: Demand, rng: Random) -> Demand:
    """Let two groups swap their colours or their numbers."""
    first, second = demand.groups
    field = "color" if first.shape != second.shape else "number"
    return replace(
        demand,
        groups=(
            replace(first, **{field: getattr(second, field)}),
            replace(second, **{field: getattr(first, field)}),
        ),
    )


def _with_group(demand: Demand, rng: Random, which: int, *, number: bool = False) -> Demand:
    """Change one property of a group."""
    group, others = demand.groups[which], [g for i, g in enumerate(demand.groups) if i != which]
    fields = ["color", "shape"]
    fields += ["number"] * (2 if number and not demand.relation else 0)
    fields += ["size"] if number and group.size else []
    fields += ["texture"] if number and group.texture else []
    field = str(rng.choice(fields))
    most = 10 if len(demand.groups) == 1 else 5
    near = [n for n in range(group.number - 2, group.number + 3) if 1 <= n <= most]
    if group.size or group.texture:
        near = [1, 2]
    values = {
        "color": [c for c in COLORS if c not in {g.color for g in others}],
        "shape": list(SHAPES),
        "number": near,
        "size": ["small", "large"],
        "texture": list(TEXTURES[1:]),
    }
    changed = replace(group, **{field: _other(rng, values[field], getattr(group, field))})
    groups = list(demand.groups)
    groups[which] = changed
    return replace(demand, groups=tuple(groups))


def _opposite(relation: str) -> str:
    return RELATIONS[RELATIONS.index(relation) ^ 1]


def _other(rng: Random, values: Any, value: Any) -> Any:
    rest = [other for other in values if other != value]
    return rest[rng.integers(len(rest))]


# ------------------------------------------------------------------------------------ distortion


def distort(images: Tensor, strength: float, generator: Any) -> Tensor:
    """Make images look less clean: colours, blur, lost detail and noise; names of colours stay."""
    size = len(images)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(size, *shape, generator=generator)

    shift = 0.05 * strength * (2 * uniform(3, 1, 1) - 1)
    contrast = 1 + 0.1 * strength * (2 * uniform(1, 1, 1) - 1)
    images = 0.5 + contrast * (images - 0.5) + shift
    coarse = functional.interpolate(functional.avg_pool2d(images, 2), scale_factor=2.0)
    images = torch.lerp(images, coarse, (uniform(1, 1, 1) < 0.3) * uniform(1, 1, 1))
    blurred = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), "replicate"), 3, 1)
    images = torch.lerp(images, blurred, (uniform(1, 1, 1) < 0.4) * uniform(1, 1, 1))
    waves = torch.randn(size, 3, 8, 8, generator=generator)
    waves = functional.interpolate(waves, size=images.shape[2:], mode="bilinear")
    grain = torch.randn(images.shape, generator=generator)
    images = images + 0.06 * strength * uniform(1, 1, 1) ** 2 * grain
    return (images + 0.04 * strength * uniform(1, 1, 1) ** 2 * waves).clamp(0, 1)

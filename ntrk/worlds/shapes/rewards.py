"""Rewards of the world: ``reward(images, prompts) -> (batch,)``, learned, or exact by parsing.

Each learned reward has a twin of another architecture that learned from other scenes, with more
distortion: methods aim at one, and the other judges. What is exact is computed from the scene that
`parse` finds in the image; no network has a part in it, and it has no gradient.

Images have shape (batch, 3, 64, 64), in [0, 1]; prompts are of the grammar.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from .encoders import as_tokens
from .grammar import Group, holds, read_caption
from .networks import CLASSES, NETWORKS
from .parsing import parse, satisfies
from .preference import preference
from .questions import HORIZON_QUESTION, asked_relation, asked_row, draw_line, relation_question
from .scene import SIDE, Scene

__all__ = [
    "EXACT",
    "aesthetic",
    "aesthetic_exact",
    "aesthetic_twin",
    "alignment",
    "alignment_twin",
    "answers",
    "answers_twin",
    "caption_exact",
    "count",
    "count_exact",
    "count_right",
    "count_twin",
    "horizon",
    "horizon_exact",
    "horizon_twin",
    "relation",
    "relation_exact",
    "relation_twin",
]

Tensor = Any
Prompts = Sequence[str]
Function = Callable[[Tensor, Prompts], Tensor]

FOLDER = Path(__file__).parent / "weights" / "rewards"

_MOST = 8.0  # log-odds beyond which more certainty is worth little


# ------------------------------------------------------------------------------------- aesthetic


def aesthetic(images: Tensor, prompts: Prompts) -> Tensor:
    """Return the preference that a network sees in images, about 0 to 10; see `preference`."""
    return _network("aesthetic", images, prompts)(images.float())


def aesthetic_twin(images: Tensor, prompts: Prompts) -> Tensor:
    """As `aesthetic`, of the other network."""
    return _network("aesthetic_twin", images, prompts)(images.float())


def aesthetic_exact(images: Tensor, prompts: Prompts) -> Tensor:
    """Return the `preference` for the scenes that the images show."""
    return _each(images, prompts, lambda scene, _: preference(scene))


# ----------------------------------------------------------------------------- images and captions


def alignment(images: Tensor, prompts: Prompts) -> Tensor:
    """Return ten times the cosine between image and prompt, in [-10, 10].

    The network was trained to tell the caption of an image from those of others, and from itself
    with one thing changed.
    """
    return _cosine("alignment", images, prompts)


def alignment_twin(images: Tensor, prompts: Prompts) -> Tensor:
    """As `alignment`, of the other network."""
    return _cosine("alignment_twin", images, prompts)


def caption_exact(images: Tensor, prompts: Prompts) -> Tensor:
    """Return 1 where the image shows what the prompt asks for and nothing else, 0 elsewhere."""
    return _each(images, prompts, lambda scene, prompt: satisfies(read_caption(prompt), scene))


def _cosine(name: str, images: Tensor, prompts: Prompts) -> Tensor:
    network = _network(name, images, prompts)
    texts = network.texts(as_tokens([str(read_caption(p)) for p in prompts]).to(images.device))
    return 10 * (network.images(images.float()) * texts).sum(1)


# ----------------------------------------------------------------------------------------- counts


def count(images: Tensor, prompts: Prompts) -> Tensor:
    """Return minus the smooth L1 distance of counts from those asked for, summed over groups.

    A count is the sum of a density map of things of the group's colour and shape.
    """
    return _count_reward("count", images, prompts)


def count_twin(images: Tensor, prompts: Prompts) -> Tensor:
    """As `count`, of the other network."""
    return _count_reward("count_twin", images, prompts)


def count_exact(images: Tensor, prompts: Prompts) -> Tensor:
    """Return minus the things too few or too many, summed over groups."""
    return _each(images, prompts, lambda scene, prompt: -_miscounted(scene, prompt))


def count_right(images: Tensor, prompts: Prompts) -> Tensor:
    """Return 1 where every group has the number asked for, 0 elsewhere."""
    return _each(images, prompts, lambda scene, prompt: _miscounted(scene, prompt) == 0)


def _count_reward(name: str, images: Tensor, prompts: Prompts) -> Tensor:
    counts = _network(name, images, prompts)(images.float()).sum((2, 3))
    asked = torch.zeros_like(counts)
    groups = torch.zeros_like(counts)
    for row, prompt in enumerate(prompts):
        for group in read_caption(prompt).groups:
            asked[row, CLASSES.index((group.color, group.shape))] = group.number
            groups[row, CLASSES.index((group.color, group.shape))] = 1
    return -(groups * functional.smooth_l1_loss(counts, asked, reduction="none")).sum(1)


def _miscounted(scene: Scene, prompt: str) -> int:
    groups = read_caption(prompt).groups
    return sum(abs(len(_members(scene, group)) - group.number) for group in groups)


def _members(scene: Scene, group: Group) -> list[Any]:
    return [t for t in scene.things if (t.color, t.shape) == (group.color, group.shape)]


# ---------------------------------------------------------------------------------------- answers


def answers(images: Tensor, prompts: Prompts) -> Tensor:
    """Return the log-odds of "yes" to "does it show {prompt}", in (-8, 8).

    Log-odds ``l`` are returned as ``8 tanh(l / 8)``: the probability itself has no slope where the
    answer is sure, and without a bound certainty would be worth too much.
    """
    return _caption_answer("answers", images, prompts)


def answers_twin(images: Tensor, prompts: Prompts) -> Tensor:
    """As `answers`, of the other network."""
    return _caption_answer("answers_twin", images, prompts)


def relation(images: Tensor, prompts: Prompts) -> Tensor:
    """Return the log-odds of "yes" to "is {first} {relation} {second}", bounded as in `answers`.

    The prompt is of two single things; `asked_relation` says which relation is asked for.
    """
    return _relation_answer("answers", images, prompts)


def relation_twin(images: Tensor, prompts: Prompts) -> Tensor:
    """As `relation`, of the other network."""
    return _relation_answer("answers_twin", images, prompts)


def relation_exact(images: Tensor, prompts: Prompts) -> Tensor:
    """Return 1 where there is one thing of each kind and they lie as asked for, 0 elsewhere."""

    def holding(scene: Scene, prompt: str) -> bool:
        relation = asked_relation(prompt)
        first, second = (_members(scene, group) for group in read_caption(prompt).groups)
        return len(first) == len(second) == 1 and holds(relation, first[0], second[0])

    return _each(images, prompts, holding)


def horizon(images: Tensor, prompts: Prompts) -> Tensor:
    """Return the log-odds of "yes" to "is the horizon at the line", bounded as in `answers`.

    A red line is drawn across the image at the row of `asked_row`.
    """
    return _line_answer("answers", images, prompts)


def horizon_twin(images: Tensor, prompts: Prompts) -> Tensor:
    """As `horizon`, of the other network."""
    return _line_answer("answers_twin", images, prompts)


def horizon_exact(images: Tensor, prompts: Prompts) -> Tensor:
    """Return minus the distance of the horizon from the row asked for; -64 where there is none."""

    def distance(scene: Scene, prompt: str) -> float:
        row, found = asked_row(prompt), scene.horizon
        return -float(SIDE) if found is None else -abs(found - row)

    return _each(images, prompts, distance)


def _caption_answer(name: str, images: Tensor, prompts: Prompts) -> Tensor:
    return _answer(name, images, [f"does it show {read_caption(prompt)}" for prompt in prompts])


def _relation_answer(name: str, images: Tensor, prompts: Prompts) -> Tensor:
    asked = [relation_question(asked_relation(p), *read_caption(p).groups) for p in prompts]
    return _answer(name, images, asked)


def _line_answer(name: str, images: Tensor, prompts: Prompts) -> Tensor:
    _check(images, prompts)
    rows = torch.tensor([asked_row(prompt) for prompt in prompts])
    return _answer(name, draw_line(images, rows), [HORIZON_QUESTION] * len(prompts))


def _answer(name: str, images: Tensor, questions: Prompts) -> Tensor:
    network = _network(name, images, questions)
    tokens = as_tokens(questions).to(images.device)
    odds = network.answers(network.features(images.float()), tokens)
    return _MOST * torch.tanh(odds / _MOST)


# ------------------------------------------------------------------------------------ what is used


def _network(name: str, images: Tensor, prompts: Prompts) -> Any:
    """Return the network of a name, where the images are, having looked at what it is given."""
    _check(images, prompts)
    return _load(name, str(images.device))


@cache
def _load(name: str, device: str) -> Any:
    return load(FOLDER / f"{name}.safetensors").to(device)


def load(path: Path) -> Any:
    """Return the network in a file, which is named for it."""
    from safetensors.torch import load_file

    network = NETWORKS[path.stem]()
    network.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _each(images: Tensor, prompts: Prompts, judge: Callable[[Scene, str], float]) -> Tensor:
    _check(images, prompts)
    pictures = images.detach().float().cpu()
    values = [
        float(judge(parse(picture), prompt))
        for picture, prompt in zip(pictures, prompts, strict=True)
    ]
    return torch.tensor(values, dtype=torch.float32, device=images.device)


def _check(images: Tensor, prompts: Prompts) -> None:
    if images.shape[1:] != (3, SIDE, SIDE):
        raise ValueError(f"images must have shape (batch, 3, 64, 64), got {tuple(images.shape)}")
    if len(images) != len(prompts):
        raise ValueError(f"prompts must be one an image, {len(images)}, got {len(prompts)}")


EXACT: tuple[Function, ...] = (
    aesthetic_exact,
    caption_exact,
    count_exact,
    count_right,
    relation_exact,
    horizon_exact,
)
for _function in EXACT:
    _function.differentiable = False  # type: ignore[attr-defined]

"""What is asked of the world's model: prompts, a reward to aim at, and others that judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ntrk.bench.task import Function, Task

from . import rewards
from .grammar import RELATIONS, Demand, Group, sample_caption
from .questions import asked_relation
from .scene import GROUNDS

__all__ = ["tasks"]

Random = np.random.Generator
Maker = Callable[[int, Random], Demand]

_TEST, _VALIDATION = 24, 8


def tasks() -> dict[str, Task]:
    """Return the tasks by name; the prompts of each are drawn with a seed of its own.

    Returns
    -------
    dict of Task
        - ``aesthetic``: one thing or two, on each ground.
        - ``text``: two groups, in a relation or with numbers; in every other prompt the first has a
          colour and a shape that the model has never seen together.
        - ``count``: four to ten things of one kind.
        - ``relation``: two things, and how they are to lie, which the prompt does not say; see
          `asked_relation`.
        - ``horizon``: a landscape, and the row of its horizon, which the prompt does not say; see
          `asked_row`.

    Examples
    --------
    >>> given = tasks()
    >>> list(given), given["count"].target_name, len(given["count"].prompts)
    (['aesthetic', 'text', 'count', 'relation', 'horizon'], 'count', 24)
    """
    return {task.name: task for task in _tasks()}


def _tasks() -> list[Task]:
    r = rewards
    return [
        _task(
            "aesthetic",
            "Aesthetic image generation",
            _aesthetic,
            r.aesthetic,
            [
                r.aesthetic_twin,
                r.aesthetic_exact,
                r.alignment_twin,
                r.answers_twin,
                r.caption_exact,
            ],
        ),
        _task(
            "text",
            "Text-aligned image generation",
            _text,
            r.alignment,
            [r.alignment_twin, r.answers_twin, r.aesthetic, r.caption_exact],
        ),
        _task(
            "count",
            "Counting",
            _count,
            r.count,
            [r.count_twin, r.count_exact, r.count_right, r.aesthetic, r.alignment],
        ),
        _task(
            "relation",
            "Relative position",
            _relation,
            r.relation,
            [r.relation_twin, r.relation_exact, r.caption_exact, r.aesthetic],
        ),
        _task(
            "horizon",
            "Position of the horizon",
            _horizon,
            r.horizon,
            [r.horizon_twin, r.horizon_exact, r.caption_exact, r.aesthetic],
        ),
    ]


def _task(name: str, title: str, make: Maker, target: Function, held_out: list[Function]) -> Task:
    prompts = _prompts(make, seed=sum(map(ord, name)))
    return Task(
        name,
        title,
        prompts[:_TEST],
        prompts[_TEST:],
        {target.__name__: target},
        {function.__name__: function for function in held_out},
    )


def _prompts(make: Maker, seed: int) -> tuple[str, ...]:
    rng, prompts = np.random.default_rng(seed), list[str]()
    while len(prompts) < _TEST + _VALIDATION:
        prompt = str(make(len(prompts), rng))
        if prompt not in prompts:
            prompts.append(prompt)
    return tuple(prompts)


def _aesthetic(k: int, rng: Random) -> Demand:
    return replace(_few(rng), ground=list(GROUNDS)[k % len(GROUNDS)])


def _text(k: int, rng: Random) -> Demand:
    while len((demand := sample_caption(rng, held_out=k % 2 == 1)).groups) < 2:
        pass
    return demand


def _count(k: int, rng: Random) -> Demand:
    group = sample_caption(rng).groups[0]
    return Demand((Group(4 + k % 7, group.color, group.shape),), None, list(GROUNDS)[k % 4])


def _relation(k: int, rng: Random) -> Demand:
    while True:
        demand = sample_caption(rng)
        if demand.relation:
            demand = replace(demand, relation=None)
            if asked_relation(str(demand)) == RELATIONS[k % 4]:
                return demand


def _horizon(k: int, rng: Random) -> Demand:
    return replace(_few(rng), ground="landscape")


def _few(rng: Random) -> Demand:
    """Ask for one thing or two."""
    while True:
        demand = sample_caption(rng)
        if sum(group.number for group in demand.groups) <= 2:
            return demand

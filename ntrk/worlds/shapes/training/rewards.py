"""Trains the rewards: ``python -m ntrk.worlds.shapes.training.rewards``.

Each network sees its own scenes: those that methods aim at one set, their twins another, and both
are measured on a third. A network whose file is there is not trained again. Within each of the two
families, what matches captions starts from what the counter learned to see, and what answers
questions and what judges taste start from what matches captions.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch.nn import functional
from tqdm.auto import tqdm

from ..encoders import LENGTH, as_tokens
from ..networks import NETWORKS
from ..questions import HORIZON_QUESTION, draw_line
from ..rewards import FOLDER, load
from .loop import train
from .scenes import WRONG, Batch, Pool, distort

__all__ = ["measure", "train_rewards"]

Tensor = Any
Loss = Callable[[Any, Pool, Any, float], Tensor]

SCENES, HELD_OUT_SCENES = 24_000, 2_000
SEEDS = {"target": 101, "twin": 202, "held out": 303}
STEPS = {"count": 1400, "alignment": 1300, "answers": 900, "aesthetic": 1000}
LONGER = {"answers_twin": 1400}
STARTS = {"alignment": "count", "answers": "alignment", "aesthetic": "alignment"}
BATCH = 48
WRONG_CAPTIONS = 5  # an image in a batch
REACH = 5.0  # pixels over which a line stops being at the horizon


def train_rewards(folder: Path = FOLDER, cache_folder: Path | None = None) -> dict[str, Any]:
    """Train what is missing in `folder`, then measure all; returns the measures.

    Parameters
    ----------
    folder
        For the weights and ``metrics.json``.
    cache_folder
        For the state of a network in training; a temporary folder if None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name in [kind + twin for twin in ("", "_twin") for kind in STEPS]:
            if not (folder / f"{name}.safetensors").exists():
                _train_one(name, folder, cache_folder or Path(temporary))
    metrics = measure(folder)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def _train_one(name: str, folder: Path, states: Path) -> None:
    kind, twin = name.removesuffix("_twin"), name.endswith("_twin")
    pool = _pool("twin" if twin else "target")
    torch.manual_seed(list(NETWORKS).index(name) + SEEDS["twin" if twin else "target"])
    network = NETWORKS[name]().to(memory_format=torch.channels_last)
    if kind in STARTS:
        start = _weights(folder / f"{STARTS[kind]}{'_twin' * twin}.safetensors")
        if kind == "answers":
            network.match.load_state_dict(start)
        else:
            trunk = {key: value for key, value in start.items() if key.startswith("trunk.")}
            network.load_state_dict(trunk, strict=False)
    strength = 1.6 if twin else 1.0  # the judges are to be the sturdier

    def loss(step: int) -> Tensor:
        rng = np.random.default_rng([SEEDS["twin" if twin else "target"], step])
        return LOSSES[kind](network, pool, rng, strength)

    average = train(
        network,
        loss,
        steps=LONGER.get(name, STEPS[kind]),
        learning_rate=3e-3,
        checkpoint=states / f"{name}.pt",
        title=name,
        decay=0.99,
    )
    weights = {k: v.to(torch.float16).contiguous() for k, v in average.values.items()}
    (folder / f"{name}.safetensors").write_bytes(save(weights))


def _weights(path: Path) -> dict[str, Tensor]:
    return {key: value.float() for key, value in load_file(path).items()}


@cache
def _pool(split: str) -> Pool:
    return Pool(HELD_OUT_SCENES if split == "held out" else SCENES, SEEDS[split])


# ---------------------------------------------------------------------------------------- losses


def _generator(rng: np.random.Generator) -> Any:
    return torch.Generator().manual_seed(int(rng.integers(2**62)))


def _count_loss(network: Any, pool: Pool, rng: Any, strength: float) -> Tensor:
    """Minus the log-likelihood of things that are Poisson, and how far off the counts are."""
    batch = pool.batch(rng, BATCH, altered=0.25 * strength)
    found, truth = network(distort(batch.images, strength, _generator(rng))), batch.counts()
    likely = batch.densities(found.shape[-1])
    surprise = (found - likely * torch.log(found + 1e-6)).sum((1, 2, 3))
    counts = found.sum((2, 3))
    wrong = functional.smooth_l1_loss(counts, truth, beta=0.5, reduction="none").sum(1)
    return (surprise + wrong).mean()


def _aesthetic_loss(network: Any, pool: Pool, rng: Any, strength: float) -> Tensor:
    batch = pool.batch(rng, BATCH, altered=0.2 * strength)
    found = network.judged(distort(batch.images, strength, _generator(rng)))
    there = batch.terms.isfinite()
    wrong = functional.mse_loss(found[:, 1:][there], batch.terms[there])
    return functional.smooth_l1_loss(found[:, 0], batch.preference) + 20 * wrong


def _alignment_loss(network: Any, pool: Pool, rng: Any, strength: float) -> Tensor:
    batch = pool.batch(rng, BATCH, altered=0.2 * strength)
    images = network.images(distort(batch.images, strength, _generator(rng)))
    wrong = pool.wrong[batch.rows, :WRONG_CAPTIONS].flatten(0, 1)
    texts = network.texts(torch.cat([pool.captions[batch.rows], wrong]))
    right, wrong = texts[:BATCH], texts[BATCH:].view(BATCH, WRONG_CAPTIONS, -1)
    scale = network.sharpness.clamp(max=4.0).exp()
    among_others = scale * images @ right.T
    among_wrong = scale * torch.einsum("bd,bkd->bk", images, wrong)
    same = (pool.captions[batch.rows][:, None] == pool.captions[batch.rows]).all(2)
    among_others = among_others.masked_fill(same & ~torch.eye(BATCH, dtype=torch.bool), -1e4)
    each, whole = torch.arange(BATCH), batch.whole
    by_image = torch.cat([among_others, among_wrong], 1)[whole]
    by_text = among_others.T[whole]
    return (
        functional.cross_entropy(by_image, each[whole])
        + functional.cross_entropy(by_text, each[whole])
    ) / 2


def _answers_loss(network: Any, pool: Pool, rng: Any, strength: float) -> Tensor:
    """Captions right and wrong on half of the images, relations and the horizon on a quarter."""
    half, quarter = BATCH // 2, BATCH // 4
    shown = pool.batch(rng, half, altered=0.2 * strength)
    related = pool.batch(rng, quarter, among=pool.pairs)
    lined = pool.batch(rng, quarter, among=pool.landscapes)
    images = torch.cat([shown.images, related.images, lined.images])
    images = distort(images, strength, _generator(rng))
    lines, said = _lines(pool, lined, rng)
    images = torch.cat([images[: half + quarter], draw_line(images[half + quarter :], lines)])

    wrong = pool.wrong[shown.rows[:, None], rng.integers(WRONG, size=(half, 2))]
    relations = [pool.relation(row, rng) for _ in range(3) for row in related.rows]
    questions = torch.cat(
        [
            _shown(torch.cat([pool.captions[shown.rows], wrong[:, 0], wrong[:, 1]])),
            as_tokens([question for question, _ in relations]),
            as_tokens([HORIZON_QUESTION] * quarter),
        ]
    )
    truth = torch.cat(
        [
            shown.whole.float(),
            torch.zeros(2 * half),
            torch.tensor([answer for _, answer in relations]).float(),
            said,
        ]
    )
    about = torch.arange(BATCH).split([half, quarter, quarter])  # three questions an image, or one
    about = torch.cat([*[about[0]] * 3, *[about[1]] * 3, about[2]])
    features = network.features(images.contiguous(memory_format=torch.channels_last))
    answers = network.answers(features[about], questions)
    losses = functional.binary_cross_entropy_with_logits(answers, truth, reduction="none")
    return losses[: 3 * half].mean() + losses[3 * half : -quarter].mean() + losses[-quarter:].mean()


def _shown(captions: Tensor) -> Tensor:
    """Make questions of the numbers of captions."""
    prefix = as_tokens(["does it show"])[:, :3].expand(len(captions), -1)
    return torch.cat([prefix, captions], 1)[:, :LENGTH]


def _lines(pool: Pool, batch: Batch, rng: Any) -> tuple[Tensor, Tensor]:
    """Rows of lines, half of them near the horizon, and how much each is at it."""
    horizons = np.array([pool.scenes[row].horizon for row in batch.rows])
    near = rng.normal(0, 2.5, len(horizons)) + horizons
    lines = np.where(rng.random(len(horizons)) < 0.5, near, rng.uniform(10, 58, len(horizons)))
    agreement = np.exp(-np.abs(lines - horizons) / REACH)  # its log-odds never go flat
    return torch.tensor(lines).float(), torch.tensor(agreement).float()


LOSSES: dict[str, Loss] = {
    "count": _count_loss,
    "aesthetic": _aesthetic_loss,
    "alignment": _alignment_loss,
    "answers": _answers_loss,
}


# ------------------------------------------------------------------------------------- measuring


def measure(folder: Path = FOLDER) -> dict[str, Any]:
    """Measure every network of a folder on scenes that none has learned from.

    Returns
    -------
    dict
        By network, on clean images and on distorted ones. Aesthetic: correlation with the
        preference, mean absolute error. Alignment: how often the caption scores above all of 8
        wrong ones of one change each, and above each. Counts: mean absolute error of a group, how
        often it is right when rounded. Answers: share of right ones about captions (as many wrong
        as right), about relations, about whether the horizon is at the line (up to 3 pixels
        against 6 and more); and the mean distance between the horizon and the line that is the
        likeliest of 32.
    """
    pool, rng = _pool("held out"), np.random.default_rng(0)
    batch = pool.batch(rng, HELD_OUT_SCENES)
    distorted = distort(batch.images, 1.6, torch.Generator().manual_seed(0))
    metrics: dict[str, Any] = {}
    for name in tqdm(NETWORKS, desc="measuring"):
        network = load(folder / f"{name}.safetensors")
        kind = name.removesuffix("_twin")
        with torch.no_grad():
            metrics[name] = {
                "parameters": sum(p.numel() for p in network.parameters()),
                "clean": MEASURES[kind](network, pool, batch, batch.images),
                "distorted": MEASURES[kind](network, pool, batch, distorted),
            }
    return metrics


def _measure_aesthetic(network: Any, pool: Pool, batch: Batch, images: Tensor) -> dict[str, float]:
    found = torch.cat([network(part) for part in images.split(200)])
    return {
        "correlation": _round(torch.corrcoef(torch.stack([found, batch.preference]))[0, 1]),
        "mean_absolute_error": _round((found - batch.preference).abs().mean()),
    }


def _measure_alignment(network: Any, pool: Pool, batch: Batch, images: Tensor) -> dict[str, float]:
    seen = torch.cat([network.images(part) for part in images.split(200)])
    right = (seen * network.texts(pool.captions[batch.rows])).sum(1)
    wrong = network.texts(pool.wrong[batch.rows].flatten(0, 1)).view(len(seen), WRONG, -1)
    above = right[:, None] > torch.einsum("bd,bkd->bk", seen, wrong)
    return {
        "above_all_wrong": _round(above.all(1).float().mean()),
        "above_a_wrong_one": _round(above.float().mean()),
    }


def _measure_count(network: Any, pool: Pool, batch: Batch, images: Tensor) -> dict[str, float]:
    found = torch.cat([network(part).sum((2, 3)) for part in images.split(200)])
    truth = batch.counts()
    asked = truth > 0
    return {
        "mean_absolute_error": _round((found - truth).abs()[asked].mean()),
        "right": _round((found.round() == truth)[asked].float().mean()),
        "mean_absolute_error_of_absent": _round(found[~asked].mean()),
    }


def _measure_answers(network: Any, pool: Pool, batch: Batch, images: Tensor) -> dict[str, float]:
    rng = np.random.default_rng(1)

    def say(images: Tensor, questions: Tensor) -> Tensor:
        pairs = zip(images.split(200), questions.split(200), strict=True)
        return torch.cat([network.answers(network.features(i), q) for i, q in pairs])

    yes = say(images, _shown(pool.captions[batch.rows])) > 0
    no = say(images, _shown(pool.wrong[batch.rows, 0])) < 0
    pairs = np.flatnonzero(np.isin(batch.rows, pool.pairs))
    asked = [pool.relation(batch.rows[k], rng) for k in pairs]
    truth = torch.tensor([answer for _, answer in asked])
    related = (say(images[pairs], as_tokens([question for question, _ in asked])) > 0) == truth

    lined = np.flatnonzero(np.isin(batch.rows, pool.landscapes))[:100]
    horizons = torch.tensor([pool.scenes[row].horizon for row in batch.rows[lined]])
    rows = torch.arange(2.0, 64.0, 2.0)
    many = draw_line(images[lined].repeat_interleave(len(rows), 0), rows.repeat(len(lined)))
    at = say(many, as_tokens([HORIZON_QUESTION]).expand(len(many), -1)).view(len(lined), -1)
    distances = (rows - horizons[:, None]).abs()
    said = at > math.log(AT / (1 - AT))
    near, far = distances <= 3, distances >= 6
    return {
        "caption_right": _round(torch.cat([yes, no]).float().mean()),
        "relation_right": _round(related.float().mean()),
        "horizon_right": _round((said[near].float().mean() + 1 - said[far].float().mean()) / 2),
        "horizon_distance": _round((rows[at.argmax(1)] - horizons).abs().mean()),
    }


AT = math.exp(-4.5 / REACH)  # what is said of a line 4.5 pixels off


def _round(value: Tensor) -> float:
    return round(float(value), 4)


MEASURES: dict[str, Callable[[Any, Pool, Batch, Tensor], dict[str, float]]] = {
    "count": _measure_count,
    "aesthetic": _measure_aesthetic,
    "alignment": _measure_alignment,
    "answers": _measure_answers,
}


if __name__ == "__main__":
    train_rewards()

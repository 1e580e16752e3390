"""Measures of the trained model, and its model card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor
from tqdm import tqdm

from ..grammar import read_caption
from ..parsing import count, parse, satisfies
from ..pipeline import CALL, load_pipeline
from ..rewards import load
from .data import as_tensor, dataset

__all__ = ["frechet_distance", "write_card"]

_SAMPLES, _STEPS, _SHOWN = 1_000, 25, 48
_SEEDS = {"captions": 11, "again": 12}


def write_card(out: Path, cache: Path) -> dict[str, Any]:
    """Sample, measure, and write ``README.md``, ``metrics.json`` and ``samples.png``.

    Parameters
    ----------
    out
        Folder of the weights.
    cache
        For scenes.

    Returns
    -------
    dict
        The measures.
    """
    pipe = load_pipeline(out)
    pipe.set_progress_bar_config(disable=True)
    real, captions = dataset(cache, _SAMPLES, _SEEDS["captions"])
    other, _ = dataset(cache, _SAMPLES, _SEEDS["again"])
    drawn = _sample(pipe, captions, "sampling")
    _, unseen = dataset(cache, _SAMPLES // 2, _SEEDS["captions"], held_out=True)
    judge = load(out / "rewards" / "alignment_twin.safetensors")
    known = _features(judge, real)
    metrics = {
        "psnr": _psnr(pipe.vae, real),
        "frechet_distance": frechet_distance(_features(judge, drawn), known),
        "frechet_distance_of_real_scenes": frechet_distance(_features(judge, other), known),
        "captions": _accuracy(drawn, captions),
        "captions_never_seen": _accuracy(_sample(pipe, unseen, "sampling unseen"), unseen),
        "parameters": {
            name: sum(p.numel() for p in getattr(pipe, name).parameters())
            for name in ("transformer", "text_encoder", "text_encoder_2", "vae")
        },
        "samples": _SAMPLES,
        "steps": _STEPS,
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    _grid(drawn[:_SHOWN]).save(out / "samples.png", optimize=True)
    judged = json.loads((out / "rewards" / "metrics.json").read_text())
    (out / "README.md").write_text(_card(metrics, judged, captions))
    return metrics


def _sample(pipe: Any, captions: Sequence[str], title: str) -> NDArray[np.uint8]:
    """Draw an image of every caption with the Euler solver that the pipeline has."""
    batch, images = 50, []
    for start in tqdm(range(0, len(captions), batch), desc=title):
        images.append(
            pipe(
                list(captions[start : start + batch]),
                num_inference_steps=_STEPS,
                generator=torch.Generator().manual_seed(start),
                output_type="np",
                **CALL,
            ).images
        )
    pixels: NDArray[np.uint8] = np.rint(255 * np.concatenate(images)).astype(np.uint8)
    return pixels


def frechet_distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the squared Fréchet distance between normal laws fitted to rows of features.

    |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^{1/2}), as the FID has of other features.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((200, 3))
    >>> round(frechet_distance(x, x + [3.0, 0.0, 0.0]), 6)
    9.0
    """
    covariances = [np.cov(rows, rowvar=False) for rows in (first, second)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    shift = np.square(first.mean(0) - second.mean(0)).sum()
    return float(shift + np.trace(covariances[0] + covariances[1] - 2 * np.real(root)))


@torch.no_grad()
def _features(judge: Any, images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the embeddings that a judge of captions has of images."""
    blocks: list[Tensor] = [
        judge.images(as_tensor(images[b : b + 100])) for b in range(0, len(images), 100)
    ]
    rows: NDArray[np.float64] = torch.cat(blocks).double().numpy()
    return rows


def _accuracy(images: NDArray[np.uint8], captions: Sequence[str]) -> dict[str, float]:
    """Share of images that show all and nothing but their caption, and shares by its kind."""
    rows = []
    for image, caption in zip(images, captions, strict=True):
        demand, scene = read_caption(caption), parse(image)
        kind = "relation" if demand.relation else ("one", "two")[len(demand.groups) - 1]
        if kind == "one" and demand.groups[0].number > 1:
            kind = "several"
        numbers = all(count(scene, group) == group.number for group in demand.groups)
        rows.append((kind, satisfies(demand, scene), numbers, scene.ground == demand.ground))
    return {
        "all": float(np.mean([right for _, right, *_ in rows])),
        **{
            kind: float(np.mean([right for k, right, *_ in rows if k == kind]))
            for kind in ("one", "several", "relation", "two")
        },
        "numbers": float(np.mean([numbers for _, _, numbers, _ in rows])),
        "grounds": float(np.mean([ground for *_, ground in rows])),
    }


@torch.no_grad()
def _psnr(vae: Any, images: NDArray[np.uint8]) -> float:
    x = as_tensor(images[:500]) * 2 - 1
    decoded = vae.decode(vae.encode(x).latent_dist.mean).sample.clamp(-1, 1)
    return float(-10 * torch.log10(((decoded - x) / 2).square().mean((1, 2, 3))).mean())


def _grid(images: NDArray[np.uint8], columns: int = 12) -> Any:
    from PIL import Image

    rows = [np.concatenate(images[i : i + columns], 1) for i in range(0, len(images), columns)]
    grid = Image.fromarray(np.concatenate(rows))
    return grid.resize((2 * grid.width, 2 * grid.height), Image.Resampling.NEAREST)


_JUDGED = {
    "mean_absolute_error": "mean error",
    "right": "right",
    "correlation": "correlation with the stated taste",
    "above_all_wrong": "its caption above five with a word wrong",
    "caption_right": "right on captions",
    "relation_right": "right on relations",
    "horizon_right": "right on the horizon",
}


def _rewards_table(judged: dict[str, Any]) -> str:
    rows = []
    for name, measures in sorted(judged.items()):
        said = "; ".join(
            f"{text} {measures['clean'][key]:.3f} ({measures['distorted'][key]:.3f})"
            for key, text in _JUDGED.items()
            if key in measures["clean"]
        )
        rows.append(f"| `{name}` | {measures['parameters']:,} | {said} |")
    return "\n".join(rows)


def _card(metrics: dict[str, Any], judged: dict[str, Any], captions: Sequence[str]) -> str:
    seen, unseen = metrics["captions"], metrics["captions_never_seen"]
    kinds = {
        "all": "all captions",
        "one": "one thing",
        "several": "two to ten things of a kind",
        "relation": "two things in a relation",
        "two": "two groups",
        "numbers": "the numbers are right",
        "grounds": "the ground is right",
    }
    table = "\n".join(f"| {text} | {seen[k]:.3f} | {unseen[k]:.3f} |" for k, text in kinds.items())
    parameters = ", ".join(f"{name} {n:,}" for name, n in metrics["parameters"].items())
    shown = "\n".join(f"{i + 1}. {caption}" for i, caption in enumerate(captions[:12]))
    return _TEXT.format(
        **{**metrics, "captions": None, "parameters": parameters, **CALL},
        table=table,
        rewards=_rewards_table(judged),
        shown=shown,
    )


_TEXT = """---
license: mit
library_name: diffusers
pipeline_tag: text-to-image
---

# shapes: a small FLUX

A text-to-image model of a procedural world: coloured shapes on plain grounds and in landscapes, of
64 x 64 pixels. It has the classes and the layout of FLUX.1. All that it learned from, every caption
and every pixel, was made by this software: nothing was downloaded.

```python
from diffusers import FluxPipeline

pipe = FluxPipeline.from_pretrained("ntrk/worlds/shapes/weights/pipeline")
image = pipe(
    "three red circles on white",
    height={height},
    width={width},
    max_sequence_length={max_sequence_length},
    num_inference_steps={steps},
).images[0]
```

![samples](samples.png)

The first row shows, from left to right:

{shown}

## Measures

<!-- --8<-- [start:measures] -->
Of {samples:,} captions drawn by the grammar, and half as many with colours and shapes that training
never had together; {steps} steps of the Euler solver. What an image shows is read off its pixels
(`parse`), not judged by a network.

| share of images that show all that is asked for, and nothing else | captions | never seen |
|---|---:|---:|
{table}

- Reconstruction by the autoencoder: {psnr:.1f} dB (mean PSNR of 500 scenes).
- Fréchet distance to real scenes, in the embedding of the held-out judge of captions:
  {frechet_distance:.4f}; that of as many other real scenes:
  {frechet_distance_of_real_scenes:.4f}.
- Parameters: {parameters}.
<!-- --8<-- [end:measures] -->

## Rewards

<!-- --8<-- [start:rewards] -->
On 2,000 scenes that none of the networks has seen, and, in brackets, on the same scenes distorted:

| network | parameters | measures |
|---|---:|---|
{rewards}
<!-- --8<-- [end:rewards] -->

## Training

`make train-world` on a CPU: 60,000 scenes, 1,800 steps of 32 for the autoencoder and 7,000 of 32
for the transformer with its text encoders, in bfloat16. One caption in ten is left empty, and the
last two fifths of the steps teach the transformer classifier-free guidance of scale 3, so that one
evaluation does, as in FLUX.1-dev. The weights are the running average, in float16. On a GPU the
same command takes more scenes and steps.

These weights were trained longer than that command does on a CPU: 7,000 steps without guidance (the
first 1,450 at the rates of a longer run) and then, from their average, 5,200 steps of 64, the last
two fifths guided, which took an hour on two cores. Their autoencoder saw 50,000 scenes of an
earlier draw.

`lora` holds an adapter of rank 8, fine-tuned for 400 steps of 16 to raise `alignment` on captions
of two groups. It moves the model a little: what it brings is in the bench's table of Section 5.5.

It is a test bench: it draws what its grammar describes, and nothing else.
"""

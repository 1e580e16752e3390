"""The model that ships: it loads as any FLUX does, draws its world, and follows rewards."""

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import FluxPipeline

import ntrk
from ntrk.worlds import shapes
from ntrk.worlds.shapes.pipeline import WEIGHTS

PROMPT = "four orange circles in a landscape"


@pytest.fixture(scope="module")
def pipe():
    pipe = FluxPipeline.from_pretrained(WEIGHTS / "pipeline", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def size(folder):
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def test_all_weights_are_at_most_fifteen_megabytes():
    assert size(WEIGHTS) < 15e6


def test_latents_have_4096_values(pipe):
    result = ntrk.generate(
        pipe, PROMPT, reward=ntrk.rewards.redness, steps=2, progress=False, **shapes.CALL
    )
    assert result.images.shape == (1, 3, 64, 64)
    assert result.latents is None or result.latents[0].numel() == 4096


def test_it_draws_its_world(pipe):
    """Grounds are always right, and things of the colour that is asked for are there."""
    rng = np.random.default_rng(5)
    captions = [shapes.sample_scene(rng)[0] for _ in range(24)]
    images = pipe(
        captions,
        num_inference_steps=25,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
        **shapes.CALL,
    ).images
    found = [shapes.parse(np.rint(255 * image).astype(np.uint8)) for image in images]
    asked = [shapes.read_caption(caption) for caption in captions]
    assert all(f.ground == a.ground for f, a in zip(found, asked, strict=True))
    coloured = [
        {g.color for g in a.groups} <= {t.color for t in f.things}
        for f, a in zip(found, asked, strict=True)
    ]
    assert np.mean(coloured) > 0.7


@pytest.mark.parametrize("name", list(shapes.tasks()))
def test_ntrk_raises_the_target_of_every_task(pipe, name):
    task = shapes.tasks()[name]
    rewards = {
        strength: ntrk.generate(
            pipe,
            task.validation[0],
            reward=dict(task.target),
            strength=strength,
            particles=2,
            batch_size=2,
            check_noise=False,
            progress=False,
            **shapes.CALL,
        ).reward.mean()
        for strength in (0.0, 0.5)
    }
    assert rewards[0.5] > rewards[0.0]

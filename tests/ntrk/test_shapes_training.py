"""How the world's model is trained: it can be stopped, and its measures are right."""

import numpy as np
import pytest
import torch
from torch import nn

from ntrk.worlds.shapes import draw, sample_scene
from ntrk.worlds.shapes.pipeline import CALL, WEIGHTS, load_pipeline, text_parts
from ntrk.worlds.shapes.training import adapter, data, loop, transformer
from ntrk.worlds.shapes.training.autoencoder import autoencoder, encode
from ntrk.worlds.shapes.training.card import frechet_distance
from ntrk.worlds.shapes.training.transformer import _pack, _tokens


class StoppedError(Exception):
    """What stops a run."""


def fit(checkpoint, steps=30, stop_at=None):
    """Learn to double numbers; the state is saved every step."""
    torch.manual_seed(0)
    module = nn.Linear(3, 3)

    def loss(step):
        if step == stop_at:
            raise StoppedError
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        return (module(x).float() - 2 * x).square().mean()

    average = loop.train(
        module,
        loss,
        steps=steps,
        learning_rate=0.1,
        checkpoint=checkpoint,
        title="test",
        warm_up=5,
        decay=0.9,
    )
    return module.state_dict(), average.values


@pytest.mark.parametrize("stop_at", [1, 17])
def test_a_stopped_run_ends_as_one_that_was_not(tmp_path, monkeypatch, stop_at):
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0.0)
    whole = fit(tmp_path / "whole.pt")
    with pytest.raises(StoppedError):
        fit(tmp_path / "parts.pt", stop_at=stop_at)
    parts = fit(tmp_path / "parts.pt")
    for expected, got in zip(whole, parts, strict=True):
        assert all(torch.equal(expected[name], got[name]) for name in expected)


def test_training_learns_and_the_average_is_nearer(tmp_path):
    last, average = fit(tmp_path / "state.pt", steps=300)
    truth = 2 * torch.eye(3)
    assert (last["weight"] - truth).abs().max() < 0.05
    assert (average["weight"] - truth).abs().max() < 0.05


def test_scenes_of_a_seed_do_not_depend_on_their_number(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_BLOCK", 3)

    class Here:
        """A pool that works in this process."""

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def imap(self, function, jobs):
            return map(function, jobs)

    monkeypatch.setattr(data, "get_context", lambda _: type("Context", (), {"Pool": Here}))
    six, captions = data.dataset(tmp_path, 6, seed=4)
    again, _ = data.dataset(tmp_path, 6, seed=4)
    three, first = data.dataset(tmp_path, 3, seed=4)
    rng = np.random.default_rng([4, 1])
    caption, scene = sample_scene(rng)
    assert np.array_equal(six, again)
    assert np.array_equal(six[:3], three)
    assert captions[:3] == first
    assert captions[3] == caption
    assert np.array_equal(six[3], draw(scene))
    with pytest.raises(ValueError, match="multiple of 3, got 4"):
        data.dataset(tmp_path, 4, seed=4)


def test_frechet_distance_of_normal_laws():
    """Against the closed form for independent coordinates: sum of squared differences."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200_000, 4))
    scale, shift = np.array([1.0, 2.0, 0.5, 3.0]), np.array([0.0, 1.0, -2.0, 0.5])
    expected = np.square(shift).sum() + np.square(scale - 1).sum()
    assert frechet_distance(x, x * scale + shift) == pytest.approx(expected, rel=0.02)


def test_latents_are_packed_as_the_pipeline_packs_them():
    from diffusers import FluxPipeline

    latents = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.equal(_pack(latents), FluxPipeline._pack_latents(latents, 2, 16, 16, 16))


def test_every_word_is_one_token_of_both_tokenizers():
    parts, text = text_parts(), "a large striped red circle left of two blue crosses in a landscape"
    clip, t5 = _tokens(parts, [text, ""])
    words = len(text.split())
    assert clip.shape == (2, parts["tokenizer"].model_max_length)
    assert t5.shape == (2, CALL["max_sequence_length"])
    assert (clip[0] != parts["tokenizer"].pad_token_id).sum() == words + 1  # and a start
    assert (t5[0] != parts["tokenizer_2"].pad_token_id).sum() == words + 1  # and an end
    for name in ("tokenizer", "tokenizer_2"):
        assert parts[name].unk_token_id not in parts[name](text).input_ids[1:-1]


def test_the_autoencoder_has_4096_latent_values():
    vae = autoencoder().eval().requires_grad_(False)
    images = np.zeros((3, 64, 64, 3), np.uint8)
    assert encode(vae, images, batch=2).shape == (3, 16, 16, 16)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # of T5's norms, in bfloat16
def test_the_transformer_trains_and_a_stopped_run_goes_on(tmp_path, monkeypatch):
    """Three plain steps and two guided ones, in one go and in two, end the same."""
    monkeypatch.setattr(torch, "compile", lambda module: module)
    monkeypatch.setattr(loop, "_SAVE_EVERY", 0.0)
    rng = np.random.default_rng(0)
    captions = [sample_scene(rng)[0] for _ in range(6)]
    latents = torch.randn(6, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    asked = []

    def run(name, stop_at=None):
        def stopping(seed, step, device="cpu"):
            if step == stop_at:
                raise StoppedError
            asked.append(step)
            return loop.random_of(seed, step, device)

        monkeypatch.setattr(transformer, "random_of", stopping)
        settings = {"steps": 5, "batch": 3, "seed": 1, "checkpoint": tmp_path / name}
        return transformer.train_transformer(latents, captions, **settings)

    whole = run("whole.pt")
    with pytest.raises(StoppedError):
        run("parts.pt", stop_at=4)
    parts = run("parts.pt")
    assert asked == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    for name in ("transformer", "text_encoder", "text_encoder_2"):
        expected, got = whole[name].state_dict(), parts[name].state_dict()
        assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_guidance_is_learnt_by_aiming_beyond_the_prompt(tmp_path, monkeypatch):
    """What says v to a caption and u to none is at rest if v = u + s (truth - u)."""
    truth, free, scale = 0.7, 0.2, transformer._GUIDANCE
    guided = free + scale * (truth - free)
    losses = []

    def said(parts, texts, denoiser):
        return lambda x, t, rows: torch.where(
            (rows == len(texts) - 1)[:, None, None], free, guided
        ).expand_as(x)

    monkeypatch.setattr(torch, "compile", lambda module: module)
    monkeypatch.setattr(transformer, "velocity_of", said)
    monkeypatch.setattr(transformer, "_UNPROMPTED", 0.0)

    def last_loss(module, loss, steps, **kwargs):
        # Noise less latent is the truth everywhere.
        monkeypatch.setattr(
            torch,
            "randn",
            lambda shape, **kwargs: torch.full(
                (shape,) if isinstance(shape, int) else shape, truth
            ),
        )
        losses.append(loss(steps - 1))
        raise StoppedError

    monkeypatch.setattr(transformer, "train", last_loss)
    with pytest.raises(StoppedError):
        transformer.train_transformer(
            torch.zeros(4, 16, 16, 16),
            ["a red circle on white"] * 4,
            steps=5,
            batch=3,
            seed=0,
            checkpoint=tmp_path / "state.pt",
        )
    assert losses[0].item() == pytest.approx(0, abs=1e-10)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # of T5's norms, in bfloat16
def test_the_adapter_changes_the_model_a_little(tmp_path, monkeypatch):
    monkeypatch.setattr(adapter, "_STEPS", 2)
    monkeypatch.setattr(adapter, "_BATCH", 2)
    monkeypatch.setattr(adapter, "_CAPTIONS", 50)
    for folder in ("pipeline", "rewards"):
        (tmp_path / folder).symlink_to(WEIGHTS / folder)
    adapter.train_adapter(tmp_path, tmp_path / "cache", seed=0)
    pipe = load_pipeline(tmp_path)
    pipe.set_progress_bar_config(disable=True)

    def draw():
        generator = torch.Generator().manual_seed(0)
        settings = {"num_inference_steps": 2, "output_type": "np", "generator": generator}
        return pipe("a red circle on white", **settings, **CALL).images

    before = draw()
    pipe.load_lora_weights(str(tmp_path / "lora"))
    change = np.abs(draw() - before).max()
    assert 0 < change < 0.5

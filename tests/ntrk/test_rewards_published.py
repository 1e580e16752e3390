"""What holds for every published reward: it loads, is differentiable, and says what it lacks."""

from pathlib import Path

import pytest
import tiny
import torch
from published import BUILDERS

import ntrk
from ntrk.rewards import CATALOGUE
from ntrk.rewards.catalogue import table

NEEDED = {"clip_likeness": {"image": torch.ones(3, 20, 30)}}  # which has no default
PROMPTS = ["two red cubes on a table", "seven dogs"]
# A U-Net that keeps all, and videos whose frames are always computed again.
OTHERWISE = {"t2icount"} | {name for name in CATALOGUE if name.startswith("vbench_")}
SMOOTH = [name for name, e in CATALOGUE.items() if getattr(e.kind, "differentiable", True)]


def pictures(name, count=2, dtype=torch.float32):
    """Smooth images, or videos, of an odd size."""
    shape = (count, 8, 3, 5, 7) if CATALOGUE[name].video else (count, 3, 5, 7)
    small = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    flat = torch.nn.functional.interpolate(small.flatten(0, -4), (45, 67), mode="bilinear")
    return flat.reshape(*shape[:-2], 45, 67).to(dtype)


@pytest.fixture(scope="module")
def load_reward(hub):
    return lambda name, **kwargs: ntrk.rewards.load(
        name, hub(name), **NEEDED.get(name, {}), **kwargs
    )


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """T2ICount enlarges images to 384 pixels, which takes long."""
    monkeypatch.setattr("ntrk.rewards.t2icount._SIDE", 128)


def test_every_reward_of_the_catalogue_has_a_small_checkpoint():
    assert list(BUILDERS) == list(CATALOGUE)


@pytest.mark.parametrize("name", SMOOTH)
class TestDifferentiable:
    def test_gradients_are_those_of_finite_differences(self, name, load_reward):
        reward, images = load_reward(name, dtype=torch.float64), pictures(name, 1, torch.float64)
        direction = pictures(name, 1, torch.float64).flip(-1) - 0.5
        x = (0.25 + images / 2).requires_grad_()
        value = reward(x, PROMPTS[:1])
        (gradient,) = torch.autograd.grad(value.sum(), x)
        step = 1e-7  # short, so that few of the kinks of maxima and ReLUs lie in between
        with torch.no_grad():
            ends = [reward(x + s * step * direction, PROMPTS[:1]).item() for s in (1, -1)]
        slope = (ends[0] - ends[1]) / (2 * step)
        assert value.dtype == torch.float64
        assert gradient.count_nonzero() > 0.1 * gradient.numel()
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4)

    def test_checkpointed_layers_keep_less_for_the_same_gradient(self, name, load_reward):
        def gradient(reward):
            kept = []
            x = pictures(name).requires_grad_()
            with torch.autograd.graph.saved_tensors_hooks(
                lambda t: kept.append(t.nbytes) or t, lambda t: t
            ):
                value = reward(x, PROMPTS).sum()
            return torch.autograd.grad(value, x)[0], sum(kept)

        expected, plain = gradient(load_reward(name))
        found, kept = gradient(load_reward(name, gradient_checkpointing=True))
        torch.testing.assert_close(found, expected)
        assert (kept < plain) == (name not in OTHERWISE)

    def test_a_batch_is_its_images_one_by_one(self, name, load_reward):
        reward, images = load_reward(name), pictures(name)
        with torch.no_grad():
            whole = reward(images, PROMPTS)
            parts = [reward(images[k : k + 1], PROMPTS[k : k + 1]) for k in range(2)]
        assert whole[0] != whole[1]
        torch.testing.assert_close(whole, torch.cat(parts), rtol=1e-4, atol=1e-5)

    def test_half_precision_is_finite_and_near(self, name, load_reward):
        exact, images = load_reward(name)(pictures(name), PROMPTS), pictures(name).requires_grad_()
        value = load_reward(name, dtype=torch.bfloat16)(images, PROMPTS)
        (gradient,) = torch.autograd.grad(value.sum(), images)
        assert value.dtype == torch.float32
        assert torch.isfinite(value).all()
        assert torch.isfinite(gradient).all()
        assert (value - exact).abs().max() <= 0.1 * exact.abs().max() + 0.05


@pytest.mark.parametrize("name", CATALOGUE)
class TestEvery:
    def test_weights_are_frozen(self, name, load_reward):
        term = load_reward(name).terms[name]
        modules = [m for m in _modules(term) if list(m.parameters())]
        assert modules
        assert not any(p.requires_grad for m in modules for p in m.parameters())
        assert not any(m.training for m in modules)

    def test_missing_weights_are_named_with_the_command(self, name, tmp_path, monkeypatch):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        repository = CATALOGUE[name].repositories[0]
        with pytest.raises(OSError, match=rf"cannot load {repository}.*hf download {repository}"):
            ntrk.rewards.load(name, tmp_path, **NEEDED.get(name, {}))


def _modules(term):
    """All modules that an object holds, to a depth of two."""
    for value in vars(term).values():
        if isinstance(value, torch.nn.Module):
            yield value
        elif hasattr(value, "__dict__"):
            yield from (m for m in vars(value).values() if isinstance(m, torch.nn.Module))


@pytest.mark.parametrize("name", SMOOTH)
def test_through_a_pipeline(name, load_reward, load):
    """NTRK follows it on a tiny Flux or Wan, and scores the final images as a call of it does."""
    pipe = "wan" if CATALOGUE[name].video else "flux"
    reward = load_reward(name)
    result = ntrk.generate(
        load(pipe),
        PROMPTS[0],
        reward=reward,
        steps=2,
        check_noise=False,
        progress=False,
        **tiny.CALL[pipe],
    )
    assert result.fallbacks == 0
    torch.testing.assert_close(result.reward, reward(result.images, PROMPTS[:1]).detach())


def test_what_has_no_gradient_says_so(load_reward):
    assert {name: load_reward(name).differentiable for name in ("countgd", "pickscore")} == {
        "countgd": False,
        "pickscore": True,
    }


def test_names_and_folders_are_checked(tmp_path):
    with pytest.raises(ValueError, match=r"name must be one of aesthetic, .*, got 'beauty'"):
        ntrk.rewards.load("beauty")
    with pytest.raises(OSError, match="folder must be a folder that is there"):
        ntrk.rewards.load("aesthetic", tmp_path / "absent")


@pytest.mark.parametrize("change", ["lost", "added", "shape"])
def test_weights_of_another_layout_are_refused(change, tmp_path):
    BUILDERS["aesthetic"](tmp_path)
    path = tmp_path / "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth"
    head = torch.load(path)
    if change == "lost":
        del head["layers.7.bias"]
    elif change == "added":
        head["layers.8.bias"] = torch.zeros(1)
    else:
        head["layers.7.bias"] = torch.zeros(2)
    torch.save(head, path)
    with pytest.raises(ValueError, match=r"ddpo-aesthetic-predictor.* not of the layout expected"):
        ntrk.rewards.load("aesthetic", tmp_path)


def test_published_rewards_in_text(hub):
    text = f"pickscore@{hub('pickscore')} - 0.1*aesthetic@{hub('aesthetic')} + 2*sharpness"
    reward = ntrk.rewards.parse_reward(text)
    values = reward.evaluate(pictures("pickscore"), PROMPTS)
    assert list(values) == ["pickscore", "aesthetic", "sharpness"]
    expected = values["pickscore"] - 0.1 * values["aesthetic"] + 2 * values["sharpness"]
    torch.testing.assert_close(reward.total(values), expected)


def test_the_table_in_the_documentation_is_that_of_the_catalogue():
    page = Path(__file__).parents[2] / "docs/_tables/rewards.md"
    assert page.read_text() == table()

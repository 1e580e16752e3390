"""Remembered scores: the reward is asked once for each image and prompt."""

import pytest
import torch

from ntrk.rewards import Cached, as_reward

IMAGES = torch.rand(3, 3, 4, 5, generator=torch.Generator().manual_seed(0))


class Counting:
    """The mean of an image and the length of its prompt; remembers how many it was asked for."""

    def __init__(self):
        self.asked = 0

    def __call__(self, images, prompts):
        self.asked += len(images)
        return images.float().mean((1, 2, 3)) + torch.tensor([float(len(p)) for p in prompts])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_only_what_is_new_is_asked_for(dtype):
    plain, asked, images = Counting(), Counting(), IMAGES.to(dtype)
    cached = Cached(asked)
    for rows, prompts, new in (
        ([0, 1], ["a", "bb"], 2),
        ([1, 0, 2], ["bb", "a", "a"], 3),
        ([0], ["bb"], 4),
        ([0, 1, 2], ["a", "bb", "a"], 4),
    ):
        found = cached(images[rows], prompts)
        torch.testing.assert_close(found, plain(images[rows], prompts))
        assert asked.asked == new
    assert len(cached) == 4
    assert not as_reward(cached).differentiable


def test_scores_stay_in_a_file(tmp_path):
    first, second = Counting(), Counting()
    path = tmp_path / "scores.jsonl"
    expected = Cached(first, path)(IMAGES, ["a"] * 3)
    assert torch.equal(Cached(second, path)(IMAGES, ["a"] * 3), expected)
    assert (first.asked, second.asked) == (3, 0)
    Cached(second, path)(IMAGES + 1, ["a"] * 3)
    assert len(Cached(second, path)) == 6


def test_one_prompt_an_image():
    with pytest.raises(ValueError, match="zip"):
        Cached(Counting())(IMAGES, ["a"])

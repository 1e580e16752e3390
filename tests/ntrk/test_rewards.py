"""Rewards: sums and weights are those written, and what is no reward is refused by name."""

import math

import numpy as np
import pytest
import torch

from ntrk.rewards import PLAIN, Reward, as_reward, brightness, contrast, parse_reward, redness

IMAGES = torch.rand(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
PROMPTS = ["a", "bb", "ccc", "dddd"]


def length(images, prompts):
    return torch.tensor([float(len(prompt)) for prompt in prompts])


def first(images, prompts):
    return images[:, 0, 0, 0]


BOTH = Reward({"length": length, "first": first}, {"first": -0.5})


class TestSums:
    def test_a_sum_is_weighted_and_its_terms_are_not(self):
        values = BOTH.evaluate(IMAGES, PROMPTS)
        assert values["length"].tolist() == [1, 2, 3, 4]
        assert torch.equal(values["first"], IMAGES[:, 0, 0, 0])
        expected = [n - 0.5 * float(x) for n, x in enumerate(IMAGES[:, 0, 0, 0], 1)]
        torch.testing.assert_close(BOTH(IMAGES, PROMPTS), torch.tensor(expected))

    def test_arithmetic_makes_the_same_sum_and_leaves_its_parts(self):
        one, two = as_reward(length), as_reward(first)
        total = -3 * (one - np.float32(0.5) * two) * 2.0
        assert total.weights == {"length": -6.0, "first": 3.0}
        assert one.weights == {"length": 1.0}
        torch.testing.assert_close(total(IMAGES, PROMPTS), -6 * BOTH(IMAGES, PROMPTS))

    @pytest.mark.parametrize(
        ("weights", "name"),
        [
            ({}, "length + first"),
            ({"first": -0.5}, "length - 0.5*first"),
            ({"length": -1}, "-length + first"),
            ({"length": -2, "first": -1}, "-2*length - first"),
            ({"length": 0.25, "first": 1e-6}, "0.25*length + 1e-06*first"),
        ],
    )
    def test_the_name_is_written_as_a_sum(self, weights, name):
        assert Reward({"length": length, "first": first}, weights).name == name

    def test_it_is_differentiable_only_if_all_its_terms_are(self):
        fixed = Reward({"length": length}, differentiable=False)
        assert as_reward(first).differentiable
        assert not (fixed + as_reward(first)).differentiable
        assert not (2 * fixed).differentiable

    def test_gradients_reach_the_images(self):
        images = IMAGES.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(BOTH(images, PROMPTS).sum(), images)
        assert (gradient[:, 0, 0, 0] == -0.5).all()
        assert gradient.count_nonzero() == 4

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.bool])
    def test_terms_of_few_bits_are_summed_in_single_precision(self, dtype):
        fine = Reward({"coarse": lambda x, p: torch.ones(4, dtype=dtype), "first": first})
        total = fine(IMAGES, PROMPTS)
        assert total.dtype == torch.float32
        assert torch.equal(total, 1 + IMAGES[:, 0, 0, 0])

    def test_terms_may_differ_in_precision(self):
        mixed = as_reward({"first": first, "double": lambda x, p: x.double()[:, 0, 0, 0]})
        torch.testing.assert_close(mixed(IMAGES, PROMPTS).float(), 2 * IMAGES[:, 0, 0, 0])


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "error", "message"),
        [
            (1.0, TypeError, "the reward 'bad' must return a tensor, got 1.0"),
            (torch.tensor(1.0), ValueError, r"'bad' must return .* shape \(4,\).* got shape \(\)"),
            (torch.ones(4, 1), ValueError, r"got shape \(4, 1\)"),
            (torch.ones(3), ValueError, r"got shape \(3,\)"),
        ],
    )
    def test_what_is_not_one_number_an_image(self, value, error, message):
        with pytest.raises(error, match=message):
            Reward({"bad": lambda images, prompts: value})(IMAGES, PROMPTS)

    @pytest.mark.parametrize(
        ("terms", "weights", "error", "message"),
        [
            ({}, {}, ValueError, "at least one term"),
            ({"a": 3}, {}, TypeError, "the reward 'a' must be a function, got 3"),
            ({"a": first}, {"b": 1}, ValueError, r"weights must name terms, .*\['a'\], got 'b'"),
            ({"a": first}, {"a": "1"}, TypeError, "the weight of 'a' must be a number, got '1'"),
            ({"a": first}, {"a": math.nan}, ValueError, "the weight of 'a' must be finite"),
        ],
    )
    def test_terms_and_weights(self, terms, weights, error, message):
        with pytest.raises(error, match=message):
            Reward(terms, weights)

    def test_two_terms_of_one_name(self):
        with pytest.raises(ValueError, match=r"two rewards of one name .*'first'"):
            BOTH + as_reward(first)

    @pytest.mark.parametrize("other", [1, first, "x"])
    def test_sums_with_what_is_no_reward(self, other):
        with pytest.raises(TypeError):
            BOTH + other
        with pytest.raises(TypeError):
            BOTH * BOTH

    @pytest.mark.parametrize("reward", [None, "brightness", 1.0, [first]])
    def test_what_is_no_reward(self, reward):
        with pytest.raises(TypeError, match="reward must be a function"):
            as_reward(reward)


class TestAsReward:
    def test_takes_functions_mappings_and_rewards(self):
        assert as_reward(BOTH) is BOTH
        assert as_reward(first).name == "first"
        assert as_reward({"x": first, "y": length}).name == "x + y"
        assert as_reward(torch.nn.Identity()).name == "Identity"

    def test_a_function_can_say_that_it_has_no_gradient(self):
        def judged(images, prompts):
            return length(images, prompts)

        judged.differentiable = False
        assert not as_reward(judged).differentiable
        assert not as_reward({"first": first, "judged": judged}).differentiable


class TestPlain:
    @pytest.mark.parametrize("frames", [None, 2])
    def test_values_known_by_hand(self, frames):
        # Left half black, right half pure red: one third, half of a third, and one half.
        image = torch.zeros(3, 4, 8)
        image[0, :, 4:] = 1
        images = image[None] if frames is None else image.expand(1, frames, 3, 4, 8)
        assert brightness(images).item() == pytest.approx(1 / 6)
        assert contrast(images).item() == pytest.approx(1 / 6)
        assert redness(images).item() == pytest.approx(1 / 2)

    def test_redness_needs_colours(self):
        with pytest.raises(ValueError, match="three channels, got 1"):
            redness(torch.ones(2, 1, 4, 4))


FILE = """
from __future__ import annotations
from dataclasses import dataclass
from ntrk import Reward

RUNS = []

@dataclass  # looks its own module up
class Scaled:
    size: float = 2.0
    def __call__(self, images, prompts):
        return self.size * images.flatten(1).mean(1)

double, triple = Scaled(), lambda images, prompts: 3 * images.flatten(1).mean(1)
judged = Scaled(5.0)
judged.differentiable = False
both = 2 * Reward({"double": double, "triple": triple})
number = 7
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my-rewards.v2.py"
    path.write_text(FILE)
    return path


class TestSpec:
    @pytest.mark.parametrize(
        ("text", "weights"),
        [
            ("brightness", {"brightness": 1}),
            (" brightness  -  0.5 * contrast ", {"brightness": 1, "contrast": -0.5}),
            ("-redness", {"redness": -1}),
            ("- 2*redness + .5*contrast", {"redness": -2, "contrast": 0.5}),
            ("+1e-3*redness - 2.*contrast", {"redness": 0.001, "contrast": -2}),
            ("contrast - 2E+1*ntrk.rewards:redness", {"contrast": 1, "redness": -20}),
        ],
    )
    def test_sums_are_read(self, text, weights):
        reward = parse_reward(text)
        assert reward.weights == weights
        expected = sum(weight * PLAIN[name](IMAGES) for name, weight in weights.items())
        torch.testing.assert_close(reward(IMAGES, PROMPTS), expected)

    @pytest.mark.parametrize("weights", [{"redness": -0.5}, {"redness": 1e-6, "contrast": -1}])
    def test_a_name_is_read_back_as_the_same_sum(self, weights):
        reward = Reward({"contrast": contrast, "redness": redness}, weights)
        assert parse_reward(reward.name).weights == reward.weights

    def test_files_are_run_once_and_their_objects_found(self, file):
        reward = parse_reward(f"{file}:double - 0.5*{file}:triple")
        assert reward.name == "double - 0.5*triple"
        torch.testing.assert_close(reward(IMAGES, PROMPTS), 0.5 * brightness(IMAGES))
        again = parse_reward(f"{file}:double")
        assert again.terms["double"] is reward.terms["double"]
        assert parse_reward(f"3*{file}:both").weights == {"double": 6, "triple": 6}
        assert not parse_reward(f"{file}:judged + brightness").differentiable

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "cannot read ''"),
            ("brightness +", r"cannot read 'brightness \+'"),
            ("brightness+contrast", r"joined by ' \+ ' or ' - '"),
            ("brightness*2", r"NAME or NUMBER\*NAME"),
            ("brightness + -2*contrast", r"cannot read '\+ -2\*contrast'"),
            ("2", "unknown reward '2'"),
            (
                "softness",
                "must be one of brightness, compressibility, .*, aesthetic, .*, pickscore",
            ),
            (":f", "unknown reward ':f'"),
            ("math:", "unknown reward 'math:'"),
            ("math:no", "math has no 'no'"),
            ("no_such.module:f", "cannot be loaded: ModuleNotFoundError: No module named"),
            ("no/such.py:f", "cannot be loaded: FileNotFoundError"),
            ("brightness + brightness", "two rewards of one name .*'brightness'"),
            ("1e999*brightness", "must be finite"),
        ],
    )
    def test_what_cannot_be_read_is_told(self, text, message):
        with pytest.raises(ValueError, match=message):
            parse_reward(text)

    def test_what_is_no_function_is_told(self, file):
        with pytest.raises(TypeError, match="'number' must be a function, got 7"):
            parse_reward(f"{file}:number")

    def test_a_broken_file_is_told_every_time(self, tmp_path):
        path = tmp_path / "broken.py"
        path.write_text("x = 1 / 0")
        for _ in range(2):
            with pytest.raises(ValueError, match=r"broken.py:x' cannot be loaded: ZeroDivision"):
                parse_reward(f"{path}:x")

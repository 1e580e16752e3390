"""A question as a reward: patches, tokens and probabilities as of the official Qwen2.5-VL."""

import functools
import re

import numpy as np
import pytest
import torch
import transformers
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

import ntrk
from ntrk.rewards import preprocess, qwen
from ntrk.rewards.overlays import draw_line, draw_points

MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
PROMPTS = ["a red cube", "two cats on a very long sofa, {waiting} for the evening"]
SHOWN = 'Does this figure show "{}"? Please answer Yes or No.'
# What the published one says of an image and a text.
CHAT = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}<|im_start|>"
    "system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% for content in message['content'] %}{% if content['type'] == 'image' %}<|vision_start|>"
    "<|image_pad|><|vision_end|>{% else %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
VISION = transformers.Qwen2_5_VLConfig().vision_config


def photograph(number, height, width):
    return load_sample_images().images[number][3:, 5:][:height, :width]


def as_tensor(*photographs):
    return torch.from_numpy(np.stack(photographs)).movedim(-1, 1) / 255


def processor(least=3136, most=12845056):
    """Of images, with the sizes of the published ``preprocessor_config.json``."""
    return transformers.Qwen2VLImageProcessorPil(
        size={"shortest_edge": least, "longest_edge": most}
    )


def levels(values):
    """The 8-bit values that were normalised."""
    mean, std = (torch.tensor(v).view(3, 1) for v in (preprocess.CLIP_MEAN, preprocess.CLIP_STD))
    return (255 * (values.reshape(len(values), 3, -1) * std + mean)).round()


@pytest.mark.parametrize(
    ("size", "least", "most"),
    [
        ((200, 311), 3136, 12845056),
        ((420, 613), 3136, 12845056),
        ((280, 392), 3136, 12845056),
        ((9, 50), 3136, 12845056),  # so few that it is enlarged
        ((13, 300), 3136, 12845056),  # rounded to nothing, and enlarged
        ((420, 613), 3136, 100000),  # so many that it is shrunk
        ((20, 590), 784, 3000),  # and one side to nothing
    ],
)
def test_patches_are_those_of_the_official_processor(size, least, most):
    first, second = (photograph(number, *size) for number in (0, 1))
    official = processor(least, most)(
        [Image.fromarray(image) for image in (first, second)], return_tensors="pt"
    )
    values, grid = qwen.patches(as_tensor(first, second), VISION, least=least, most=most)
    assert grid.tolist() == official.image_grid_thw.tolist()
    assert values.shape == official.pixel_values.shape
    assert (levels(values) - levels(official.pixel_values)).abs().max() <= 1


@pytest.mark.parametrize("count", [4, 5])
def test_patches_of_a_video_are_those_of_its_frames_in_pairs(count):
    """The last one goes with itself."""
    frames = [photograph(0, 200 + n, 311)[n:] for n in range(count)]
    values, grid = qwen.patches(as_tensor(*frames)[None], VISION)
    pairs = [(n, min(n + 1, count - 1)) for n in range(0, count, 2)]
    alone = [processor()(Image.fromarray(frame), return_tensors="pt") for frame in frames]
    halves = [official.pixel_values.view(-1, 3, 2, 14 * 14) for official in alone]
    joined = torch.cat(
        [torch.stack([halves[a][:, :, 0], halves[b][:, :, 0]], 2).flatten(1) for a, b in pairs]
    )
    assert grid.tolist() == [[len(pairs), *alone[0].image_grid_thw[0, 1:].tolist()]]
    assert values.shape == joined.shape
    assert (levels(values) - levels(joined)).abs().max() <= 1


class Processor(transformers.Qwen2_5_VLProcessor):
    """The official one without a processor of videos, which would need torchvision."""

    def check_argument_for_proper_class(self, name, value):
        return type(value)


@pytest.fixture(scope="module")
def official(hub):
    """The official processor and model."""
    folder = hub("vlm") / MODEL
    model = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    whole = Processor(processor(), transformers.AutoTokenizer.from_pretrained(folder), None, CHAT)
    return whole, model.eval()


def inputs(official, images, questions, **kwargs):
    """What the official processor makes of images and questions."""
    whole, _ = official
    texts = [
        whole.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        for question in questions
    ]
    return whole(text=texts, images=images, return_tensors="pt", **kwargs)


def probability(official, image, question, answer="Yes"):
    """Of the answer after the question, by the official forward."""
    whole, model = official
    with torch.no_grad():
        logits = model(**inputs(official, [image], [question])).logits[0, -1]
    return logits.softmax(-1)[whole.tokenizer.convert_tokens_to_ids(answer)].item()


def test_tokens_are_those_of_the_official_processor(official):
    pictures = [Image.fromarray(photograph(number, 84, 112)) for number in (0, 1)]
    expected = inputs(official, pictures, PROMPTS, padding=True, padding_side="right")
    found = qwen.prompt_tokens(official[0].tokenizer, PROMPTS, expected.image_grid_thw)
    for name in ("input_ids", "attention_mask", "mm_token_type_ids"):
        assert found[name].tolist() == expected[name].tolist()
    assert (expected.mm_token_type_ids.sum(1) == 3 * 4).all()


def test_tokens_of_a_video_are_marked_as_such(official):
    tokenizer = official[0].tokenizer
    found = qwen.prompt_tokens(
        tokenizer, PROMPTS[:1], torch.tensor([[3, 4, 6]]), merge=2, kind="video"
    )
    text = tokenizer.decode(found["input_ids"][0])
    assert text.count("<|vision_start|>" + 18 * "<|video_pad|>" + "<|vision_end|>a red cube") == 1
    video = tokenizer.convert_tokens_to_ids("<|video_pad|>")
    assert found["mm_token_type_ids"].tolist() == (2 * (found["input_ids"] == video)).tolist()


def test_the_score_is_the_official_models_probability(hub, official):
    """Of images that keep their size, and of questions of two lengths in a batch."""
    images = [photograph(number, 140, 196) for number in (0, 1)]
    found = ntrk.rewards.load("vlm", hub("vlm"))(as_tensor(*images), PROMPTS)
    for image, prompt, score in zip(images, PROMPTS, found.tolist(), strict=True):
        expected = probability(official, Image.fromarray(image), SHOWN.format(prompt))
        assert score == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("number", [0, 1])
def test_the_score_of_a_photograph_of_another_size(hub, official, number):
    image = photograph(number, 131, 257)
    expected = probability(official, Image.fromarray(image), SHOWN.format(PROMPTS[0]))
    found = ntrk.rewards.load("vlm", hub("vlm"))(as_tensor(image), PROMPTS[:1])
    assert found.item() == pytest.approx(expected, rel=0.02)


def test_another_question_about_what_is_drawn(hub, official):
    question = "Is the {red} line the horizon of {prompt}? Answer with Yes or No."
    reward = ntrk.rewards.load(
        "vlm",
        hub("vlm"),
        question=question,
        answer="No",
        overlay=functools.partial(draw_line, row=0.25),
    )
    image = photograph(0, 280, 196)
    picture = Image.fromarray(image)
    # Two pixels of 280 are thick: 278 places, of which the 70th, rounded to even, is a quarter on.
    ImageDraw.Draw(picture).rectangle((0, 70, 195, 71), fill=(255, 0, 0))
    expected = probability(official, picture, question.replace("{prompt}", PROMPTS[0]), "No")
    assert reward(as_tensor(image), PROMPTS[:1]).item() == pytest.approx(expected, rel=1e-4)
    plain = probability(official, Image.fromarray(image), question.replace("{prompt}", PROMPTS[0]))
    assert plain != pytest.approx(expected, rel=1e-2)


def test_a_line_is_drawn_where_it_is_said():
    images = torch.rand(2, 5, 3, 256, 30, dtype=torch.float64, requires_grad=True)
    for row, first in ((0, 0), (0.5, 127), (1, 254)):
        drawn = draw_line(images, row)
        (gradient,) = torch.autograd.grad(drawn.sum(), images)
        line = torch.zeros(256, 1, dtype=torch.bool)
        line[first : first + 2] = True
        red = torch.tensor([1.0, 0, 0], dtype=torch.float64).view(3, 1, 1)
        assert torch.equal(drawn, torch.where(line, red, images))
        assert torch.equal(gradient, torch.where(line, 0.0, torch.ones_like(images)))


def test_points_are_dots_with_letters():
    images = torch.full((2, 3, 256, 384), 0.5, requires_grad=True)
    points = [(0.25, 0.125), (0.75, 0.875)]
    drawn = draw_points(images, points, colour=(0, 0, 1))
    (gradient,) = torch.autograd.grad(drawn.sum(), images)
    changed = (drawn[0] != images[0]).any(0)
    rows, columns = torch.meshgrid(torch.arange(256), torch.arange(384), indexing="ij")
    for (row, column), label in zip(points, "AB", strict=True):
        y, x = row * 255, column * 383
        away = ((rows - y) ** 2 + (columns - x) ** 2).sqrt()
        assert torch.equal(drawn[0, :, away < 3].unique(dim=1), torch.tensor([[0.0], [0], [1]]))
        assert changed[(away > 5) & (away < 9)].sum() == 0
        towards = 1 if label == "A" else -1  # the middle of the image
        sides = towards * (columns - x)
        beside = (sides > 7) & (sides < 30) & ((rows - y).abs() < 12)
        assert changed[beside].sum() > 20
        assert not changed[(away < 60) & (away > 5) & ~beside].any()
    assert torch.equal(gradient[0, 0] == 1, ~changed)
    assert gradient[0, 0, changed].max() < 1


def test_letters_are_those_asked_for():
    images = torch.zeros(1, 3, 128, 128)
    places = [(0.2, 0.2), (0.8, 0.2)]
    halves = {
        label: draw_points(images, places, (label, "X"))[0, 0].chunk(2)[0] for label in ("A", "B")
    }
    again = draw_points(images, places, ("A", "Y"))[0, 0].chunk(2)[0]
    assert torch.equal(halves["A"], again)
    assert not torch.equal(halves["A"], halves["B"])


def test_arguments_are_checked(hub):
    with pytest.raises(ValueError, match="answer must be one token of the model, got 'Perhaps'"):
        ntrk.rewards.load("vlm", hub("vlm"), answer="Perhaps")
    reward, image = ntrk.rewards.load("vlm", hub("vlm")), torch.rand(1, 3, 60, 60)
    with pytest.raises(ValueError, match="prompts must be 1, one each of what is seen, got 2"):
        reward(image, PROMPTS)
    with pytest.raises(ValueError, match="images must be less oblong than 2 by 600 pixels"):
        reward(torch.rand(1, 3, 2, 600), PROMPTS[:1])
    with pytest.raises(ValueError, match=re.escape("row must be in [0, 1], got [1.5]")):
        draw_line(image, 1.5)
    with pytest.raises(ValueError, match=re.escape("points must be in [0, 1]")):
        draw_points(image, [(0.5, -0.1)], ["A"])
    with pytest.raises(ValueError, match="labels must be 3, one a point, got 2"):
        draw_points(image, [(0, 0)] * 3)
    with pytest.raises(ValueError, match="colour must be red, green and blue"):
        draw_line(image, 0.5, colour=(1, 0))

"""VQAScore: against T5 written out by hand, on pixels and tokens of the official processors."""

import json
import math

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from published_clip import SIDE
from published_vqa import EYES, MODEL, TOKENIZER
from sklearn.datasets import load_sample_images

import ntrk
from ntrk.rewards import preprocess

PROMPTS = ["a red cube", "two cats on a very long sofa, {waiting} for the evening"]
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def photograph(number, height, width):
    return load_sample_images().images[number][3:, 5:][:height, :width]


def as_tensor(*photographs):
    return torch.from_numpy(np.stack(photographs)).movedim(-1, 1) / 255


def on_a_square(image):
    """As a picture on a square of the mean colour in 8 bits, with Pillow."""
    height, width = image.shape[:2]
    long = max(height, width)
    square = Image.new("RGB", (long, long), (122, 116, 104))
    square.paste(Image.fromarray(image), ((long - width) // 2, (long - height) // 2))
    return square


def official_pixels(image):
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return processor(on_a_square(image), return_tensors="pt").pixel_values


@pytest.fixture(scope="module")
def files(hub):
    """All weights of the published files, in single precision, and the tokenizer."""
    folder = hub("vqascore") / MODEL
    weights = {}
    for path in sorted(folder.glob("*.bin")):
        weights |= {name: value.float() for name, value in torch.load(path).items()}
    tokenizer = transformers.AutoTokenizer.from_pretrained(hub("vqascore") / TOKENIZER)
    eyes = transformers.CLIPVisionModel.from_pretrained(hub("vqascore") / EYES)
    return weights, json.loads((folder / "config.json").read_text()), tokenizer, eyes


class Hand:
    """T5 of one sequence: C. Raffel et al., 2020, arXiv 1910.10683; in Flan-T5 with GEGLU."""

    def __init__(self, weights, config):
        self.w, self.config = weights, config

    def norm(self, x, name):
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * self.w[f"{name}.weight"]

    def bias(self, part, length):
        """By the bucket of each distance, written as a loop."""
        table = self.w[f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"]
        total = self.config["relative_attention_num_buckets"]
        farthest = self.config["relative_attention_max_distance"]
        found = torch.empty(table.shape[1], length, length)
        for query in range(length):
            for key in range(length):
                away, start, count = key - query, 0, total
                if part == "encoder":
                    count //= 2
                    start, away = (count if away > 0 else 0), abs(away)
                else:
                    away = max(-away, 0)
                exact = count // 2
                if away >= exact:
                    fraction = math.log(away / exact) / math.log(farthest / exact)
                    away = min(exact + int(fraction * (count - exact)), count - 1)
                found[:, query, key] = table[start + away]
        return found

    def attend(self, x, source, name, bias):
        heads = self.config["num_heads"]
        q, k, v = (
            (y @ self.w[f"{name}.{part}.weight"].T).unflatten(-1, (heads, -1)).transpose(0, 1)
            for y, part in ((x, "q"), (source, "k"), (source, "v"))
        )
        seen = (q @ k.transpose(1, 2) + bias).softmax(-1) @ v
        return seen.transpose(0, 1).flatten(1) @ self.w[f"{name}.o.weight"].T

    def feed(self, x, name):
        inner = x @ self.w[f"{name}.wi_0.weight"].T
        gate = 0.5 * inner * (1 + (0.7978845608 * (inner + 0.044715 * inner**3)).tanh())
        return (gate * (x @ self.w[f"{name}.wi_1.weight"].T)) @ self.w[f"{name}.wo.weight"].T

    def stack(self, x, part, source=None):
        bias = self.bias(part, len(x))
        if part == "decoder":
            bias = bias + torch.full((len(x), len(x)), -torch.inf).triu(1)
        for block in range(2):
            layer = f"{part}.block.{block}.layer"
            y = self.norm(x, f"{layer}.0.layer_norm")
            x = x + self.attend(y, y, f"{layer}.0.SelfAttention", bias)
            if part == "decoder":
                y = self.norm(x, f"{layer}.1.layer_norm")
                x = x + self.attend(y, source, f"{layer}.1.EncDecAttention", 0)
            last = f"{layer}.{2 if part == 'decoder' else 1}"
            x = x + self.feed(self.norm(x, f"{last}.layer_norm"), f"{last}.DenseReluDense")
        return self.norm(x, f"{part}.final_layer_norm")


@torch.no_grad()
def by_hand(files, image, prompt):
    """Parts of the prompt each with an end, and between them all patches but CLIP's first token."""
    weights, config, tokenizer, eyes = files
    seen = eyes(official_pixels(image), output_hidden_states=True).hidden_states[-2][0, 1:]
    hidden = seen @ weights["mm_projector.0.weight"].T + weights["mm_projector.0.bias"]
    hidden = 0.5 * hidden * (1 + (hidden / 2**0.5).erf())
    seen = hidden @ weights["mm_projector.2.weight"].T + weights["mm_projector.2.bias"]
    question = f'Does this figure show "{prompt}"? Please answer yes or no.'
    text = f"{SYSTEM} USER: <image>\n{question} ASSISTANT: "
    before, after = (
        weights["shared.weight"][tokenizer(part).input_ids] for part in text.split("<image>")
    )
    model = Hand(weights, config)
    states = model.stack(torch.cat([before, seen, after]), "encoder")
    yes, end = tokenizer("Yes").input_ids
    spoken = model.stack(weights["shared.weight"][[0, yes]], "decoder", states)
    odds = (spoken @ weights["lm_head.weight"].T).softmax(-1)
    return (odds[0, yes] * odds[1, end]).sqrt().item()


@pytest.mark.parametrize("size", [(427, 613), (301, 111), (200, 200)])
def test_pixels_are_those_of_the_official_processor(hub, size):
    image = photograph(0, *size)
    term = ntrk.rewards.load("vqascore", hub("vqascore")).terms["vqascore"]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (preprocess.CLIP_MEAN, preprocess.CLIP_STD))
    ours, theirs = (
        (255 * (pixels * std + mean)).round()
        for pixels in (term.pixels(as_tensor(image)), official_pixels(image))
    )
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1


def test_the_score_is_the_probability_by_hand(hub, files):
    """Of images that keep their size, and of questions of two lengths in a batch."""
    images = [photograph(number, SIDE, SIDE) for number in (0, 1)]
    found = ntrk.rewards.load("vqascore", hub("vqascore"))(as_tensor(*images), PROMPTS)
    for image, prompt, score in zip(images, PROMPTS, found.tolist(), strict=True):
        assert score == pytest.approx(by_hand(files, image, prompt), rel=1e-4)
    assert found[0].item() != pytest.approx(found[1].item(), rel=0.1)


@pytest.mark.parametrize("number", [0, 1])
def test_the_score_of_a_photograph_of_another_size(hub, files, number):
    image = photograph(number, 131, 257)
    found = ntrk.rewards.load("vqascore", hub("vqascore"))(as_tensor(image), PROMPTS[:1])
    assert found.item() == pytest.approx(by_hand(files, image, PROMPTS[0]), rel=0.02)


def test_the_smaller_model(hub, files, tmp_path):
    whole = hub("vqascore")
    (tmp_path / "zhiqiulin").mkdir()
    (tmp_path / "zhiqiulin/clip-flant5-xl").symlink_to(whole / MODEL)
    for name in ("openai", "google"):
        (tmp_path / name).symlink_to(whole / name)
    with pytest.raises(OSError, match="cannot load zhiqiulin/clip-flant5-xxl"):
        ntrk.rewards.load("vqascore", tmp_path)
    reward = ntrk.rewards.load("vqascore", tmp_path, model="zhiqiulin/clip-flant5-xl")
    image = photograph(0, SIDE, SIDE)
    expected = by_hand(files, image, PROMPTS[0])
    assert reward(as_tensor(image), PROMPTS[:1]).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("lost", "added"),
    [
        ("mm_projector.2.bias", None),
        ("lm_head.weight", None),  # and not taken for the embedding
        (None, "mm_projector.4.bias"),
    ],
)
def test_weights_of_another_layout_are_refused(hub, tmp_path, lost, added):
    whole, folder = hub("vqascore"), tmp_path / MODEL
    folder.mkdir(parents=True)
    for name in ("openai", "google"):
        (tmp_path / name).symlink_to(whole / name)
    (folder / "config.json").symlink_to(whole / MODEL / "config.json")
    weights = {}
    for path in (whole / MODEL).glob("*.bin"):
        weights |= torch.load(path)
    weights.pop(lost, None)
    if added:
        weights[added] = torch.zeros(1)
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match=f"not of the layout expected.*{lost or added}"):
        ntrk.rewards.load("vqascore", tmp_path)


def test_prompts_are_counted(hub):
    reward = ntrk.rewards.load("vqascore", hub("vqascore"))
    with pytest.raises(ValueError, match="prompts must be 2, one an image, got 1"):
        reward(torch.rand(2, 3, 20, 20), PROMPTS[:1])

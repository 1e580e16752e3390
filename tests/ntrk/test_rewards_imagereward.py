"""ImageReward against BLIP's forward, written by hand from the weights under BLIP's names."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from published_blip import CONFIG, PATCH, SIDE, TOKENS
from sklearn.datasets import load_sample_images
from torch.nn import functional

import ntrk
from ntrk.rewards import preprocess

PROMPTS = ["A red cube", "many words " * 10]
HEADS = 16
MEAN, STD = 0.16717362830052426, 1.0333394966054072


def photographs():
    """Two photographs, cut so that what is over when cropping is odd, and one of the own size."""
    first, second = load_sample_images().images
    return [first[:427, :480], second[3:, 101:402], first[:SIDE, :SIDE]]


def pixels(photograph):
    """Resize and CenterCrop of torchvision, which work on 8-bit images with Pillow."""
    height, width = photograph.shape[:2]
    short = min(height, width)
    size = (int(SIDE * width / short), int(SIDE * height / short))
    image = Image.fromarray(photograph).resize(size, Image.Resampling.BICUBIC)
    left, top = (round((length - SIDE) / 2) for length in size)
    values = np.float64(image.crop((left, top, left + SIDE, top + SIDE))) / 255
    values = (values - preprocess.CLIP_MEAN) / preprocess.CLIP_STD
    return torch.from_numpy(values).movedim(-1, 0)


def tokens(prompt):
    """Numbers of the letters, those at the start of words apart; 35 with both ends, no padding."""
    words = prompt.lower().split()
    found = [TOKENS.index(p) for w in words for p in (w[0], *(f"##{c}" for c in w[1:]))]
    return torch.tensor([TOKENS.index("[CLS]"), *found[:33], TOKENS.index("[SEP]")])


class Blip:
    """The image encoder of timm's names, the text encoder of BERT's, and the head; one image."""

    def __init__(self, path):
        self.weights = {name: value.double() for name, value in torch.load(path).items()}

    def norm(self, x, name, eps):
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(x, weight.shape, weight, bias, eps)

    def linear(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def image(self, image):
        name = "blip.visual_encoder"
        projection = (
            self.weights[f"{name}.patch_embed.proj.{part}"] for part in ("weight", "bias")
        )
        patches = functional.conv2d(image[None], *projection, stride=PATCH)[0].flatten(1).T
        x = torch.cat([self.weights[f"{name}.cls_token"][0], patches])
        x = x + self.weights[f"{name}.pos_embed"][0]
        for number in range(3):
            block = f"{name}.blocks.{number}"
            qkv = self.linear(self.norm(x, f"{block}.norm1", 1e-6), f"{block}.attn.qkv")
            x = x + self.linear(attend(*qkv.chunk(3, dim=-1), HEADS), f"{block}.attn.proj")
            hidden = self.linear(self.norm(x, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1")
            x = x + self.linear(functional.gelu(hidden), f"{block}.mlp.fc2")
        return self.norm(x, f"{name}.norm", 1e-6)

    def attention(self, x, seen, name):
        query, key, value = (
            self.linear(y, f"{name}.self.{part}")
            for part, y in (("query", x), ("key", seen), ("value", seen))
        )
        mixed = attend(query, key, value, CONFIG["num_attention_heads"])
        mixed = self.linear(mixed, f"{name}.output.dense")
        return self.norm(mixed + x, f"{name}.output.LayerNorm", 1e-12)

    def score(self, image, ids):
        seen, name = self.image(image), "blip.text_encoder"
        x = self.weights[f"{name}.embeddings.word_embeddings.weight"][ids]
        x = x + self.weights[f"{name}.embeddings.position_embeddings.weight"][: len(ids)]
        x = self.norm(x, f"{name}.embeddings.LayerNorm", 1e-12)
        for number in range(CONFIG["num_hidden_layers"]):
            block = f"{name}.encoder.layer.{number}"
            x = self.attention(x, x, f"{block}.attention")
            x = self.attention(x, seen, f"{block}.crossattention")
            hidden = functional.gelu(self.linear(x, f"{block}.intermediate.dense"))
            hidden = self.linear(hidden, f"{block}.output.dense")
            x = self.norm(hidden + x, f"{block}.output.LayerNorm", 1e-12)
        x = x[0]
        for number in (0, 2, 4, 6, 7):
            x = self.linear(x, f"mlp.layers.{number}")
        return (x.item() - MEAN) / STD


def attend(query, key, value, heads):
    """Attention, head by head."""
    parts = zip(*(x.chunk(heads, dim=-1) for x in (query, key, value)), strict=True)
    return torch.cat([(q @ k.T / q.shape[-1] ** 0.5).softmax(-1) @ v for q, k, v in parts], -1)


@pytest.fixture(scope="module")
def blip(hub):
    return functools.cache(lambda: Blip(hub("imagereward") / "zai-org/ImageReward/ImageReward.pt"))


@pytest.fixture(scope="module")
def reward(hub):
    """In double precision, where a score shows everything that has a part in it."""
    return functools.cache(
        lambda: ntrk.rewards.load("imagereward", hub("imagereward"), dtype=torch.float64)
    )


def as_tensor(photograph):
    return torch.from_numpy(photograph.copy()).movedim(-1, 0)[None].double() / 255


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("photograph", photographs())
def test_score_is_that_of_blip(reward, blip, photograph, prompt):
    expected = blip().score(pixels(photograph), tokens(prompt))
    score = reward()(as_tensor(photograph), [prompt]).item()
    exact = photograph.shape[:2] == (SIDE, SIDE)  # otherwise Pillow rounds what it resized
    assert score == pytest.approx(expected, abs=1e-9 if exact else 5e-3)


@pytest.mark.parametrize("photograph", photographs())
def test_pixels_are_those_of_published_code(reward, photograph):
    ours = reward().terms["imagereward"].pixels(as_tensor(photograph))[0]
    level = 1 / 255 / torch.tensor(preprocess.CLIP_STD).view(-1, 1, 1)
    assert ((ours - pixels(photograph)).abs() <= 1.01 * level).all()


def test_tokens_added_are_those_after_the_vocabulary(reward):
    tokenizer = reward().terms["imagereward"].tokenizer
    ids = tokenizer("[DEC] a [ENC]", add_special_tokens=False).input_ids
    assert ids == [len(TOKENS), TOKENS.index("a"), len(TOKENS) + 1]


@pytest.mark.parametrize("change", ["lost", "cut", "added", "shape"])
def test_weights_of_another_layout_are_refused(change, hub, tmp_path):
    folder = tmp_path / "zai-org/ImageReward"
    folder.mkdir(parents=True)
    source = hub("imagereward") / "zai-org/ImageReward"
    (folder / "med_config.json").write_bytes((source / "med_config.json").read_bytes())
    weights = torch.load(source / "ImageReward.pt")
    if change == "lost":
        del weights["blip.text_encoder.encoder.layer.1.crossattention.self.key.bias"]
    elif change == "cut":
        del weights["mlp.layers.7.weight"]
    elif change == "added":
        weights["blip.itm_head.bias"] = torch.zeros(2)
    else:
        weights["mlp.layers.7.bias"] = torch.zeros(2)
    torch.save(weights, folder / "ImageReward.pt")
    with pytest.raises(ValueError, match=r"ImageReward.pt .*not of the layout expected"):
        ntrk.rewards.load("imagereward", tmp_path)

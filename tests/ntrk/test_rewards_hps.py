"""HPSv2 against open_clip's forward, written by hand from the weights under open_clip's names."""

import functools

import numpy as np
import pytest
import torch
from PIL import Image
from published_hps import LENGTH, PATCH, SIDE, TOKENS
from sklearn.datasets import load_sample_images
from torch.nn import functional

import ntrk
from ntrk.rewards import preprocess

FILES = {"hpsv2": "HPS_v2_compressed.pt", "hpsv2.1": "HPS_v2.1_compressed.pt"}
PROMPTS = ["a red cube", "many words " * 20]
HEADS = 16


def photographs():
    """Photographs that are wide, high, small and of the model's own size."""
    first, second = load_sample_images().images
    return [first[:427, :613], second[3:, 101:402], first[200:221, 300:313], second[:SIDE, :SIDE]]


def pixels(photograph):
    """What `image_transform` of the repository gives: floats all the way, by Pillow's mode F."""
    height, width = photograph.shape[:2]
    scale = SIDE / max(height, width)
    rows, columns = round(height * scale), round(width * scale)
    canvas = np.zeros((3, SIDE, SIDE), dtype=np.float32)
    top, left = (SIDE - rows) // 2, (SIDE - columns) // 2
    for channel in range(3):
        plane = Image.fromarray(np.float32(photograph[..., channel]) / 255)
        resized = plane.resize((columns, rows), Image.Resampling.BICUBIC)
        canvas[channel, top : top + rows, left : left + columns] = resized
    mean, std = (np.float32(v)[:, None, None] for v in (preprocess.CLIP_MEAN, preprocess.CLIP_STD))
    return torch.from_numpy((canvas - mean) / std)


def tokens(prompt):
    """Numbers of the letters, those at the end of words apart, cut and padded as open_clip does."""
    words = prompt.split()
    found = [TOKENS.index(p) for w in words for p in (*w[:-1], f"{w[-1]}</w>")]
    start, end = TOKENS.index("<|startoftext|>"), TOKENS.index("<|endoftext|>")
    found = [start, *found[: LENGTH - 2], end]
    return torch.tensor(found + [0] * (LENGTH - len(found)))


class OpenClip:
    """The towers of open_clip, on sequences in front of batches."""

    def __init__(self, path):
        self.weights = {k: v.float() for k, v in torch.load(path)["state_dict"].items()}

    def norm(self, x, name):
        weight, bias = (self.weights[f"{name}.{part}"] for part in ("weight", "bias"))
        return functional.layer_norm(x, weight.shape, weight, bias, 1e-5)

    def linear(self, x, name):
        return functional.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def attention(self, x, name, mask):
        names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
        weight, bias, out_weight, out_bias = (self.weights[f"{name}.{part}"] for part in names)
        nothing = (None, None, False, 0.0)
        return functional.multi_head_attention_forward(
            x,
            x,
            x,
            x.shape[-1],
            HEADS,
            weight,
            bias,
            *nothing,
            out_weight,
            out_bias,
            attn_mask=mask,
        )[0]

    def transformer(self, x, prefix, mask=None):
        number = 0
        while f"{prefix}.{number}.ln_1.weight" in self.weights:
            block = f"{prefix}.{number}"
            x = x + self.attention(self.norm(x, f"{block}.ln_1"), f"{block}.attn", mask)
            hidden = functional.gelu(
                self.linear(self.norm(x, f"{block}.ln_2"), f"{block}.mlp.c_fc")
            )
            x = x + self.linear(hidden, f"{block}.mlp.c_proj")
            number += 1
        return x

    def image(self, image):
        patches = functional.conv2d(image[None], self.weights["visual.conv1.weight"], stride=PATCH)
        x = torch.cat([self.weights["visual.class_embedding"][None], patches[0].flatten(1).T])
        x = self.norm(x + self.weights["visual.positional_embedding"], "visual.ln_pre")
        x = self.transformer(x[:, None], "visual.transformer.resblocks")[0, 0]
        return self.norm(x, "visual.ln_post") @ self.weights["visual.proj"]

    def text(self, ids):
        x = self.weights["token_embedding.weight"][ids] + self.weights["positional_embedding"]
        mask = torch.full((LENGTH, LENGTH), -torch.inf).triu(1)
        x = self.transformer(x[:, None], "transformer.resblocks", mask)[:, 0]
        return self.norm(x, "ln_final")[ids.argmax()] @ self.weights["text_projection"]


@pytest.fixture(scope="module")
def open_clip(hub):
    return functools.cache(lambda name: OpenClip(hub(name) / "xswu/HPSv2" / FILES[name]))


def as_tensor(photograph):
    return torch.from_numpy(photograph.copy()).movedim(-1, 0)[None] / 255


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("photograph", photographs())
@pytest.mark.parametrize("name", FILES)
def test_score_is_the_cosine_of_open_clip(hub, open_clip, name, photograph, prompt):
    model = open_clip(name)
    features = model.image(pixels(photograph)), model.text(tokens(prompt))
    expected = functional.cosine_similarity(*features, dim=0).item()
    score = ntrk.rewards.load(name, hub(name))(as_tensor(photograph), [prompt])
    assert score.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("photograph", photographs())
def test_images_are_seen_to_their_edges(hub, photograph):
    term = ntrk.rewards.load("hpsv2", hub("hpsv2")).terms["hpsv2"]
    torch.testing.assert_close(term.clip.pixels(as_tensor(photograph))[0], pixels(photograph))


@pytest.mark.parametrize("change", ["bare", "lost", "added", "scaled", "shape"])
def test_weights_of_another_layout_are_refused(change, hub, tmp_path):
    file = torch.load(hub("hpsv2") / "xswu/HPSv2/HPS_v2_compressed.pt")
    weights = file["state_dict"]
    if change == "bare":
        file = weights
    elif change == "lost":
        del weights["visual.transformer.resblocks.2.attn.in_proj_bias"]
    elif change == "added":
        weights["score_predictor.layers.0.bias"] = torch.zeros(1)
    elif change == "scaled":
        weights["transformer.resblocks.0.ls_1.gamma"] = torch.zeros(32)
    else:
        weights["ln_final.bias"] = torch.zeros(2)
    (tmp_path / "xswu/HPSv2").mkdir(parents=True)
    torch.save(file, tmp_path / "xswu/HPSv2/HPS_v2_compressed.pt")
    with pytest.raises(ValueError, match=r"HPS_v2_compressed.pt are not of the layout expected"):
        ntrk.rewards.load("hpsv2", tmp_path)

"""CLIP and the rewards on it: pixels as the official processor's, scores as written out by hand."""

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from published_clip import SIDE
from sklearn.datasets import load_sample_images

import ntrk
from ntrk.rewards import preprocess

PROMPTS = ["a red cube", "two cats on a very long sofa"]


def photographs():
    """Two photographs, cut to odd sizes."""
    first, second = load_sample_images().images
    return [first[:427, :613], second[3:, 101:402]]


def as_tensor(photograph):
    return torch.from_numpy(photograph.copy()).movedim(-1, 0)[None] / 255


def levels(pixels):
    """The 8-bit values that were normalised."""
    std, mean = (
        torch.tensor(v).view(-1, 1, 1) for v in (preprocess.CLIP_STD, preprocess.CLIP_MEAN)
    )
    return (255 * (pixels * std + mean)).round()


@pytest.mark.parametrize("photograph", photographs())
def test_pixels_are_those_of_the_official_processor(photograph):
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 224}, crop_size={"height": 224, "width": 224}
    )
    official = processor(Image.fromarray(photograph), return_tensors="pt").pixel_values
    resized = preprocess.resize_shorter(as_tensor(photograph), 224)
    ours = preprocess.normalise(
        preprocess.center_crop(resized, (224, 224)), preprocess.CLIP_MEAN, preprocess.CLIP_STD
    )
    assert (levels(ours) - levels(official)).abs().max() <= 1


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(224, 224), (61, 333), (700, 900)])
def test_resizing_is_pillows(size, mode):
    photograph = photographs()[0]
    resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[mode]
    official = np.asarray(Image.fromarray(photograph).resize(size[::-1], resample))
    ours = preprocess.resize(as_tensor(photograph), size, mode)[0].movedim(0, -1).numpy()
    assert np.abs(np.rint(255 * ours) - official).max() <= 1


def features(model, tokenizer, photograph, prompt):
    """Embeddings by the official processor, model and tokenizer."""
    processor = transformers.CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    pixels = processor(Image.fromarray(photograph), return_tensors="pt").pixel_values
    tokens = tokenizer(prompt, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(pixel_values=pixels, **tokens)
    return output.image_embeds[0], output.text_embeds[0]


@pytest.mark.parametrize("photograph", photographs())
def test_pickscore_is_the_cosine(hub, photograph):
    model = transformers.CLIPModel.from_pretrained(hub("pickscore") / "yuvalkirstain/PickScore_v1")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        hub("pickscore") / "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    )
    image, text = features(model, tokenizer, photograph, PROMPTS[0])
    expected = float(model.logit_scale.exp().detach() * image @ text) / 100
    score = ntrk.rewards.load("pickscore", hub("pickscore"))(as_tensor(photograph), PROMPTS[:1])
    assert score.item() == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("photograph", photographs())
def test_aesthetic_is_a_linear_head_on_the_embedding(hub, photograph):
    folder = hub("aesthetic") / "openai/clip-vit-large-patch14"
    model = transformers.CLIPModel.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    value, _ = features(model, tokenizer, photograph, PROMPTS[0])
    head = torch.load(hub("aesthetic") / "trl-lib/ddpo-aesthetic-predictor/aesthetic-model.pth")
    for number in (0, 2, 4, 6, 7):
        value = head[f"layers.{number}.weight"] @ value + head[f"layers.{number}.bias"]
    score = ntrk.rewards.load("aesthetic", hub("aesthetic"))(as_tensor(photograph), PROMPTS[:1])
    assert score.item() == pytest.approx(value.item(), abs=2e-3)


def test_likeness_is_one_with_itself(hub):
    first, second = (as_tensor(photograph) for photograph in photographs())
    reward = ntrk.rewards.load("clip_likeness", hub("clip_likeness"), image=first[0])
    assert reward(first, PROMPTS[:1]).item() == pytest.approx(1, abs=1e-5)
    assert reward(second, PROMPTS[:1]).item() < 0.999


def test_clip_is_shared(hub):
    first = ntrk.rewards.load("aesthetic", hub("aesthetic")).terms["aesthetic"]
    second = ntrk.rewards.load("aesthetic", hub("aesthetic")).terms["aesthetic"]
    assert first.clip.model is second.clip.model
    other = ntrk.rewards.load("aesthetic", hub("aesthetic"), dtype=torch.bfloat16).terms[
        "aesthetic"
    ]
    assert other.clip.model is not first.clip.model

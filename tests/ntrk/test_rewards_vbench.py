"""VBench's metrics: each as written out by hand, on frames resized by matrices."""

import math

import numpy as np
import pytest
import torch
import transformers
from published_vbench import PATCH, SIDE
from sklearn.datasets import load_sample_images
from torch.nn import functional

import ntrk
from ntrk.rewards import vbench
from ntrk.rewards.preprocess import CLIP_MEAN, CLIP_STD
from ntrk.rewards.vbench_aesthetic import AestheticQuality

COUNT = 5


def video(height, width):
    """A walk over a photograph, (frames, height, width, 3) in 8 bits."""
    photograph = load_sample_images().images[0]
    return np.stack([photograph[9 * n :, 9 * n :][:height, :width] for n in range(COUNT)])


VIDEOS = [video(211, 311), video(301, 160), video(96, 96)]


def as_tensor(frames, dtype=torch.float64):
    return torch.from_numpy(frames.copy()).movedim(-1, 1)[None].to(dtype) / 255


def score(name, hub, frames):
    return ntrk.rewards.load(name, hub(name), dtype=torch.float64)(as_tensor(frames), [""]).item()


def hat(t):
    return np.maximum(1 - np.abs(t), 0)


def cubic(t, a=-0.75):
    t = np.abs(t)
    near, far = ((a + 2) * t - (a + 3)) * t**2 + 1, ((t - 5) * t + 8) * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def matrix(before, after, kernel, scale=None):
    """Of resizing a line of `before` values to `after`; beyond the ends they stay the same."""
    rows = np.zeros((after, before))
    for row, at in zip(
        rows, (np.arange(after) + 0.5) / (scale or after / before) - 0.5, strict=True
    ):
        for source in range(math.floor(at) - 1, math.floor(at) + 3):
            row[min(max(source, 0), before - 1)] += kernel(at - source)
    return rows


def stretch(frames, size, kernel):
    """Resize frames in 8 bits, (frames, height, width, 3), to floats in [0, 1]."""
    rows, columns = (matrix(*pair, kernel) for pair in zip(frames.shape[1:3], size, strict=True))
    return np.einsum("ih,jw,fhwc->fijc", rows, columns, frames / 255, optimize=True)


def normal(frames, mean, std):
    return torch.from_numpy((frames - mean) / std).movedim(-1, 1)


def shorter(frames, side):
    height, width = frames.shape[1:3]
    return int(side * height / min(height, width)), int(side * width / min(height, width))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("frames", VIDEOS)
def test_resizing_takes_the_nearest_pixels(frames, mode):
    expected = stretch(frames, shorter(frames, 57), {"bilinear": hat, "bicubic": cubic}[mode])
    found = vbench.resize_shorter(as_tensor(frames)[0], 57, mode)
    np.testing.assert_allclose(found.movedim(1, -1).numpy(), expected, atol=1e-12)


def consistency(embeddings):
    """The sum over frames, as VBench's loop has it."""
    total, unit = 0.0, functional.normalize(embeddings, dim=-1)
    for frame in range(1, len(unit)):
        before = max(0.0, float(unit[frame - 1] @ unit[frame]))
        first = max(0.0, float(unit[0] @ unit[frame]))
        total += (before + first) / 2
    return total / (len(unit) - 1)


def test_cosines_below_zero_count_as_zero():
    embeddings = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0]])
    assert consistency(embeddings) == 0
    assert vbench.consistency(embeddings[None]).item() == 0


@pytest.mark.parametrize("frames", VIDEOS)
def test_subject_consistency_is_of_dinos_class_token(hub, frames):
    """By the official model in the size of the frames, with its positions stretched beforehand."""
    size = shorter(frames, SIDE)
    pixels = normal(stretch(frames, size, hat), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    rows, columns = (length // PATCH for length in size)
    small = transformers.ViTModel.from_pretrained(
        hub("vbench_subject") / "facebook/dino-vitb16", add_pooling_layer=False
    )
    weights, side = small.state_dict(), SIDE // PATCH
    table = weights["embeddings.position_embeddings"][0].double().numpy()
    if size != (SIDE, SIDE):
        places = np.einsum(
            "ih,jw,hwc->ijc",
            matrix(side, rows, cubic, (rows + 0.1) / side),
            matrix(side, columns, cubic, (columns + 0.1) / side),
            table[1:].reshape(side, side, -1),
        )
        table = np.concatenate([table[:1], places.reshape(rows * columns, -1)])
    weights["embeddings.position_embeddings"] = torch.from_numpy(table)[None]
    config = small.config
    config.image_size, config.layer_norm_eps = (rows * PATCH, columns * PATCH), 1e-6
    model = transformers.ViTModel(config, add_pooling_layer=False).double().eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        states = model(pixels[..., : rows * PATCH, : columns * PATCH]).last_hidden_state
    found = score("vbench_subject", hub, frames)
    assert found == pytest.approx(consistency(states[:, 0]), abs=1e-10)
    assert 0.1 < found < 1


def clip_features(folder, frames):
    """By the official model, of the middle of frames resized by matrices."""
    resized = stretch(frames, shorter(frames, SIDE), cubic)
    top, left = (round((length - SIDE) / 2) for length in resized.shape[1:3])
    pixels = normal(resized[:, top : top + SIDE, left : left + SIDE], CLIP_MEAN, CLIP_STD)
    model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float64)
    with torch.no_grad():
        return functional.normalize(model.get_image_features(pixels).pooler_output, dim=-1)


@pytest.mark.parametrize("frames", VIDEOS)
def test_background_consistency_is_of_clips_embeddings(hub, frames):
    folder = hub("vbench_background") / "openai/clip-vit-base-patch32"
    expected = consistency(clip_features(folder, frames))
    assert score("vbench_background", hub, frames) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("frames", VIDEOS)
def test_aesthetic_quality_is_a_linear_head(hub, frames):
    features = clip_features(hub("vbench_aesthetic") / "openai/clip-vit-large-patch14", frames)
    file = hub("vbench_aesthetic") / "LAION-AI/aesthetic-predictor/sa_0_4_vit_l_14_linear.pth"
    head = torch.load(file)
    scores = [float(head["weight"][0].double() @ f + head["bias"].double()) for f in features]
    found = score("vbench_aesthetic", hub, frames)
    assert found == pytest.approx(sum(scores) / len(scores) / 10, abs=1e-10)


def same(x, kernel, stride):
    """Pad as TensorFlow does."""
    missing = [(-(-n // stride) - 1) * stride + kernel - n for n in x.shape[:-3:-1]]
    return functional.pad(x, [part for m in missing for part in (m // 2, m - m // 2)])


def convolve(x, weight, stride=1):
    mean, deviation = (getattr(weight.flatten(1), f)(1) for f in ("mean", "std"))
    weight = (weight - mean.view(-1, 1, 1, 1)) / (deviation.view(-1, 1, 1, 1) + 1e-5)
    return functional.conv2d(same(x, weight.shape[-1], stride), weight, stride=stride)


def musiq(weights, frame):
    """MUSIQ of one frame in 8 bits, with padded sequences and a mask, as its publication has it."""
    w = {key: value.double() for key, value in weights.items()}

    def layer(name, x):
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def group(name, x, epsilon):
        return functional.group_norm(x, 32, w[f"{name}.weight"], w[f"{name}.bias"], epsilon)

    def norm(name, x):
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    if max(frame.shape) > 512:
        size = [int(length * (512 / max(frame.shape))) for length in frame.shape[:2]]
        frame = 255 * stretch(frame[None], size, hat)[0]
    height, width = frame.shape[:2]
    encoder, tokens, seen = "transformer_encoder", [], [True]
    for scale, longer in enumerate((224, 384, None)):
        ratio = longer / max(height, width) if longer else 1
        size = (round(height * ratio), round(width * ratio))
        image = 2 * torch.from_numpy(stretch(frame[None], size, cubic)).movedim(-1, 1) - 1
        patches = functional.unfold(same(image, 32, 32), 32, stride=32)[0].T
        rows, columns = (math.ceil(length / 32) for length in size)
        for number, patch in enumerate(patches):
            x = convolve(patch.view(1, 3, 32, 32), w["conv_root.weight"], 2)
            x = same(group("gn_root", x, 1e-6).relu(), 3, 2)
            x = short = functional.max_pool2d(x, 3, 2)
            for part in ("1", "2", "3"):
                x = convolve(x.relu(), w[f"block1.conv{part}.weight"])
                x = group(f"block1.gn{part}", x, 1e-4)
            short = group("block1.gn_proj", convolve(short, w["block1.conv_proj.weight"]), 1e-4)
            x = layer("embedding", (x + short).relu()[0].movedim(0, -1).flatten())
            place = 10 * (10 * (number // columns) // rows) + 10 * (number % columns) // columns
            x = x + w[f"{encoder}.posembed_input.position_emb"][0, place]
            tokens.append(x + w[f"{encoder}.scaleembed_input.scale_emb"][scale])
        spare = math.ceil(longer / 32) ** 2 - len(patches) if longer else 0
        tokens += [torch.full_like(x, 7.0)] * spare
        seen += [True] * len(patches) + [False] * spare
    x, seen = torch.stack([w[f"{encoder}.cls"][0, 0], *tokens]), torch.tensor(seen)
    hidden = ~(seen[:, None] & seen)
    for number in range(2):
        name = f"{encoder}.transformer.encoderblock_{number}"
        y = norm(f"{name}.norm1", x)
        q, k, v = (layer(f"{name}.attention.{p}", y).chunk(6, 1) for p in ("query", "key", "value"))
        mixed = []
        for a, b, c in zip(q, k, v, strict=True):
            logits = (a @ b.T / a.shape[1] ** 0.5).masked_fill(hidden, -1000)
            mixed.append(logits.softmax(1) @ c)
        x = x + layer(f"{name}.attention.out", torch.cat(mixed, 1))
        y = functional.gelu(layer(f"{name}.mlp.fc1", norm(f"{name}.norm2", x)))
        x = x + layer(f"{name}.mlp.fc2", y)
    return layer("head", norm(f"{encoder}.encoder_norm", x)[0]).item()


@pytest.mark.parametrize("frames", [VIDEOS[0][:2], VIDEOS[1][:1], video(130, 601)[:1]])
def test_imaging_quality_is_musiqs(hub, frames):
    file = hub("vbench_imaging") / "chaofengc/IQA-PyTorch-Weights/musiq_spaq_ckpt-358bb6af.pth"
    weights = torch.load(file)
    expected = sum(musiq(weights, frame) for frame in frames) / len(frames) / 100
    assert score("vbench_imaging", hub, frames) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("frames", VIDEOS)
def test_flickering_is_the_difference_of_neighbours(frames):
    pairs = zip(frames[:-1].astype(float), frames[1:].astype(float), strict=True)
    changes = [np.abs(before - after).mean() for before, after in pairs]
    expected = (255 - np.mean(changes)) / 255
    assert vbench.temporal_flickering(as_tensor(frames)).item() == pytest.approx(expected)


def test_videos_are_checked():
    with pytest.raises(ValueError, match=r"videos must be of shape .*, got \(1, 3, 8, 8\)"):
        vbench.temporal_flickering(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="videos must have at least 2 frames, got 1"):
        vbench.temporal_flickering(torch.zeros(1, 1, 3, 8, 8))


def test_where_the_head_of_aesthetic_quality_is_got(hub):
    checkpoints = ntrk.rewards.checkpoints.Checkpoints(hub("aesthetic"))
    with pytest.raises(OSError, match=r"get it from https://raw\.githubusercontent\.com/LAION-AI/"):
        AestheticQuality(checkpoints)

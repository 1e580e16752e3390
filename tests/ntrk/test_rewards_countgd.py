"""CountGD: scores against its detector written out by hand, with the weights as they are published.

The functions below follow the first code of GroundingDINO, IDEA-Research/GroundingDINO, as CountGD
has it, for one image and one name.
"""

import math

import numpy as np
import published_countgd
import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image
from published_countgd import (
    BERT,
    DEPTHS,
    HEADS,
    LAYERS,
    POINTS,
    QUERIES,
    SWIN_HEADS,
    WINDOW,
    WORDS,
)
from sklearn.datasets import load_sample_images
from torch.nn import functional

from ntrk.rewards import countgd
from ntrk.rewards.checkpoints import Checkpoints

NAMES = ["dogs", "small red cube"]
KNOWN = {word: number for number, word in WORDS.items()}


class Weights(dict):
    def linear(self, name, x):
        return functional.linear(x, self[f"{name}.weight"], self.get(f"{name}.bias"))

    def norm(self, name, x):
        return functional.layer_norm(
            x, x.shape[-1:], self[f"{name}.weight"], self[f"{name}.bias"], 1e-5
        )

    def conv(self, name, x, **kwargs):
        return functional.conv2d(x, self[f"{name}.weight"], self[f"{name}.bias"], **kwargs)

    def attention(self, name, query, key, value, heads, mask=None):
        """The attention of Torch, of which GroundingDINO is made: (length, width) each."""
        inside, outside = (f"{name}.in_proj_", f"{name}.out_proj.")
        weights = [self[p + what] for p in (inside, outside) for what in ("weight", "bias")]
        batched = (x[:, None] for x in (query, key, value))
        found, _ = functional.multi_head_attention_forward(
            *batched, query.shape[-1], heads, *weights[:2], None, None, False, 0.0, *weights[2:],
            training=False, need_weights=False, attn_mask=mask,
        )  # fmt: skip
        return found[:, 0]

    def feedforward(self, name, x, norm):
        hidden = self.linear(f"{name}.linear1", x).relu()
        return self.norm(f"{name}.{norm}", x + self.linear(f"{name}.linear2", hidden))

    def mlp(self, name, x, depth):
        for n in range(depth):
            x = self.linear(f"{name}.layers.{n}", x if n == 0 else x.relu())
        return x


def window_attention(w, name, x, heads, shift):
    """Of (height, width, channels): places see those of their window, and of their side of it."""
    height, width, channels = x.shape
    rows, columns = (-(-n // WINDOW) * WINDOW for n in (height, width))
    x = functional.pad(x, (0, 0, 0, columns - width, 0, rows - height)).roll(
        (-shift, -shift), (0, 1)
    )

    def windows(y):
        y = y.reshape(rows // WINDOW, WINDOW, columns // WINDOW, WINDOW, -1).transpose(1, 2)
        return y.reshape(-1, WINDOW**2, y.shape[-1])

    parts = w.linear(f"{name}.qkv", windows(x)).chunk(3, -1)
    query, key, value = (p.unflatten(-1, (heads, -1)).transpose(1, 2) for p in parts)
    scores = query @ key.mT / math.sqrt(channels // heads)
    y, z = np.divmod(np.arange(WINDOW**2), WINDOW)
    index = (y[:, None] - y + WINDOW - 1) * (2 * WINDOW - 1) + z[:, None] - z + WINDOW - 1
    scores = scores + w[f"{name}.relative_position_bias_table"][index].movedim(-1, 0)
    if shift:
        side = [
            (torch.arange(n) >= n - WINDOW).int() + (torch.arange(n) >= n - shift)
            for n in (rows, columns)
        ]
        region = windows((3 * side[0][:, None] + side[1])[..., None])
        scores = scores - 100.0 * (region != region.mT)[:, None]
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).flatten(2)
    mixed = mixed.reshape(rows // WINDOW, columns // WINDOW, WINDOW, WINDOW, channels)
    mixed = mixed.transpose(1, 2).reshape(rows, columns, channels).roll((shift, shift), (0, 1))
    return w.linear(f"{name}.proj", mixed[:height, :width])


def swin(w, pixels):
    """Return the features of the last three levels, (1, channels, height, width)."""
    edges = (0, -pixels.shape[-1] % 4, 0, -pixels.shape[-2] % 4)
    x = w.conv("backbone.0.patch_embed.proj", functional.pad(pixels, edges), stride=4)
    x = w.norm("backbone.0.patch_embed.norm", x[0].permute(1, 2, 0))
    found = []
    for level, depth in enumerate(DEPTHS):
        layer = f"backbone.0.layers.{level}"
        for n in range(depth):
            block, shift = f"{layer}.blocks.{n}", n % 2 * (WINDOW // 2)
            seen = w.norm(f"{block}.norm1", x)
            x = x + window_attention(w, f"{block}.attn", seen, SWIN_HEADS[level], shift)
            hidden = functional.gelu(w.linear(f"{block}.mlp.fc1", w.norm(f"{block}.norm2", x)))
            x = x + w.linear(f"{block}.mlp.fc2", hidden)
        if level:
            found.append(w.norm(f"backbone.0.norm{level}", x).permute(2, 0, 1)[None])
        if level < 3:
            x = functional.pad(x, (0, 0, 0, x.shape[1] % 2, 0, x.shape[0] % 2))
            x = torch.cat([x[i::2, j::2] for j in (0, 1) for i in (0, 1)], -1)
            x = w.linear(f"{layer}.downsample.reduction", w.norm(f"{layer}.downsample.norm", x))
    return found


def waves(x, count, temperature):
    """Sines and cosines of numbers, in turns, as many as `count` each."""
    x = x[..., None] / temperature ** (2 * (torch.arange(count) // 2) / count).to(x.dtype)
    return torch.stack([x[..., 0::2].sin(), x[..., 1::2].cos()], -1).flatten(-2)


def text(w, tokens):
    """Return features of tokens, which see those of their phrase, and their places in it."""
    config = transformers.BertConfig(**BERT, attn_implementation="eager")
    bert = transformers.BertModel(config).eval().to(w["feat_map.weight"].dtype)
    own = {k.removeprefix("bert."): v for k, v in w.items() if k.startswith("bert.")}
    bert.load_state_dict(own)
    length = len(tokens)  # [CLS], the phrase with its full stop, [SEP]
    mask = torch.eye(length, dtype=torch.bool)
    mask[1:-1, 1:-1] = True
    places = torch.tensor([0, *range(length - 2), 0])
    hidden = bert(
        input_ids=torch.tensor(tokens)[None],
        attention_mask=torch.where(mask, 0.0, -1e9)[None, None].to(bert.dtype),
        position_ids=places[None],
    ).last_hidden_state[0]
    return w.linear("feat_map", hidden), mask, places


def fusion(w, name, image, words):
    """Image and words look at each other."""
    image, words = w.norm(f"{name}.layer_norm_v", image), w.norm(f"{name}.layer_norm_l", words)

    def heads(part, x):
        return w.linear(f"{name}.attn.{part}", x).unflatten(-1, (HEADS // 2, -1)).transpose(0, 1)

    query = heads("v_proj", image)
    scores = query @ heads("l_proj", words).mT / math.sqrt(query.shape[-1])
    to_image = scores.softmax(-1) @ heads("values_l_proj", words)
    to_words = scores.mT.softmax(-1) @ heads("values_v_proj", image)
    to_image, to_words = (x.transpose(0, 1).flatten(1) for x in (to_image, to_words))
    to_image = w.linear(f"{name}.attn.out_v_proj", to_image)
    to_words = w.linear(f"{name}.attn.out_l_proj", to_words)
    return image + w[f"{name}.gamma_v"] * to_image, words + w[f"{name}.gamma_l"] * to_words


def deformable(w, name, query, image, sizes, at):
    """Each query looks at a few points of each level, around `at`, (queries, 2) or boxes."""
    offsets = w.linear(f"{name}.sampling_offsets", query).unflatten(-1, (HEADS, 4, POINTS, 2))
    amounts = w.linear(f"{name}.attention_weights", query).unflatten(-1, (HEADS, -1)).softmax(-1)
    values = w.linear(f"{name}.value_proj", image).split([h * v for h, v in sizes])
    found = 0
    for level, (height, width) in enumerate(sizes):
        moved = offsets[:, :, level]
        if at.shape[-1] == 2:
            moved = moved / torch.tensor([width, height])
        else:
            moved = moved / POINTS * at[:, None, None, 2:] / 2
        points = (2 * (at[:, None, None, :2] + moved) - 1).transpose(0, 1)
        maps = values[level].T.reshape(HEADS, -1, height, width)
        seen = functional.grid_sample(maps, points, align_corners=False)
        part = amounts.unflatten(-1, (4, POINTS))[:, :, level].transpose(0, 1)[:, None]
        found = found + (seen * part).sum(-1)
    return w.linear(f"{name}.output_proj", found.flatten(0, 1).T)


def logit(x):
    return (x.clamp(1e-3, 1) / (1 - x).clamp(1e-3, 1)).log()


@torch.no_grad()
def detector(w, pixels, tokens):
    """Return logits of boxes and tokens."""
    features = swin(w, pixels)
    levels = [w.conv(f"input_proj.{n}.0", x) for n, x in enumerate(features)]
    levels.append(w.conv("input_proj.3.0", features[-1], stride=2, padding=1))
    words, mask, places = text(w, tokens)
    image, position, at, sizes, boxes = [], [], [], [], []
    for n, x in enumerate(levels):
        x = functional.group_norm(x, 32, w[f"input_proj.{n}.1.weight"], w[f"input_proj.{n}.1.bias"])
        height, width = x.shape[-2:]
        sizes.append((height, width))
        image.append(x[0].flatten(1).T)
        y, z = torch.meshgrid(
            *(torch.arange(k).to(x.dtype) for k in (height, width)), indexing="ij"
        )
        y, z = y.flatten(), z.flatten()
        angles = (2 * math.pi * (y + 1) / (height + 1e-6), 2 * math.pi * (z + 1) / (width + 1e-6))
        waved = [waves(angle, x.shape[1] // 2, 20) for angle in angles]
        position.append(torch.cat(waved, -1) + w["transformer.level_embed"][n])
        at.append(torch.stack([(z + 0.5) / width, (y + 0.5) / height], -1))
        boxes.append(torch.cat([at[-1], torch.full_like(at[-1], 0.05 * 2**n)], -1))
    image, position, at, boxes = (torch.cat(x) for x in (image, position, at, boxes))

    spoken = waves(2 * math.pi * places.to(words.dtype), words.shape[-1], 10000)
    for n in range(LAYERS):
        image, words = fusion(w, f"transformer.encoder.fusion_layers.{n}", image, words)
        layer = f"transformer.encoder.text_layers.{n}"
        query = words + spoken
        seen = w.attention(f"{layer}.self_attn", query, query, words, HEADS // 2, ~mask)
        words = w.feedforward(layer, w.norm(f"{layer}.norm1", words + seen), "norm2")
        layer = f"transformer.encoder.layers.{n}"
        seen = deformable(w, f"{layer}.self_attn", image + position, image, sizes, at)
        image = w.feedforward(layer, w.norm(f"{layer}.norm1", image + seen), "norm2")

    valid = ((boxes > 0.01) & (boxes < 0.99)).all(-1, keepdim=True)
    proposed = w.linear("transformer.enc_output", image * valid)
    proposed = w.norm("transformer.enc_output_norm", proposed)
    best = (proposed @ words.T).amax(-1).topk(QUERIES).indices
    edges = (boxes / (1 - boxes)).log().masked_fill(~valid, math.inf)
    at = (w.mlp("transformer.enc_out_bbox_embed", proposed, 3) + edges)[best].sigmoid()

    x = w["transformer.tgt_embed.weight"]
    for n in range(LAYERS):
        layer = f"transformer.decoder.layers.{n}"
        order = at[:, [1, 0, 2, 3]]
        waved = waves(2 * math.pi * order, x.shape[-1] // 2, 10000).flatten(1)
        where = w.mlp("transformer.decoder.ref_point_head", waved, 2)
        seen = w.attention(f"{layer}.self_attn", x + where, x + where, x, HEADS)
        x = w.norm(f"{layer}.norm2", x + seen)
        seen = w.attention(f"{layer}.ca_text", x + where, words, words, HEADS)
        x = w.norm(f"{layer}.catext_norm", x + seen)
        seen = deformable(w, f"{layer}.cross_attn", x + where, image, sizes, at)
        x = w.feedforward(layer, w.norm(f"{layer}.norm1", x + seen), "norm3")
        at = (w.mlp("bbox_embed.0", x, 3) + logit(at)).sigmoid()
    return w.norm("transformer.decoder.norm", x) @ words.T


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("countgd")
    published_countgd.countgd(path)
    return path


@pytest.fixture(scope="module")
def weights(folder):
    return safetensors.torch.load_file(folder / "nikigoli/CountGD/model.safetensors")


@pytest.fixture
def smaller(monkeypatch):
    """Images that the detector sees are smaller, so that tests are fast."""
    monkeypatch.setattr(countgd, "_SHORTER", 120)
    monkeypatch.setattr(countgd, "_LONGER", 200)


def photographs():
    first, second = load_sample_images().images
    return first[:300, 3:403], second[20:420, 50:350]


def as_tensor(image):
    return torch.from_numpy(np.array(image)).movedim(-1, 0) / 255


def normalised(images):
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    return (images - mean) / std


def test_pixels_are_those_of_pillow(folder, smaller):
    counter, seen = countgd.CountGD(Checkpoints(folder)), {}
    image = Image.fromarray(photographs()[0])
    hook = counter.model.register_forward_pre_hook(
        lambda model, args, kwargs: seen.update(kwargs), with_kwargs=True
    )
    counter.scores(as_tensor(image), "dogs")
    hook.remove()
    expected = as_tensor(image.resize((160, 120), Image.Resampling.BILINEAR))
    level = normalised(torch.ones(3, 1, 1)) - normalised(torch.full((3, 1, 1), 254 / 255))
    difference = (seen["pixel_values"][0] - normalised(expected)) / level
    assert difference.abs().max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_the_detector_by_hand(folder, weights, smaller, name):
    counter = countgd.CountGD(Checkpoints(folder, torch.float64))
    image = Image.fromarray(photographs()[0])
    resized = as_tensor(image.resize((160, 120), Image.Resampling.BILINEAR))
    pixels = normalised(resized.double())[None]
    exact = Weights({k: v.double() for k, v in weights.items() if v.is_floating_point()})
    phrase = [101, *(KNOWN[word] for word in name.split()), 1012, 102]
    expected = detector(exact, pixels, phrase).sigmoid().amax(-1)
    scores = counter.scores(resized.double(), name)
    assert scores.dtype == torch.float64
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-6)
    assert counter.count(resized[None], [name]).tolist() == [(expected > 0.23).sum()]
    assert 0 < (expected > 0.23).sum() < QUERIES


def test_the_score_is_minus_the_error_of_the_count(folder, smaller):
    counter = countgd.CountGD(Checkpoints(folder))
    first, second = map(as_tensor, photographs())
    images, names = torch.stack([first, second.mT]), ["dogs", "red cube"]
    counts = counter.count(images, names)
    one_by_one = [counter.count(images[k : k + 1], names[k : k + 1]) for k in range(2)]
    assert counts.tolist() == torch.cat(one_by_one).tolist()
    few = counter(images, ["two dogs in a park", "a photo of a red cube"])
    many = counter(images, ["400 dogs", f"{int(counts[1])} red cube"])
    assert few.tolist() == [2 - counts[0], 1 - counts[1]]
    assert many.tolist() == [counts[0] - 400, 0]
    assert not counter.differentiable


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_single(folder, smaller, dtype):
    image = as_tensor(photographs()[0])
    exact = countgd.CountGD(Checkpoints(folder)).scores(image, "dogs")
    rounded = countgd.CountGD(Checkpoints(folder, dtype)).scores(image, "dogs")
    assert torch.equal(rounded, exact)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        # By hand: 800 for the shorter side, or 1333 for the longer one, which is rounded down.
        ((512, 512), (800, 800)),
        ((300, 400), (800, 1066)),
        ((400, 300), (1066, 800)),
        ((100, 200), (666, 1332)),
        ((1024, 576), (1333, 750)),
        ((900, 901), (800, 800)),
    ],
)
def test_size_of_what_the_detector_sees(size, expected):
    assert countgd._size(*size) == expected


@pytest.mark.parametrize("change", ["lost", "added", "shape"])
def test_weights_of_another_layout_are_refused(change, tmp_path):
    published_countgd.countgd(tmp_path)
    path = tmp_path / "nikigoli/CountGD/model.safetensors"
    found = safetensors.torch.load_file(path)
    if change == "lost":
        del found["transformer.decoder.layers.1.ca_text.in_proj_bias"]
    elif change == "added":
        found["transformer.decoder.layers.2.norm1.weight"] = torch.zeros(3)
    else:
        found["feat_map.bias"] = torch.zeros(3)
    safetensors.torch.save_file(found, path)
    with pytest.raises(ValueError, match=r"nikigoli/CountGD are not of the layout expected"):
        countgd.CountGD(Checkpoints(tmp_path))


def test_what_is_missing_is_named(folder, tmp_path):
    with pytest.raises(OSError, match="hf download IDEA-Research/grounding-dino-base"):
        countgd.CountGD(Checkpoints(tmp_path))
    with pytest.raises(ValueError, match="objects must be 2, one an image, got 1"):
        countgd.CountGD(Checkpoints(folder)).count(torch.zeros(2, 3, 8, 8), ["dogs"])

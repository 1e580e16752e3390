"""Counting: densities against T2ICount written by hand; its windows, its names, its reward."""

import numpy as np
import published_count
import pytest
import torch
import transformers
from diffusers.loaders import single_file_utils
from PIL import Image
from sklearn.datasets import load_sample_images

import ntrk
from ntrk.rewards import t2icount
from ntrk.rewards.checkpoints import Checkpoints
from ntrk.rewards.t2icount import T2ICount
from ntrk.rewards.t2icount_network import rename

CLIP, FILE = "openai/clip-vit-large-patch14", "cha15yq/T2ICount/best_model_paper.pth"
OBJECTS = ["flowers", "red roof tiles"]


@pytest.fixture(scope="module")
def folder(hub):
    return hub("t2icount")


@pytest.fixture(scope="module")
def counter(folder):
    return T2ICount(Checkpoints(folder, torch.float64))


@pytest.fixture(scope="module")
def by_hand(folder):
    """``by_hand(pixels, objects)``: densities of windows, by the network written out."""
    text = transformers.CLIPTextConfig.from_pretrained(folder / CLIP)
    weights = torch.load(folder / FILE)
    network = published_count.HandT2ICount(text).double().eval()
    network.load_state_dict(
        {k: v for k, v in weights.items() if not k.endswith("position_ids")}, strict=True
    )
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / CLIP)

    @torch.no_grad()
    def density(pixels, name):
        tokens = tokenizer(name, padding="max_length", max_length=77, return_tensors="pt")
        mask = torch.zeros(1, 77, dtype=torch.float64)
        length = len(tokenizer(name, add_special_tokens=False).input_ids)
        mask[:, 1 : 1 + length] = 1
        return network(2 * pixels - 1, tokens.input_ids, mask)

    return density


@pytest.fixture
def smaller(monkeypatch):
    """Windows are a third as wide and high, so that tests are fast."""
    monkeypatch.setattr(t2icount, "_SIDE", 128)


def photograph(size):
    """Flowers, in a size that Pillow makes of a square, or of the whole."""
    image = Image.fromarray(load_sample_images().images[1])
    if size[0] == size[1]:
        image = image.crop((0, 0, 427, 427))
    image = image.resize(size, Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).movedim(-1, 0)[None].double() / 255


def spread(density):
    """Values of the network over 8 by 8 pixels, in objects a pixel."""
    larger = torch.nn.functional.interpolate(density, scale_factor=8, mode="bilinear")
    return larger[:, 0] / 64 / 60


def test_density_of_a_window_is_that_of_the_network_by_hand(counter, by_hand):
    images = torch.cat([photograph((384, 384)), photograph((384, 384)).flip(-1)])
    expected = torch.cat([by_hand(images[k : k + 1], OBJECTS[k]) for k in range(2)])
    found = counter.density(images, OBJECTS)
    assert found.shape == (2, 384, 384)
    assert expected.std() > 0.01 * expected.mean() > 0
    assert (found[0] - found[1].flip(-1)).abs().max() > 0.001 * found.mean()
    # In double precision, in which the faintest part that a feature or a word has is seen.
    torch.testing.assert_close(found, spread(expected), rtol=1e-9, atol=0)
    # Spreading keeps the sum: of one window, the count is the sum of the network's values.
    counts = counter.count(images, OBJECTS)
    torch.testing.assert_close(counts, expected.sum((1, 2, 3)) / 60, rtol=1e-9, atol=0)


def test_windows_cover_a_wide_image_and_overlap_evenly(counter, by_hand, smaller):
    image = photograph((170, 128))
    left, right = (spread(by_hand(image[..., x : x + 128], "flowers")) for x in (0, 42))
    middle = (left[..., 42:] + right[..., :86]) / 2
    expected = torch.cat([left[..., :42], middle, right[..., 86:]], -1)
    torch.testing.assert_close(counter.density(image, ["flowers"]), expected, rtol=1e-9, atol=0)


def test_images_are_resized_as_pillow_does_to_a_shorter_side_of_384(counter, by_hand):
    expected = spread(by_hand(photograph((384, 384)), "flowers"))
    found = counter.density(photograph((427, 427)), ["flowers"])
    # Pillow rounds to levels.
    assert (found - expected).abs().mean() < 0.1 * expected.std()


def test_the_reward_is_the_smooth_loss(counter, monkeypatch):
    counts = torch.tensor([7.25, 7.0, 2.5])
    seen = []
    monkeypatch.setattr(counter, "count", lambda images, objects: seen.extend(objects) or counts)
    found = counter(torch.zeros(3, 3, 8, 8), ["seven dogs in a park", "9 red cubes", "a cat"])
    assert seen == ["dogs", "red cubes", "cat"]
    torch.testing.assert_close(found, -torch.tensor([0.25**2 / 2, 2 - 0.5, 1.5 - 0.5]))


def test_by_name(folder, counter, smaller):
    image = photograph((128, 128))
    reward = ntrk.rewards.load("t2icount", folder)
    count = counter.count(image, ["dogs"]).item()
    assert abs(count - 700) > 1
    assert reward(image, ["700 dogs"]).item() == pytest.approx(0.5 - abs(count - 700), rel=1e-5)


def test_prompts_without_a_number_are_refused(counter):
    with pytest.raises(ValueError, match="prompt must say how many objects to show, got 'dogs'"):
        counter(photograph((384, 384)), ["dogs"])
    with pytest.raises(ValueError, match="objects must be 1, one an image, got 2"):
        counter.count(photograph((384, 384)), OBJECTS)


def test_names_are_those_of_the_converters_of_diffusers(folder):
    weights = torch.load(folder / FILE)
    ours = rename(weights)
    prefixes = {
        "unet.unet.diffusion_model.": "model.diffusion_model.",
        "vae.": "first_stage_model.",
    }
    original = {
        after + key.removeprefix(before): value
        for before, after in prefixes.items()
        for key, value in weights.items()
        if key.startswith(before)
    }
    unet = single_file_utils.convert_ldm_unet_checkpoint(original, {"layers_per_block": 2})
    official = {f"unet.{key}": value for key, value in unet.items()}
    shape = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": []}
    official |= single_file_utils.convert_ldm_vae_checkpoint(original, shape)
    left = {key for key in ours if not key.startswith(("text.", "decoder."))}
    assert official.keys() - left == {"post_quant_conv.weight", "post_quant_conv.bias"}
    assert left <= official.keys()
    for key in left:
        torch.testing.assert_close(
            ours[key], official[key].reshape(ours[key].shape), rtol=0, atol=0
        )


@pytest.mark.parametrize("key", ["decoder.regressor.conv.0.bias", "vae.quant_conv.bias"])
def test_weights_that_are_missing_are_named(key, tmp_path):
    published_count.t2icount(tmp_path)
    path = tmp_path / FILE
    weights = torch.load(path)
    torch.save({"extra.bias" if k == key else k: v for k, v in weights.items()}, path)
    with pytest.raises(ValueError, match=r"best_model_paper.pth are not .*missing: 1.*extra.bias"):
        T2ICount(Checkpoints(tmp_path))
    path.unlink()
    with pytest.raises(OSError, match=r"T2ICount/best_model_paper.pth: it is not on the hub"):
        T2ICount(Checkpoints(tmp_path))

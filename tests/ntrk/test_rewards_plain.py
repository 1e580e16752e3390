"""Rewards without weights: against Pillow's files, closed forms, and what was measured."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from scipy import ndimage
from sklearn.datasets import load_sample_images

from ntrk.rewards import PLAIN, compressibility, sharpness
from ntrk.rewards.inverse import Measured, blurred, masked, shrunk
from ntrk.rewards.likeness import SameEdges, edges

IMAGES = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def photograph(number):
    """A photograph, cut to an odd size."""
    return load_sample_images().images[number][:401, :611]


def as_tensor(image):
    return torch.from_numpy(np.asarray(image).copy()).movedim(-1, 0)[None] / 255


def variants():
    """Crops of a photograph: sharp, blurred, shrunk, noisy."""
    rng, pixels = np.random.default_rng(0), photograph(1)
    image = Image.fromarray(pixels)
    yield from (image.filter(ImageFilter.GaussianBlur(r)) for r in (0.5, 1, 2, 4))
    yield from (image.resize(size, Image.Resampling.BICUBIC) for size in ((333, 219), (101, 67)))
    for std in (5, 20):
        noisy = pixels + rng.normal(0, std, pixels.shape)
        yield Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("image", list(variants()))
def test_compressibility_is_pillows_to_a_tenth(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95)
    kilobytes = len(file.getvalue()) / 1000
    assert -compressibility(as_tensor(image)).item() == pytest.approx(kilobytes, rel=0.1)


def test_sharpness_of_a_step():
    image = torch.zeros(1, 3, 4, 8)
    image[..., 4:] = 1
    assert sharpness(image).item() == pytest.approx(1 / 7)


@pytest.mark.parametrize("name", PLAIN)
def test_gradients_are_those_of_finite_differences(name):
    images = (0.2 + 0.6 * IMAGES).requires_grad_()
    assert torch.autograd.gradcheck(PLAIN[name], (images,), eps=1e-5, atol=1e-4)


def test_edges_are_scipys():
    for image, found in zip(IMAGES, edges(IMAGES), strict=True):
        grey = image.mean(0).numpy()
        slopes = [ndimage.sobel(grey, axis, mode="nearest") / 8 for axis in (0, 1)]
        expected = np.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + 1e-6)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_the_same_edges_whatever_the_colours():
    first, second = (as_tensor(photograph(n)) for n in (0, 1))
    reward = SameEdges(first[0])
    assert reward(first).item() == pytest.approx(1, abs=1e-5)
    assert reward(1 - first).item() == pytest.approx(1, abs=1e-3)
    assert reward(second).item() < 0.5


def test_blur_is_scipys():
    expected = ndimage.gaussian_filter(IMAGES.numpy(), (0, 0, 1.0, 1.0), mode="nearest", truncate=3)
    np.testing.assert_allclose(blurred(IMAGES, 1.0).numpy(), expected, atol=1e-12)


def test_shrinking_and_masking():
    expected = IMAGES.numpy().reshape(2, 3, 6, 2, 5, 2).mean((3, 5))
    np.testing.assert_allclose(shrunk(IMAGES, 2).numpy(), expected)
    mask = torch.zeros(12, 10)
    mask[3, 4] = 1
    assert masked(IMAGES, mask).count_nonzero() == 6
    assert torch.equal(masked(IMAGES, mask)[..., 3, 4], IMAGES[..., 3, 4])


@pytest.mark.parametrize(
    "operator",
    [lambda x: blurred(x, 1.5), lambda x: shrunk(x, 2), lambda x: masked(x, IMAGES[0, 0] > 0.5)],
)
def test_what_was_measured_is_explained_best_by_the_truth(operator):
    """The mean over noise is minus a half at the truth, as of a chi-squared variable."""
    generator = torch.Generator().manual_seed(1)
    clean = operator(IMAGES[:1])[0]
    noise = torch.randn(400, *clean.shape, generator=generator, dtype=torch.float64)
    scores = [Measured(operator, clean + 0.1 * z, 0.1)(IMAGES[:1]).item() for z in noise]
    deviation = (1 / (2 * clean.numel() * len(noise))) ** 0.5
    assert np.mean(scores) == pytest.approx(-0.5, abs=4 * deviation)  # fails with chance 6e-5
    exact = Measured(operator, clean, 0.1)
    assert exact(IMAGES[:1]).item() == 0
    assert exact(IMAGES[1:]).item() < 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Measured(torch.abs, IMAGES[0], 0), "std must be positive and finite, got 0"),
        (lambda: Measured(torch.abs, IMAGES[0, 0])(IMAGES), r"measurement must have the shape"),
        (lambda: blurred(IMAGES, -1), "std must be positive"),
        (lambda: shrunk(IMAGES, 3), r"factor must divide height and width, \(12, 10\), got 3"),
        (lambda: masked(IMAGES, torch.ones(3, 3)), r"mask must be of shape \(12, 10\)"),
        (lambda: compressibility(IMAGES[:, :1]), r"images must be of shape \(batch, 3"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()

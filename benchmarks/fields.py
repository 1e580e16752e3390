"""Inputs to whiten: real photographs and structured fields, each of 256 x 256 values."""

from __future__ import annotations

import numpy as np

SIDE = 256


def photographs():
    """Grey 256 x 256 cut-outs of the two photographs that come with scikit-learn."""
    from sklearn.datasets import load_sample_images

    sample = load_sample_images()
    cuts = {"china.jpg": (100, 250), "flower.jpg": (90, 170)}
    images = {}
    for name, image in zip(sample.filenames, sample.images, strict=True):
        short = name.replace("\\", "/").rpartition("/")[2]
        top, left = cuts[short]
        grey = image[top : top + SIDE, left : left + SIDE].mean(axis=2)
        images[short.removesuffix(".jpg")] = standardized(grey)
    return images


def fields(seed=0):
    """Structured fields, and genuine noise as the control."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE))
    white = np.fft.rfft2(rng.standard_normal((SIDE, SIDE)))
    pink = np.fft.irfft2(white / np.maximum(frequency, 1 / SIDE), s=(SIDE, SIDE))
    sparse = np.where(rng.random((SIDE, SIDE)) < 0.02, rng.standard_normal((SIDE, SIDE)), 0)
    return {
        "stripes": standardized(np.sin(2 * np.pi * (5 * x + 3 * y) / SIDE)),
        "blocks": standardized(np.kron(rng.standard_normal((16, 16)), np.ones((16, 16)))),
        "pink": standardized(pink),
        "sparse": standardized(sparse),
        "noise": rng.standard_normal((SIDE, SIDE)),
    }


def standardized(x):
    """Mean 0 and standard deviation 1."""
    return (x - x.mean()) / x.std()

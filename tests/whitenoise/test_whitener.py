"""The whitening operator: shapes, batches, convergence, refinement, certificates, gradients."""

import math
from functools import partial

import numpy as np
import pytest
import torch

import whitenoise as wn
from whitenoise import isometries as iso
from whitenoise import sets
from whitenoise.presets import PRESETS, Projections, preset_stages, versioned

SHAPES = [(1,), (2,), (7,), (97,), (3, 5, 7), (64, 64), (2, 16, 64, 64)]


def cosine(a, b):
    a, b = np.asarray(a, np.float64).reshape(-1), np.asarray(b, np.float64).reshape(-1)
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def structured(side):
    """Inputs far from noise, without ties: what guidance gradients look like at their worst."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    grain = rng.standard_normal((side, side))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    pink = np.fft.irfft2(np.fft.rfft2(grain) / np.maximum(frequency, 1 / side), s=(side, side))
    edges = np.where(np.hypot(x - 0.4, y - 0.6) < 0.25, 2.0, 0.0) + x - np.where(y > x, 1.0, 0.0)
    cells = np.kron(rng.standard_normal((8, 8)), np.ones((side // 8, side // 8)))
    fields = {
        "photo": edges + 0.1 * pink / pink.std(),
        "sines": np.sin(2 * np.pi * (5 * x + 3 * y)) + 1e-3 * grain,
        "blocks": cells + 1e-3 * grain,
        "pink": pink,
    }
    return {name: (f - f.mean()) / f.std() for name, f in fields.items()}


FIELDS = structured(64)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_works(shape, preset):
    ramp = np.linspace(-0.3, 0.3, math.prod(shape)).reshape(shape)
    x = (np.random.default_rng(0).standard_normal(shape) + ramp).astype(np.float32)
    for y in (wn.Whitener(shape, preset=preset)(x, rng=0), wn.whiten(x, preset=preset, rng=0)):
        assert (y.shape, y.dtype) == (x.shape, x.dtype)
        assert np.isfinite(y).all()
        assert np.abs(y).max() < 6


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_two_million_values_work(preset):
    """Ten to forty seconds and 0.4 GiB on one core."""
    x = np.random.default_rng(0).standard_normal(2_097_152).astype(np.float32)
    y = wn.Whitener(x.size, preset=preset)(x, rng=0)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert np.isfinite(y).all()
    assert cosine(x, y) > 0.99999


def test_a_name_alone_is_its_last_version():
    assert [versioned(name) for name in ("paper", "paper-wan", "default", "default-1")] == [
        *("paper-1", "paper-wan-1", "default-2", "default-1")
    ]
    x = FIELDS["pink"]
    for name in ("paper", "default"):
        newest = wn.whiten(x, preset=versioned(name), rng=0)
        np.testing.assert_array_equal(wn.whiten(x, preset=name, rng=0), newest)


def test_the_default_is_the_equalizer():
    x = np.stack([FIELDS["pink"], np.random.default_rng(0).standard_normal((64, 64))])
    y, certificate = wn.Whitener((64, 64))(x, rng=0, return_certificate=True)
    np.testing.assert_array_equal(y, wn.Equalizer((64, 64))(x, rng=0))
    np.testing.assert_array_equal(y, wn.whiten(x, axis=(1, 2), rng=0))
    assert certificate.untouched.tolist() == [False, True]
    other = wn.Whitener((64, 64), sweeps=3)(x, rng=0)
    np.testing.assert_array_equal(other, wn.Equalizer((64, 64), sweeps=3)(x, rng=0))
    assert not np.array_equal(other, y)
    assert wn.Whitener((64, 64)).certify(x) == ()


@pytest.mark.parametrize("size", [1, 2, 3, 17, 63, 65, 97, 105, 1000, 4097])
def test_windows_cover_every_entry(size):
    for preset in PRESETS.values():
        for stage in preset_stages(preset, size) if isinstance(preset, Projections) else ():
            windows = [np.arange(size)[w] for w in stage.windows(size)]
            assert set(np.concatenate(windows)) == set(range(size))
            assert all(len(w) and len(w) % stage.target.unit == 0 for w in windows)


@pytest.mark.parametrize("size", [97, 1000, 4099])
@pytest.mark.parametrize("end", [np.s_[-3:], np.s_[:3]])
def test_defects_at_either_end_are_repaired(size, end):
    """Sizes that no chunk divides: the remainder is projected too, not dropped."""
    noise = np.random.default_rng(1).standard_normal(size)
    x = noise.copy()
    x[end] = 50.0
    y = wn.Whitener(size, preset="paper")(x, rng=0)
    assert np.abs(y).max() < 6
    assert np.abs(y[end]).max() < 6


@pytest.mark.parametrize("sweeps", [1, "converge"])
def test_a_batch_is_its_vectors_one_by_one(sweeps):
    """Leading axes are independent, bit for bit, also when vectors converge at different times."""
    # Seeds whose stages leave no ties; with 15, the others would move again if not left alone.
    seeds = (0, 1, 5, 15, 17, 27)
    x = 1.3 * np.stack([np.random.default_rng(s).standard_normal((10, 13)) for s in seeds])
    x[1] /= 1.3
    whitener = wn.Whitener((10, 13), preset="paper", sweeps=sweeps)
    batch, certificate = whitener(x, rng=0, return_certificate=True)
    alone = [whitener(row, rng=0, return_certificate=True) for row in x]
    np.testing.assert_array_equal(batch, np.stack([y for y, _ in alone]))
    np.testing.assert_array_equal(certificate.cosine, [c.cosine for _, c in alone])
    assert certificate.sweeps == max(c.sweeps for _, c in alone)
    np.testing.assert_array_equal(whitener(x.reshape(2, 3, 10, 13), rng=0).reshape(x.shape), batch)
    if sweeps == "converge":
        assert len({c.sweeps for _, c in alone}) > 1


def test_whiten_takes_any_axes_as_the_vector():
    x = np.random.default_rng(3).standard_exponential((5, 3, 7))
    for preset in ("default", "paper"):
        vectors = wn.Whitener((7, 5), preset=preset)(x.transpose(1, 2, 0), rng=0)
        expected = vectors.transpose(2, 0, 1)
        np.testing.assert_array_equal(wn.whiten(x, axis=(2, 0), preset=preset, rng=0), expected)


def test_noise_passes_almost_unchanged():
    """Section 4 of the paper: cosine at least 0.99999 for N = 65,536; it is 1 - 1e-10."""
    whitener = wn.Whitener((16, 64, 64), preset="paper")
    cosines = []
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((16, 64, 64))
        cosines.append(cosine(x, whitener(x, rng=seed)))
    assert min(cosines) >= 0.99999


@pytest.mark.parametrize("size", [512, 777])
def test_certificate_is_what_projecting_separately_finds(size):
    x = np.random.default_rng(4).standard_exponential((2, size))
    whitener = wn.Whitener(size, preset="paper")
    y, certificate = whitener(x, rng=0, return_certificate=True)
    np.testing.assert_allclose(
        certificate.cosine, [cosine(*pair) for pair in zip(x, y, strict=True)]
    )
    np.testing.assert_allclose(certificate.distance, np.linalg.norm(x - y, axis=-1))
    assert len(certificate.stages) == len(whitener.stages)
    for stage, found in zip(whitener.stages, certificate.stages, strict=True):
        seen = stage.isometry.forward(y)
        parts = [seen[:, window] for window in stage.windows(size)]
        projected = [
            wn.project(part, stage.target, axis=1, rng=0, exchanges=0, return_certificate=True)[1]
            for part in parts
        ]
        assert found.stage is stage
        inside = np.all([stage.target.contains(part, axis=1) for part in parts], axis=0)
        np.testing.assert_array_equal(found.inside, inside)
        np.testing.assert_allclose(
            found.distance, np.max([c.distance for c in projected], axis=0), atol=1e-14
        )
        bounds = [stage.target.distance_bound(part, axis=1) for part in parts]
        np.testing.assert_allclose(found.lower_bound, np.max(bounds, axis=0), atol=1e-14)
    assert certificate.worst in certificate.stages
    assert f"of {len(whitener.stages)} sets" in str(certificate)


@pytest.mark.parametrize("name", FIELDS)
def test_converged_results_hardly_move(name):
    """A further sweep moves the result by less than 0.1 % of sqrt(N); one sweep leaves more."""
    x = FIELDS[name]
    y, certificate = wn.Whitener(x.shape, preset="default-1")(x, rng=0, return_certificate=True)
    again = wn.Whitener(x.shape, preset="paper", sweeps=1)(y, rng=0)
    assert certificate.converged
    assert 1 < certificate.sweeps < 50
    assert np.linalg.norm(again - y) < 1e-3 * math.sqrt(x.size)
    once, early = wn.Whitener(x.shape, preset="paper")(x, rng=0, return_certificate=True)
    assert not early.converged
    assert np.linalg.norm(y - once) > 1e-3 * math.sqrt(x.size)


@pytest.mark.parametrize("sweeps", [1, "converge"])
@pytest.mark.parametrize("name", FIELDS)
def test_refinement_raises_the_cosine(name, sweeps):
    x = FIELDS[name]
    found = [
        wn.Whitener(x.shape, preset="paper", sweeps=sweeps, refine=steps)(
            x, rng=0, return_certificate=True
        )[1]
        for steps in (0, 8)
    ]
    assert found[1].cosine > found[0].cosine + 0.005
    assert found[1].sweeps >= found[0].sweeps + 8


@pytest.mark.parametrize("steps", [1, 3])
def test_refinement_never_lowers_the_cosine(steps):
    x = np.random.default_rng(5).standard_cauchy((40, 50))
    plain, refined = (
        wn.Whitener(50, preset="paper", refine=r)(x, rng=0, return_certificate=True)[1].cosine
        for r in (0, steps)
    )
    assert (refined >= plain).all()
    assert (refined > plain).any()


@pytest.mark.parametrize("name", FIELDS)
def test_scale_hardly_matters(name):
    """Over a factor 64 the cosine moves by at most 0.003 at N = 65,536."""
    x = structured(256)[name]
    whitener = wn.Whitener(x.shape, preset="paper")
    cosines = [cosine(x, whitener(scale * x, rng=0)) for scale in (1 / 8, 1, 8)]
    assert max(cosines) - min(cosines) < 0.003


@pytest.mark.parametrize("kind", ["zero", "constant", "sparse"])
def test_ties_are_broken_by_the_generator(kind):
    """No index order is planted: another seed, another noise; the same seed, the same bits."""
    x = np.full((16, 16), {"zero": 0.0, "constant": 2.5, "sparse": 0.0}[kind])
    if kind == "sparse":
        x[3, 5], x[9, 9] = 4.0, -4.0
    first, second, again = (wn.whiten(x, rng=seed) for seed in (0, 1, 0))
    np.testing.assert_array_equal(first, again)
    assert abs(cosine(first, second)) < 0.5
    assert 0.8 < first.std() < 1.2
    # A ramp planted by index order has correlation near 1; 0.31 is 4.9 sigma, one in a million.
    assert abs(cosine(first, np.arange(256.0) - 127.5)) < 0.31


def test_stages_may_be_sets_stages_or_pairs():
    x = np.random.default_rng(6).standard_exponential(64)
    fourier, one_level, tiles = iso.RealFourier(), sets.OneLevel(0.99), sets.Tiles(8)
    whitener = wn.Whitener(64, stages=[one_level, wn.Stage(tiles), (fourier, one_level)])
    y = wn.project_1os(x, confidence_level=0.99)
    y = wn.project_tiles(y, 8)
    y = wn.pullback(wn.project_1os, fourier)(y, confidence_level=0.99)
    np.testing.assert_array_equal(whitener(x), y)
    assert whitener.sweeps == 1
    assert [str(s.isometry) for s in whitener.stages] == ["Identity()"] * 2 + ["RealFourier()"]


def test_confidence_level_reaches_every_stage_of_a_preset():
    paper = partial(wn.Whitener, 256, preset="paper")
    levels = {s.target.confidence_level for s in paper(confidence_level=0.9).stages}
    assert levels == {0.9}
    assert {s.target.confidence_level for s in paper().stages} == {0.9999}
    x = np.random.default_rng(7).standard_normal(256)
    strict = wn.whiten(x, preset="paper", confidence_level=0.5)
    assert cosine(x, strict) < cosine(x, wn.whiten(x, preset="paper"))


@pytest.mark.parametrize("size", [64, 128])
def test_gradients_are_directional_derivatives(size):
    """Central differences of ``<g, W(x + h d)>``, away from ties, match the Jacobian product."""
    rng = np.random.default_rng(8)
    x, d, g = torch.tensor(rng.standard_normal((3, size)))
    x = x + 2 * torch.sin(0.3 * torch.arange(float(size)))
    whitener = wn.Whitener(size, preset="paper")
    leaf = x.clone().requires_grad_()
    (whitener(leaf, rng=0) @ g).backward()
    step = 1e-5
    ahead, behind = (whitener(x + sign * step * d, rng=0) @ g for sign in (1, -1))
    assert float(leaf.grad @ d) == pytest.approx(float(ahead - behind) / (2 * step), rel=1e-6)
    assert abs(float(leaf.grad @ d)) > 0.1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"shape": ()}, ValueError, "shape must hold one or more lengths, got \\(\\)"),
        ({"shape": 0}, ValueError, "shape must be at least 1, got 0"),
        ({"shape": (4, -1)}, ValueError, "shape must be at least 1, got -1"),
        ({"shape": 2.5}, TypeError, "shape must be an integer, got 2.5"),
        ({"preset": "flux"}, ValueError, "preset must be one of paper, .* got 'flux'"),
        (
            {"confidence_level": 1.0, "preset": "paper"},
            ValueError,
            "confidence_level must lie .* got 1.0",
        ),
        ({"confidence_level": 0.9}, ValueError, "confidence_level is for presets of projections"),
        ({"sweeps": "converge"}, ValueError, "sweeps='converge' is for presets of projections"),
        ({"refine": 1}, ValueError, "refine is for presets of projections, which 'default' is not"),
        ({"sweeps": 0}, ValueError, "sweeps must be at least 1, got 0"),
        ({"sweeps": True}, TypeError, "sweeps must be an integer, got True"),
        ({"sweeps": "x"}, ValueError, "sweeps must be a number or 'converge', got 'x'"),
        ({"refine": -1}, ValueError, "refine must be at least 0, got -1"),
        ({"refine": 1.5}, TypeError, "refine must be an integer, got 1.5"),
        ({"stages": []}, ValueError, "stages must hold one or more stages"),
        ({"stages": ["paper"]}, TypeError, "a stage must be a set, .* got 'paper'"),
        ({"stages": [sets.TwoLevel(128)]}, ValueError, "chunk_size must be at most .* got 128"),
        ({"stages": [(iso.Hartley((63,)), sets.Sphere())]}, ValueError, "length 63, got 64"),
        (
            {"stages": [sets.Sphere()], "confidence_level": 0.9},
            ValueError,
            "confidence_level belongs to the stages",
        ),
    ],
)
def test_what_cannot_be_a_whitener_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        wn.Whitener(**{"shape": 64, **arguments})


@pytest.mark.parametrize("shape", [(17,), (16, 15), (16,), (2, 16, 17)])
def test_another_trailing_shape_is_refused(shape):
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., \*\(16, 16\)\), got"):
        wn.Whitener((16, 16))(np.zeros(shape))

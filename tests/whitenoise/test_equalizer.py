"""The equalizer: its steps against brute force, and what it promises of its results."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

import whitenoise as wn
from whitenoise._namespace import array_namespace, to_numpy
from whitenoise._random import RandomSource
from whitenoise.equal_statistics import all_steps

SHAPE = (4, 16, 16)
NAMES = [
    *["_Slices"] * 3,
    *["_Frequencies"] * 2,  # of all images together, and of neighbours
    *("_Blocks", "_Places"),
    *["_OfMagnitudes"] * 3,  # slices of the first axis, and frequencies as above
    *["_Means"] * 3,
    "_Values",
]
WIDTH = 128 ** (1 / 3) / (2 * np.pi**0.5)  # of neighbours
OF_IMAGES = (128 / 4) ** 0.5 / (2 * np.pi**0.5)


def noise(seed, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape)


def structured(name, shape=SHAPE):
    """Inputs far from noise."""
    rng = np.random.default_rng(1)
    *_, height, width = shape
    y, x = np.mgrid[:height, :width]
    smooth = 1 / np.maximum(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)), 0.02)
    return {
        "pink": lambda: np.fft.ifft2(np.fft.fft2(rng.standard_normal(shape)) * smooth).real,
        "stripes": lambda: np.broadcast_to(np.sin(2 * np.pi * (3 * x + y) / width), shape).copy(),
        "blocks": lambda: np.kron(
            rng.standard_normal((shape[0], height // 8, width // 8)), np.ones((8, 8))
        ),
        "sparse": lambda: np.where(rng.random(shape) < 0.02, 1.0, 0.0),
        "heavy": lambda: rng.standard_t(1.2, shape),
        "repeated": lambda: np.broadcast_to(rng.standard_normal(shape[1:]), shape).copy(),
        "modulated": lambda: rng.standard_normal(shape) * np.exp(2 * np.sin(2 * np.pi * x / width)),
        "constant": lambda: np.ones(shape),
    }[name]()


STRUCTURED = ("pink", "stripes", "blocks", "sparse", "heavy", "repeated", "modulated", "constant")


def cosine(a, b):
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def gaussian(length, width):
    """Weights around the first of `length` places on a ring."""
    offsets = np.minimum(np.arange(length), length - np.arange(length))
    return np.exp(-0.5 * (offsets / width) ** 2)


def spectral(a):
    """Logarithms of mean energies around a few frequencies, by direct summation."""
    power = np.abs(np.fft.fftn(a)) ** 2
    found = []
    for place in ((0, 0, 0), (1, 3, 2), (2, 8, 8), (0, 1, 15)):
        rolled = np.roll(power, [-p for p in place], (0, 1, 2))
        weights = (gaussian(4, 1.0), gaussian(16, WIDTH), gaussian(16, WIDTH))
        found.append(np.einsum("ijk,i,j,k", rolled, *weights))
    return np.log(found)


def steps(z):
    return all_steps(z, z.shape, array_namespace(z))


class TestSteps:
    def test_all_are_there(self):
        assert [type(step).__name__ for step in steps(noise(0))] == NAMES

    @pytest.mark.parametrize("number", range(len(NAMES)))
    def test_the_reference_stays_as_it_is(self, number):
        z = noise(0)
        np.testing.assert_allclose(steps(z)[number](z), z, atol=1e-9)

    @pytest.mark.parametrize("number", range(len(NAMES)))
    def test_a_batch_is_its_grids_one_by_one(self, number):
        z, y = np.stack([noise(0), noise(1)]), np.stack([structured("pink"), noise(2)])
        together = all_steps(z, SHAPE, array_namespace(z))[number](y)
        alone = [steps(a)[number](b) for a, b in zip(z, y, strict=True)]
        np.testing.assert_allclose(together, alone, atol=1e-9)

    @pytest.mark.parametrize("axis", range(3))
    def test_slices_get_the_products_of_the_reference_by_the_shortest_way(self, axis):
        z, y = noise(0), structured("pink") + 0.1 * noise(3)
        found = steps(z)[axis](y)
        rows, wanted = (np.moveaxis(a, axis, 0).reshape(SHAPE[axis], -1) for a in (found, z))
        np.testing.assert_allclose(rows @ rows.T, wanted @ wanted.T, rtol=1e-8, atol=1e-8)
        # Others with these products: the same turned within the space of the values.
        rng = np.random.default_rng(4)
        for size in (1e-3, 0.1, 1.0):
            skew = size * rng.standard_normal((rows.shape[1],) * 2)
            turn, _ = np.linalg.qr(np.eye(rows.shape[1]) + (skew - skew.T) / rows.shape[1] ** 0.5)
            turn *= np.sign(np.diag(turn))
            other = np.moveaxis((rows @ turn).reshape(np.moveaxis(found, axis, 0).shape), 0, axis)
            assert np.linalg.norm(other - y) > np.linalg.norm(found - y)

    def test_energies_of_frequencies_come_near_those_of_the_reference(self):
        z, y = noise(0), structured("pink")
        step = steps(z)[NAMES.index("_Frequencies") + 1]
        before, after = (np.abs(spectral(a) - spectral(z)) for a in (y, step(y)))
        assert before.max() > 3
        assert after.max() < 0.7

    def test_energies_of_the_frequencies_of_all_images_come_near_those_of_the_reference(self):
        z, y = noise(0), structured("pink")
        step = steps(z)[NAMES.index("_Frequencies")]

        def energies(a):
            power = (np.abs(np.fft.fft2(a)) ** 2).mean(0)
            found = []
            for place in ((0, 0), (1, 3), (2, 1), (8, 8), (15, 13)):
                rolled = np.roll(power, [-p for p in place], (0, 1))
                found.append(np.einsum("ij,i,j", rolled, *[gaussian(16, OF_IMAGES)] * 2))
            return np.log(found)

        before, after = (np.abs(energies(a) - energies(z)) for a in (y, step(y)))
        assert before.max() > 3
        assert after.max() < 0.7

    @pytest.mark.parametrize("name", ["modulated", "sparse"])
    def test_energies_of_the_frequencies_of_magnitudes_come_near_those_of_the_reference(self, name):
        z, y = noise(0), structured(name) + 0.1 * noise(3)
        step = steps(z)[NAMES.index("_OfMagnitudes") + 2]

        def energies(a):
            return spectral(np.abs(a) - np.abs(a).mean())

        before, after = (np.abs(energies(a) - energies(z)) for a in (y, step(y)))
        assert after.max() < 0.5 * before.max()
        np.testing.assert_array_equal(np.sign(step(y)) * np.sign(y) >= 0, True)

    def test_magnitudes_of_slices_get_the_products_of_the_reference(self):
        z, y = noise(0), noise(3)
        y[1] = np.sign(y[1]) * (0.7 * np.abs(y[0]) + 0.3 * np.abs(y[1]))  # as loud where y[0] is
        step = steps(z)[NAMES.index("_OfMagnitudes")]

        def products(a):
            rows = (np.abs(a) - np.abs(a).mean()).reshape(4, -1)
            return rows @ rows.T / 256

        assert np.abs(products(y) - products(z)).max() > 0.2
        # Not exactly, since what falls below zero is cut off.
        np.testing.assert_allclose(products(step(y)), products(z), atol=0.03)

    def test_energies_of_blocks_become_those_of_the_reference(self):
        from scipy.fft import dctn

        def energies(a):
            cut = a.reshape(4, 2, 8, 2, 8)
            return (dctn(cut, axes=(2, 4), norm="ortho") ** 2).mean((0, 1, 3))

        z, y = noise(0), structured("pink")
        found = steps(z)[NAMES.index("_Blocks")](y)
        np.testing.assert_allclose(energies(found), energies(z), rtol=1e-8)

    def test_local_energies_come_near_those_of_the_reference(self):
        z, y = noise(0), structured("modulated")
        found = steps(z)[NAMES.index("_Places")](y)
        before, after = (np.log((a**2).mean((0, 1))).std() for a in (y, found))
        assert before > 2
        assert after < 0.5 * before

    @pytest.mark.parametrize("axis", range(3))
    def test_means_of_slices_become_those_of_the_reference(self, axis):
        z, y = noise(0), structured("pink")
        found = steps(z)[NAMES.index("_Means") + axis](y)
        for number in range(SHAPE[axis]):
            own, wanted = (np.take(a, number, axis) for a in (found, z))
            assert own.mean() == pytest.approx(wanted.mean(), abs=1e-12)
            change = own - np.take(y, number, axis)  # the least there is: one number a slice
            assert np.ptp(change) < 1e-12

    def test_values_are_assigned_by_the_shortest_way(self):
        z, y = noise(0, (2, 3, 5)), noise(1, (2, 3, 5)) ** 3
        found = steps(z)[-1](y)
        rows, columns = linear_sum_assignment((y.reshape(-1, 1) - z.reshape(1, -1)) ** 2)
        best = np.empty(30)
        best[rows] = z.reshape(-1)[columns]
        np.testing.assert_array_equal(found.reshape(-1), best)


class TestResults:
    @pytest.mark.parametrize("name", STRUCTURED)
    def test_what_comes_out_is_typical(self, name):
        x = structured(name)
        for seed in range(3):
            y, certificate = wn.Equalizer(SHAPE)(x, rng=seed, return_certificate=True)
            assert wn.typicality(y).pvalue == pytest.approx(certificate.pvalue, rel=1e-6)
            assert certificate.pvalue >= 0.01
            assert not certificate.untouched
            assert certificate.cosine == pytest.approx(cosine(x, y), abs=1e-9)

    @pytest.mark.parametrize(
        ("name", "least"), [("pink", 0.5), ("heavy", 0.35), ("repeated", 0.4), ("modulated", 0.55)]
    )
    def test_it_keeps_the_direction(self, name, least):
        x = structured(name)
        assert cosine(x, wn.Equalizer(SHAPE)(x, rng=0)) > least

    def test_genuine_noise_stays_bit_for_bit(self):
        # Each fails with probability 0.00102 at most; more than 4 of 300 with less than 1e-4.
        x = noise(5, (300, *SHAPE)).astype(np.float32)
        y, certificate = wn.Equalizer(SHAPE)(x, rng=0, return_certificate=True)
        assert (~certificate.untouched).sum() <= 4
        np.testing.assert_array_equal(y[certificate.untouched], x[certificate.untouched])

    @pytest.mark.parametrize("name", ["pink", "modulated", "stripes"])
    def test_the_norm_is_that_of_the_draw(self, name):
        x = structured(name)
        z = RandomSource(0, x).stream().normal(SHAPE)
        y, certificate = wn.Equalizer(SHAPE)(x, rng=0, return_certificate=True)
        assert np.linalg.norm(y) == pytest.approx(np.linalg.norm(z), rel=1e-12)
        assert (certificate.share < 1) == (name == "stripes")

    def test_zero_gives_fresh_noise(self):
        y = wn.Equalizer(SHAPE)(np.zeros(SHAPE), rng=0)
        assert wn.typicality(y).pvalue >= 0.01

    def test_scale_has_no_part(self):
        x = structured("pink")
        first, second = (wn.Equalizer(SHAPE)(c * x, rng=0) for c in (1.0, 2.0**40))
        np.testing.assert_allclose(first, second, atol=1e-6)

    def test_any_number_of_axes(self):
        for shape in ((256,), (2, 4, 8, 8)):
            x = np.linspace(0, 1, 256 * (1 if len(shape) == 1 else 2)).reshape(shape)
            y, certificate = wn.Equalizer(shape)(x, rng=0, return_certificate=True)
            assert y.shape == shape
            assert certificate.pvalue >= 0.01


@pytest.mark.parametrize("backend", ["torch", "torch cuda", "cupy", "array_api_strict"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_other_backends_give_the_same(backend, dtype):
    name, _, device = backend.partition(" ")
    xp = pytest.importorskip(name)
    if name != "torch" and dtype == "bfloat16":
        pytest.skip(f"{name} has no bfloat16")
    if device and not xp.cuda.is_available():
        pytest.skip("no CUDA device")
    x = xp.asarray(np.stack([structured("pink"), noise(0)]).tolist(), dtype=getattr(xp, dtype))
    x = x.to(device) if device else x
    y, certificate = wn.Equalizer(SHAPE)(x, rng=0, return_certificate=True)
    assert type(y) is type(x)
    assert (y.dtype, tuple(y.shape)) == (x.dtype, tuple(x.shape))
    assert certificate.untouched.tolist() == [False, True]
    assert bool(xp.all(y[1, ...] == x[1, ...]))
    assert certificate.pvalue.min() >= 0.01
    if dtype != "bfloat16":
        plain = np.stack([structured("pink"), noise(0)]).astype(dtype)
        expected = wn.Equalizer(SHAPE)(plain, rng=0)
        # In float32 other orders of summation change a few ranks on the way.
        np.testing.assert_allclose(to_numpy(y), expected, atol=1e-6 if dtype == "float64" else 0.3)
        assert cosine(to_numpy(y), expected) > 0.999


class TestArguments:
    def test_input_is_not_modified_and_seeds_repeat(self):
        x = structured("pink")
        before = x.copy()
        first, second, third = (wn.Equalizer(SHAPE)(x, rng=seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(x, before)
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, third)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"shape": ()}, "shape must hold one or more lengths"),
            ({"shape": (4, 0)}, "shape must be at least 1, got 0"),
            ({"shape": SHAPE, "level": 0.0}, r"level must lie in \(0, 0.1\], got 0.0"),
            ({"shape": SHAPE, "level": 0.2}, r"level must lie in \(0, 0.1\], got 0.2"),
            ({"shape": SHAPE, "sweeps": 0}, "sweeps must be at least 1, got 0"),
        ],
    )
    def test_settings_that_cannot_be(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            wn.Equalizer(**arguments)

    def test_other_shapes_and_values_are_refused(self):
        with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., \*\(4, 16, 16\)\)"):
            wn.Equalizer(SHAPE)(np.zeros((16, 16)))
        with pytest.raises(ValueError, match="x must be finite"):
            wn.Equalizer(SHAPE)(np.full(SHAPE, np.nan))
        with pytest.raises(TypeError, match="x must be a NumPy"):
            wn.Equalizer(SHAPE)([1.0])

    def test_a_derivative_is_refused(self):
        torch = pytest.importorskip("torch")
        x = torch.ones(SHAPE, requires_grad=True)
        with pytest.raises(ValueError, match="x must not require a gradient"):
            wn.Equalizer(SHAPE)(x)
        assert wn.Equalizer(SHAPE)(x.detach(), rng=0).shape == SHAPE

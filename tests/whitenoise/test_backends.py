"""Every public function on every backend and dtype, as declared in capabilities.py."""

from pathlib import Path

import array_api_strict
import numpy as np
import pytest
import torch
from capabilities import ALL, BACKENDS, CAPABILITIES, REPORTS, inputs, numpy_dtype, table

import whitenoise as wn
from whitenoise import isometries as iso

X = inputs()
SPACING = {name: float(np.spacing(numpy_dtype(name).type(1.0))) for name in ALL}


def backend_params(backends=BACKENDS):
    return [
        pytest.param(b, id=b.name, marks=pytest.mark.skipif(bool(b.missing), reason=b.missing))
        for b in backends
    ]


def capability_params(capabilities=CAPABILITIES):
    return [pytest.param(c, id=c.name) for c in capabilities]


def ulps(found, expected, dtype):
    """Largest difference in spacings of `dtype` at the largest entry."""
    return np.abs(found - expected).max() / (SPACING[dtype] * np.abs(expected).max())


@pytest.mark.parametrize("capability", capability_params())
@pytest.mark.parametrize("backend", backend_params())
def test_type_dtype_shape_device_and_input_are_kept(backend, capability):
    for dtype in backend.dtypes:
        for call in capability.calls:
            x = backend.make(X, dtype)
            y = call(x)
            assert isinstance(x, type(y))
            assert (y.dtype, y.shape, y.device) == (x.dtype, x.shape, x.device)
            np.testing.assert_array_equal(backend.read(x), X)
            assert np.isfinite(backend.read(y)).all()


@pytest.mark.parametrize("capability", capability_params([c for c in CAPABILITIES if c.ulps]))
@pytest.mark.parametrize("backend", backend_params())
def test_agrees_with_numpy_in_float64(backend, capability):
    """Within the declared ulps; float16 and bfloat16 within half of one more, their rounding."""
    for dtype in backend.dtypes:
        narrow = dtype in ("float16", "bfloat16")
        allowed = 0.5 + 4 * capability.ulps * 2.0**-13 if narrow else capability.ulps
        for call in capability.calls:
            found = backend.read(call(backend.make(X, dtype)))
            assert ulps(found, call(X), dtype) <= allowed


@pytest.mark.parametrize("capability", capability_params([c for c in CAPABILITIES if c.exact]))
@pytest.mark.parametrize("backend", backend_params())
def test_same_bits_on_every_backend(backend, capability):
    for dtype in backend.dtypes:
        for call in capability.calls:
            expected = call(X.astype(numpy_dtype(dtype))).astype(np.float64)
            np.testing.assert_array_equal(backend.read(call(backend.make(X, dtype))), expected)


@pytest.mark.parametrize("capability", capability_params())
def test_rows_are_independent(capability):
    """Each row of the batch as if alone."""
    for call in capability.calls:
        alone = np.concatenate([call(X[k : k + 1]) for k in range(len(X))])
        np.testing.assert_allclose(call(X), alone, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("capability", capability_params())
@pytest.mark.parametrize("backend", backend_params([b for b in BACKENDS if b.gradient]))
def test_gradient_is_a_directional_derivative(backend, capability):
    """Central differences of a linear functional, at a point where nothing is tied."""
    rng = np.random.default_rng(1)
    weights, direction = rng.standard_normal((2, *X.shape))
    for call in capability.calls:
        leaf = backend.make(X, "float64").requires_grad_()
        y = call(leaf)
        (y * backend.make(weights, "float64")).sum().backward()
        ahead, behind = (
            (backend.read(call(backend.make(X + step * direction, "float64"))) * weights).sum()
            for step in (1e-6, -1e-6)
        )
        slope = float((backend.read(leaf.grad) * direction).sum())
        assert slope == pytest.approx((ahead - behind) / 2e-6, rel=1e-6, abs=1e-7)


def test_gradient_of_the_penalty_is_that_of_autograd():
    leaf = torch.tensor(X, requires_grad=True)
    penalty = wn.baselines.mpgr_penalty(leaf, axis=1, rng=0)
    assert penalty.shape == (2,)
    penalty.sum().backward()
    explicit = wn.baselines.mpgr_penalty(leaf, axis=1, rng=0, return_gradient=True)[1]
    torch.testing.assert_close(leaf.grad, explicit.detach(), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("capability", capability_params())
def test_torch_func_transforms_are_refused(capability):
    x = torch.tensor(X)
    for call in capability.calls:
        with pytest.raises(NotImplementedError, match=r"x is inside a torch\.func transform"):
            torch.func.vmap(lambda row, call=call: call(row[None])[0])(x)
        with pytest.raises(NotImplementedError, match=r"x is inside a torch\.func transform"):
            torch.func.grad(lambda a, call=call: call(a).sum())(x)


@pytest.mark.parametrize("capability", capability_params())
def test_torch_compile_runs_the_function_uncompiled(capability):
    """A compiled caller gets the same bits, without a warning, before and after it is cached."""
    torch._dynamo.reset()
    x = torch.tensor(X)
    for call in capability.calls:
        compiled = torch.compile(lambda a, call=call: 2 * call(a + 1) - a, backend="eager")
        for _ in range(2):
            assert torch.equal(compiled(x), 2 * call(x + 1) - x)


@pytest.mark.parametrize(
    "backend", backend_params([b for b in BACKENDS if b.name.startswith(("Torch", "CuPy"))])
)
def test_the_backends_own_generator_is_used(backend):
    """Ties are broken by it: the same state, the same bits; and it is left advanced."""
    x = backend.make(np.zeros((4, 64)), "float32")

    def generator():
        if backend.name == "CuPy":
            import cupy

            return cupy.random.Generator(cupy.random.XORWOW(3))
        return torch.Generator(device=x.device).manual_seed(3)

    one, other = generator(), generator()
    first, second = (backend.read(wn.project_1os(x, rng=one)) for _ in range(2))
    np.testing.assert_array_equal(first, backend.read(wn.project_1os(x, rng=other)))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("backend", backend_params())
def test_ties_are_broken_at_random_with_seeds_and_numpy_generators(backend):
    x = backend.make(np.zeros((8, 8)), "float32")
    for make in (lambda: 5, lambda: np.int64(5), lambda: np.random.default_rng(5)):
        first, second = (backend.read(wn.whiten(x, rng=make())) for _ in range(2))
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, backend.read(wn.whiten(x)))


@pytest.mark.parametrize("axis", [0, -1, np.int64(1), (0, 1), [1, 0], None])
def test_any_axis_on_every_backend(axis):
    """Integers of NumPy included."""
    values = np.random.default_rng(2).standard_exponential((5, 7))
    expected = wn.project_1os(values, axis=axis, confidence_level=0.5)
    for x in (array_api_strict.asarray(values), torch.tensor(values)):
        found = wn.project_1os(x, axis=axis, confidence_level=0.5)
        np.testing.assert_array_equal(np.asarray(found), expected)


@pytest.mark.parametrize("report", [pytest.param(r, id=r.name) for r in REPORTS])
@pytest.mark.parametrize("backend", backend_params())
def test_reports_agree_with_numpy(backend, report):
    """Every statistic, on the host, whatever the dtype; the input stays and no gradient flows."""
    for dtype in backend.dtypes:
        expected = report.call(X.astype(numpy_dtype(dtype)))
        x = backend.make(X, dtype)
        if backend.gradient:
            x.requires_grad_()
        found = report.call(x)
        np.testing.assert_array_equal(backend.read(x), X)
        assert type(found.log_pvalues) is np.ndarray
        assert (found.shape, found.batch, found.dtype) == (expected.shape, expected.batch, dtype)
        mine = {(f.family, f.statistic): f for f in found.findings}
        assert len(mine) == len(expected.findings)
        for f in expected.findings:
            other = mine[f.family, f.statistic].log_pvalue
            assert other == pytest.approx(f.log_pvalue, rel=report.relative, abs=report.relative)
        np.testing.assert_allclose(found.log_pvalues, expected.log_pvalues, rtol=report.relative)
        if backend.gradient:
            assert not getattr(found.source, "requires_grad", False)


@pytest.mark.parametrize("report", [pytest.param(r, id=r.name) for r in REPORTS])
def test_reports_refuse_torch_func_transforms(report):
    with pytest.raises(NotImplementedError, match=r"x is inside a torch\.func transform"):
        torch.func.vmap(lambda row: report.call(row[None]).pvalue)(torch.tensor(X))


def test_reports_run_uncompiled_under_torch_compile():
    torch._dynamo.reset()
    x = torch.tensor(X)
    held = wn.TypicalityAccumulator(X.shape[1])

    def noted(a):
        report = wn.typicality(a + 1, axis=1)
        held.update(a + 1)
        return a + 1, report

    compiled = torch.compile(noted, backend="eager")
    for count in (1, 2):
        y, report = compiled(x)
        assert torch.equal(y, x + 1)
        assert report.to_dict() == wn.typicality(x + 1, axis=1).to_dict()
        assert held.blocks == count * len(X)


def test_sets_report_to_the_host():
    """`contains` and `distance_bound` give Python or NumPy values whatever the backend."""
    two_level = wn.sets.TwoLevel(16, 0.5)
    for x in (X, array_api_strict.asarray(X), torch.tensor(X, requires_grad=True)):
        assert type(two_level.contains(x[0, :])) is bool
        assert type(two_level.distance_bound(x[0, :])) is float
        assert two_level.contains(x, axis=1).tolist() == [False, False]
        np.testing.assert_allclose(
            two_level.distance_bound(x, axis=1), two_level.distance_bound(X, 1)
        )


def test_certificates_report_to_the_host():
    whitener = wn.Whitener(64, stages=[(iso.RealFourier(), wn.sets.OneLevel(0.5))])
    for x in (array_api_strict.asarray(X), torch.tensor(X, requires_grad=True)):
        found = whitener(x, rng=0, return_certificate=True)[1]
        expected = whitener(X, rng=0, return_certificate=True)[1]
        assert isinstance(found.cosine, np.ndarray)
        np.testing.assert_allclose(found.cosine, expected.cosine, rtol=1e-12)
        np.testing.assert_allclose(
            found.stages[0].distance, expected.stages[0].distance, atol=1e-12
        )


def test_the_table_of_the_docs_is_up_to_date():
    """Written by ``python docs/_capabilities.py``."""
    path = Path(__file__).parents[2] / "docs" / "_tables" / "capabilities.md"
    assert path.read_text(encoding="utf-8") == table()

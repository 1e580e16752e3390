"""What others do: the operators and the penalty that whitening is compared with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._arrays import Axis, as_vectors
from ._namespace import Array, Namespace, uncompiled
from ._random import RandomSource
from .isometries import RealFourier
from .projections import project_sphere as sphere

__all__ = ["identity", "mpgr_penalty", "sphere", "wgnc"]

_BLOCK = 16  # frequencies per block, in both methods below
_MEAN_MODULUS = math.sqrt(math.pi) / 2  # of a complex normal with E|y|^2 = 1


@uncompiled
def identity(x: Array) -> Array:
    """Return `x` as it is: no whitening (Eq. 114 of the paper).

    Examples
    --------
    >>> import numpy as np
    >>> identity(np.array([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    as_vectors(x)
    return x


@uncompiled
def wgnc(x: Array, *, axis: Axis = None, rng: Any = None) -> Array:
    """White Gaussian noise constraints: fix two norms of every block of 16 frequencies.

    In the orthonormal Fourier transform, with the two real coefficients joined into one complex
    number, each block y of B = 16 consecutive frequencies is moved to the nearest point with
    ``sum |y| = B sqrt(pi)/2`` and ``sum |y|^2 = B``, the expected values for white noise: moduli
    are shifted by one threshold, cut at zero and rescaled; phases stay.

    Parameters
    ----------
    x
        Array of real floating dtype; not modified.
    axis
        Axes that form the vector, whose length must be a multiple of 32; the others are a batch.
    rng
        Chooses among equally near points, for blocks whose moduli are all equal and for
        frequencies without phase (modulus zero): see `project`.

    Returns
    -------
    Array of the type, shape, dtype and device of `x`.

    Raises
    ------
    ValueError
        If the length is not a multiple of 32, besides what `project` raises.

    References
    ----------
    "White Gaussian Noise Constraints", arXiv:2602.08646.

    Examples
    --------
    >>> import numpy as np
    >>> y = wgnc(np.sin(np.arange(64.0)))
    >>> round(float((y**2).sum()), 9)
    64.0
    """
    vectors = as_vectors(x, axis)
    xp, n = vectors.xp, vectors.size
    if n % (2 * _BLOCK):
        raise ValueError(f"x must have a multiple of {2 * _BLOCK} entries per vector, got {n}")
    # The packed transform holds sqrt(2) times the real parts of all blocks, then the imaginary
    # ones, but for the second entry: the last real coefficient, which is the first imaginary part.
    packed = RealFourier().apply(vectors.data, xp) / math.sqrt(2)
    half = n // 2
    blocks = (*vectors.batch, half // _BLOCK, _BLOCK)
    real = xp.reshape(xp.concat([packed[..., :1], packed[..., 2 : half + 1]], axis=-1), blocks)
    imag = xp.reshape(xp.concat([packed[..., 1:2], packed[..., half + 1 :]], axis=-1), blocks)
    source = RandomSource(rng, vectors.data)
    real, imag = _distinct_moduli(real, imag, xp, source)
    moduli = _typical_moduli(xp.hypot(real, imag), xp)
    real, imag = (
        xp.reshape(moduli * part, (*vectors.batch, half))
        for part in _directions(real, imag, xp, source)
    )
    parts = [real[..., :1], imag[..., :1], real[..., 1:], imag[..., 1:]]
    packed = math.sqrt(2) * xp.concat(parts, axis=-1)
    return vectors.restore(RealFourier().apply_adjoint(packed, xp))


def _distinct_moduli(
    real: Array, imag: Array, xp: Namespace, source: RandomSource
) -> tuple[Array, Array]:
    """Replace blocks whose moduli are all equal, which are equally near to many points."""
    modulus = xp.hypot(real, imag)
    largest = xp.max(modulus, axis=-1, keepdims=True)
    spread = largest - xp.min(modulus, axis=-1, keepdims=True)
    equal = spread <= 64 * float(xp.finfo(modulus.dtype).eps) * largest
    if not bool(xp.any(equal)):
        return real, imag
    scale = xp.where(largest > 0, 1e-3 * largest, xp.ones_like(largest))
    shape = tuple(real.shape)
    return (
        xp.where(equal, real + scale * source.stream().normal(shape), real),
        xp.where(equal, imag + scale * source.stream().normal(shape), imag),
    )


def _directions(
    real: Array, imag: Array, xp: Namespace, source: RandomSource
) -> tuple[Array, Array]:
    """Complex numbers of modulus 1 and the given phase; a random one for zero, which has none."""
    zero = (real == 0) & (imag == 0)
    if bool(xp.any(zero)):
        shape = tuple(real.shape)
        real = xp.where(zero, source.stream().normal(shape), real)
        imag = xp.where(zero, source.stream().normal(shape), imag)
    modulus = xp.hypot(real, imag)
    return real / modulus, imag / modulus


def _typical_moduli(modulus: Array, xp: Namespace) -> Array:
    """Nearest nonnegative moduli (..., B) with the two expected norms."""
    b = _BLOCK
    largest = xp.max(modulus, axis=-1, keepdims=True)
    # The answer does not change with scale or shift; as differences, near ties keep their digits.
    relative = (modulus - largest) / largest
    w = xp.flip(xp.sort(relative, axis=-1), axis=-1)
    # With m moduli kept, both norms can hold only if m > pi B / 4.
    kept = np.arange(math.floor(math.pi * b / 4) + 1, b + 1)
    m = xp.asarray(kept, dtype=w.dtype, device=w.device)
    first, last = int(kept[0]), int(kept[-1])
    s1 = xp.cumulative_sum(w, axis=-1)[..., first - 1 : last]
    s2 = xp.cumulative_sum(w * w, axis=-1)[..., first - 1 : last]
    variance = xp.maximum(m * s2 - s1 * s1, xp.zeros_like(s1)) / (m - math.pi * b / 4)
    threshold = s1 / m - _MEAN_MODULUS * math.sqrt(b) / m * xp.sqrt(variance)
    below = xp.concat([w[..., first:], -xp.full_like(w[..., :1], float("inf"))], axis=-1)
    consistent = (below <= threshold) & (threshold < w[..., first - 1 : last])
    chosen = xp.argmax(xp.astype(consistent, xp.int32), axis=-1, keepdims=True)
    threshold = xp.take_along_axis(threshold, chosen, axis=-1)
    excess = relative - threshold
    excess = xp.where(excess > 0, excess, xp.zeros_like(excess))
    return _MEAN_MODULUS * b * excess / xp.sum(excess, axis=-1, keepdims=True)


@uncompiled
def mpgr_penalty(
    x: Array, *, axis: Axis = None, rng: Any = None, return_gradient: bool = False
) -> Any:
    """Moment and power-spectrum penalty of Gaussianity, zero for an ideal white vector.

    ``||mean(x)| - 0| + |sqrt(mean(x^2)) - 1|`` plus 25 times the mean, over blocks of 16
    frequencies of the randomly permuted vector, of ``|mean |X_k| - sqrt(pi)/2|``, X the orthonormal
    Fourier transform without its real coefficients.

    Parameters
    ----------
    x
        Array of real floating dtype, at least 3 entries per vector; not modified.
    axis
        Axes that form the vector; the others are a batch.
    rng
        Draws the permutation: None (fresh entropy), a seed or a generator.
    return_gradient
        Whether to return the gradient with respect to `x` too.

    Returns
    -------
    penalty : array of the batch shape, in the working dtype.
    gradient : array like `x`, only if `return_gradient`.

    References
    ----------
    "Moment- and Power-Spectrum-Based Gaussianity Regularization", arXiv:2509.07027, after a public
    note on it, whose constant 0.875 is taken as ``sqrt(pi)/2 = 0.886``.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(4096)
    >>> bool(mpgr_penalty(noise, rng=0) < mpgr_penalty(np.ones(4096), rng=0) / 5)
    True
    """
    vectors = as_vectors(x, axis)
    xp, n, data = vectors.xp, vectors.size, vectors.data
    if n < 3:
        raise ValueError(f"x must have at least 3 entries per vector, got {n}")
    mean = xp.mean(data, axis=-1, keepdims=True)
    rms = xp.sqrt(xp.mean(data * data, axis=-1, keepdims=True))
    order = xp.argsort(RandomSource(rng, data).stream().keys((n,)))
    packed = RealFourier().apply(xp.take(data, order, axis=-1), xp)
    count = (n - 1) // 2
    edge = n - 2 * count  # the real coefficients, which are left out
    real, imag = packed[..., edge : edge + count], packed[..., edge + count :]
    modulus = xp.hypot(real, imag) / math.sqrt(2)
    blocks = -(-count // _BLOCK)
    members = np.minimum(_BLOCK, count - _BLOCK * np.arange(blocks))
    members = xp.asarray(members, dtype=data.dtype, device=data.device)
    padding = xp.zeros(
        (*vectors.batch, blocks * _BLOCK - count), dtype=data.dtype, device=data.device
    )
    padded = xp.concat([modulus, padding], axis=-1)
    block_mean = xp.sum(xp.reshape(padded, (*vectors.batch, blocks, _BLOCK)), axis=-1) / members
    excess = block_mean - _MEAN_MODULUS
    penalty = xp.abs(mean) + xp.abs(rms - 1)
    penalty = penalty[..., 0] + 25 * xp.mean(xp.abs(excess), axis=-1)
    if not return_gradient:
        return penalty
    weight = 25 / blocks * xp.sign(excess) / members
    weight = xp.repeat(weight, _BLOCK, axis=-1)[..., :count]
    scale = weight / (2 * xp.where(modulus > 0, modulus, xp.ones_like(modulus)))
    parts = [xp.zeros_like(packed[..., :edge]), scale * real, scale * imag]
    permuted = RealFourier().apply_adjoint(xp.concat(parts, axis=-1), xp)
    gradient = xp.take(permuted, xp.argsort(order), axis=-1)
    gradient = gradient + xp.sign(mean) / n
    safe = xp.where(rms > 0, rms, xp.ones_like(rms))
    gradient = gradient + xp.sign(rms - 1) * data / (n * safe)
    return penalty, vectors.restore(gradient)

"""Orthogonal transforms, their adjoints, and the pullback of a projection through one.

An isometry maps the last axis of an array, of length N, to another vector of length N with the same
norm: white Gaussian noise stays white Gaussian noise. Those that need geometry (a grid of several
axes) are told its `shape`, whose product is N, and read the vector in C order.
"""

from .base import Adjoint, Composition, Identity, Isometry, pullback
from .butterfly import Butterfly
from .fourier import Cosine, Hartley, RealFourier
from .permutations import AxisPermutation, BlockPermutation, Permutation, SignedPermutation

__all__ = [
    "Adjoint",
    "AxisPermutation",
    "BlockPermutation",
    "Butterfly",
    "Composition",
    "Cosine",
    "Hartley",
    "Identity",
    "Isometry",
    "Permutation",
    "RealFourier",
    "SignedPermutation",
    "pullback",
]

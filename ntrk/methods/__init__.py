"""Methods of reward alignment, one a file, under one count of model evaluations."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from .base import Base
from .best_of_n import BestOfN
from .das import DAS
from .dno import DNO
from .dps import DPS
from .fks import FKSteering
from .freedom import FreeDoM
from .method import Method
from .ntrk import NTRK
from .psi import PsiSampler
from .rbf import RBF
from .reno import ReNO
from .svdd import SVDD
from .tfg import TFG

__all__ = [
    "DAS",
    "DNO",
    "DPS",
    "METHODS",
    "NTRK",
    "RBF",
    "SVDD",
    "TFG",
    "Base",
    "BestOfN",
    "FKSteering",
    "FreeDoM",
    "Method",
    "PsiSampler",
    "ReNO",
    "as_method",
]

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        *(NTRK, Base, BestOfN, DPS, FreeDoM, TFG),
        *(SVDD, RBF, FKSteering, DAS, PsiSampler, DNO, ReNO),
    )
}
"""By name."""


def as_method(method: str | Method, /, **parameters: Any) -> Method:
    """Return a `Method`, by name with parameters, or as it is.

    Parameters
    ----------
    method
        A key of `METHODS`, or a `Method`.
    **parameters
        Its parameters; None stands for the method's own default.

    Raises
    ------
    ValueError, TypeError
        If the name is unknown, or the method has no such parameter.

    Examples
    --------
    >>> as_method("ntrk", strength=0.5)
    NTRK(strength=0.5, whitening='default-2')
    """
    given = {key: value for key, value in parameters.items() if value is not None}
    if isinstance(method, Method):
        if given:
            raise TypeError(f"parameters of a Method belong into it, got {sorted(given)} besides")
        return method
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    kind = METHODS[method]
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise TypeError(
            f"the method {method!r} has no parameter {unknown[0]!r}; it has: "
            f"{', '.join(known) or 'none'}"
        )
    return kind(**given)

"""Typical white Gaussian noise: confidence sets, projections, whitening, and verification."""

from . import baselines, isometries, order_statistics, reference, sets, testing
from ._kernels import compile_kernels, generic_path, kernel_path
from .equalizer import EqualizationCertificate, Equalizer
from .isometries import pullback
from .projections import (
    Certificate,
    project,
    project_1os,
    project_2os,
    project_global,
    project_sphere,
    project_tiles,
)
from .stages import Stage
from .verify import (
    Detectable,
    Finding,
    TypicalityAccumulator,
    TypicalityReport,
    detectable,
    typicality,
)
from .whitener import Whitener, whiten

__version__ = "0.6.0"

__all__ = [
    "Certificate",
    "Detectable",
    "EqualizationCertificate",
    "Equalizer",
    "Finding",
    "Stage",
    "TypicalityAccumulator",
    "TypicalityReport",
    "Whitener",
    "baselines",
    "compile_kernels",
    "detectable",
    "generic_path",
    "isometries",
    "kernel_path",
    "order_statistics",
    "project",
    "project_1os",
    "project_2os",
    "project_global",
    "project_sphere",
    "project_tiles",
    "pullback",
    "reference",
    "sets",
    "testing",
    "typicality",
    "whiten",
]

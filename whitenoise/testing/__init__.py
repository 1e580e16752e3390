"""Typicality in tests: assertions, arrays to try them on, and what the pytest plugin listens to.

Neither pytest nor Hypothesis is imported here: `whitenoise.testing.strategies` needs Hypothesis,
and `whitenoise.pytest_plugin` runs inside pytest.
"""

from .checks import AtypicalError, Check, assert_typical
from .kinds import KINDS, atypical_array, typical_array
from .sampler import SamplerReport, assert_typical_sampler

__all__ = [
    "AtypicalError",
    "Check",
    "KINDS",
    "SamplerReport",
    "assert_typical",
    "assert_typical_sampler",
    "atypical_array",
    "typical_array",
]

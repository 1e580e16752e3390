"""What pytest loads at every start: three options, and with ``--typicality`` the plugin.

The wheel holds it once more outside of `whitenoise`, as the entry point: pytest imports those of
everything that is installed, and importing `whitenoise` brings NumPy and SciPy into runs that never
asked for it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("typicality", "white Gaussian noise (whitenoise)")
    group.addoption(
        "--typicality",
        action="store_true",
        help="collect all checks of whitenoise.testing into one summary; the run fails if they "
        "are atypical taken together",
    )
    group.addoption(
        "--typicality-false-alarm",
        type=_probability,
        default=1e-3,
        metavar="P",
        help="probability with which the summary fails a run of genuine noise (default 0.001)",
    )
    group.addoption(
        "--typicality-plots", metavar="DIR", help="write pictures of the checks that failed to DIR"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start the plugin if it is asked for."""
    if config.getoption("typicality"):
        from whitenoise.pytest_plugin import TypicalityPlugin

        config.pluginmanager.register(TypicalityPlugin(config), "whitenoise-typicality")


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(
            f"must be a number between 0 and 1, both excluded, got {text!r}"
        )
    return value

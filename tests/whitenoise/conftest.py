"""What all tests share."""

import numpy as np
import pytest
from command_line import RAMP
from hypothesis import settings

# Hypothesis draws the same examples every time: a failure is a failure for everyone.
settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("repeatable")


@pytest.fixture
def ramp(tmp_path):
    """A .npy file that holds RAMP."""
    path = tmp_path / "in.npy"
    np.save(path, RAMP)
    return path

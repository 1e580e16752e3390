"""Pictures of arrays beside what white noise looks like. Needs the extra ``plot``."""

from .comparison import compare
from .diagnosis import check

__all__ = ["check", "compare"]

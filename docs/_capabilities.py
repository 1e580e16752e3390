"""Write the capability table of the documentation: python docs/_capabilities.py."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent / "tests" / "whitenoise"))

import capabilities  # noqa: E402

if __name__ == "__main__":
    (DOCS / "_tables" / "capabilities.md").write_text(capabilities.table(), encoding="utf-8")

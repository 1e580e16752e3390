"""Result files: one JSON object a line, added to as runs end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Records"]


class Records:
    """The rows of a file by their ``id``; of several with the same, the last.

    Parameters
    ----------
    path
        The file, which need not be there. A last line that was torn off is left out, and what is
        added next takes its place.

    Raises
    ------
    ValueError
        If a line is no row.
    OSError
        From `add`, if something else has written to the file meanwhile.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "runs.jsonl"
    >>> Records(path).add({"id": "a", "target": 1.5})
    >>> Records(path)["a"]["target"]
    1.5
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[str, dict[str, Any]] = {}
        self._end = 0  # of the last whole line
        self._size = 0  # of the file, as far as is known here
        if not path.exists():
            return
        lines = path.read_bytes().splitlines(keepends=True)
        self._size = sum(map(len, lines))
        if lines and not lines[-1].endswith(b"\n"):
            del lines[-1]
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                self._rows[row["id"]] = row
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{path}, line {number} is not the row of a run") from error
            self._end += len(line)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row to the file, at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with self.path.open("r+b" if self.path.exists() else "wb") as file:
            if file.seek(0, os.SEEK_END) != self._size:
                raise OSError(
                    f"{self.path} has been changed since it was read; one command at a time can "
                    "write to a folder of results"
                )
            file.truncate(self._end)
            file.seek(self._end)
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._end += len(line)
        self._size = self._end
        self._rows[row["id"]] = dict(row)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> dict[str, Any]:
        return self._rows[key]

    def __len__(self) -> int:
        return len(self._rows)

"""Where and with what a measurement was taken; measurements as JSON lines."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PACKAGES = ("numpy", "scipy", "numba", "torch", "triton", "cupy")

Row = dict[str, Any]


def circumstances() -> Row:
    """Fields that every row of one run shares."""
    return {
        "revision": revision(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "hardware": hardware(),
        "threads": threads(),
        "versions": versions(),
    }


def revision() -> str:
    """Short name of the commit, with ``-dirty`` if files differ from it; empty outside git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def hardware() -> str:
    """Model of the processor, its cores that this process may use, and the graphics card."""
    parts = [f"{_cpu_model()}, {_cores()} cores"]
    if importlib.util.find_spec("torch"):
        import torch

        if torch.cuda.is_available():
            parts.append(torch.cuda.get_device_name())
    return "; ".join(parts)


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads() -> Row:
    """Threads that each library would use, of those loaded."""
    found: Row = {}
    if "numba" in sys.modules:
        found["numba"] = sys.modules["numba"].get_num_threads()
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_num_threads()
    return found or {"cores": _cores()}


def versions() -> Row:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        if importlib.util.find_spec(name):
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:  # CuPy's distributions are named after CUDA
                found[name] = importlib.import_module(name).__version__
    return found


def write_rows(rows: Iterable[Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

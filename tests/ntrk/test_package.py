"""The package as a whole: what importing it loads, what it exports, that its examples run."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import ntrk

ROOT = Path(ntrk.__file__).parent
NAMES = ["ntrk", *sorted(m.name for m in pkgutil.walk_packages([str(ROOT)], "ntrk."))]
HEAVY = {"diffusers", "transformers", "accelerate", "peft", "matplotlib", "PIL", "av"}
# The shapes world builds and loads its own model; the rest works on the pipeline it is given.
MAY_NAME_DIFFUSERS = {"adapter.py", "pipeline.py", "autoencoder.py", "card.py"}


def public_callables():
    for name in NAMES:
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", ()):
            item = getattr(module, exported)
            if callable(item) and getattr(item, "__module__", "").startswith("ntrk"):
                yield pytest.param(item, id=f"{name}.{exported}")


def test_importing_loads_torch_and_nothing_heavier():
    code = f"import sys, ntrk; print(sorted({HEAVY} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"


def test_without_torch_the_error_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import ntrk"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert 'ImportError: ntrk needs Torch: pip install "noisetilt[ntrk]"' in run.stderr


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.name)
def test_pipelines_are_used_as_they_come(path):
    """No file but those that make the shipped model imports a model library by name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    libraries = found & {"diffusers", "transformers", "accelerate", "peft"}
    assert not libraries or path.name in MAY_NAME_DIFFUSERS


@pytest.mark.parametrize("name", NAMES)
def test_every_exported_name_exists_once(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    assert len(set(exported)) == len(exported)
    for item in exported:
        assert hasattr(module, item)


@pytest.mark.parametrize("item", list(public_callables()))
def test_public_callables_say_what_they_do(item):
    written = inspect.cleandoc(item.__doc__ or "")
    assert written
    assert not written.startswith(f"{item.__name__}("), "only what dataclass generates"


@pytest.mark.parametrize("name", NAMES)
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0

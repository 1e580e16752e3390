"""The package as a whole: what importing it loads, what it exports, what its docstrings claim."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import whitenoise

ROOT = Path(whitenoise.__file__).parent
# Kernels need packages that may be missing; their table, `_kernels` itself, does not.
NAMES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "whitenoise.", onerror=lambda name: None)
    if not module.name.startswith("whitenoise._kernels.")
)
BACKENDS = {"torch", "cupy", "jax", "numba", "array_api_strict", "dask"}
NAMES_BACKENDS = {"_namespace.py", "_files.py"}  # arrays in memory; arrays in files; and kernels


def public_callables():
    """Every function and class that a module lists."""
    for name in NAMES:
        module = importlib.import_module(name)
        for exported in getattr(module, "__all__", ()):
            item = getattr(module, exported)
            if callable(item) and getattr(item, "__module__", "").startswith("whitenoise"):
                yield f"{name}.{exported}", item


def test_importing_loads_no_optional_library():
    forbidden = {"torch", "cupy", "numba", "matplotlib", "ntrk", "tqdm", "safetensors", "jax"}
    code = f"import sys, whitenoise; print(sorted({forbidden} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["whitenoise", *NAMES])
def test_every_exported_name_exists_once(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    assert len(set(exported)) == len(exported)
    for item in exported:
        assert hasattr(module, item)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.name)
def test_backends_are_named_in_one_file(path):
    """No import, name, attribute or string of one elsewhere; docstrings may speak of them."""
    if path.name in NAMES_BACKENDS or "_kernels" in path.parts:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    assert not found & BACKENDS
    assert "ntrk" not in found


@pytest.mark.parametrize(
    ("name", "item"), [pytest.param(*pair, id=pair[0]) for pair in public_callables()]
)
def test_public_callables_say_what_they_do(name, item):
    written = inspect.cleandoc(item.__doc__ or "")
    assert written, name
    assert not written.startswith(f"{item.__name__}("), "only what dataclass generates"


@pytest.mark.parametrize("name", ["whitenoise", *NAMES])
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert module.__doc__
    results = doctest.testmod(module)
    assert results.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [t for name in NAMES for t in finder.find(importlib.import_module(name))]
    assert sum(bool(t.examples) for t in examples) > 30

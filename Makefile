# Every target works alone on a bare machine with Python 3.11 or later.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Torch first and pinned: the CPU build, without gigabytes of device libraries.
TORCH ?= torch==2.13.0
SOURCES := $(shell find whitenoise ntrk -name '*.py')

.PHONY: demo test test-slow lint types bench docs clean

$(VENV)/dependencies: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet ".[test,docs]"
	touch $@

# Not editable: the tests see the package as users get it.
$(VENV)/installed: $(VENV)/dependencies $(SOURCES)
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall .
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m benchmarks.demo

test: lint types
	$(BIN)/pytest -m "not slow"

test-slow: $(VENV)/installed
	$(BIN)/pytest -m slow

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.optimality
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.presets
	$(BIN)/python -m benchmarks.operators

docs: $(VENV)/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis

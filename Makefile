# Every target works alone on a bare machine with Python 3.11 or later.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Pinned, and installed first, so that nothing pulls in another build. On Linux the registry's build
# brings the CUDA libraries; without a GPU, TORCH="torch==2.13.0 --index-url
# https://download.pytorch.org/whl/cpu" saves gigabytes.
TORCH ?= torch==2.13.0
SOURCES := $(shell find whitenoise ntrk -name '*.py' -o -name '*.cu')

.PHONY: demo demo-whitening train-world test test-slow lint types bench bench-quick bench-power bench-levels bench-sources bench-exact bench-frontier bench-shapes docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/for-demo: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet ".[demo,ntrk]"
	touch $@

$(VENV)/for-test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet ".[test,docs]"
	touch $@

# Not editable: the tests see the package as users get it.
$(VENV)/installed: pyproject.toml $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --force-reinstall .
	touch $@

demo: $(VENV)/for-demo $(VENV)/installed
	$(BIN)/python -m benchmarks.demo

demo-whitening: $(VENV)/for-demo $(VENV)/installed
	$(BIN)/python -m benchmarks.whitening

# Hours on two cores; stopped, it goes on where it was.
train-world: $(VENV)/for-demo $(VENV)/installed
	$(BIN)/python -m ntrk.worlds.shapes.training --out world

# Over an hour on two cores.
bench-frontier: $(VENV)/for-demo $(VENV)/installed
	$(BIN)/python -m benchmarks.frontier

bench-shapes: $(VENV)/for-demo $(VENV)/installed
	$(BIN)/ntrk bench --jobs 2 --tune --results benchmarks/shapes
	$(BIN)/ntrk bench --jobs 2 --results benchmarks/shapes --tables docs/_tables --figures docs/images

test: lint types $(VENV)/installed
	$(BIN)/pytest -m "not slow" -n 2

test-slow: $(VENV)/for-test $(VENV)/installed
	$(BIN)/pytest -m slow

lint: $(VENV)/for-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/for-test
	$(BIN)/mypy

bench: $(VENV)/for-test $(VENV)/installed
	$(BIN)/python -m benchmarks.optimality
	$(BIN)/python -m benchmarks.coverage
	$(BIN)/python -m benchmarks.presets
	$(BIN)/python -m benchmarks.speed

bench-quick: $(VENV)/for-test $(VENV)/installed
	$(BIN)/python -m benchmarks.speed --quick

bench-power: $(VENV)/for-demo $(VENV)/installed
	$(BIN)/python -m benchmarks.power --out docs/_tables
	$(BIN)/python -m benchmarks.power --held-out --out docs/_tables

# Hours on two cores.
bench-levels: $(VENV)/for-test $(VENV)/installed
	$(BIN)/python -m benchmarks.levels
	$(BIN)/python -m benchmarks.rare_levels

bench-sources: $(VENV)/for-test $(VENV)/installed
	$(BIN)/python -m benchmarks.sources --out docs/_tables/sources.md

bench-exact: $(VENV)/for-test $(VENV)/installed
	$(BIN)/python -m benchmarks.exact_world --out docs/_tables

docs: $(VENV)/for-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis

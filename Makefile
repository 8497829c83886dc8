# Python 3.11 or later and make are all a fresh clone needs: `make report` builds .venv from the lock, then the pages in reports/.
# Any variable can be given on the command line: make report LANG_REPORT=fr DATASET=data/mine MONTH=2026-10

DATASET ?= data/sample
LANG_REPORT ?= en
OUT ?= reports
MONTH ?=

# The first interpreter that is recent enough; PYTHON=/path/to/python overrides the search.
CANDIDATES = python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(firstword $(foreach name,$(CANDIDATES),$(if $(shell $(name) -c 'import sys; print(1) if sys.version_info >= (3, 11) else None' 2>/dev/null),$(name))))

BIN = .venv/bin
KPI = $(BIN)/python -m kpi

.PHONY: help report lab check sample test test-slow lint format bench lock clean
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

report: .venv/installed  ## the month's pages in reports/ (DATASET, LANG_REPORT=en|fr, MONTH, OUT)
	$(KPI) report $(DATASET) --lang $(LANG_REPORT) --out $(OUT) $(if $(MONTH),--month $(MONTH))

lab: .venv/installed  ## JupyterLab on the notebooks
	$(KPI) lab $(DATASET)

check: .venv/installed  ## what a data set holds, what is used and what is set aside
	$(KPI) check $(DATASET)

sample: .venv/installed  ## data/sample anew from the simulated company; git diff then shows what changed
	$(BIN)/python -m tests.simulated --sample

test: .venv/installed  ## the tests that take seconds
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-slow: .venv/installed  ## the others: whole runs, fresh installation, browser
	$(BIN)/python -m pytest -m slow -n auto --dist worksteal

lint: .venv/installed  ## style and types, as CI checks them
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed  ## put the style right where a tool can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed  ## how long a whole report and snapshots of many deals take, against the limits written down
	$(BIN)/python tests/benchmarks/report.py
	$(BIN)/python tests/benchmarks/reading.py
	$(BIN)/python tests/benchmarks/lifetimes_ratio.py
	$(BIN)/python tests/benchmarks/snapshots.py

# Needs uv and a package index, both only here. The lock names neither.
LOCKED = --universal --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links \
  --no-annotate --custom-compile-command "make lock" $(UPGRADE) --quiet
lock:  ## requirements.txt from pyproject.toml, pins kept where they still fit; make lock UPGRADE=--upgrade chooses anew
	uv pip compile pyproject.toml --extra test $(LOCKED) -o requirements.txt
	echo "pyspark>=4" | uv pip compile - $(LOCKED) -o requirements-spark.txt  # apart: 400 MB that only the tests of the engine spark need

clean:  ## remove what was made: .venv, caches, builds (reports/ stays)
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
	find kpi tests notebooks -name __pycache__ -prune -exec rm -rf {} +
	find notebooks -name .ipynb_checkpoints -prune -exec rm -rf {} +

# Rebuilt from nothing when the lock changes, so that no package of an older lock stays behind.
.venv/locked: requirements.txt
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or later found; install one, or say where: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is not Python 3.11 or later" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.txt
	touch $@

# pip refuses an editable install beside hashes, so the kit itself is a second step; setuptools comes from the lock, nothing is downloaded.
.venv/installed: .venv/locked pyproject.toml
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

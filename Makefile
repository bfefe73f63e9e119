# One environment in .venv, installed from constraints.txt; a stamp remembers that it is up to date.

PYTHON ?= python3
WORKERS ?= logical

BIN := .venv/bin
# The constraints hold for what is installed and for what the build itself needs.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip
# Each test worker computes on one thread: the workers share the cores between them.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)
BENCHMARKS := $(sort $(wildcard bench/*.py))

.PHONY: help setup demo test test-all check bench clean

help:
	@echo "make demo      set up what running needs, train the no-position model and report how it works"
	@echo "make setup     set up what testing needs"
	@echo "make test      set up, then run the tests"
	@echo "make test-all  the same with the slow tests, and new random examples"
	@echo "make check     formatting, lint, types and floors"
	@echo "make bench     measurements"
	@echo "make clean     remove .venv, builds and caches (results in runs/ stay)"

demo: .venv/run.stamp
	$(BIN)/unweave run no-position --preset quick

setup: .venv/dev.stamp

test: .venv/dev.stamp
	$(PYTEST)

test-all: .venv/dev.stamp
	$(PYTEST) -m "slow or not slow" --hypothesis-profile=search

check: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports --no-logo

bench: .venv/dev.stamp
	@$(if $(BENCHMARKS),,echo "There are no benchmarks yet.")
	@set -e; for script in $(BENCHMARKS); do echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf .venv dist build .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/run.stamp: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: Unweave needs Python 3.11 or later; '$(PYTHON)' is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11 $(or $(MAKECMDGOALS),setup)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: '$(PYTHON)' cannot make a virtual environment. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "Setting up .venv (a few minutes the first time) ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) install --quiet --editable .
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@echo "Installing what the tests need ..."
	@$(PIP) install --quiet --editable '.[dev]'
	@touch $@

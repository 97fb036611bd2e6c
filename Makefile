# What there is to do in a checkout. `make` lists it; CI calls the same targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := .make
HOST ?= 127.0.0.1
PORT ?= 8080
JOBS ?= 3
SEEDS ?= 1

.PHONY: help setup demo test faults conformance unit soak test-setup check format bench pictures adrs relock wheel clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/venv ## Make everything ready: Python environment, Docker Engine, base and sandbox images
	@$(BIN)/fnctl setup

demo: setup ## Serve both todolists on http://127.0.0.1:8080 until Ctrl-C (HOST, PORT)
	@cd templates/demo && exec $(CURDIR)/$(BIN)/fnctl run --host $(HOST) --port $(PORT)

test: setup test-setup ## Run all tests, those on a real engine and in a browser too (ARGS: for pytest; JOBS: processes)
	@$(BIN)/fnctl setup --runtime php8.4  # for tests of several processes, which would each make it
	@$(BIN)/python -m compileall -q fnctl  # tests start fnctl a thousand times, where Python writes no bytecode by itself too
	@$(BIN)/pytest -n $(JOBS) $(ARGS)

unit: $(STAMPS)/venv ## Run the tests that need no engine (ARGS, JOBS)
	@$(BIN)/pytest -n $(JOBS) -m "not engine and not browser and not servers" $(ARGS)

soak: setup ## Run calls, chaos and hostile bytes for hours, with a printed seed (SOAK_CALLS, SOAK_CYCLES, SOAK_HOSTILE, SOAK_SEED)
	@$(BIN)/python -m tests.soak

faults: setup test-setup ## Run all of tests/faults, shuffled, and attacks at length (SEED: repeats one; SEEDS: how many times)
	@for round in $$(seq $(SEEDS)); do \
	  export SEED=$${SEED:-$$((RANDOM * 32768 + RANDOM))}; echo "SEED=$$SEED"; \
	  TRIES=200 KILL_SEEDS=20 PAIRS=5000 FRAMES=100000 REQUESTS=20000 STEPS=1000000 $(BIN)/pytest --shuffle $$SEED --hypothesis-seed=$$SEED \
	    tests/faults tests/contract/store/test_queue_rules.py tests/unit/sandbox/test_frames.py \
	    tests/unit/dispatch/test_interleavings.py \
	    tests/unit/triggers/test_answers.py tests/contract/agents/test_differential.py $(ARGS) || exit 1; unset SEED; \
	done

test-setup: $(STAMPS)/test-tools ## Install what only tests need: chromium, ab, wrk, curl, node, the docker command

check: $(STAMPS)/venv ## Format, lint, types, import directions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMPS)/venv ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

conformance: $(STAMPS)/venv ## Hold fnctl against public conformance suites (CORPORA: their folder; DURABLE: parts of AWS's for durable functions, on an engine; SDKS: python, python-3, js)
	@$(BIN)/python tools/conformance

bench: setup test-setup ## Measure fnctl itself and write bench.html (a quarter of an hour; ARGS: -n 10, --help)
	@tools/bench-tools $(STAMPS)/bin
	@PATH="$(CURDIR)/$(STAMPS)/bin:$$PATH" $(BIN)/python -m bench $(ARGS)

pictures: setup test-setup ## Draw the README's pictures from real output into docs/pictures (ARGS: for tools/pictures)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python tools/pictures $(ARGS)

adrs: ## Write the index of decision records, docs/adr/README.md
	@tools/adrs

elsewhere: ## Run demo and test in a Debian 13 of its own, emulated (ARGS: for pytest; SUITE, CPUS, MEMORY, MINUTES)
	@tools/elsewhere $(STAMPS)/elsewhere $(ARGS)

wheel: $(STAMPS)/venv ## Build the wheel into dist/
	@$(BIN)/python -m hatchling build -t wheel

relock: $(STAMPS)/venv ## Write the lock files anew, from pyproject.toml and layers/python/requirements.in
	@tools/relock

clean: ## Remove caches and what was built here; the Python environment and images stay
	@rm -rf dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and the Python environment; `fnctl prune --all` before it removes the images
	@rm -rf $(VENV) $(STAMPS)

# Stamps: a second `make setup` finds them and does nothing.
$(STAMPS)/venv: requirements.lock pyproject.toml tools/venv
	@mkdir -p $(STAMPS)
	@tools/venv $(VENV)
	@touch $@

$(STAMPS)/test-tools: tools/test-tools
	@mkdir -p $(STAMPS)
	@tools/test-tools
	@touch $@

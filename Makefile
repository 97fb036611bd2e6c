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
JOBS ?= 2

.PHONY: help setup demo test unit test-setup check format bench relock wheel clean distclean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/venv ## Make everything ready: Python environment, Docker Engine, base and sandbox images
	@$(BIN)/fnctl setup

demo: setup ## Serve both todolists on http://127.0.0.1:8080 until Ctrl-C (HOST, PORT)
	@cd templates/demo && exec $(CURDIR)/$(BIN)/fnctl run --host $(HOST) --port $(PORT)

test: setup test-setup ## Run all tests, those on a real engine and in a browser too (ARGS: for pytest; JOBS: processes)
	@$(BIN)/fnctl setup --runtime php8.4  # for tests of both processes, which would each make it
	@$(BIN)/pytest -n $(JOBS) $(ARGS)

unit: $(STAMPS)/venv ## Run the tests that need no engine (ARGS, JOBS)
	@$(BIN)/pytest -n $(JOBS) -m "not engine and not browser" $(ARGS)

test-setup: $(STAMPS)/test-tools ## Install what only tests need: chromium, ab, wrk, curl, node

check: $(STAMPS)/venv ## Format, lint, types, import directions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(STAMPS)/venv ## Format the code and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup test-setup ## Measure fnctl itself and write bench.html (a quarter of an hour; ARGS: for fnctl bench)
	@tools/bench-tools $(STAMPS)/bin
	@PATH="$(CURDIR)/$(STAMPS)/bin:$$PATH" $(BIN)/fnctl bench --all --html bench.html $(ARGS)

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

# People and CI call the same targets. `make help` lists them.
PYTHON ?= python3
STATE  := .linnet
VENV   := $(STATE)/venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup run test lint types bench proof docs workflows clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## install everything into .linnet/venv (idempotent)

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $@

run: $(STAMP) ## raw images to a champion that came through its canary (Fashion-MNIST)
	@linnet run configs/fashion.toml

test: $(STAMP) ## all tests (under 20 minutes on 2 cores)
	@python -m pytest -m "not proof" -n 2 --dist loadfile --no-loadscope-reorder

lint: $(STAMP) ## ruff (style, security) and the import contract
	@ruff check . && ruff format --check . && lint-imports

types: $(STAMP) ## mypy, strict
	@mypy

bench: $(STAMP) ## measurements: time of `make run`, seconds a step, accuracy over seeds
	@python -m benchmarks

proof: $(STAMP) ## the slow proofs
	@python -m pytest -m proof

workflows: ## check .github/workflows (actionlint, action-validator, zizmor)
	@scripts/ci/lint-workflows.sh

docs: $(STAMP) ## write docs/reference.md from the code
	@python -m docs.generate

clean: ## remove caches and local state (runs, models, labels, the environment)
	rm -rf $(STATE) .pytest_cache .mypy_cache .ruff_cache

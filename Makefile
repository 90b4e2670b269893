# People and CI call the same targets. `make help` lists them.
PYTHON ?= python3
STATE  := .linnet
VENV   := $(STATE)/venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Tests start hundreds of processes: each would compile what it imports anew (0.3 s of 1.2 s for a server).
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup check fast run test slow lint types bench proof dags docs workflows clean

# Both workers take whole files, so that a file's server, engine or browser is started once.
PYTEST := python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40 --durations-min 3

# Tests of `make check`: pure parts (judges, gates, statistics, formats) and the rules of the house. No server,
# no engine, no training; each of these files takes a second or two.
FAST := tests/test_house.py tests/test_config.py tests/pipelines tests/launch/test_graph.py \
	tests/docs/test_generate.py tests/docs/test_architecture.py tests/statistics tests/pages tests/storage tests/vision/test_decode.py \
	tests/vision/test_statistics.py tests/process/test_cpus.py tests/runner/test_condition.py \
	tests/run/test_cost.py tests/cache/test_digest.py tests/engine/test_schedule.py tests/report/test_comparison.py \
	tests/evaluation/test_gates.py tests/evaluation/test_compare.py tests/evaluation/test_calibration.py \
	tests/evaluation/test_cohorts.py tests/retraining/test_policy.py tests/labels/test_agreement.py \
	tests/labels/test_select.py tests/data/test_split.py tests/data/test_idx.py tests/monitoring/test_drift.py \
	tests/monitoring/test_online_fdr.py tests/monitoring/test_performance.py tests/deployment/test_sequential.py \
	tests/deployment/test_page.py tests/serving/test_ring.py tests/serving/test_router.py \
	tests/console/test_production_status.py tests/console/test_views.py tests/console/test_access.py

help: ## show this list, and when to use what
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nWhile you work:     make check   (a pre-commit hook calls it: .pre-commit-config.yaml)\n'
	@printf 'Before you push:    make test   (and `make slow` for what starts engines, browsers or whole runs; CI runs both)\n'
	@printf 'Before a release:   make proof bench\n'
	@printf 'After a change of config, CLI or components: make docs\n'

check: $(STAMP) ## lint, types and the fast tests at the same time: the inner loop
	@$(MAKE) --no-print-directory -j3 $(if $(findstring output-sync,$(.FEATURES)),--output-sync=target) lint types fast

fast: $(STAMP)
	@python -m pytest -q -m "not slow and not proof" $(FAST)

setup: $(STAMP) ## install everything into .linnet/venv (idempotent)

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh
	@[ ! -e $@ ] || printf 'changed since the last install: %s; bringing $(VENV) up to date ...\n' '$?'
	@PYTHON="$(PYTHON)" scripts/setup.sh $(VENV)
	@touch $@

run: $(STAMP) ## raw images to a champion that came through its canary (Fashion-MNIST)
	@linnet run configs/fashion.toml

test: $(STAMP) ## the tests of every part (minutes on 2 cores)
	@$(PYTEST) -m "not slow and not proof"

slow: $(STAMP) ## the tests of whole life cycles: engines, kills, browsers, runs from images to champion
	@$(PYTEST) -m "slow and not proof"

lint: $(STAMP) ## ruff (style, security) and the import contract
	@ruff check . && ruff format --check . && lint-imports

types: $(STAMP) ## mypy, strict
	@mypy

bench: $(STAMP) ## measurements: time of `make run`, seconds a step, accuracy over seeds
	@python -m benchmarks

proof: $(STAMP) ## the long proofs: thousands of cases, soaks, fuzzing
	@python -m pytest -m proof

dags: $(STAMP) ## 2,000 random DAGs by the driver and 100 in workers, against a small interpreter (every night)
	@python -m pytest -v -m proof tests/engine/random_dags

workflows: ## check .github/workflows (actionlint, action-validator, zizmor)
	@scripts/ci/lint-workflows.sh

docs: $(STAMP) ## write docs/reference.md from the code
	@python -m docs.generate

clean: ## remove caches and local state (runs, models, labels, the environment)
	rm -rf $(STATE) .pytest_cache .mypy_cache .ruff_cache

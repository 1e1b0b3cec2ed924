# One verb per task. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench docs evaluate lock clean cluster-up cluster-down test-cluster test-cluster-full
SHELL := /bin/bash
BIN := .venv/bin
# One more than the two cores of a small machine: many tests wait for a process or a clock.
WORKERS ?= 3
# `$(call pytest,SECONDS)`: a run that takes longer is ended, prints where it hangs, and fails (tools/within.py).
pytest = $(BIN)/python tools/within.py $(1) $(BIN)/python -m pytest

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: setup ## serve a real model, drive a bursty load from zero and back, print a table, write a plot
	$(BIN)/python -m examples.embeddings.demo

# A file's tests stay in one worker, since they share replicas and servers.
test: setup ## pass the tests
	$(call pytest,900) -n $(WORKERS) --dist loadfile
	$(call pytest,120) -q --doctest-modules sdk kube autoscaler scheduler-extender simulator

lint: setup ## ruff, mypy --strict, import-linter, words, class names
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_words.py
	$(BIN)/python tools/check_class_names.py

format: setup ## rewrite the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: ## run every benchmark beside its peers; results in benchmarks/results/
	@tools/bootstrap.sh bench
	.venv-bench/bin/python benchmarks/run_all.py

cluster-up: setup ## start a Kubernetes with Knative on this machine (root; builds it first, docs/test-cluster.md)
	$(BIN)/python -m tools.testcluster up

cluster-down: setup ## stop it, and remove all of it
	$(BIN)/python -m tools.testcluster down

# `down` first: a run before this one may have been killed.
test-cluster: setup ## build a Kubernetes with Knative, start it, pass the quick tests on it, stop it (root)
	$(BIN)/python -m tools.testcluster build
	$(BIN)/python -m tools.testcluster --name dilu-pytest down
	$(call pytest,600) -n $(WORKERS) --dist loadfile --skips=none tests/chart
	$(call pytest,2700) --skips=none tests/cluster_tests -m "not slow"
	DILU_TEST_KNATIVE=1 $(call pytest,2700) tests/differential

test-cluster-full: setup ## the same with the long tests, Knative's own among them, Knative 1.21, and new examples
	$(BIN)/python -m tools.testcluster build --tests
	$(BIN)/python -m tools.testcluster --name dilu-pytest down
	$(call pytest,14400) --skips=none tests/cluster_tests
	$(call pytest,1800) --skips=none tests/cluster_tests/test_stock_knative.py --knative 1.21
	$(call pytest,3600) -n $(WORKERS) --dist loadfile --hypothesis-profile=fresh

# Some 20 minutes on two processors. docs/evaluation.md says where the traces are available.
evaluate: setup ## run the paper's experiments and write docs/evaluation.md: make evaluate TRACES=DIR
	$(BIN)/dilu evaluate --all --traces "$(TRACES)" --out build/evaluation --document docs/evaluation.md

docs: setup ## check the documents: links, dependencies, commands, decisions
	$(BIN)/python -m pytest -q tests/docs

lock: ## resolve the dependencies again and write requirements/*.txt
	tools/lock.sh

setup:
	@tools/bootstrap.sh dev
.PHONY: setup

clean: ## remove what the verbs made
	rm -rf .venv .venv-bench .cache build dist demo-out

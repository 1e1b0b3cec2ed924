# One verb per task. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench docs lock clean
SHELL := /bin/bash
BIN := .venv/bin

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

demo: setup ## serve a real model, drive a bursty load from zero and back, print a table, write a plot
	$(BIN)/python examples/embeddings/demo.py

test: setup ## pass the tests
	$(BIN)/python -m pytest

lint: setup ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## rewrite the code as `make lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: ## run every benchmark beside its peers; results in benchmarks/results/
	@tools/bootstrap.sh bench
	.venv-bench/bin/python benchmarks/run_all.py

docs: setup ## check the documents: links, dependencies, commands, decisions
	$(BIN)/python -m pytest -q tests/docs

lock: ## resolve the dependencies again and write requirements/*.txt
	tools/lock.sh

setup:
	@tools/bootstrap.sh dev
.PHONY: setup

clean: ## remove what the verbs made
	rm -rf .venv .venv-bench .cache build dist demo-out

# Driftline. `make` prints this list; everything works without root and without Docker.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH
unexport VIRTUAL_ENV
bin := .venv/bin

.PHONY: help setup demo test test-compose lint coverage docs bench simulations up down doctor clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## fetch and prepare everything (again: seconds)
	@deploy/setup/bootstrap.sh

demo: setup ## run the whole loop: stream, drift, retrain, canary, promotion
	@$(bin)/driftline demo

test: setup ## run every check and test, as CI does
	@tests/run

test-compose: setup ## build the image and bring the containers up, where a Docker engine answers
	@tests/run compose

lint: setup ## format, lint, types and import rules only
	@tests/run lint

bench: setup ## measure; figures go to .driftline/bench/report.json
	@$(bin)/python -m tests.bench

coverage: setup ## branch coverage of the unit tests, by file
	@tests/run coverage

docs: setup ## make docs/reference from the code
	@$(bin)/python -m deploy.reference

simulations: setup ## simulate the judge: quiet days, power, real rows, seasons (about an hour)
	@$(bin)/python -m tests.simulations all

up: setup ## start the embedded stack
	@$(bin)/driftline up

down: ## stop the embedded stack
	@if [ -x $(bin)/driftline ]; then $(bin)/driftline down --yes; fi

doctor: ## check this machine and checkout, and advise
	@if [ -x $(bin)/driftline ]; then $(bin)/driftline doctor; else python3 -m deploy.setup.doctor; fi

clean: down ## remove the environment, the engines and all state
	rm -rf .venv .driftline

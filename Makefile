# Everything sets itself up: "make test" and "make demo" work on a fresh machine with Python 3.8 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help test servers versions bench reference demo lint clean

help:
	@echo "make demo      three real tasks on real data, checked against what really happened"
	@echo "make test      linters, types and all tests, against real Prometheus and Pushgateway; oldest and newest Python"
	@echo "make lint      linters and types alone"
	@echo "make bench     the cost of everything, beside the peers' (ten minutes)"
	@echo "make reference  write docs/metrics.md and docs/settings.md anew from the code"
	@echo "make clean     remove what the targets above made"

$(STAMP): setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --editable ".[cli,examples,test,lint]"
	@touch $@

test: lint servers
	$(BIN)/python -m pytest
	$(BIN)/python tests/versions.py

versions: $(STAMP)
	$(BIN)/python tests/versions.py

servers: $(STAMP)
	@$(BIN)/python tests/servers.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: servers
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python tests/benchmarks
	$(BIN)/python tests/benchmarks/fleet.py

reference: $(STAMP)
	$(BIN)/python docs/generate.py

demo: $(STAMP)
	@$(BIN)/python examples/demo/run.py

clean:
	rm -rf $(VENV) .venv-* .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

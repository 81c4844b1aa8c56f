# Everything sets itself up: "make test" and "make demo" work on a fresh machine with Python 3.8 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_STAMP := $(VENV)/.demo
# Without setuptools' remark that an editable install is one.
PIP := PYTHONWARNINGS=ignore:Editable $(BIN)/python -m pip install --quiet

.PHONY: help test test-sedna test-sedna-old test-frameworks test-cluster coverage servers versions bench scale prometheus3 pictures trust fuzz docs dist reference stack demo lint clean

help:
	@echo "make demo      four real tasks on real data, checked against what really happened; KEEP=1 leaves them running"
	@echo "make test      linters, types and all tests, against real Prometheus and Pushgateway; oldest and newest Python"
	@echo "make test-sedna SEDNA_LIB=.../lib  real Sedna workers, of a checkout of kubeedge/sedna"
	@echo "make test-sedna-old SEDNA_LIB=... OLD_PYTHON=python3.7  the same beside Sedna's own pins, with the wheel for old Pythons"
	@echo "make test-frameworks  the callbacks with the real Keras, Lightning, ... (downloads 3 GB)"
	@echo "make test-cluster  the exported stack on a real Kubernetes control plane (root for the stand-in kubelet)"
	@echo "make coverage  lines and branches that the tests reach"
	@echo "make lint      linters and types alone"
	@echo "make bench     the cost of everything, beside the peers' (ten minutes)"
	@echo "make scale     VictoriaMetrics in Prometheus' place: the same answers, and no gap when it was away"
	@echo "make prometheus3  what rests on Prometheus, with Prometheus 3"
	@echo "make trust     faults, load and soak at length, with figures for docs/reliability.md"
	@echo "make fuzz      coverage-guided fuzzing of the parsers, four minutes"
	@echo "make pictures  draw the dashboards for the docs, from ten minutes of the examples"
	@echo "make docs      the documentation as HTML, in build/docs"
	@echo "make dist      both wheels (Python 3.6 and 3.7; 3.8 and later) and sdist in dist/, checked"
	@echo "make reference  write docs/metrics.md, settings.md and events.md anew from the code"
	@echo "make stack     write sedna_metrics/stack/files anew from the metric catalogue"
	@echo "make clean     remove what the targets above made"

$(STAMP): setup.cfg pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip setuptools wheel
	$(PIP) --editable ".[cli,docs,examples,generate,test,lint]"
	@touch $@ $(DEMO_STAMP)

# What the demo needs, which is less.
$(DEMO_STAMP): setup.cfg pyproject.toml
	@echo "Installing what the demo needs into $(VENV), which is done once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip setuptools wheel
	@$(PIP) --editable ".[examples]"
	@touch $@

test: lint servers
	$(BIN)/python -m pytest -n 2 --dist loadfile
	$(BIN)/python tests/versions.py

# Real Sedna workers; SEDNA_LIB is a folder with Sedna's package: lib/ of a checkout of kubeedge/sedna.
test-sedna:
	@test -f "$(SEDNA_LIB)/sedna/core/base.py" || { echo "give SEDNA_LIB=.../sedna/lib, of a checkout of kubeedge/sedna"; exit 2; }
	@test -x .venv-sedna/bin/python || $(PYTHON) -m venv .venv-sedna
	.venv-sedna/bin/python -m pip install --quiet --editable ".[test]" --requirement tests/sedna_workers/requirements.txt
	SEDNA_LIB="$(SEDNA_LIB)" .venv-sedna/bin/python -m pytest tests/test_sedna_end_to_end.py

# The same beside Sedna's own pins, on a Python 3.7 that has sqlite3.
OLD_PYTHON ?= python3.7
OLD_BIN := .venv-sedna-old/bin
test-sedna-old: $(STAMP)
	@test -f "$(SEDNA_LIB)/sedna/core/base.py" || { echo "give SEDNA_LIB=.../sedna/lib, of a checkout of kubeedge/sedna"; exit 2; }
	@test -x $(OLD_BIN)/python || $(OLD_PYTHON) -m venv .venv-sedna-old
	rm -rf .cache/old-wheel
	$(BIN)/python tools/oldwheel.py .cache/old-wheel
	$(OLD_BIN)/python -m pip install --quiet --upgrade pip
	$(OLD_BIN)/python -m pip install --quiet --force-reinstall --no-deps .cache/old-wheel/*.whl
	$(OLD_BIN)/python -m pip install --quiet --find-links .cache/old-wheel "sedna-metrics[test]" \
		--requirement tests/sedna_workers/requirements-old.txt
	TESTED=wheel SEDNA_LIB="$(SEDNA_LIB)" $(OLD_BIN)/pytest tests/test_sedna_end_to_end.py

# Callbacks with the real frameworks, in an environment of its own.
test-frameworks:
	@test -x .venv-frameworks/bin/python || $(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --editable ".[test]" --requirement tests/frameworks/requirements.txt
	FRAMEWORKS=required .venv-frameworks/bin/python -m pytest tests/test_frameworks.py tests/test_loops.py \
		tests/test_docs.py

# A real control plane: built once from the Go module proxy, which takes some twelve minutes.
test-cluster: servers
	$(BIN)/python tests/controlplane.py
	$(BIN)/python tests/kyverno.py
	AT_LENGTH=1 $(BIN)/python -m pytest tests/test_cluster.py tests/test_cluster_stack.py tests/test_cluster_injection.py \
		tests/test_inject.py

versions: $(STAMP)
	$(BIN)/python tests/versions.py all

servers: $(STAMP)
	@$(BIN)/python tests/servers.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Lines and branches that the tests reach.
coverage: servers
	$(BIN)/python -m pip install --quiet pytest-cov
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov=sedna_metrics --cov-branch --cov-report=term-missing:skip-covered

bench: servers
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python tests/benchmarks
	$(BIN)/python tests/benchmarks/fleet.py

# VictoriaMetrics and vmagent as receiver and agent: some minutes, and programs of a newer Debian.
scale: servers
	$(BIN)/python tests/servers.py newer
	$(BIN)/python -m pytest tests/scale.py

# What rests on Prometheus, with the Prometheus 3 of a newer Debian.
prometheus3: servers
	$(BIN)/python tests/servers.py newer
	PATH="$(CURDIR)/.cache/servers/newer/usr/bin:$$PATH" $(BIN)/python -m pytest tests/test_real_servers.py \
		tests/test_edge_agent.py tests/test_discovery.py tests/test_stack_rules.py tests/test_stack_check.py \
		tests/test_stack_proof.py tests/test_trust_fuzz.py

# Faults, load and soak at length; writes the tables of docs/reliability.md.
trust: servers
	$(BIN)/python tests/trust
	FUZZ_EXAMPLES=5000 $(BIN)/python -m pytest tests/test_trust_fuzz.py
	AT_LENGTH=1 $(BIN)/python -m pytest tests/test_chaos.py tests/test_edge_agent.py

# Coverage-guided, on the parsers of our own; needs a Python that atheris has wheels for.
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python tests/trust/coverage_guided.py

# The dashboards as they would look, for the docs.
pictures: servers
	$(BIN)/python docs/pictures.py

# Strict: a link that leads nowhere, or a page that no other leads to, ends it.
docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

# Both wheels and the sdist, checked, and tried where they are installed.
dist: $(STAMP)
	$(BIN)/python -m pip install --quiet build twine
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python tools/oldwheel.py dist
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tests/versions.py

reference: $(STAMP)
	$(BIN)/python docs/generate.py

stack: $(STAMP)
	PYTHONPATH=tools $(BIN)/python -m stackgen

demo: $(DEMO_STAMP)
	@DEMO_KEEP=$(KEEP) $(BIN)/python examples/demo/run.py

clean:
	rm -rf $(VENV) .venv-* .cache build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

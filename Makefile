# Everything on a bare Debian machine with Python 3.11: `make demo`, `make test`. The environment is .venv, made once.
SHELL := /bin/bash
VENV ?= .venv
PEERS ?= .venv-peers
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
CODE := $(wildcard src tests scripts benchmarks examples)
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# one thread per test process: the processes are what fills the cores
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false

.PHONY: help setup demo test lint tests docs bench studies elsewhere peers format clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(READY)  ## make or reuse the environment

$(READY): pyproject.toml constraints.txt setup.sh
	bash setup.sh $(VENV)

demo: $(READY)  ## answer a real question on the embedded model; ends with runs/demo/report.html
	HF_HUB_OFFLINE=1 $(VENV)/bin/assay study run examples/ioi/study.yaml --out runs/demo

test: lint tests  ## lint, then every test and every documentation example

lint: $(READY)  ## ruff, the type checker, and the direction of imports
	$(VENV)/bin/ruff check $(CODE)
	$(VENV)/bin/ruff format --check $(CODE)
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

tests: $(READY)
	$(TEST_ENV) $(PY) -m pytest -q -n $(JOBS) --dist worksteal --durations 15 $(ARGS)

docs: $(READY)  ## the documentation site, into site/
	$(PY) -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict

bench: $(READY)  ## speed, side by side with the peers that `make peers` has installed
	@py=$(PEERS)/bin/python; [ -e $(PEERS)/.peers ] || py=$(PY); \
	for file in benchmarks/*.py; do echo "== $$file"; HF_HUB_OFFLINE=1 $$py $$file || exit 1; done

studies: $(READY)  ## the studies of circuits in full, some hours, and what their pages say (nightly)
	HF_HUB_OFFLINE=1 $(PY) scripts/nightly_circuits.py --pages $(ARGS)

elsewhere: $(READY)  ## does a bundle made here verify in another environment? Makes one in PLACE (nightly)
	@test -n "$(PLACE)" || { echo "say where: make elsewhere PLACE=../elsewhere"; exit 2; }
	HF_HUB_OFFLINE=1 $(PY) scripts/verify_elsewhere.py $(PLACE)

peers: $(PEERS)/.peers  ## install the other libraries in an environment of their own, and compare with them
	$(TEST_ENV) $(PEERS)/bin/python -m pytest -q tests/peers $(ARGS)

$(PEERS)/.peers: pyproject.toml constraints.txt setup.sh
	bash setup.sh $(PEERS)
	$(PEERS)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[peers]'
	touch $@

format: $(READY)  ## put the code into the house format
	$(VENV)/bin/ruff check --fix $(CODE)
	$(VENV)/bin/ruff format $(CODE)

clean:  ## remove what was made here, the environment too
	rm -rf $(VENV) site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

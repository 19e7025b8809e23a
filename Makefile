# make demo, make test: everything from a bare machine with python3 (3.10 to 3.13), venv and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
DEMO_OUTPUT ?= demo_output
# Two processes of one thread each are faster than one of two; each file's tests stay in one process.
JOBS ?= 2
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.PHONY: help setup setup-test demo test test-faults check coverage test-all lint bench pictures clean

help:
	@echo "make demo   set up and run the demo: phantoms, banks, segmentations, pictures, Dice"
	@echo "make test   set up and run the tests"
	@echo "make check  lint, then run the tests"
	@echo "make test-faults   try 3,000 damaged inputs, 1,000 bad messages, 1,000 bad banks (docs/reliability.md)"
	@echo "make coverage   run the tests and demand that they cover 90 % of the library"
	@echo "make bench  measure speed and memory on this machine"
	@echo "make pictures   draw the pictures of the Slicer module in docs/images"

$(BIN)/python:
	@echo "Making a virtual environment in $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v < (3, 14) else f"Python {v[0]}.{v[1]} came; Python 3.10 to 3.13 is needed: make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: requirements.txt pyproject.toml | $(BIN)/python
	@echo "Installing the library and what it needs (PyTorch is large: some minutes the first time) ..."
	@$(PIP) install -q -r requirements.txt
	@$(PIP) install -q --no-deps -e .
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready requirements-test.txt
	@echo "Installing what the tests need ..."
	@$(PIP) install -q -r requirements-test.txt
	@touch $@

setup: $(VENV)/.ready
setup-test: $(VENV)/.ready-test

demo: setup
	@$(BIN)/miassam demo --output $(DEMO_OUTPUT)

test: setup-test
	@echo "Running the tests ..."
	@$(PYTEST) $(PYTEST_ARGS)

check: lint test

test-faults: setup-test
	@cd Testing && for what in inputs:3000 messages:1000 banks:1000; do \
		PYTHONPATH=. ../$(BIN)/python -m faults.campaign $${what%:*} --tries $${what#*:} || exit 1; done

coverage: setup-test
	@$(PYTEST) --cov=MIASSAMLib --cov-report=term:skip-covered --cov-fail-under=90 $(PYTEST_ARGS)

test-all: setup-test
	@$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

lint: setup-test
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports && $(BIN)/mypy

bench: setup-test
	@$(BIN)/miassam bench --output bench_output

pictures: setup-test
	@PYTHONPATH=Testing $(BIN)/python -m slicer_host.pictures docs/images

clean:
	rm -rf $(VENV) $(DEMO_OUTPUT) bench_output

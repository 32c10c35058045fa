# Every target works from a clean clone: the virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lint bench clean

demo: $(STAMP) ## a real job on a real local three-region Ray cluster, in five minutes
	@$(BIN)/carbon-ray demo $(if $(TRACES),--traces "$(TRACES)") $(if $(ZONES),--zones "$(ZONES)") $(if $(START),--start "$(START)") $(DEMO_ARGS)

test: $(STAMP) ## everything but the tests that take minutes each
	$(BIN)/pytest -q -m "not slow"

test-all: $(STAMP) ## everything
	$(BIN)/pytest -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks.train_overhead --json benchmarks/results/train_overhead.json

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "carbon_ray needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build demo-report .pytest_cache .mypy_cache .ruff_cache

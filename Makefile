# Every target works from a clean clone: the virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lint bench bench-decisions bench-uncertainty bench-prices bench-fleet bench-gates bench-speed bench-elastic bench-forecasts bench-forecast-actor bench-tune-bases bench-tune-hold bench-tune-restore bench-tune-throughput bench-tune-sweep bench-tune-scale clean

demo: $(STAMP) ## a real job on a real local three-region Ray cluster, in five minutes
	@$(BIN)/carbon-ray demo $(if $(TRACES),--traces "$(TRACES)") $(if $(ZONES),--zones "$(ZONES)") $(if $(START),--start "$(START)") $(DEMO_ARGS)

test: $(STAMP) ## everything but the tests that take minutes each
	OMP_WAIT_POLICY=passive $(BIN)/pytest -q -n auto --dist loadfile -m "not slow and not ray"
	$(BIN)/pytest -q -m "not slow and ray"

test-all: $(STAMP) ## everything, with new examples for the property tests
	HYPOTHESIS_PROFILE=explore $(BIN)/pytest -q

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## steps per second, wrapped against bare; the other benchmarks: benchmarks/README.md
	$(BIN)/python -m benchmarks.train_overhead --json benchmarks/results/train_overhead.json

bench-forecast-actor: $(STAMP) ## reads, version checks and restarts of the forecast actor
	$(BIN)/python -m benchmarks.forecast_actor --json benchmarks/results/forecast_actor.json $(BENCH_ARGS)

bench-tune-bases: $(STAMP)
	$(BIN)/python -m benchmarks.tune_bases --json $(RESULTS)/tune_bases.json $(BENCH_ARGS)

bench-tune-hold: $(STAMP)
	$(BIN)/python -m benchmarks.tune_hold --json $(RESULTS)/tune_hold.json $(BENCH_ARGS)

bench-tune-restore: $(STAMP)
	$(BIN)/python -m benchmarks.tune_restore --json $(RESULTS)/tune_restore.json $(BENCH_ARGS)

bench-tune-throughput: $(STAMP)
	$(BIN)/python -m benchmarks.tune_throughput --json $(RESULTS)/tune_throughput.json $(BENCH_ARGS)

YEAR ?= 2022
RESULTS ?= benchmarks/results
comma := ,
on_trace = --traces "$(or $(TRACES),$(error name a trace: make $@ TRACES=ci_hourly.parquet))" --year $(YEAR)
on_trace_if_any = $(if $(TRACES),--traces "$(TRACES)" --zones "$(ZONES)" --year $(YEAR))

bench-decisions: $(STAMP)
	$(BIN)/python -m benchmarks.decisions $(on_trace) $(if $(ZONES),--zones "$(ZONES)") --json $(RESULTS)/decisions.json $(BENCH_ARGS)

bench-uncertainty: $(STAMP)
	$(BIN)/python -m benchmarks.uncertainty $(on_trace) $(if $(ZONES),--zones "$(ZONES)") --json $(RESULTS)/uncertainty.json $(BENCH_ARGS)

bench-prices: $(STAMP)
	$(BIN)/python -m benchmarks.prices $(on_trace) --zones "$(if $(ZONES),$(ZONES),DE$(comma)ES)" --json $(RESULTS)/prices.json $(BENCH_ARGS)

bench-fleet: $(STAMP)
	$(BIN)/python -m benchmarks.fleet $(on_trace) $(if $(ZONES),--zones "$(ZONES)") --json $(RESULTS)/fleet.json $(BENCH_ARGS)

bench-elastic: $(STAMP)
	$(BIN)/python -m benchmarks.elastic $(on_trace) --json $(RESULTS)/elastic.json $(BENCH_ARGS)

bench-gates: $(STAMP)
	$(BIN)/python -m benchmarks.gates $(on_trace_if_any) --json $(RESULTS)/gates.json $(BENCH_ARGS)

bench-forecasts: $(STAMP)
	$(BIN)/python -m benchmarks.forecasts $(if $(BENCH),--bench "$(BENCH)" --json $(RESULTS)/forecasts.json,$(on_trace) $(if $(ZONES),--zones "$(ZONES)") --json $(RESULTS)/forecasts_history.json) $(BENCH_ARGS)

bench-tune-sweep: $(STAMP)
	$(BIN)/python -m benchmarks.tune_sweep $(on_trace) --zones "$(if $(ZONES),$(ZONES),US-CAL-CISO$(comma)DE$(comma)ES$(comma)AU-NSW)" --json $(RESULTS)/tune_sweep.json $(BENCH_ARGS)

bench-tune-scale: $(STAMP)
	$(BIN)/python -m benchmarks.tune_scale --json $(RESULTS)/tune_scale.json $(BENCH_ARGS)

bench-speed: $(STAMP)
	$(BIN)/python -m benchmarks.planner_speed $(on_trace_if_any) --json $(RESULTS)/planner_speed.json $(BENCH_ARGS)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "carbon_ray needs Python 3.11, 3.12 or 3.13; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build demo-report .pytest_cache .mypy_cache .ruff_cache

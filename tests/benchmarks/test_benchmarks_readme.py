"""The page of the benchmarks: its table is the committed result, its commands take the options that it names, its targets exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from benchmarks import tables
from benchmarks.tune_bases_sweep import BASES

ROOT = Path(__file__).parents[2]
README = (ROOT / "benchmarks" / "README.md").read_text()
NO_TRACES = ("train_overhead", "forecast_actor", "tune_bases", "tune_hold", "tune_restore", "tune_scale", "tune_throughput")
COMMANDS = [
    (name, words)
    for name, words in re.findall(r"^    python -m benchmarks\.(\w+)(.*)$", README, flags=re.MULTILINE)
    if name not in NO_TRACES
]
MAKEFILE = (ROOT / "Makefile").read_text()


def test_the_elastic_table_is_the_result() -> None:
    assert tables.elastic_table(tables.result_of("elastic")["results"]) in README


def test_the_decisions_table_is_the_result() -> None:
    assert tables.decisions_table(tables.decisions_rows()) in README


def test_the_words_about_the_decisions_table_are_true() -> None:
    cells = tables.decisions_cells(tables.decisions_rows())
    assert len(cells) == 20
    closed = [cell["own"]["gap_closed_fraction"] for cell in cells]
    assert f"between {min(closed):.2f} and {max(closed):.2f}, {sum(closed) / len(closed):.2f} on average" in README
    for cell in cells:
        own = cell["own"]
        assert own["deadline_misses"] == 0
        assert own["saving_fraction"] >= cell["rule"]["saving_fraction"]
        assert own["backfire_fraction"] <= cell["ewma"]["backfire_fraction"] / 3
    backfire = [cell["own"]["backfire_fraction"] for cell in cells if cell["own"]["set"] != "es-de"]
    assert f"{100 * sum(backfire) / len(backfire):.1f} % of the jobs outside Spain and Germany" in README


def test_the_splits_table_is_the_result() -> None:
    rows = tables.result_of("decisions_splits")["rows"]
    assert tables.splits_table(rows) in README
    assert len(tables.decisions_cells(rows)) == 20


def test_the_outcome_of_sweeps_is_the_result() -> None:
    rows = tables.sweeps_rows()
    page = (ROOT / "docs" / "tune.md").read_text()
    assert tables.sweeps_table(rows) in page
    assert {f"{row['starts']} starts" for row in rows} == {"96 starts"}
    assert "96 starts" in page
    assert all(row["deadline_met"] for row in rows)


def test_the_words_about_the_hold_are_true() -> None:
    held = tables.result_of("tune_hold")["results"]["function"]
    page = (ROOT / "docs" / "tune.md").read_text()
    assert f"{held['held_s'] / 60:.1f} minutes ({held['rounds']:,.0f} rounds" in page
    assert f"{100 * held['driver_cpu_fraction']:.1f} % of one" in page
    assert held["free_cpus_min"] == 2
    assert (held["errors"], held["iterations_done_twice"], held["iterations_missing"]) == (0, 0, 0)


def test_the_words_about_the_kills_are_true() -> None:
    result = tables.result_of("tune_restore")
    page = (ROOT / "docs" / "tune.md").read_text()
    assert f"After {result['summary']['kills']} kills of the driver" in page
    assert f"at most {result['summary']['outside_books_s_max']:.1f} s lay outside the books" in page
    assert (result["summary"]["trials_lost"], result["summary"]["overlaps_s"]) == (0, 0.0)
    assert all(one["base_anew"] == 0 for one in result["sweeps"])
    assert {one["base"] for one in result["sweeps"] if one["iterations_differ"]} <= {"asha"}


def test_the_words_about_the_cost_of_the_scheduler_are_true() -> None:
    page = (ROOT / "docs" / "tune.md").read_text()
    throughput, scale = tables.result_of("tune_throughput"), tables.result_of("tune_scale")
    ratio = throughput["results"]["ratio_of_throughput"]
    assert f"{throughput['settings']['trials']} tiny trials ran at {ratio:.2f}" in page
    assert ratio >= 0.95
    (own,) = (row for row in scale["rows"] if (row["scheduler"], row["event"]) == ("own", "all"))
    assert f"{own['p50_ms']:.2f} ms at the median and {own['p99_ms']:.2f} ms at p99" in page
    assert own["p99_ms"] < 1.0
    assert own["last_over_first_tenth"] < 1.5
    assert f"with {scale['settings']['trials']:,} trials" in page


def test_the_table_of_base_schedulers_is_the_result_and_nothing_in_it_failed() -> None:
    rows = tables.result_of("tune_bases")["rows"]
    assert tables.bases_table(rows) in README
    run = [row for row in rows if not row["error"].startswith("left out")]
    assert {row["base"] for row in run if row["kind"] == "flat"} == {row["base"] for row in run if row["kind"] == "held"} == set(BASES)
    assert {row["kind"] for row in run} == {"flat", "held", "moved"}
    for row in run:
        assert row["error"] == ""
        assert row["ends_as_base"] if row["kind"] == "flat" else row["held"]
        assert (row["lost"], row["missing_iterations"], row["rows_lost"], row["columns_missing"]) == (0, 0, 0, 0)
        assert row["repeated_iterations"] <= (row["held_trials"] if row["trainable"] == "train" else 0)


def test_the_words_about_the_elastic_table_are_true() -> None:
    rows = [row for row in tables.result_of("elastic")["results"] if row["profile"] == "nbody100k"]
    gains = {slack: [row["gain_points"] for row in rows if row["slack_h"] == slack] for slack in (24, 168)}
    assert [round(bound(gains[slack]), 1) for slack in (24, 168) for bound in (min, max)] == [4.5, 9.1, 1.2, 3.7]
    assert all(row["gain_points"] >= 0 for row in tables.result_of("elastic")["results"])


def test_the_table_writes_no_negative_zero() -> None:
    plans = {name: {"saving_percent": 1.0} for name in ("elastic at home", "rigid in all regions", "elastic in all regions")}
    row = {"set": "A", "job_h": 1, "slack_h": 2, "profile": "p", "plans": plans, "gain_points": 0.0, "gain_interval95_points": [-1e-9, 0.0]}
    assert "(0.00 to 0.00)" in tables.elastic_table([row])


@pytest.mark.parametrize("name", ["forecasts", "forecasts_history"])
def test_the_tables_of_forecasts_are_the_results(name: str) -> None:
    if not (tables.RESULTS / f"{name}.json").exists():
        pytest.skip(f"{name}.json has not been made: run the benchmark")
    assert tables.FORECAST_TABLES[name](tables.result_of(name)) in README


@pytest.mark.parametrize(("name", "words"), COMMANDS, ids=[f"{name}{number}" for number, (name, _) in enumerate(COMMANDS)])
def test_commands_take_the_options_that_are_named(name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{name}").main(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert {"--traces", "--year", "--json"} <= set(re.findall(r"--[a-z-]+", told))
    assert set(re.findall(r"--[a-z-]+", words)) <= set(re.findall(r"--[a-z-]+", told))


def test_every_benchmark_has_a_section_and_a_target() -> None:
    table = re.findall(r"^\| \[`benchmarks\.(\w+)`\]\(#([\w-]+)\) \| `([\w-]+)` \|", README, flags=re.MULTILINE)
    assert len(table) == 16
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", README, flags=re.MULTILINE)}
    for name, anchor, target in table:
        assert (ROOT / "benchmarks" / f"{name}.py").exists()
        assert anchor in sections
        assert re.search(rf"^{target}: \$\(STAMP\).*\n\t\$\(BIN\)/python -m benchmarks\.{name} ", MAKEFILE, flags=re.MULTILINE)
    assert set(re.findall(r"make (bench[\w-]*)", README)) <= {target for _, _, target in table}

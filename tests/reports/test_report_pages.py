"""What a person sees: the page, the terminal's table, the JSON file and the words in them."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from carbon_ray.core.errors import ConfigError
from carbon_ray.core.ledger import Outcome
from carbon_ray.reports import palette, wording
from carbon_ray.reports.charts import cumulative_svg, timeline_svg
from carbon_ray.reports.html import render_html, write_html
from carbon_ray.reports.run_report import read_json, to_json, write_json
from carbon_ray.reports.table import comparison_table

Make = Callable[..., Any]
NASTY = "<script>alert('&')</script>"


class Page(HTMLParser):
    """Text, ids, tags and addresses of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.addresses: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value for name, value in attrs if name in ("href", "src", "xlink:href", "action") and value]

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def test_page_tells_the_headline(run_made: Make, report_of: Make) -> None:
    run = run_made()
    text = Page(render_html(report_of(run, bit_equal=True), run.intensity)).text
    for words in ("138 g", "34 % less than run-now", "✓ Met", "2 h 30 min to spare", "Zero", "of 100; result equal bit for bit", "67 %"):
        assert words in text
    assert "Measured: 22 min from start to first step and 8 min" in text
    assert "paused once" in text
    assert "moved once between regions" in text
    for reason in ("start at home", "still good", "getting dirty", "west is clean", "drained", "cleaner", "clock: real time", "test sheet"):
        assert reason in text


def test_page_asks_for_nothing_and_runs_nothing(run_made: Make, report_of: Make) -> None:
    run = run_made()
    html = render_html(report_of(run), run.intensity)
    page = Page(html)
    assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object"})
    assert [address for address in page.addresses if not address.startswith("#")] == []
    assert "@import" not in html
    assert set(re.findall(r"url\(([^)]{1,2})", html)) <= {"#t", "#c"}
    assert set(re.findall(r"https?://[^\"'\s<]+", html)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_ids_are_unique_and_references_resolve(run_made: Make, report_of: Make) -> None:
    run = run_made()
    html = render_html(report_of(run), run.intensity)
    page = Page(html)
    assert len(page.ids) == len(set(page.ids))
    wanted = {address[1:] for address in page.addresses} | set(re.findall(r"url\(#([^)]+)\)", html))
    assert wanted
    assert wanted <= set(page.ids)


def test_page_follows_light_and_dark(run_made: Make, report_of: Make) -> None:
    run = run_made()
    html = render_html(report_of(run), run.intensity)
    assert "prefers-color-scheme: dark" in html
    assert [stand_in for stand_in in palette.THEMED if stand_in in html] == []
    assert set(palette.THEMED.values()) <= set(re.findall(r"var\(--\w+\)", html))


def test_charts_say_in_words_what_they_show(run_made: Make, report_of: Make) -> None:
    run = run_made()
    labels = re.findall(r'<figure role="img" aria-label="([^"]+)"', render_html(report_of(run), run.intensity))
    assert len(labels) == 2
    assert "in east from 2\xa0May\xa016:00 to 2\xa0May\xa017:30; in west from 2\xa0May\xa020:00" in labels[0]
    assert "Run-now reaches 410\xa0g" in labels[1]
    assert "carbon-aware run reaches 272\xa0g" in labels[1]


@pytest.mark.parametrize("is_embedded", [True, False])
def test_embedded_data_are_marked(run_made: Make, report_of: Make, is_embedded: bool) -> None:
    run = run_made(is_embedded=is_embedded)
    text = Page(render_html(report_of(run), run.intensity)).text
    assert ("Embedded intensity data." in text) is is_embedded
    assert ("not an observation" in text) is is_embedded


def test_redone_steps_are_told_apart_from_lost_ones(run_made: Make, report_of: Make) -> None:
    run = run_made()
    report = report_of(run, redone_steps=1234)
    assert "Zero of 100, 1,234 redone after a node loss or failure;" in Page(render_html(report, run.intensity)).text
    assert "0 steps lost, 1,234 redone" in str(comparison_table(report).caption)
    without = report_of(run_made())
    assert "redone" not in Page(render_html(without, run.intensity)).text + str(comparison_table(without).caption)


def test_every_name_of_a_user_is_escaped(run_made: Make, report_of: Make) -> None:
    run = run_made(workload_id=NASTY, names={"east": f"{NASTY}east", "west": "$west$ & co"})
    run.segments[0] = replace(run.segments[0], reason=NASTY)
    run.decisions[0] = replace(run.decisions[0], reason=NASTY)
    run.node_events[0] = replace(run.node_events[0], reason=NASTY, node_id="<b>1", node_type="<i>")
    run.provenance = [NASTY]
    report = report_of(run, forecaster=NASTY)
    html = render_html(report, run.intensity)
    page = Page(html)
    assert "<script" not in html
    assert page.tags.isdisjoint({"script", "b", "i"})
    assert page.text.count("alert('&')") >= 8
    assert "$west$ & co nodes" in page.text


@pytest.mark.parametrize("name", ["_hidden", "日本-東", "a" * 60, "x^2_1"])
def test_any_region_name_can_be_drawn(run_made: Make, report_of: Make, name: str) -> None:
    run = run_made(names={"east": name})
    svg = timeline_svg(report_of(run), run.intensity)
    assert name in "".join(ElementTree.fromstring(svg).itertext())


def test_charts_are_the_same_each_time(run_made: Make, report_of: Make) -> None:
    run = run_made()
    report = report_of(run)
    assert timeline_svg(report, run.intensity) == timeline_svg(report, run.intensity)
    assert cumulative_svg(report) == cumulative_svg(report)


def test_page_of_a_run_that_failed_early(run_made: Make, report_of: Make) -> None:
    run = run_made()
    run.segments = [replace(run.segments[0], running_at=None, stopped_at=None, start_step=None, end_step=0, outcome=Outcome.FAILED)]
    run.decisions, run.node_events = [], []
    report = report_of(run, clairvoyant=None, bit_equal=False, lost_steps=3)
    text = Page(render_html(report, {})).text
    for words in (
        "✗ Not met",
        "the work ended as failed",
        "result differs",
        "No segment came to its first step",
        "No decision changed anything",
    ):
        assert words in text
    assert "perfect foresight was not computed" in text
    assert "never paused" in text


def test_page_of_a_run_that_was_worse_and_late(run_made: Make, report_of: Make) -> None:
    run = run_made()
    run.workload = replace(run.workload, deadline_at=run.segments[1].start_at)
    run.intensity["west"] = replace(run.intensity["west"], values_gco2_per_kwh=[900.0] * 9)
    text = Page(render_html(report_of(run), run.intensity)).text
    for words in ("CO₂e emitted in addition", "more than run-now", "✗ Missed", "by 1 h 30 min"):
        assert words in text


def test_page_is_written_within_three_seconds(run_made: Make, report_of: Make, tmp_path: Path) -> None:
    run = run_made()
    report = report_of(run)
    began = time.perf_counter()
    path = write_html(report, run.intensity, tmp_path / "deep" / "index.html")
    assert time.perf_counter() - began < 3.0
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_json_comes_back_and_is_stable(run_made: Make, report_of: Make, tmp_path: Path) -> None:
    report = report_of(run_made())
    path = write_json(report, tmp_path / "deep" / "report.json")
    assert read_json(path) == report
    assert path.read_text(encoding="utf-8") == to_json(report_of(run_made()))


def test_json_keys(run_made: Make, report_of: Make) -> None:
    data = json.loads(to_json(report_of(run_made())), parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert list(data) == sorted(data)
    wanted = {
        "": "workload_id saving_fraction captured_fraction deadline_met deadline_at finished_at lost_steps redone_steps bit_equal segments "
        "totals suspended_h suspends moves node_events counterfactual clairvoyant forecaster provenance decisions overheads generated_at",
        "totals": "energy_kwh gco2 usd",
        "counterfactual": "policy region energy_kwh gco2 usd finish_at hours",
        "clairvoyant": "gco2 energy_kwh usd finish_at saving_fraction",
    }
    for key, names in wanted.items():
        assert set(names.split()) <= set(data[key] if key else data)
    rows = "region start_at end_at workers energy_kwh gco2 usd start_step end_step outcome reason"
    assert set(rows.split()) <= set(data["segments"][0])
    assert {"region", "kind", "at", "reason", "node_type", "node_id"} == set(data["node_events"][0])
    assert data["deadline_at"] == "2022-05-03T00:00:00Z"


@pytest.mark.parametrize(("text", "told"), [("{", "report.json that"), ("{}", "report.json that"), ('{"moves": 1, "x": 2}', "no field")])
def test_file_that_is_no_report(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_json(tmp_path / "report.json")
    with pytest.raises(ConfigError, match=r"absent\.json: No such file"):
        read_json(tmp_path / "absent.json")


def test_table_in_a_terminal(run_made: Make, report_of: Make) -> None:
    report = report_of(run_made(workload_id="[red]run[/red]", is_embedded=True))
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(comparison_table(report))
    lines = console.export_text().splitlines()
    assert lines[0].rstrip() == "Carbon report of [red]run[/red]"
    (emissions,) = [line for line in lines if "Emissions" in line]
    assert [cell.strip() for cell in emissions.strip("│ ").split("│")] == ["Emissions (g CO₂e)", "410", "272", "205"]
    assert lines[-2].rstrip() == "deadline met (3\xa0May\xa02022\xa000:00 UTC), 0 steps lost"
    assert lines[-1].rstrip() == "embedded intensity: typical, not observed"


def test_missed_deadline_is_loud_in_the_table(run_made: Make, report_of: Make) -> None:
    run = run_made()
    run.workload = replace(run.workload, deadline_at=run.segments[1].start_at)
    assert "DEADLINE MISSED" in str(comparison_table(report_of(run)).caption)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.mass(0.0), "0 g"),
        (wording.mass(0.01234), "0.0123 g"),
        (wording.mass(999.0), "999 g"),
        (wording.mass(1234.0), "1.23 kg"),
        (wording.mass(4_560_000.0), "4.56 t"),
        (wording.mass(-1234.0), "\N{MINUS SIGN}1.23 kg"),
        (wording.mass(None), wording.NONE),
        (wording.percent(0.4149), "41 %"),
        (wording.percent(0.0), "0.0 %"),
        (wording.percent(-0.031), "\N{MINUS SIGN}3.1 %"),
        (wording.number(-0.001), "0.00"),
        (wording.number(12345.678), "12,345.68"),
        (wording.significant(123456.0), "123,456"),
        (wording.significant(9.999), "10.0"),
        (wording.span(0.0), "0 s"),
        (wording.span(45 / 3600), "45 s"),
        (wording.span(59.7 / 60), "1 h"),
        (wording.span(3 + 1 / 3), "3 h 20 min"),
        (wording.span(52.0), "2 d 4 h"),
        (wording.times(0), "never"),
        (wording.times(2), "twice"),
        (wording.times(7), "7 times"),
        (wording.instant(datetime(2022, 5, 2, 15, 59, 40, tzinfo=UTC)), "2 May 2022 16:00"),
        (wording.stretch(datetime(2022, 5, 2, 16, tzinfo=UTC), datetime(2022, 5, 2, 18, 42, tzinfo=UTC)), "2 May 16:00 \N{EN DASH} 18:42"),
        (wording.stretch(datetime(2022, 5, 2, 16, tzinfo=UTC), datetime(2022, 5, 3, tzinfo=UTC)), "2 May 16:00 \N{EN DASH} 3 May 00:00"),
    ],
)
def test_wording(shown: str, expected: str) -> None:
    assert shown.replace("\N{NO-BREAK SPACE}", " ") == expected

"""Trace files: what is read, and one clear error for everything that is wrong."""

from __future__ import annotations

import gzip
import os
import pickle
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbon_ray.core.errors import ConfigError, ProviderNoDataError, TraceFormatError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind, IntensitySeries, Provenance
from carbon_ray.providers.base import HistoryProvider, covering
from carbon_ray.providers.trace import TraceProvider

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("CARBON_RAY_DATA", ROOT / ".." / "shared" / "data"))
T0 = datetime(2022, 5, 2, tzinfo=UTC)


def frame(zone: str = "DE", kind: str = "average_lifecycle", *, count: int = 6, step_min: float = 60, first: float = 100.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "zone": zone,
            "time_utc": pd.date_range(T0, periods=count, freq=pd.Timedelta(minutes=step_min)),
            "gco2_per_kwh": first + np.arange(count, dtype=float),
            "kind": kind,
        }
    )


def as_csv(path: Path, data: pd.DataFrame) -> Path:
    data.to_csv(path, index=False)
    return path


def as_parquet(path: Path, data: pd.DataFrame) -> Path:
    data.to_parquet(path, index=False)
    return path


@pytest.fixture(params=["csv", "csv.gz", "parquet"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    path = tmp_path / f"trace.{request.param}"
    return lambda data: (as_parquet if request.param == "parquet" else as_csv)(path, data)


def test_a_trace_is_read(write: Callable[[pd.DataFrame], Path]) -> None:
    data = pd.concat([frame("DE"), frame("ES", first=10.0), frame("DE", "marginal", first=700.0)])
    provider = TraceProvider(write(data.assign(source="somewhere", note="ignored")))
    assert isinstance(provider, HistoryProvider)
    assert (provider.name, provider.kind, provider.zones()) == ("trace", IntensityKind.AVERAGE_LIFECYCLE, ("DE", "ES"))
    history = provider.history("DE", T0 + timedelta(hours=1), T0 + timedelta(hours=3))
    assert (history.zone, history.kind, history.step_s) == ("DE", IntensityKind.AVERAGE_LIFECYCLE, 3600.0)
    assert list(history.values_gco2_per_kwh) == [101.0, 102.0]
    assert history.at(T0 + timedelta(hours=1)) == 101.0  # time_utc is the START of the interval
    assert history.provenance.provider == "trace"
    assert "trace." in history.provenance.detail
    assert "somewhere" in history.provenance.detail
    assert not history.provenance.is_embedded
    assert provider.span("DE") == (T0, T0 + timedelta(hours=6))


def test_the_kind_asked_for_is_served(write: Callable[[pd.DataFrame], Path]) -> None:
    path = write(pd.concat([frame("DE"), frame("ES", "marginal", first=700.0)]))
    provider = TraceProvider(path, kind="marginal")
    assert (provider.kind, provider.zones()) == (IntensityKind.MARGINAL, ("ES",))
    assert TraceProvider(path, kind=IntensityKind.MARGINAL).zones() == ("ES",)
    with pytest.raises(TraceFormatError, match="no rows of kind average_direct, only of average_lifecycle, marginal"):
        TraceProvider(path, kind="average_direct")


def test_only_the_zones_asked_for_are_served(write: Callable[[pd.DataFrame], Path]) -> None:
    path = write(pd.concat([frame("DE"), frame("ES"), frame("FR")]))
    provider = TraceProvider(path, zones=["FR", "DE"])
    assert provider.zones() == ("DE", "FR")
    with pytest.raises(UnknownZoneError) as caught:
        provider.history("ES", T0, T0 + timedelta(hours=1))
    assert caught.value.known == ("DE", "FR")
    with pytest.raises(UnknownZoneError, match="unknown grid zone 'DK1'") as caught:
        TraceProvider(path, zones=["DE", "DK1"])
    assert caught.value.known == ("DE", "ES", "FR")


@pytest.mark.parametrize("step_min", [5, 7, 15, 30, 60])
def test_any_regular_step_is_found_for_each_zone(step_min: int, write: Callable[[pd.DataFrame], Path]) -> None:
    provider = TraceProvider(write(pd.concat([frame("DE", step_min=step_min, count=20), frame("ES", count=20)])))
    history = provider.history("DE", T0, T0 + timedelta(minutes=step_min))
    assert (history.step_s, len(history)) == (step_min * 60.0, 1)
    assert provider.history("ES", T0, T0 + timedelta(hours=1)).step_s == 3600.0


def test_order_does_not_matter(write: Callable[[pd.DataFrame], Path]) -> None:
    data = pd.concat([frame("DE"), frame("ES", first=10.0)])
    provider = TraceProvider(write(data.sample(frac=1.0, random_state=3)))
    assert list(provider.history("DE", T0, T0 + timedelta(hours=6)).values_gco2_per_kwh) == [100, 101, 102, 103, 104, 105]


WINDOWS = [
    (0, 60, 0, 1),
    (1, 59, 0, 1),
    (59, 61, 0, 2),
    (60, 120, 1, 2),
    (90, 150, 1, 3),
    (0, 360, 0, 6),
    (359, 360, 5, 6),
]


@pytest.mark.parametrize(("left_min", "right_min", "first", "last"), WINDOWS)
def test_history_covers_the_intervals_that_intersect(left_min: int, right_min: int, first: int, last: int, tmp_path: Path) -> None:
    provider = TraceProvider(as_csv(tmp_path / "t.csv", frame()))
    history = provider.history("DE", T0 + timedelta(minutes=left_min), T0 + timedelta(minutes=right_min))
    assert (history.start_at, history.end_at) == (T0 + timedelta(hours=first), T0 + timedelta(hours=last))
    assert list(history.values_gco2_per_kwh) == [100.0 + n for n in range(first, last)]


@pytest.mark.parametrize(("left_min", "right_min"), [(-1, 60), (0, 361), (-600, -60), (600, 700)])
def test_nothing_is_served_outside_the_data(left_min: int, right_min: int, tmp_path: Path) -> None:
    provider = TraceProvider(as_csv(tmp_path / "t.csv", frame()))
    with pytest.raises(ProviderNoDataError, match=r"trace t\.csv, zone DE: has \[2022-05-02T00:00Z, 2022-05-02T06:00Z\), not all of"):
        provider.history("DE", T0 + timedelta(minutes=left_min), T0 + timedelta(minutes=right_min))


@pytest.mark.parametrize(
    ("start_at", "end_at"),
    [(T0, T0), (T0 + timedelta(hours=2), T0), (T0.replace(tzinfo=None), T0 + timedelta(hours=1)), (T0, T0.replace(tzinfo=None))],
)
def test_a_window_is_not_empty_and_in_utc(start_at: datetime, end_at: datetime, tmp_path: Path) -> None:
    provider = TraceProvider(as_csv(tmp_path / "t.csv", frame()))
    with pytest.raises(ValueError, match=r"start_at before end_at|aware UTC"):
        provider.history("DE", start_at, end_at)


@given(st.integers(1, 30), st.sampled_from([5, 15, 25, 60]), st.data())
def test_covering_is_the_smallest_window_of_the_grid(count: int, step_min: int, data: st.DataObject) -> None:
    series = IntensitySeries(
        zone="DE",
        kind=IntensityKind.MARGINAL,
        start_at=T0,
        step_s=step_min * 60.0,
        values_gco2_per_kwh=np.arange(count, dtype=float),
        provenance=Provenance(provider="test"),
    )
    left = data.draw(st.integers(0, count * step_min * 60 - 1))
    right = data.draw(st.integers(left + 1, count * step_min * 60))
    start_at, end_at = T0 + timedelta(seconds=left), T0 + timedelta(seconds=right)
    got = covering(series, start_at, end_at, provider="test")
    assert list(got.values_gco2_per_kwh) == [n for n in range(count) if n * step_min * 60 < right and (n + 1) * step_min * 60 > left]
    assert got.start_at <= start_at < end_at <= got.end_at


def test_a_provider_pickles_without_its_file(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "t.csv", frame())
    provider = TraceProvider(path)
    data = pickle.dumps(provider)
    path.unlink()
    again = pickle.loads(data)
    window = (T0, T0 + timedelta(hours=6))
    assert again.history("DE", *window) == provider.history("DE", *window)
    assert (again.kind, again.zones()) == (provider.kind, provider.zones())


def change(column: str, row: int, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def apply(data: pd.DataFrame) -> pd.DataFrame:
        data = data.astype({column: object})
        data.loc[row, column] = value
        return data

    return apply


def text_times(data: pd.DataFrame) -> pd.DataFrame:
    return data.assign(time_utc=data["time_utc"].dt.strftime("%Y-%m-%dT%H:%MZ"))


def row_time(row: int, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda data: change("time_utc", row, value)(text_times(data))


def every(step: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda data: data.assign(time_utc=pd.date_range(T0, periods=len(data), freq=step))


def in_words(data: pd.DataFrame) -> pd.DataFrame:
    return change("gco2_per_kwh", 4, "high")(data.astype({"gco2_per_kwh": str}))


# What is done to six good hours of DE; what the error says, in a CSV and in a Parquet file alike.
BROKEN: list[tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = [
    ("no zone", lambda d: d.drop(columns="zone"), "column zone is missing; it needs zone, time_utc, gco2_per_kwh, kind and has time_utc"),
    ("no time", lambda d: d.drop(columns="time_utc"), "column time_utc is missing"),
    ("no values", lambda d: d.rename(columns={"gco2_per_kwh": "carbon"}), "column gco2_per_kwh is missing"),
    ("no kind", lambda d: d.drop(columns=["kind", "zone"]), "column zone, kind is missing"),
    ("no rows", lambda d: d.iloc[:0].astype({"zone": str, "kind": str}), "is empty; it needs at least two rows"),
    ("one row", lambda d: d.iloc[:1], r"zone DE, average_lifecycle: only one row \(2022-05-02T00:00Z\)"),
    ("gap", lambda d: d.drop(index=[2, 3]), "a gap between 2022-05-02T01:00Z and 2022-05-02T04:00Z; fill in the missing rows"),
    ("duplicate", lambda d: pd.concat([d, d.iloc[[4]]]), r"zone DE, average_lifecycle: 2022-05-02T04:00Z is there twice \(rows 5 and 7\)"),
    ("two steps", lambda d: pd.concat([d, d.iloc[[4]].assign(time_utc=T0 + timedelta(minutes=90))]), "the step is not regular"),
    ("odd row", row_time(5, "2022-05-02T05:20Z"), "1:00:00 elsewhere, 1:20:00 between 2022-05-02T04:00Z and 2022-05-02T05:20Z"),
    ("naive text", row_time(2, "2022-05-02T02:00"), r"row 3 \(zone DE\): time_utc: '2022-05-02T02:00' has no UTC offset"),
    ("date only", row_time(2, "2022-05-02"), r"row 3 \(zone DE\): time_utc: '2022-05-02' has no UTC offset"),
    ("no instant", row_time(3, "midnight"), r"row 4 \(zone DE\): time_utc: 'midnight' is not an ISO 8601 instant"),
    ("hour 25", row_time(3, "2022-05-02T25:00Z"), r"row 4 \(zone DE\): time_utc: '2022-05-02T25:00Z' is not an ISO 8601 instant"),
    ("year 1", row_time(3, "0001-05-02T03:00Z"), r"row 4 \(zone DE\): time_utc lies outside the years 1900 to 2199"),
    ("null value", change("gco2_per_kwh", 1, None), r"row 2 \(zone DE\): gco2_per_kwh.* is (missing or NaN|empty); write a number"),
    ("NaN", lambda d: d.assign(gco2_per_kwh=[1, float("nan"), 3, 4, 5, 6]), r"row 2 \(zone DE\): gco2_per_kwh.* is (missing|empty)"),
    ("infinite", change("gco2_per_kwh", 2, float("inf")), r"row 3 \(zone DE\): gco2_per_kwh is infinite"),
    ("negative", change("gco2_per_kwh", 3, -0.5), r"row 4 \(zone DE\): gco2_per_kwh is negative"),
    ("word", in_words, r"row 5 \(zone DE\): gco2_per_kwh: 'high' is not a number"),
    ("unknown kind", change("kind", 2, "average"), r"row 3 \(zone DE\): unknown kind 'average'; use one of average_lifecycle, "),
    ("empty kind", change("kind", 2, ""), "row 3: kind is empty"),
    ("null kind", change("kind", 2, None), "row 3: kind is empty"),
    ("empty zone", change("zone", 5, ""), "row 6: zone is empty"),
    ("null zone", change("zone", 5, None), "row 6: zone is empty"),
    ("slow", every("3h"), "rows are 3:00:00 apart; a trace needs a step of 5 to 60 minutes"),
    ("fast", every("1min"), "rows are 0:01:00 apart; a trace needs a step of 5 to 60"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "match"), [pytest.param(spoil, match, id=name) for name, spoil, match in BROKEN])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_broken_trace_is_refused_with_its_place_and_remedy(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], match: str, suffix: str, tmp_path: Path
) -> None:
    path = (as_parquet if suffix == "parquet" else as_csv)(tmp_path / f"broken.{suffix}", spoil(frame()))
    with pytest.raises(TraceFormatError, match=match) as caught:
        TraceProvider(path)
    assert caught.value.path == str(path)
    assert str(caught.value).startswith(f"trace {path}: ")


def test_what_is_not_asked_for_is_checked_too(tmp_path: Path) -> None:
    path = as_csv(tmp_path / "t.csv", pd.concat([frame("DE"), frame("ES", "marginal").drop(index=3)]))
    with pytest.raises(TraceFormatError, match="zone ES, marginal: a gap"):
        TraceProvider(path, zones=["DE"])


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ({"time_utc": pa.array([0, 3_600_000_000], pa.timestamp("us"))}, "timestamp without a time zone.*tz_localize"),
        ({"time_utc": pa.array([1, 2])}, "column time_utc holds int64"),
        ({"time_utc": pa.array([None, 0], pa.timestamp("us", tz="UTC"))}, r"row 1 \(zone DE\): time_utc is empty"),
        ({"gco2_per_kwh": pa.array([True, False])}, "column gco2_per_kwh holds bool, not numbers"),
        ({"zone": pa.array([1, 2])}, "column zone holds int64, not text"),
        ({"kind": pa.array([None, None])}, "column kind holds null, not text"),
    ],
)
def test_parquet_types_say_what_they_mean(columns: dict[str, Any], match: str, tmp_path: Path) -> None:
    good = {
        "zone": pa.array(["DE", "DE"]),
        "time_utc": pa.array([0, 3_600_000_000], pa.timestamp("us", tz="UTC")),
        "gco2_per_kwh": pa.array([1.0, 2.0]),
        "kind": pa.array(["marginal", "marginal"]),
    }
    pyarrow.parquet.write_table(pa.table({**good, **columns}), tmp_path / "t.parquet")
    with pytest.raises(TraceFormatError, match=match):
        TraceProvider(tmp_path / "t.parquet", kind="marginal")


@pytest.mark.parametrize(
    "columns",
    [
        {"time_utc": pa.array([0, 3_600], pa.timestamp("s", tz="UTC"))},
        {"time_utc": pa.array([0, 3_600_000_000_000], pa.timestamp("ns", tz="Europe/Berlin"))},
        {"time_utc": pa.array(["1970-01-01T01:00+01:00", "1970-01-01T01:00Z"])},
        {"gco2_per_kwh": pa.array([5, 6], pa.int16())},
        {"gco2_per_kwh": pa.array([5.0, 6.0], pa.float32())},
        {"gco2_per_kwh": pa.array(["5", " 6.0 "])},
        {"zone": pa.array(["DE", "DE"]).dictionary_encode(), "kind": pa.array(["marginal", "marginal"], pa.large_string())},
        {"source": pa.array([1, 2])},
    ],
)
def test_parquet_types_that_say_the_same_are_read(columns: dict[str, Any], tmp_path: Path) -> None:
    good = {
        "zone": pa.array(["DE", "DE"]),
        "time_utc": pa.array([0, 3_600_000_000], pa.timestamp("us", tz="UTC")),
        "gco2_per_kwh": pa.array([5.0, 6.0]),
        "kind": pa.array(["marginal", "marginal"]),
    }
    pyarrow.parquet.write_table(pa.table({**good, **columns}), tmp_path / "t.parquet")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    history = TraceProvider(tmp_path / "t.parquet", kind="marginal").history("DE", epoch, epoch + timedelta(hours=2))
    assert (history.start_at, history.step_s, list(history.values_gco2_per_kwh)) == (epoch, 3600.0, [5.0, 6.0])


@pytest.mark.parametrize(
    "times",
    [
        ["2022-05-02T00:00Z", "2022-05-02T01:00Z"],
        ["2022-05-02 00:00:00+00:00", "2022-05-02 01:00:00+00:00"],
        ["2022-05-02T02:00:00+02:00", "2022-05-02T03:00:00+02:00"],
        ["2022-05-02T00:00:00.000Z", "2022-05-01T21:00:00-04:00"],
        ["20220502T000000Z", "20220502T010000Z"],
    ],
)
def test_every_iso_form_with_an_offset_is_read(times: list[str], tmp_path: Path) -> None:
    path = as_csv(tmp_path / "t.csv", frame(count=2).assign(time_utc=times))
    assert TraceProvider(path).span("DE") == (T0, T0 + timedelta(hours=2))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("a.csv", b"", "cannot be read: Empty CSV"),
        ("b.csv", b"zone,time_utc,gco2_per_kwh,kind\nDE,2022-05-02T00:00Z,1\n", "cannot be read: .*Expected 4 columns, got 3"),
        ("c.csv", b"\xff\xfe\x00zone", "missing|cannot be read"),
        ("d.csv", b"zone,time_utc,gco2_per_kwh,kind,kind\nDE,2022-05-02T00:00Z,1,marginal,marginal\n", "kind is there more than once"),
        ("e.csv.gz", b"not compressed", "cannot be read"),
        ("f.parquet", b"zone,time_utc,gco2_per_kwh,kind\n", "cannot be read: .*repair the file"),
        ("g.parquet", b"", "cannot be read"),
        ("h.parquet", b"PAR1 and then nothing of the kind PAR1", "cannot be read"),
        ("i.txt", b"zone", r"must end in \.csv, \.csv\.gz or \.parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(name: str, content: bytes, match: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TraceFormatError, match=match):
        TraceProvider(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "folder.csv", "folder.parquet"])
def test_a_missing_file_or_a_directory_is_refused(name: str, tmp_path: Path) -> None:
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    with pytest.raises(TraceFormatError, match="is a directory; name one" if name.startswith("folder") else "there is no such file"):
        TraceProvider(str(tmp_path / name))


@pytest.mark.parametrize(
    ("settings_", "match"),
    [
        ({"kind": "average"}, "unknown intensity kind 'average'; use one of"),
        ({"zones": []}, "at least one zone"),
        ({"zones": "DE"}, "a list"),
    ],
)
def test_wrong_settings_are_refused(settings_: dict[str, Any], match: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        TraceProvider(as_csv(tmp_path / "t.csv", frame()), **settings_)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 2000), min_size=2, max_size=30), st.sampled_from([5, 15, 60]), st.randoms())
def test_csv_and_parquet_give_what_was_written(tmp_path: Path, values: list[float], step_min: int, random: Any) -> None:
    data = frame(count=len(values), step_min=step_min).assign(gco2_per_kwh=values)
    rows = list(data.index)
    random.shuffle(rows)
    shuffled = data.loc[rows]
    end_at = T0 + timedelta(minutes=step_min * len(values))
    for path in (as_csv(tmp_path / "t.csv", shuffled), as_parquet(tmp_path / "t.parquet", shuffled)):
        history = TraceProvider(path).history("DE", T0, end_at)
        assert history.values_gco2_per_kwh.tobytes() == np.array(values).tobytes()
        assert history.step_s == step_min * 60.0


def test_a_compressed_trace_is_the_same_trace(tmp_path: Path) -> None:
    plain = as_csv(tmp_path / "t.csv", frame())
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    one, other = (TraceProvider(path).history("DE", T0, T0 + timedelta(hours=6)) for path in (plain, tmp_path / "t.csv.gz"))
    assert one.values_gco2_per_kwh.tobytes() == other.values_gco2_per_kwh.tobytes()


@pytest.mark.skipif(not (DATA / "ci_hourly_dev.parquet").exists(), reason="needs the recorded traces; set CARBON_RAY_DATA")
def test_two_years_of_twelve_zones_load_in_a_second() -> None:
    began = time.perf_counter()
    provider = TraceProvider(DATA / "ci_hourly_dev.parquet", kind="average_direct")
    took_s = time.perf_counter() - began
    assert len(provider.zones()) == 12
    for zone in provider.zones():
        assert provider.span(zone) == (datetime(2021, 1, 1, tzinfo=UTC), datetime(2023, 1, 1, tzinfo=UTC))
        assert provider.history(zone, *provider.span(zone)).step_s == 3600.0
    assert took_s < 3.0  # about 0.15 s on two idle cores; the rest is for a busy machine

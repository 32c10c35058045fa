"""The trace file format: reading one CSV or Parquet file into checked series, or saying exactly what is wrong with it.

A row is one interval of one zone and kind; `time_utc` is its start. Rows may stand in any order, but every zone and kind
must be complete: one regular step, no gap, no duplicate. Nothing is filled in or guessed; an instant without an offset is
refused, because which hours it means cannot be known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from carbon_ray.core.clock import parse_utc
from carbon_ray.core.errors import TraceFormatError
from carbon_ray.core.intensity import FloatArray, IntensityKind, IntensitySeries, Provenance

REQUIRED = ("zone", "time_utc", "gco2_per_kwh", "kind")
OPTIONAL = ("source",)
MIN_STEP, MAX_STEP = timedelta(minutes=5), timedelta(minutes=60)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_FIRST_AT, _LAST_AT = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

IntArray = NDArray[np.int64]


def read_trace(path: Path) -> dict[tuple[str, IntensityKind], IntensitySeries]:
    """All series of a trace file, by zone and kind.

    Args:
        path: A file whose name ends in `.csv`, `.csv.gz` or `.parquet`.

    Raises:
        TraceFormatError: The file cannot be read or breaks the format; the message names the row or instant and the remedy.
    """
    try:
        return _Trace(path).series()
    except UnicodeDecodeError:  # the names of columns, and text in Parquet, come unchecked
        raise TraceFormatError(str(path), "holds text that is not UTF-8; write it again as UTF-8") from None


class _Trace:
    """One file while it is being checked: its columns as arrays, and the words for an error about a row."""

    def __init__(self, path: Path) -> None:
        self._path = path
        table = self._table()
        self._zone_codes, self._zones = self._labels(table, "zone")
        self._kind_codes, kinds = self._labels(table, "kind")
        self._kinds = [self._kind(label, code) for code, label in enumerate(kinds)]
        self._source_codes: IntArray | None = None
        if "source" in table.column_names and _is_text(table.column("source").type):
            self._source_codes, self._sources = self._labels(table, "source")
        self._times_us = self._instants(table.column("time_utc"))
        self._values = self._intensities(table.column("gco2_per_kwh"))

    def fail(self, problem: str) -> NoReturn:
        raise TraceFormatError(str(self._path), problem)

    def _table(self) -> Any:
        if self._path.is_dir():
            self.fail("is a directory; name one CSV or Parquet file")
        if not self._path.exists():
            self.fail("there is no such file; give the path of a CSV or Parquet trace")
        try:
            if self._path.name.endswith(".parquet"):
                present = pyarrow.parquet.read_schema(self._path).names
                self._require_columns(present)
                table = pyarrow.parquet.read_table(self._path, columns=[name for name in REQUIRED + OPTIONAL if name in present])
            elif self._path.name.endswith((".csv", ".csv.gz")):
                as_text = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(REQUIRED + OPTIONAL, pa.string()))
                table = pyarrow.csv.read_csv(self._path, convert_options=as_text)
                self._require_columns(table.column_names)
            else:
                self.fail("the file name must end in .csv, .csv.gz or .parquet; rename or convert it")
        except (OSError, pa.ArrowException) as error:
            self.fail(f"cannot be read: {(str(error).splitlines() or [type(error).__name__])[0]}; repair the file or write it again")
        if not table.num_rows:
            self.fail("is empty; it needs at least two rows for each zone and kind")
        return table.combine_chunks()

    def _require_columns(self, present: list[str]) -> None:
        if missing := [name for name in REQUIRED if name not in present]:
            self.fail(f"column {', '.join(missing)} is missing; it needs {', '.join(REQUIRED)} and has {', '.join(present)}")
        if twice := [name for name in REQUIRED + OPTIONAL if present.count(name) > 1]:
            self.fail(f"column {', '.join(twice)} is there more than once; keep one")

    def _labels(self, table: Any, name: str) -> tuple[IntArray, list[str]]:
        column = table.column(name)
        if not _is_text(column.type):
            self.fail(f"column {name} holds {column.type}, not text; write names")
        encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
        labels = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        if name in REQUIRED:
            empty = labels.index("") if "" in labels else -1
            if (row := _first((codes < 0) | (codes == empty))) is not None:
                self.fail(f"row {row + 1}: {name} is empty; write one or remove the row")
        return codes, labels

    def _kind(self, label: str, code: int) -> IntensityKind:
        try:
            return IntensityKind(label)
        except ValueError:
            row = int(np.argmax(self._kind_codes == code))
            self.fail(f"{self._row(row)}: unknown kind {label!r}; use one of {', '.join(IntensityKind)}")

    def _instants(self, column: Any) -> IntArray:
        if pa.types.is_timestamp(column.type):
            if column.type.tz is None:
                self.fail(
                    "column time_utc is a timestamp without a time zone, so what it means is not certain; "
                    "store it with time zone UTC (pandas: tz_localize('UTC'))"
                )
        elif not _is_text(column.type):
            self.fail(f"column time_utc holds {column.type}; store timestamps with time zone UTC, or text such as 2022-05-02T16:00Z")
        if (row := _first(column.is_null().to_numpy())) is not None:
            self.fail(f"{self._row(row)}: time_utc is empty; write the start of the interval or remove the row")
        try:
            stamps = column.cast(pa.timestamp("us", tz="UTC"))
        except pa.ArrowException:  # slower, but it reads every form of ISO 8601 and knows which row is wrong
            stamps = pa.chunked_array([self._parsed(column, parse_utc, "time_utc")], type=pa.timestamp("us", tz="UTC"))
        times_us: IntArray = stamps.cast(pa.int64()).to_numpy()
        if (row := _first((times_us < (_FIRST_AT - _EPOCH) // _US) | (times_us >= (_LAST_AT - _EPOCH) // _US))) is not None:
            self.fail(f"{self._row(row)}: time_utc lies outside the years 1900 to 2199; check the unit it was stored in")
        return times_us

    def _intensities(self, column: Any) -> FloatArray:
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)
        if not is_number and not _is_text(column.type):
            self.fail(f"column gco2_per_kwh holds {column.type}, not numbers; write gCO2e per kWh")
        try:
            numbers = column.cast(pa.float64())
        except pa.ArrowException:
            numbers = pa.chunked_array([self._parsed(column, _number, "gco2_per_kwh")], type=pa.float64())
        values: FloatArray = numbers.to_numpy()
        for is_wrong, what in ((np.isnan(values), "missing or NaN"), (np.isinf(values), "infinite"), (values < 0, "negative")):
            if (row := _first(is_wrong)) is not None:
                self.fail(f"{self._row(row)}: gco2_per_kwh is {what}; write a number of 0 or more")
        return values

    def _parsed(self, column: Any, parse: Callable[[str], object], name: str) -> list[object]:
        out = []
        for row, text in enumerate(column.to_pylist()):
            try:
                out.append(parse(text))
            except ValueError as error:
                self.fail(f"{self._row(row)}: {name}: {error}")
        return out

    def _row(self, row: int) -> str:
        """Words for a row, counted from 1 below the header."""
        return f"row {row + 1} (zone {self._zones[self._zone_codes[row]]})"

    def series(self) -> dict[tuple[str, IntensityKind], IntensitySeries]:
        """The rows grouped by zone and kind, sorted by time, and checked to be regular."""
        group = self._zone_codes * len(self._kinds) + self._kind_codes
        order = np.lexsort((self._times_us, group))
        edges = np.flatnonzero(np.diff(group[order])) + 1
        out = {}
        for rows in np.split(order, edges):
            one = self._one(rows)
            out[one.zone, one.kind] = one
        return out

    def _one(self, rows: IntArray) -> IntensitySeries:
        zone, kind = self._zones[self._zone_codes[rows[0]]], self._kinds[self._kind_codes[rows[0]]]
        times_us = self._times_us[rows]
        start_at = _EPOCH + int(times_us[0]) * _US
        return IntensitySeries(
            zone=zone,
            kind=kind,
            start_at=start_at,
            step_s=self._step(f"zone {zone}, {kind}", times_us, rows).total_seconds(),
            values_gco2_per_kwh=self._values[rows],
            provenance=Provenance(provider="trace", detail="; ".join([self._path.name, *self._sources_of(rows)])),
        )

    def _step(self, whose: str, times_us: IntArray, rows: IntArray) -> timedelta:
        if len(rows) < 2:
            self.fail(f"{whose}: only one row ({_iso(times_us[0])}), so the step cannot be known; give at least two intervals")
        steps_us = np.diff(times_us)
        if (at := _first(steps_us == 0)) is not None:
            self.fail(f"{whose}: {_iso(times_us[at])} is there twice (rows {rows[at] + 1} and {rows[at + 1] + 1}); keep one of them")
        distinct, counts = np.unique(steps_us, return_counts=True)
        step = int(distinct[np.argmax(counts)]) * _US
        if not MIN_STEP <= step <= MAX_STEP:
            self.fail(f"{whose}: rows are {step} apart; a trace needs a step of 5 to 60 minutes")
        if (at := _first(steps_us != step // _US)) is not None:
            between = f"between {_iso(times_us[at])} and {_iso(times_us[at + 1])}"
            if steps_us[at] % (step // _US):
                self.fail(f"{whose}: the step is not regular: {step} elsewhere, {int(steps_us[at]) * _US} {between}; use one step")
            self.fail(f"{whose}: a gap {between}; fill in the missing rows from the source, or cut the trace there")
        return step

    def _sources_of(self, rows: IntArray) -> Iterable[str]:
        if self._source_codes is None:
            return ()
        return [self._sources[code] for code in np.unique(self._source_codes[rows]) if code >= 0 and self._sources[code]]


def _is_text(kind: Any) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _first(is_wrong: NDArray[np.bool_]) -> int | None:
    """Position of the first True."""
    return int(np.argmax(is_wrong)) if is_wrong.any() else None


def _iso(time_us: int) -> str:
    return f"{_EPOCH + int(time_us) * _US:%Y-%m-%dT%H:%MZ}"


def _number(text: str | None) -> float:
    if not text:
        raise ValueError("is empty; write a number of 0 or more")
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number; write gCO2e per kWh") from None

"""How good the many-zone forecaster is: against published forecasts, the naive floors and a plain LightGBM, by grid and day ahead.

    python -m benchmarks.forecasts --bench DIR --json OUT
    python -m benchmarks.forecasts --traces FILE --zones DE,ES --year 2022 --json OUT
    python -m benchmarks.forecasts --speed 24,48,135 --json OUT

With `--bench`, the windows 2021q3 and 2022h1 of the forecast bench, with issued weather and the last day's generation, twice: with the
weather run that starts at the issue, and with the one of the day before. With `--traces`, history alone: learned from all years before
`--year`, issued every day of it. Everything is scored on what came true; nothing is simulated. With `--speed`, seconds to train and to
forecast so many zones.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.forecast_bench import LEADS, SPANS, Span, read_span
from benchmarks.forecast_speed import speed_row
from benchmarks.forecast_spike import spike
from benchmarks.record import write
from benchmarks.traces import read_table
from carbon_ray.core.clock import wall_now
from carbon_ray.core.errors import CarbonRayError, ConfigError
from carbon_ray.core.intensity import FloatArray
from carbon_ray.forecasting.columns import MIN_HOURS
from carbon_ray.forecasting.many_zones import quantiles_of
from carbon_ray.forecasting.model import MEMBERS, ManyZoneModel, Recipe, Said
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.signals import DAY
from carbon_ray.forecasting.track import Lesson, Track
from carbon_ray.forecasting.training import train
from carbon_ray.providers.trace import TraceProvider
from carbon_ray.sim.forecast_skill import decision_value, mape, pinball, rank_correlation

LOW, MIDDLE, HIGH = 0.1, 0.5, 0.9
DELAYS_H = {"D": 0, "D-1": 5}
"""Hours after its start when a run can be used, by the name of the run that an issue at 00 UTC then sees."""
TRAININGS = 2
"""Of a window of the bench, each on the hours before."""
CARBONCAST_D1_FRACTION = 1.10
"""On day 1 of these grids the published forecasts had the operators' own wind and solar forecasts, which the bench lacks."""
CARBONCAST_D1 = ("CISO", "PL")


class Issues:
    """Forecasts of one zone, issued one after the other, each with the errors of those before."""

    def __init__(self, past: ZonePast, leads: int) -> None:
        self.past, self._track = past, Track.empty(leads)
        self.said: list[dict[float, FloatArray]] = []
        self.naive: list[FloatArray] = []
        self.members: list[FloatArray] = []

    def issue(self, model: ManyZoneModel, position: int, said: Said) -> None:
        """Issue at an hour, from what had passed by then."""
        known, at = self.past.until(position), self.past.start_at + timedelta(hours=position)
        own = model.zones[self.past.zone]
        self.said.append(quantiles_of(said, Lesson.of(own, self._track, known, at), own))
        self._track = self._track.and_then(at, said)
        self.members.append(said.usual_gco2_per_kwh[0][:, np.newaxis] * np.exp(said.members[0]))

    def quantile(self, level: float) -> FloatArray:
        """Shape (issues, leads)."""
        return np.array([one[level] for one in self.said])

    def member(self, name: str) -> FloatArray:
        """Shape (issues, leads)."""
        return np.array(self.members)[:, :, MEMBERS.index(name)]


def issued(pasts: Mapping[str, ZonePast], issues: Mapping[str, np.ndarray], recipe: Recipe, refit_days: int) -> dict[str, Issues]:  # type: ignore[type-arg]
    """All forecasts of a window: trained before the first issue, and again after every `refit_days` issues; 0 = once.

    Args:
        pasts: By zone, with all hours.
        issues: By zone, positions of the same instants, one a day.
        recipe: How to train.
        refit_days: Days between trainings.
    """
    out = {zone: Issues(past, recipe.leads) for zone, past in pasts.items()}
    count = len(next(iter(issues.values())))
    step = refit_days or count
    for first in range(0, count, step):
        model = train({zone: past.until(int(issues[zone][first])) for zone, past in pasts.items()}, recipe)
        for position in range(first, min(first + step, count)):
            now = {zone: issues[zone][position : position + 1] for zone in pasts}
            known = {zone: past.until(int(now[zone][0])) for zone, past in pasts.items()}
            for zone, said in model.said_of(known, now).items():
                out[zone].issue(model, int(now[zone][0]), said)
        print(f"  trained on {len(pasts)} zones, issued {min(first + step, count)} of {count} days", flush=True)
    return out


def by_day(errors: FloatArray) -> FloatArray:
    """Means by day ahead of shape (issues, leads), shape (days,)."""
    means: FloatArray = errors.reshape(len(errors), -1, DAY).mean(axis=(0, 2))
    return means


def bench_rows(bench: Path, span: Span, run: str, recipe: Recipe, refit_days: int | None) -> list[dict[str, Any]]:
    """One window with one choice of the weather's run; trained `TRAININGS` times where no days between trainings are given."""
    grids = {name: grid.delayed(DELAYS_H[run]) for name, grid in read_span(bench, span, span.grids).items()}
    days = (span.last_at - span.first_at).days + 1
    at = [span.first_at + timedelta(days=day) for day in range(days)]
    issues = {name: np.array([grid.position(one) for one in at]) for name, grid in grids.items()}
    step = -(-days // TRAININGS) if refit_days is None else refit_days
    ours = issued({name: grid.past for name, grid in grids.items()}, issues, recipe, step)
    rows = []
    for name, grid in grids.items():
        truth = grid.truth(issues[name])
        said = {"mape": ours[name].quantile(MIDDLE), "mape_persistence": ours[name].member("persistence")}
        said |= {"mape_ewma": ours[name].member("ewma"), "mape_spike": spike(grid, span.first_at, at, recipe.threads)}
        if grid.carboncast:
            said["mape_carboncast"] = np.array([grid.carboncast[one] for one in at])
        scores = {key: by_day(np.abs(values - truth) / truth * 100) for key, values in said.items()}
        is_inside = (ours[name].quantile(LOW) <= truth) & (truth <= ours[name].quantile(HIGH))
        inside = by_day(is_inside.astype(np.float64))
        for day in range(LEADS // DAY):
            row: dict[str, Any] = {"window": span.name, "weather_run": run, "grid": name, "day": day + 1}
            row |= {key: float(score[day]) for key, score in scores.items()}
            rows.append({"mape_carboncast": None, **row, "coverage80_fraction": float(inside[day])})
        told = " ".join(f"{key.removeprefix('mape_')} {score.mean():.2f}" for key, score in scores.items())
        print(f"{span.name} run {run} {name}: {told} coverage {inside.mean():.3f}", flush=True)
    return rows


def bench_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows of one choice of the weather's run come to."""
    theirs = [row for row in rows if row["mape_carboncast"] is not None]
    above = [
        {"window": row["window"], "grid": row["grid"], "day": row["day"], "mape_over_carboncast": row["mape"] / row["mape_carboncast"]}
        for row in theirs
        if row["mape"] >= row["mape_carboncast"]
    ]
    allowed = [one for one in above if one["day"] == 1 and one["grid"] in CARBONCAST_D1]
    return {
        "beats_floors_everywhere": all(row["mape"] < min(row["mape_persistence"], row["mape_ewma"]) for row in rows),
        "beats_carboncast_where_asked": len(allowed) == len(above)
        and all(one["mape_over_carboncast"] <= CARBONCAST_D1_FRACTION for one in allowed),
        "above_carboncast": above,
        "above_spike": [
            {"window": row["window"], "grid": row["grid"], "day": row["day"], "mape_over_spike": row["mape"] / row["mape_spike"]}
            for row in rows
            if row["mape"] >= row["mape_spike"]
        ],
        "mape_ratio_to_carboncast": _ratio(theirs, "mape_carboncast") if theirs else None,
        "mape_ratio_to_spike": _ratio(rows, "mape_spike"),
        "mape_ratio_to_spike_by_window": {
            window: _ratio([row for row in rows if row["window"] == window], "mape_spike")
            for window in sorted({row["window"] for row in rows})
        },
        "coverage80_fraction": float(np.mean([row["coverage80_fraction"] for row in rows])),
    }


def _ratio(rows: list[dict[str, Any]], other: str) -> float:
    """Mean over grids and days of ours by that of the other."""
    return float(np.mean([row["mape"] for row in rows]) / np.mean([row[other] for row in rows]))


def trace_rows(path: Path, zones: tuple[str, ...], kind: str, year: int, recipe: Recipe, refit_days: int) -> list[dict[str, Any]]:
    """History alone: every day of a year, all zones.

    Raises:
        ConfigError: The trace does not hold a year before it, or nothing of it.
    """
    table = read_table(path, zones, kind)
    first, last = table.year(year)
    if first < MIN_HOURS + 60 * DAY:
        raise ConfigError(f"{path}: needs three months of hours before {year} to learn from")
    pasts = {
        one.zone: ZonePast(zone=one.zone, start_at=one.start_at, values_gco2_per_kwh=one.values_gco2_per_kwh) for one in table.series()
    }
    begin = first + (-(table.start_at.hour + first)) % DAY
    position = np.arange(begin, last - recipe.leads + 1, DAY)
    ours = issued(pasts, dict.fromkeys(pasts, position), recipe, refit_days)
    rows = []
    for zone, forecasts in ours.items():
        truth = pasts[zone].values_gco2_per_kwh[position[:, np.newaxis] + np.arange(recipe.leads)]
        low, middle, high = (forecasts.quantile(level) for level in (LOW, MIDDLE, HIGH))
        others = {name: forecasts.member(name) for name in ("persistence", "ewma")}
        for day in range(recipe.leads // DAY):
            hours = slice(day * DAY, (day + 1) * DAY)
            row: dict[str, Any] = {"zone": zone, "day": day + 1, "issues": len(position)}
            for name, said in {"": middle, **{f"_{name}": said for name, said in others.items()}}.items():
                row[f"mape{name}"] = 100 * mape(truth[:, hours], said[:, hours])
                row[f"decision_value{name}_fraction"] = decision_value(truth[:, hours], said[:, hours])
                row[f"rank_correlation{name}"] = rank_correlation(truth[:, hours], said[:, hours])
            row["mae_gco2_per_kwh"] = float(np.abs(middle - truth)[:, hours].mean())
            pairs = ((LOW, low), (MIDDLE, middle), (HIGH, high))
            row["pinball_gco2_per_kwh"] = float(np.mean([pinball(truth[:, hours], said[:, hours], level) for level, said in pairs]))
            row["coverage80_fraction"] = float(((low <= truth) & (truth <= high))[:, hours].mean())
            rows.append(row)
        of_zone = [row for row in rows if row["zone"] == zone]
        told = " ".join(f"{row['mape']:.2f}/{min(row['mape_persistence'], row['mape_ewma']):.2f}" for row in of_zone)
        print(f"{zone}: MAPE by day ahead, ours / best floor: {told}", flush=True)
    return rows


def trace_summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the rows of a trace come to."""
    floors = [min(row["mape_persistence"], row["mape_ewma"]) for row in rows]
    return {
        "beats_floors_everywhere": all(row["mape"] < floor for row, floor in zip(rows, floors, strict=True)),
        "above_a_floor": [
            {"zone": row["zone"], "day": row["day"], "mape_over_floor": row["mape"] / floor}
            for row, floor in zip(rows, floors, strict=True)
            if row["mape"] >= floor
        ],
        "mape": float(np.mean([row["mape"] for row in rows])),
        "mape_ratio_to_best_floor": float(np.mean([row["mape"] for row in rows]) / np.mean(floors)),
        "decision_value_fraction": float(np.mean([row["decision_value_fraction"] for row in rows])),
        "decision_value_ewma_fraction": float(np.mean([row["decision_value_ewma_fraction"] for row in rows])),
        "decision_value_persistence_fraction": float(np.mean([row["decision_value_persistence_fraction"] for row in rows])),
        "coverage80_fraction": float(np.mean([row["coverage80_fraction"] for row in rows])),
    }


def parsed(argv: list[str] | None) -> argparse.Namespace:
    """The command's arguments."""
    parser = argparse.ArgumentParser(prog="benchmarks.forecasts", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bench", type=Path, help="directory of the forecast bench")
    source.add_argument("--traces", type=Path, help="CSV or Parquet with zone, time_utc, gco2_per_kwh, kind: history alone")
    source.add_argument("--speed", help="numbers of zones, comma-separated")
    parser.add_argument("--windows", default=",".join(span.name for span in SPANS), help="of the bench, comma-separated")
    parser.add_argument("--runs", default=",".join(DELAYS_H), help="of the weather model, as seen from the day of issue, comma-separated")
    parser.add_argument("--zones", help="of the trace, comma-separated; all of it without")
    parser.add_argument("--year", type=int, default=2022, help="of the trace: the year that is forecast")
    parser.add_argument("--kind", default="average_lifecycle", help="of the trace")
    parser.add_argument(
        "--refit-days",
        type=int,
        help="days between trainings; 0 = once; without it a window of the bench twice, a trace once",
    )
    parser.add_argument("--rows", type=int, default=120_000, help="rows that the trees learn from")
    parser.add_argument("--rounds", type=int, default=300, help="trees a model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 with one line on bad input."""
    arguments, started_at = parsed(argv), wall_now()
    common: dict[str, Any] = {"issue_hours": (0,), "threads": arguments.threads, "seed": arguments.seed}
    common |= {"rows": arguments.rows, "rounds": arguments.rounds}
    try:
        if arguments.bench:
            recipe = Recipe(leads=LEADS, **common)
            spans = [span for span in SPANS if span.name in arguments.windows.split(",")]
            if not spans:
                raise ConfigError(f"--windows names none of {', '.join(span.name for span in SPANS)}")
            unknown = [run for run in arguments.runs.split(",") if run not in DELAYS_H]
            if unknown:
                raise ConfigError(f"--runs takes {', '.join(DELAYS_H)}, not {unknown[0]!r}")
            by_run: dict[str, Any] = {}
            for run in arguments.runs.split(","):
                rows = list[dict[str, Any]]()
                for span in spans:
                    rows += bench_rows(arguments.bench, span, run, recipe, arguments.refit_days)
                    by_run[run] = {"weather_run": run, "rows": rows, "summary": bench_summary(rows)}
                    first = next(iter(by_run.values()))
                    what = "issued forecasts against CarbonCast's first tier, a plain LightGBM and the naive floors"
                    _write(arguments, {"what": what, **first, "by_run": by_run}, arguments.refit_days, started_at)
                print(f"run {run}: {by_run[run]['summary']}", flush=True)
        elif arguments.speed:
            rows = [speed_row(int(zones), Recipe(threads=arguments.threads, seed=arguments.seed)) for zones in arguments.speed.split(",")]
            _write(arguments, {"what": "seconds to train and to forecast, on synthetic years", "rows": rows}, 0, started_at)
        else:
            zones = tuple(arguments.zones.split(",")) if arguments.zones else TraceProvider(arguments.traces, arguments.kind).zones()
            refit_days, recipe = arguments.refit_days or 0, Recipe(leads=7 * DAY, **common)
            rows = trace_rows(arguments.traces, zones, arguments.kind, arguments.year, recipe, refit_days)
            result = {"what": "issued forecasts from history alone", "rows": rows, "summary": trace_summary(rows)}
            print(result["summary"], flush=True)
            _write(arguments, result, refit_days, started_at)
    except (CarbonRayError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _write(arguments: argparse.Namespace, result: dict[str, Any], refit_days: int | None, started_at: Any) -> None:
    if arguments.json:
        settings = {key: value for key, value in vars(arguments).items() if key not in {"json", "traces", "bench"}}
        path = arguments.traces or arguments.bench
        source = path.name if path else "embedded profiles"
        settings |= {
            "source": source,
            "refit_days": refit_days,
            "trainings": TRAININGS if refit_days is None else None,
            "seconds": round((wall_now() - started_at).total_seconds()),
        }
        write(arguments.json, {**result, "settings": settings})


if __name__ == "__main__":
    sys.exit(main())

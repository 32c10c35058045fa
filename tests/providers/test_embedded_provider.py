"""The embedded profile: complete, typical, and the same however and wherever it is asked for."""

from __future__ import annotations

import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.errors import ConfigError, ProviderNoDataError, UnknownZoneError
from carbon_ray.core.intensity import IntensityKind
from carbon_ray.providers.base import HistoryProvider
from carbon_ray.providers.embedded import EmbeddedProvider

PROVIDER = EmbeddedProvider()
NEW_YEAR = datetime(2024, 1, 1, tzinfo=UTC)
YEAR = (NEW_YEAR, datetime(2025, 1, 1, tzinfo=UTC))
EDGE_CASES = {"IN-WE", "SG", "US-CAR-YAD", "US-NW-DOPD", "US-NW-CHPD"}


def test_it_is_a_provider_of_marked_lifecycle_history() -> None:
    assert isinstance(PROVIDER, HistoryProvider)
    assert (PROVIDER.name, PROVIDER.kind) == ("embedded", IntensityKind.AVERAGE_LIFECYCLE)
    history = EmbeddedProvider(seed=7).history("DE", NEW_YEAR, NEW_YEAR + timedelta(hours=2))
    assert (history.zone, history.kind, history.step_s) == ("DE", IntensityKind.AVERAGE_LIFECYCLE, 3600.0)
    assert history.provenance.is_embedded
    assert history.provenance.provider == "embedded"
    for part in ("2024", "em_portal:sustain-cluster", "seed 7"):
        assert part in history.provenance.detail


def test_all_zones_have_a_whole_year() -> None:
    zones = PROVIDER.zones()
    assert len(zones) == 59
    assert list(zones) == sorted(zones)
    assert {"DE", "US-CAL-CISO", "CA-ON", "GB", "ZA"} <= set(zones)
    for zone in zones:
        history = PROVIDER.history(zone, *YEAR)
        assert len(history) == 8784
        assert zone in EDGE_CASES or history.values_gco2_per_kwh.std() > 0.02 * history.values_gco2_per_kwh.mean()


@pytest.mark.parametrize(
    # mean, lowest and highest hour of the year that the profile was made of (variability.csv), g/kWh
    ("zone", "mean", "lowest", "highest"),
    [("DE", 332, 107.06, 653.68), ("US-CAL-CISO", 226, 50.64, 422.56), ("CA-ON", 88, 10.23, 166.37), ("GB", 163, 36.24, 384.38)],
)
def test_a_year_looks_like_the_zone(zone: str, mean: float, lowest: float, highest: float) -> None:
    values = PROVIDER.history(zone, *YEAR).values_gco2_per_kwh
    assert values.mean() == pytest.approx(mean, rel=0.07)
    assert values.min() >= lowest
    assert values.max() <= highest


def test_californian_noon_is_cleaner_than_its_evening() -> None:
    by_hour = PROVIDER.history("US-CAL-CISO", *YEAR).values_gco2_per_kwh.reshape(-1, 24).mean(axis=0)
    assert by_hour[20] < 0.7 * by_hour[4]  # noon and 20:00 Pacific time


def test_deviations_remember_the_hour_before() -> None:
    by_day = PROVIDER.history("DE", *YEAR).values_gco2_per_kwh.reshape(-1, 24)
    deviation = (by_day - by_day.mean(axis=0)).ravel()
    assert np.corrcoef(deviation[1:], deviation[:-1])[0, 1] > 0.95
    assert 80 < deviation.std() < 140  # dev_std 98.68 of the profile, and the seasons


@pytest.mark.parametrize("zone", ["DE", "ES", "US-CAL-CISO", "US-TEX-ERCO"])
def test_no_month_and_no_year_begins_with_a_jump(zone: str) -> None:
    history = PROVIDER.history(zone, datetime(2020, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    jumps = np.abs(np.diff(history.values_gco2_per_kwh))
    firsts = [datetime(2020 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(1, 72)]
    at_first = [jumps[(first - history.start_at) // timedelta(hours=1) - 1] for first in firsts]
    midnights = jumps[23::24]
    assert np.mean(at_first) < 1.5 * np.mean(midnights)
    assert max(at_first) <= midnights.max()


START = st.datetimes(min_value=NEW_YEAR.replace(year=2021, tzinfo=None), max_value=NEW_YEAR.replace(tzinfo=None))


@settings(max_examples=40, deadline=None)
@given(START, st.integers(1, 3 * 8784 * 60), st.sampled_from(["DE", "SG", "US-CAL-CISO"]))
def test_any_window_is_cut_from_the_same_values(naive: datetime, length_min: int, zone: str) -> None:
    start_at = naive.replace(tzinfo=UTC)
    end_at = start_at + timedelta(minutes=length_min)
    whole = PROVIDER.history(zone, datetime(2021, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    part = PROVIDER.history(zone, start_at, end_at)
    assert part == whole.window(part.start_at, part.end_at)
    assert part.start_at <= start_at < part.start_at + timedelta(hours=1)
    assert part.end_at - timedelta(hours=1) < end_at <= part.end_at


def test_the_values_are_these() -> None:
    """Held fast, so that examples give the same numbers on every machine and after every change."""
    got = PROVIDER.history("DE", datetime(2022, 1, 1, tzinfo=UTC), datetime(2022, 1, 1, 4, tzinfo=UTC)).values_gco2_per_kwh
    assert list(got) == [370.67, 383.33, 382.88, 383.03]
    end_at = datetime(2024, 1, 1, tzinfo=UTC)
    assert list(EmbeddedProvider(seed=7).history("US-CAL-CISO", end_at - timedelta(hours=3), end_at).values_gco2_per_kwh) == [
        193.49,
        203.64,
        252.3,
    ]


def test_another_process_makes_the_same_values() -> None:
    code = (
        "import pickle, sys; from datetime import UTC, datetime;"
        "p = pickle.loads(sys.stdin.buffer.read());"
        "s = p.history('ES', datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 3, 8, tzinfo=UTC));"
        "sys.stdout.buffer.write(pickle.dumps(s))"
    )
    provider = EmbeddedProvider(seed=3)
    run = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(provider), capture_output=True, check=True)
    assert pickle.loads(run.stdout) == provider.history("ES", datetime(2023, 3, 1, tzinfo=UTC), datetime(2023, 3, 8, tzinfo=UTC))


def test_seeds_years_and_zones_differ() -> None:
    day = timedelta(days=1)
    base = PROVIDER.history("DE", NEW_YEAR, NEW_YEAR + day)
    others = [
        EmbeddedProvider(seed=1).history("DE", NEW_YEAR, NEW_YEAR + day),
        PROVIDER.history("DE", NEW_YEAR.replace(year=2023), NEW_YEAR.replace(year=2023) + day),
        PROVIDER.history("ES", NEW_YEAR, NEW_YEAR + day),
    ]
    assert all(not np.array_equal(base.values_gco2_per_kwh, other.values_gco2_per_kwh) for other in others)


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True])
def test_a_seed_is_a_number_of_zero_or_above(seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed of the embedded provider"):
        EmbeddedProvider(seed=seed)


def test_unknown_zones_come_with_the_known_ones() -> None:
    with pytest.raises(UnknownZoneError, match="did you mean") as caught:
        PROVIDER.history("US-CAL-CSIO", *YEAR)
    assert caught.value.known == PROVIDER.zones()


@pytest.mark.parametrize(
    ("start_at", "end_at"),
    [
        (datetime(1969, 12, 31, 23, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC)),
        (datetime(2099, 12, 31, tzinfo=UTC), datetime(2100, 1, 1, 0, 1, tzinfo=UTC)),
    ],
)
def test_wild_years_have_no_data(start_at: datetime, end_at: datetime) -> None:
    with pytest.raises(ProviderNoDataError, match="1970 to 2099"):
        PROVIDER.history("DE", start_at, end_at)


def test_the_first_and_the_last_year_are_whole() -> None:
    for year in (1970, 2099):
        assert len(PROVIDER.history("DE", datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC))) == 8760


def test_an_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="start_at before end_at"):
        PROVIDER.history("DE", NEW_YEAR, NEW_YEAR)


def test_the_licence_travels_with_the_data() -> None:
    text = " ".join((files("carbon_ray.providers") / "data" / "ATTRIBUTION.md").read_text().split())
    assert (
        "Contains information from the Electricity Maps data portal (electricitymaps.com), made available under the Open "
        "Database License (ODbL) v1.0, https://opendatacommons.org/licenses/odbl/1-0/."
    ) in text
    assert "same licence" in text

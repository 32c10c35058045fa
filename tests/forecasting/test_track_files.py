"""What was said lately comes back from its bytes, and nothing else is ever taken for it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting.model import MEMBERS
from carbon_ray.forecasting.track import Track
from carbon_ray.forecasting.track_codec import tracks_from_bytes, tracks_to_bytes

T0 = datetime(2026, 6, 1, tzinfo=UTC)


def track(issues: int, leads: int = 48) -> Track:
    draw = np.random.default_rng(issues)
    shape = (issues, leads)
    return Track(
        issue_at=tuple(T0 + timedelta(days=day) for day in range(issues)),
        usual_gco2_per_kwh=draw.uniform(50, 500, shape),
        members=draw.standard_normal((*shape, len(MEMBERS))),
        size=draw.uniform(0.1, 1, shape),
        provider=np.full(shape, np.nan),
    )


DATA = tracks_to_bytes({"DE/average_direct/grid": track(3), "ES": track(0), "PL": track(60)})


def test_tracks_come_back() -> None:
    again = tracks_from_bytes(DATA, "here")
    assert {name: len(one.issue_at) for name, one in again.items()} == {"DE/average_direct/grid": 3, "ES": 0, "PL": 60}
    before = track(60)
    assert again["PL"].issue_at == before.issue_at
    np.testing.assert_allclose(again["PL"].members, before.members, rtol=1e-6)
    assert np.isnan(again["PL"].provider).all()
    assert tracks_to_bytes(again) == DATA


def other_head(**changes: object) -> bytes:
    head, _, payload = DATA.partition(b"\n")
    return json.dumps({**json.loads(head), **changes}).encode() + b"\n" + payload


def other_payload(**arrays: object) -> bytes:
    import hashlib

    body = io.BytesIO()
    np.savez(body, **arrays)  # type: ignore[arg-type]
    head = json.loads(DATA.partition(b"\n")[0]) | {"sha256": hashlib.sha256(body.getvalue()).hexdigest()}
    return json.dumps(head).encode() + b"\n" + body.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]\n",
        DATA[:-1],
        DATA[:-20] + b"x" + DATA[-19:],
        other_head(format=2),
        other_head(members=["ridge"]),
        other_head(what="carbon-ray forecast model"),
        other_payload(),
        other_payload(names=np.frombuffer(b'["A"]', dtype=np.uint8)),
        other_payload(names=np.frombuffer(b'["A"]', dtype=np.uint8), **{f"0/{name}": np.zeros(3) for name in ("issue_at", "size")}),
    ],
)
def test_what_is_no_track_is_refused(data: bytes) -> None:
    with pytest.raises(ForecastModelError, match="here"):
        tracks_from_bytes(data, "here")


@settings(deadline=None, max_examples=100)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_no_changed_byte_goes_unnoticed(place: int, change: int) -> None:
    changed = DATA[:place] + bytes([DATA[place] ^ change]) + DATA[place + 1 :]
    try:
        found = tracks_from_bytes(changed, "here")
    except ForecastModelError:
        return
    assert tracks_to_bytes(found) == DATA  # a space in the first line, at most

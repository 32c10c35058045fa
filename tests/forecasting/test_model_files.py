"""A stored model says the same as the one that was trained, and nothing else is ever loaded."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from carbon_ray.actors.forecast_models import read_model, write_model
from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting import model_codec
from carbon_ray.forecasting.columns import SCHEMA
from carbon_ray.forecasting.model import ManyZoneModel, Recipe
from carbon_ray.forecasting.past import ZonePast
from carbon_ray.forecasting.training import train

T0 = datetime(2022, 1, 3, tzinfo=UTC)
SMALL = Recipe(leads=24, issue_hours=(0, 12), rows=3000, rounds=8, leaves=7, folds=2, calibration_issues=20, threads=1)
HOURS = np.arange(120 * 24)
VALUES = 300 + 80 * np.sin(2 * np.pi * HOURS / 24) + 20 * np.random.default_rng(0).standard_normal(len(HOURS))
PAST = ZonePast(zone="A", start_at=T0, values_gco2_per_kwh=VALUES)


@pytest.fixture(scope="module")
def model() -> ManyZoneModel:
    return train({"A": PAST, "B": ZonePast(zone="B", start_at=T0, values_gco2_per_kwh=VALUES[::-1].copy())}, SMALL)


def test_a_model_that_was_read_says_the_same(model: ManyZoneModel, tmp_path: Path) -> None:
    path = tmp_path / "models" / "one.model"
    write_model(path, model)
    again = read_model(path)
    assert again.recipe == model.recipe
    assert list(again.zones) == list(model.zones)
    for issue in (np.array([90 * 24]), np.array([90 * 24 + 13])):
        ours, theirs = model.said(PAST, issue), again.said(PAST, issue)
        assert np.array_equal(ours.members, theirs.members)
        assert np.array_equal(ours.size, theirs.size)
    assert list(path.parent.iterdir()) == [path]
    write_model(path, again)
    assert read_model(path).trees.texts == model.trees.texts


def broken(data: bytes, how: str) -> bytes:
    head, _, payload = data.partition(b"\n")
    fields = json.loads(head)
    if how == "flipped":
        return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]
    if how == "cut":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "text":
        return b"zone,time\nDE,2022\n"
    if how == "list":
        return b"[1, 2]\n"
    if how == "format":
        fields["format"] = 99
    if how == "schema":
        fields["schema"] = "0" * 16
    if how == "what":
        fields["what"] = "cake"
    return json.dumps(fields).encode() + b"\n" + payload


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("flipped", "checksum"),
        ("cut", "checksum"),
        ("empty", "not a forecast model"),
        ("text", "not a forecast model"),
        ("list", "not a forecast model"),
        ("what", "not a forecast model"),
        ("format", "has format 99"),
        ("schema", f"this version has {SCHEMA}"),
    ],
)
def test_nothing_else_is_loaded(model: ManyZoneModel, tmp_path: Path, how: str, told: str) -> None:
    path = tmp_path / "one.model"
    path.write_bytes(broken(model_codec.to_bytes(model), how))
    with pytest.raises(ForecastModelError, match=told) as caught:
        read_model(path)
    assert caught.value.source == str(path)


def test_a_payload_with_a_right_checksum_and_wrong_content_is_refused(model: ManyZoneModel) -> None:
    import hashlib

    payload = b"PK not an archive"
    head = {"what": "carbon-ray forecast model", "format": model_codec.FORMAT, "schema": SCHEMA}
    head |= {"sha256": hashlib.sha256(payload).hexdigest()}
    with pytest.raises(ForecastModelError, match="cannot be read"):
        model_codec.from_bytes(json.dumps(head).encode() + b"\n" + payload, "here")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ForecastModelError, match="could not be read: No such file"):
        read_model(tmp_path / "none.model")
    with pytest.raises(ForecastModelError, match="could not be written"):
        write_model(Path("/dev/null/one.model"), ManyZoneModel(recipe=SMALL, zones={}, trees=_none(), sizes=_none()))


def _none():  # type: ignore[no-untyped-def]
    from carbon_ray.forecasting.trees import Trees

    return Trees(())

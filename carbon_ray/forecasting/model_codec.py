"""A trained model as bytes: versioned, with a checksum and the schema of its columns; nothing in it is executed when it is read.

The first line is JSON: format, schema and the SHA-256 of what follows. The rest is a NumPy archive without pickled objects, in which the
model's structure is JSON too.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_ray.core.errors import ForecastModelError
from carbon_ray.forecasting.columns import SCHEMA
from carbon_ray.forecasting.generation import Curves
from carbon_ray.forecasting.model import ManyZoneModel, Recipe, ZoneModel
from carbon_ray.forecasting.trees import Trees

FORMAT = 2
"""Changes when older readers would misread the bytes."""
_KIND = "carbon-ray forecast model"
_CURVES = ("wind", "sun", "demand")


def to_bytes(model: ManyZoneModel) -> bytes:
    """Write a model; equal models give equal bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    zones = []
    for number, (zone, one) in enumerate(model.zones.items()):
        arrays[f"{number}/products"], arrays[f"{number}/scores"] = one.products, one.scores
        for hour, coefficients in one.coefficients.items():
            arrays[f"{number}/coefficients/{hour}"] = coefficients
        curves = [] if one.curves is None else [name for name in _CURVES if getattr(one.curves, name) is not None]
        for name in curves:
            arrays[f"{number}/curves/{name}"] = getattr(one.curves, name)
        zones.append({"zone": zone, "hours": list(one.coefficients), "curves": curves})
    structure = {
        "recipe": asdict(model.recipe),
        "zones": zones,
        "trees": {"texts": model.trees.texts, "threads": model.trees.threads},
        "sizes": {"texts": model.sizes.texts, "threads": model.sizes.threads},
    }
    arrays["structure"] = np.frombuffer(json.dumps(structure).encode(), dtype=np.uint8)
    body = io.BytesIO()
    np.savez_compressed(body, **arrays)  # type: ignore[arg-type]
    payload = body.getvalue()
    head = {"what": _KIND, "format": FORMAT, "schema": model.schema, "sha256": hashlib.sha256(payload).hexdigest()}
    return json.dumps(head).encode() + b"\n" + payload


def from_bytes(data: bytes, source: str) -> ManyZoneModel:
    """Read a model.

    Args:
        data: As `to_bytes` wrote them.
        source: For the error: where the bytes come from.

    Raises:
        ForecastModelError: These are no model, were damaged, or are of another format or schema of columns than this version's.
    """
    line, _, payload = data.partition(b"\n")
    try:
        head = json.loads(line)
        found = {name: head[name] for name in ("what", "format", "schema", "sha256")}
    except (ValueError, KeyError, TypeError):
        raise ForecastModelError(source, "is not a forecast model") from None
    if found["what"] != _KIND:
        raise ForecastModelError(source, "is not a forecast model")
    if found["format"] != FORMAT:
        raise ForecastModelError(source, f"has format {found['format']}, this version reads {FORMAT}")
    if found["sha256"] != hashlib.sha256(payload).hexdigest():
        raise ForecastModelError(source, "does not match its checksum: it was damaged or cut off")
    if found["schema"] != SCHEMA:
        raise ForecastModelError(source, f"was trained on other columns (schema {found['schema']}, this version has {SCHEMA})")
    try:
        return _read(payload)
    except (KeyError, ValueError, TypeError, zipfile.BadZipFile, OSError) as error:
        raise ForecastModelError(source, f"cannot be read: {error}") from None


def _read(payload: bytes) -> ManyZoneModel:
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        structure = json.loads(arrays["structure"].tobytes())
        zones = {}
        for number, one in enumerate(structure["zones"]):
            wind, sun, demand = (arrays[f"{number}/curves/{name}"] if name in one["curves"] else None for name in _CURVES)
            zones[one["zone"]] = ZoneModel(
                curves=None if demand is None else Curves(wind=wind, sun=sun, demand=demand),
                coefficients={hour: arrays[f"{number}/coefficients/{hour}"] for hour in one["hours"]},
                products=arrays[f"{number}/products"],
                scores=arrays[f"{number}/scores"],
            )
    recipe = structure["recipe"]
    trees, sizes = (Trees(tuple(structure[name]["texts"]), structure[name]["threads"]) for name in ("trees", "sizes"))
    return ManyZoneModel(recipe=Recipe(**{**recipe, "issue_hours": tuple(recipe["issue_hours"])}), zones=zones, trees=trees, sizes=sizes)

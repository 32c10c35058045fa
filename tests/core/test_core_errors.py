"""The error tree: every class crosses processes whole, and the drawing in the docstring is the tree."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_type_hints

import pytest

from carbon_ray.core import errors
from carbon_ray.core.errors import CarbonRayError, OutsideDataError, UnitMismatchError, UnknownRegionError, UnknownZoneError

SAMPLES: dict[object, object] = {
    str: "text that must survive",
    int: 3,
    float: 1800.0,
    tuple[str, ...]: ("DE", "FR"),
    datetime: datetime(2022, 5, 2, 16, tzinfo=UTC),
}


def tree(root: type[CarbonRayError]) -> Iterator[type[CarbonRayError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


CLASSES = sorted(
    {one for one in tree(CarbonRayError) if one.__module__ == errors.__name__},
    key=lambda one: one.__name__,
)


def example(cls: type[CarbonRayError]) -> CarbonRayError:
    """An error of the class with every argument of its constructor given."""
    if cls.__init__ in (Exception.__init__, ValueError.__init__):
        return cls("text that must survive")
    hints = get_type_hints(cls.__init__)
    return cls(*[SAMPLES[hints[name]] for name in inspect.signature(cls).parameters])


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_pickles_whole(cls: type[CarbonRayError]) -> None:
    error = example(cls)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_every_message_holds_every_argument(cls: type[CarbonRayError]) -> None:
    text = str(example(cls))
    given = {"text that must survive": SAMPLES[str], "2022-05-02T16:00Z": SAMPLES[datetime], "1800": SAMPLES[float]}
    for words, value in given.items():
        assert (words in text) == (value in example(cls).args)


def drawing() -> list[tuple[int, list[str]]]:
    """Indent and class names of every line of the drawing."""
    lines = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"( {4,})((?:[A-Z]\w+(?:, )?)+)", line):
            lines.append((len(match[1]), match[2].split(", ")))
    return lines


def test_the_drawing_names_every_class_once_and_no_other() -> None:
    drawn = [name for _, names in drawing() for name in names]
    assert sorted(drawn) == [one.__name__ for one in CLASSES]


def test_the_drawing_shows_who_descends_from_whom() -> None:
    above: dict[int, str] = {}
    parents: dict[str, str] = {}
    for indent, names in drawing():
        for name in names:
            parents[name] = above.get(indent - 2, "Exception")
        above[indent] = names[-1]
    assert parents == {one.__name__: one.__bases__[0].__name__ for one in CLASSES}


@pytest.mark.parametrize("cls", [OutsideDataError, UnitMismatchError])
def test_wrong_values_are_value_errors_too(cls: type[CarbonRayError]) -> None:
    assert issubclass(cls, ValueError)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnknownZoneError("US-CAL-CSIO", ("DE", "US-CAL-CISO")), "unknown grid zone 'US-CAL-CSIO'; did you mean US-CAL-CISO?"),
        (UnknownZoneError("??", ("DE", "FR")), "unknown grid zone '??'; known: DE, FR"),
        (UnknownZoneError("??", tuple(f"Z{n:02}" for n in range(20))), "unknown grid zone '??'; known: " + "%s, ..."),
        (UnknownZoneError("DE"), "unknown grid zone 'DE'; none is known"),
        (UnknownRegionError("eu-ed", ("eu-de", "us-ca")), "unknown region 'eu-ed'; did you mean eu-de"),
    ],
)
def test_an_unknown_name_comes_with_the_known_ones(error: CarbonRayError, expected: str) -> None:
    assert str(error).startswith(expected.replace("%s", ", ".join(f"Z{n:02}" for n in range(12))))

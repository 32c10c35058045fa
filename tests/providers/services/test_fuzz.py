"""Whatever comes from a service, only declared errors and sound values come out. Longer: `python -m tests.fuzz --minutes 10`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carbon_ray.providers.services.answer import Answer
from carbon_ray.testing import Reply
from tests.fuzz.targets import FILES, FUZZED, STATUSES, TYPES, Fuzzed, read_file
from tests.providers.services.samples import NOW, START

every = pytest.mark.parametrize("fuzzed", FUZZED, ids=lambda fuzzed: fuzzed.kit.name)
relaxed = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])

odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from([1e308, -1e308, 10**400, "1e999", "NaN", "", "-0", "\uff12", "9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00"]),
    st.sampled_from(
        ["2026-02-03T11:00", "2026-02-03T11:00:00.123456789Z", "2026-02-03", "20260203T110000Z", "2026-02-30T00:00Z", 2**53, -1]
    ),
)
any_json = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=12
)


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place within JSON."""
    inner = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in inner for place in places(value, (*path, key)))]


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(data) if isinstance(data, dict) else list(data)
    copy[path[0]] = changed(data[path[0]], path[1:], value)
    return copy


@every
@relaxed
@given(data=st.data())
def test_arbitrary_bytes(fuzzed: Fuzzed, data: st.DataObject) -> None:
    status, kind = data.draw(st.sampled_from(STATUSES)), data.draw(st.sampled_from(TYPES))
    headers = data.draw(
        st.dictionaries(
            st.sampled_from(["Retry-After", "Date", "X-RateLimit-Reset", "Location", "Content-Encoding", "x-login"]),
            st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30)
            | st.sampled_from(["too", "gzip", "/x", "//", "http://["]),
            max_size=2,
        )
    )
    if data.draw(st.booleans()) and status != 204:
        status = data.draw(st.sampled_from([status, 302, 307]))
    fuzzed(Reply(status=status, body=data.draw(st.binary(max_size=200)), content_type=kind, headers=headers))


@every
@relaxed
@given(data=st.data())
def test_arbitrary_json(fuzzed: Fuzzed, data: st.DataObject) -> None:
    body = json.dumps(data.draw(any_json)).encode()
    fuzzed(Reply(status=data.draw(st.sampled_from(STATUSES)), body=body, content_type="application/json"))


@every
@relaxed
@given(data=st.data())
def test_a_good_answer_with_something_changed(fuzzed: Fuzzed, data: st.DataObject) -> None:
    """Most of an answer stays good, so that what is changed gets past the first checks."""
    kit = fuzzed.kit
    make = data.draw(st.sampled_from([one for one in (kit.history, kit.forecast) if one is not None]))
    good = make(START, kit.values(4))
    if good.content_type == "text/xml":
        text = good.body.decode()
        first, length = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 12))
        put = data.draw(
            st.text(max_size=12) | st.sampled_from(["9" * 40, "-1", "<Point/>", "</Period>", "&x;", "A03", "1e5", "P1D", "PT0M", ",,"])
        )
        body = (text[:first] + put + text[first + length :]).encode(errors="surrogatepass")
    else:
        document = json.loads(good.body)
        for _ in range(data.draw(st.integers(1, 3))):
            path = data.draw(st.sampled_from(places(document)))
            document = changed(document, path, data.draw(any_json))
        body = json.dumps(document).encode()
    fuzzed(Reply(body=body, content_type=good.content_type))


@pytest.mark.parametrize("name", FILES)
@relaxed
@given(body=st.binary(max_size=300) | any_json.map(lambda data: json.dumps(data).encode()))
def test_files(name: str, body: bytes) -> None:
    read_file(name, body)


ENTRY = {"Location": "a", "Time": "2026-02-03T14:00:00+00:00", "Rating": 100, "Duration": "01:00:00"}


@relaxed
@given(changes=st.lists(st.dictionaries(st.sampled_from(sorted(ENTRY)), odd, max_size=2), max_size=4))
def test_a_file_of_the_sdk_with_something_changed(changes: list[dict[str, Any]]) -> None:
    read_file("sdk", json.dumps([{**ENTRY, **change} for change in changes]).encode())


@relaxed
@given(rows=st.lists(st.lists(odd.map(str), min_size=1, max_size=5), max_size=4))
def test_a_trace_with_something_changed(rows: list[list[str]]) -> None:
    lines = ["zone,time_utc,gco2_per_kwh,kind", "DE,2026-02-03T14:00Z,1,marginal", *(",".join(row) for row in rows)]
    read_file("trace", "\n".join(lines).encode(errors="replace"))


@given(st.dictionaries(st.sampled_from(["retry-after", "date", "x-ratelimit-reset", "content-type"]), st.text(max_size=40)))
def test_headers_never_break(headers: dict[str, str]) -> None:
    answer = Answer(status=429, headers=headers, body=b"", fetched_at=NOW)
    assert answer.retry_at(60.0) >= NOW
    assert (answer.retry_at(60.0) - NOW).total_seconds() <= 86_400
    assert answer.skew_s is None or isinstance(answer.skew_s, float)
    assert answer.content_type == answer.content_type.lower()

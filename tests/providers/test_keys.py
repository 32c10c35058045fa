"""Where keys are looked for, and that they stay out of what is printed or stored."""

from __future__ import annotations

import base64
import copy
import os
import pickle
import sys
import threading
import types
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_ray.core.errors import ConfigError
from carbon_ray.providers.keys import HIDDEN, KnownSecrets, Secret, find_secret, key_file, redact, variable

NAME = "CARBON_RAY_EIA_KEY"
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=40)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path)}


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_name_says_provider_and_field() -> None:
    assert variable("electricity-maps", "token") == "CARBON_RAY_ELECTRICITY_MAPS_TOKEN"


def test_the_environment_comes_first_then_the_file_then_the_keyring(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = types.ModuleType("keyring")
    keyring.get_password = lambda service, user: f"{service}/{user}"  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    assert find_secret("eia", "key", environ) == Secret(f"carbon_ray/{NAME}")
    write(key_file(environ), f"# keys\n\nOTHER=1\n{NAME} = 'from-file'\n")
    assert find_secret("eia", "key", environ) == Secret("from-file")
    assert find_secret("eia", "key", environ | {NAME: "from-env\n"}) == Secret("from-env")


def test_a_key_that_is_nowhere_is_asked_for_by_name(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=f"set {NAME} in the environment"):
        find_secret("eia", "key", environ)


def test_a_broken_keyring_has_nothing(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    keyring = types.ModuleType("keyring")

    def get_password(service: str, user: str) -> str:
        raise RuntimeError("locked; the password was hunter2")

    keyring.get_password = get_password  # type: ignore[attr-defined]  # made here
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    with pytest.raises(ConfigError, match="needs its key"):
        find_secret("eia", "key", environ)
    assert "RuntimeError" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_file_that_others_can_read_is_refused(environ: dict[str, str], mode: int) -> None:
    path = write(key_file(environ), f"{NAME}=visible-to-all\n", mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}") as caught:
        find_secret("eia", "key", environ)
    assert "visible-to-all" not in str(caught.value)


@pytest.mark.parametrize("text", [f"{NAME} secret-without-equals\n", "a=1\nsecret-line\n"])
def test_a_malformed_line_is_told_by_its_number_alone(environ: dict[str, str], text: str) -> None:
    write(key_file(environ), text)
    with pytest.raises(ConfigError, match=r"line \d: write NAME=value") as caught:
        find_secret("eia", "key", environ)
    assert "secret" not in str(caught.value)


def test_a_named_file_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        find_secret("eia", "key", {"CARBON_RAY_KEY_FILE": str(tmp_path / "absent")})
    with pytest.raises(ConfigError, match="cannot be read"):
        find_secret("eia", "key", {"CARBON_RAY_KEY_FILE": str(tmp_path)})
    write(tmp_path / "binary", "").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_secret("eia", "key", {"CARBON_RAY_KEY_FILE": str(tmp_path / "binary")})


@pytest.mark.parametrize("value", ["", "två", "two\nlines", "tab\there", "\x00"])
def test_what_no_header_can_carry_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Secret(value)
    assert not value or value not in str(caught.value)


@given(printable)
def test_a_secret_shows_itself_to_nobody(value: str) -> None:
    secret = Secret(value)
    shown = f"{secret} {secret!r} {[secret]} { ({'k': secret}) }"
    assert value not in shown.replace("Secret([hidden])", "")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(pickle.PicklingError):
            pickle.dumps(secret, protocol)
    with pytest.raises(pickle.PicklingError):
        copy.deepcopy(secret)
    assert secret.reveal() == value
    assert secret == Secret(value)
    assert secret != Secret(value + "x")


@given(printable, st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_a_secret_is_left_in_a_text(value: str, before: str, after: str) -> None:
    forms = (value, quote(value, safe=""), quote_plus(value), base64.b64encode(value.encode()).decode())
    for form in forms:
        text = redact(f"{before}<{form}>{after}", [Secret(value)])
        assert HIDDEN in text
        assert f"<{form}>" not in text


@given(printable, st.integers(1, 39))
def test_a_cut_leaves_no_beginning_of_a_secret(value: str, length: int) -> None:
    cut = redact("<" + value[:length], [Secret(value)], is_cut=True)
    assert value[:3] not in cut or length < 3


def test_without_an_environment_the_process_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, NAME, "from-process")
    assert find_secret("eia", "key") == Secret("from-process")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert key_file() == Path.home() / ".config" / "carbon_ray" / "keys"


class Nosy(Secret):
    """Looks at what is known while it is being added, as a collector that closes a client in the middle of it does."""

    def __init__(self, value: str, known: KnownSecrets) -> None:
        super().__init__(value)
        self.known = known

    def __hash__(self) -> int:
        list(self.known)
        return super().__hash__()


def test_what_is_known_can_be_looked_at_while_it_grows() -> None:
    known = KnownSecrets(most=2)
    adding = threading.Thread(target=lambda: known.add(Nosy("first", known), Nosy("second", known), Nosy("third", known)), daemon=True)
    adding.start()
    adding.join(10.0)
    assert not adding.is_alive(), "it waits for itself"
    assert [secret.reveal() for secret in known] == ["second", "third"]
    known.add(Secret("second"))
    assert [secret.reveal() for secret in known] == ["third", "second"], "what was used last stays longest"

"""Keys of data sources: where they are looked for, and how they are kept out of everything that is written.

A key is never a setting. It is looked for under the name `CARBON_RAY_<PROVIDER>_<FIELD>` (`CARBON_RAY_EIA_KEY`):

1. in the environment;
2. in a file of lines `NAME=value` that its owner alone may read (mode 0600): `CARBON_RAY_KEY_FILE`, or
   `$XDG_CONFIG_HOME/carbon_ray/keys` (`~/.config/carbon_ray/keys`);
3. in the system's keyring, service `carbon_ray`, where the `keyring` package is installed.

A `Secret` does not print and does not pickle: a provider that travels looks for its keys again where it arrives.
"""

from __future__ import annotations

import base64
import importlib
import json
import logging
import os
import pickle
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote, quote_plus

from carbon_ray.core.errors import ConfigError

log = logging.getLogger(__name__)

KEY_FILE_VARIABLE = "CARBON_RAY_KEY_FILE"
KEYRING_SERVICE = "carbon_ray"
HIDDEN = "[hidden]"


class Secret:
    """A key that only `reveal` shows. It neither prints nor pickles.

    Args:
        value: The key; printable ASCII, not empty.

    Raises:
        ConfigError: It is empty, or holds what no header can carry; does not show it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not value or not value.isascii() or not value.isprintable():
            raise ConfigError("a key is empty or holds other than printable ASCII characters; copy it again")
        self._value = value

    def reveal(self) -> str:
        """The key itself; for the wire alone."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise pickle.PicklingError("a secret does not pickle; look for it again where it is needed")


def variable(provider: str, field: str) -> str:
    """Name under which a key is looked for: `CARBON_RAY_<PROVIDER>_<FIELD>`."""
    return f"CARBON_RAY_{provider}_{field}".upper().replace("-", "_")


def key_file(environ: Mapping[str, str] | None = None) -> Path:
    """The key file, whether or not it is there."""
    environ = os.environ if environ is None else environ
    if named := environ.get(KEY_FILE_VARIABLE):
        return Path(named)
    config = environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "carbon_ray" / "keys"


def find_secret(provider: str, field: str, environ: Mapping[str, str] | None = None) -> Secret:
    """The key of a provider.

    Args:
        provider: Name of the provider.
        field: What it is: key, token, username, password.
        environ: Environment to look in; by default the process's.

    Raises:
        ConfigError: It is nowhere, or the key file is malformed or can be read by others.
    """
    environ = os.environ if environ is None else environ
    name = variable(provider, field)
    value = environ.get(name) or _in_file(key_file(environ), name, is_named=KEY_FILE_VARIABLE in environ) or _in_keyring(name)
    if not value:
        raise ConfigError(
            f"{provider} needs its {field}: set {name} in the environment, write a line {name}=... to {key_file(environ)} (mode 0600), "
            f"or store it in the keyring as user {name} of service {KEYRING_SERVICE}"
        )
    return Secret(value.strip())


def _in_file(path: Path, name: str, *, is_named: bool) -> str | None:
    try:
        with path.open(encoding="utf-8") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"key file {path} is no regular file")
            if status.st_mode & 0o077:
                raise ConfigError(f"key file {path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o}); run: chmod 600 {path}")
            lines = file.read().splitlines()
    except FileNotFoundError:
        if is_named:
            raise ConfigError(f"key file {path} ({KEY_FILE_VARIABLE}) does not exist") from None
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"key file {path} cannot be read: {type(error).__name__}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found, equals, value = line.partition("=")
        if not equals:
            raise ConfigError(f"key file {path}, line {number}: write NAME=value")
        if found.strip() == name:
            return value.strip().strip("\"'") or None
    return None


def _in_keyring(name: str) -> str | None:
    try:
        keyring: Any = importlib.import_module("keyring")
        value = keyring.get_password(KEYRING_SERVICE, name)
    except ImportError:
        return None
    except Exception as error:  # every backend raises its own; a keyring that is locked or broken is one that has nothing
        log.warning("the system's keyring cannot be asked for %s: %s", name, type(error).__name__)
        return None
    return value if isinstance(value, str) else None


def redact(text: str, secrets: Iterable[Secret], *, is_cut: bool = False) -> str:
    """The text without any of the secrets, also where they are encoded as in a URL, in JSON or in Base64.

    Args:
        text: What somebody else wrote.
        secrets: What must not be in it.
        is_cut: The text was cut off: what it ends with may be the beginning of a secret, and goes too.
    """
    forms = set()
    for secret in secrets:
        value = secret.reveal()
        forms |= {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}
        forms.add(base64.b64encode(value.encode()).decode())
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    if is_cut:
        ends = (length for form in forms for length in range(len(form) - 1, 2, -1) if text.endswith(form[:length]))
        text = text[: len(text) - max(ends, default=0)]
    return text


class KnownSecrets:
    """The secrets that were used last: sessions renew theirs for ever, and old ones are good for nothing."""

    def __init__(self, most: int = 64) -> None:
        self._most, self._secrets = most, tuple[Secret, ...]()
        self._lock = threading.Lock()

    def add(self, *secrets: Secret) -> None:
        """Note that secrets are used now."""
        with self._lock:
            self._secrets = tuple(dict.fromkeys([*(one for one in self._secrets if one not in secrets), *secrets]))[-self._most :]

    def __iter__(self) -> Iterator[Secret]:
        # Without the lock: the garbage collector may close a forgotten client at any line of this process, also while it is held
        # here, and closing writes to a log that is looked through for secrets.
        return iter(self._secrets)


class _Guard(logging.Filter):
    """Takes known secrets out of what a library writes to its log, such as the headers of an answer that repeats a key."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets = KnownSecrets()

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite the record; it always stays."""
        text = record.getMessage()
        if (plain := redact(text, self.secrets)) != text:
            record.msg, record.args = plain, ()
        return True


_GUARD = _Guard()
_GUARDED = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))


def guard_logs(secrets: Iterable[Secret]) -> None:
    """Keep secrets out of the logs of the HTTP libraries, for as long as the process lives."""
    _GUARD.secrets.add(*secrets)
    for name in _GUARDED:
        logging.getLogger(name).addFilter(_GUARD)  # a second time changes nothing

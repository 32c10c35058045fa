"""The same behaviours once more over a real socket of this machine: the fakes of the process must not differ from the world."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from carbon_ray.core.errors import CarbonRayError, ProviderQuotaError, ProviderRequestError, ProviderResponseError, ProviderUnavailable
from carbon_ray.testing import FakeService, FakeWorld, Reply
from tests.providers.services.samples import END, KITS, NOW, SERVICES, START, Kit, after_login, data_requests, reply

FAST = {"read_timeout_s": 0.2, "retries": 1, "backoff_s": 0.01, "min_interval_s": 0.0}


def base(kit: Kit, url: str) -> str:
    """The service's usual path below another host."""
    path = (kit.cls.usual_base_url or "").removeprefix("https://").partition("/")[2]
    return f"{url}/{path}".rstrip("/")


@pytest.mark.parametrize("kit", SERVICES, ids=lambda kit: kit.name)
def test_success_over_a_socket(kit: Kit) -> None:
    service = FakeService(after_login([kit.history(START, kit.values())]))
    with service.on_this_machine() as url:
        provider = kit.make(None, FakeWorld(NOW), base_url=base(kit, url), network=FAST)
        answer = kit.ask(provider)
        provider.close()
    if kit in KITS:
        assert list(answer.values_gco2_per_kwh) == pytest.approx(kit.values(), abs=1e-6)
    assert len(answer) == len(kit.values())
    (asked,) = data_requests(service)
    assert asked.path == kit.path
    assert kit.asks.items() <= dict(asked.params).items()


GOOD = reply({"data": []})
BAD: dict[str, tuple[Reply, dict[str, object], type[CarbonRayError], int]] = {
    "slow": (Reply(fault="slow"), {}, ProviderUnavailable, 2),
    "dropped": (Reply(fault="dropped"), {}, ProviderUnavailable, 2),
    "cut off": (replace(GOOD, fault="cut_off"), {}, ProviderUnavailable, 2),
    "oversized": (GOOD, {"max_response_bytes": 5}, ProviderResponseError, 1),
    "wrong type": (replace(GOOD, content_type="text/html"), {}, ProviderResponseError, 1),
    "elsewhere": (Reply(status=302, headers={"Location": "http://127.0.0.2:9/x"}), {}, ProviderResponseError, 1),
    "429": (Reply(status=429, headers={"Retry-After": "500"}, body=b"{}"), {}, ProviderQuotaError, 1),
    "400": (Reply(status=400, body=b"{}"), {}, ProviderRequestError, 1),
    "503": (Reply(status=503, body=b"{}"), {}, ProviderUnavailable, 2),
}


@pytest.mark.parametrize(("bad", "network", "error", "requests"), BAD.values(), ids=list(BAD))
def test_failure_over_a_socket(bad: Reply, network: dict[str, object], error: type[CarbonRayError], requests: int) -> None:
    kit = next(kit for kit in KITS if kit.name == "neso")
    service = FakeService([bad])
    with service.on_this_machine() as url:
        provider = kit.make(None, FakeWorld(NOW), base_url=url, network={**FAST, **network})
        with pytest.raises(error) as caught:
            provider.history("GB", START, END)
        provider.close()
    assert type(caught.value) is error
    assert len(service.asked) == requests


def test_nobody_there_is_unavailable() -> None:
    with FakeService([GOOD]).on_this_machine() as url:
        pass
    provider = KITS[2].make(None, FakeWorld(NOW), base_url=url, network=FAST)
    with pytest.raises(ProviderUnavailable, match="no connection"):
        provider.history("GB", START, END)
    provider.close()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl program to make a certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    kit = next(kit for kit in KITS if kit.name == "neso")
    service = FakeService([kit.history(START, kit.values())])
    with service.on_this_machine(tls=context) as url:
        localhost = url.replace("127.0.0.1", "localhost")
        for switch in ("PYTHONHTTPSVERIFY", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
            monkeypatch.setenv(switch, "0" if switch == "PYTHONHTTPSVERIFY" else "")
        provider = kit.make(None, FakeWorld(NOW), base_url=localhost, network=FAST)
        with pytest.raises(ProviderUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            provider.history("GB", START, END)
        assert service.asked == [], "nothing was said to a stranger"
        provider.close()
        vouched = kit.make(None, FakeWorld(NOW), base_url=localhost, network={**FAST, "read_timeout_s": 5.0, "ca_file": str(cert)})
        assert len(vouched.history("GB", START, END)) == 6
        vouched.close()
        by_number = kit.make(None, FakeWorld(NOW), base_url=url, network={**FAST, "ca_file": str(cert)})
        with pytest.raises(ProviderUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            by_number.history("GB", START, END)
        by_number.close()

"""The client that all services share: asks, waits its turn, tries again where that helps, and raises declared errors only."""

from __future__ import annotations

import logging
import re
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Literal

import httpx

from carbon_ray.core.errors import (
    ProviderAccessError,
    ProviderAuthError,
    ProviderError,
    ProviderQuotaError,
    ProviderRequestError,
    ProviderResponseError,
    ProviderUnavailable,
)
from carbon_ray.providers.base import Quota
from carbon_ray.providers.keys import KnownSecrets, Secret, guard_logs, redact
from carbon_ray.providers.services.answer import Answer
from carbon_ray.providers.services.memory import AnswerMemory, Cooldown
from carbon_ray.providers.services.network import NetworkSettings, tls_context
from carbon_ray.providers.services.pacing import Gate
from carbon_ray.providers.services.surroundings import Surroundings
from carbon_ray.providers.services.wire import EXTENSION, BodyCutOff, BodyTooLarge, Credentials, KeyedTransport, read_body

log = logging.getLogger(__name__)

Params = tuple[tuple[str, str], ...]
OnAuth = Literal["raise", "back_off"]

EXCERPT_CHARS = 200
_LOOKED_AT_CHARS = 2048
_MAX_REDIRECTS = 3
_SECRET_PARAM = re.compile(r"(?i)((?:api_?key|security_?token|auth-token|authorization|token|password)\"?\s*[=:]\s*\"?)[^\s&\"<>]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request.

    Attributes:
        path: Below the base URL, with a leading slash.
        params: Query, in order.
        zone: Grid zone, for errors.
        content: Media types that the answer may have.
        lane: Part of the service with a limit of its own.
        credentials: Keys; None for a request without.
        is_cached: The answer may come from memory.
    """

    path: str
    params: Params = ()
    zone: str = "-"
    content: tuple[str, ...] = ("application/json",)
    lane: str = ""
    credentials: Credentials | None = None
    is_cached: bool = True


Judge = Callable[[Answer, Question], ProviderError | None]


class ServiceClient:
    """Asks one service with one key. Safe to use from several threads.

    Args:
        provider: Name for errors.
        base_url: Checked base of all addresses.
        network: Time-outs, retries, pace, sizes.
        surroundings: Time, pauses, chance, network.
        judge: What is wrong with an answer; None for nothing.
        quota: How often the service may be asked.
        on_auth: What to do when the key is refused: raise at once, or try again with growing pauses, then leave the question
            alone for 30 s, doubling to an hour, because the service also says so when its quota is used up.
    """

    def __init__(
        self,
        provider: str,
        base_url: str,
        network: NetworkSettings,
        surroundings: Surroundings,
        judge: Judge,
        *,
        quota: Quota | None = None,
        on_auth: OnAuth = "raise",
    ) -> None:
        self._provider, self._base, self._network, self._world = provider, base_url, network, surroundings
        self._judge, self._on_auth = judge, on_auth
        self._gate = Gate(
            surroundings.clock,
            surroundings.sleep,
            max_in_flight=network.max_in_flight,
            min_interval_s=network.min_interval_s,
            quota=quota,
            max_wait_s=network.max_wait_s,
        )
        below = surroundings.transport or httpx.HTTPTransport(verify=tls_context(network))
        self._http = httpx.Client(
            transport=KeyedTransport(below),
            follow_redirects=False,
            timeout=httpx.Timeout(network.read_timeout_s, connect=network.connect_timeout_s),
            headers={"user-agent": f"carbon-ray/{version('carbon-ray')}", "accept-encoding": "gzip"},
        )
        weakref.finalize(self, self._http.close)  # a client that nobody needs any more gives its connections back
        self._memory = AnswerMemory(surroundings.clock, network.cache_s)
        self._cooldown = Cooldown(surroundings.clock)
        self._secrets = KnownSecrets()
        self._has_warned_of_skew = False

    def close(self) -> None:
        """Give connections back."""
        self._http.close()

    def hide(self, *secrets: Secret) -> None:
        """Keep further secrets out of errors, excerpts and logs."""
        self._secrets.add(*secrets)
        guard_logs(secrets)

    def get(self, question: Question) -> Answer:
        """The answer to a question.

        Raises:
            ProviderUnavailable: It did not answer, or not whole, also after retries.
            ProviderQuotaError: Its quota is used up, and the wait would be too long.
            ProviderError: The judge found something wrong.
            ProviderResponseError: The answer is too large, of another type, or sends us elsewhere.
        """
        with self._gate.turn():  # who waited for the same question finds its answer in memory
            key = (question.path, question.params)
            if question.is_cached and (known := self._memory.get(key)) is not None:
                return known
            if (until_at := self._cooldown.until(key)) is not None:
                problem = (
                    f"refused the key several times; it is not asked again before {until_at:%Y-%m-%dT%H:%M:%SZ}. Check the key, "
                    f"and whether its quota is used up"
                )
                raise ProviderAuthError(self._provider, question.zone, problem)
            answer = self._persist(question)
            if question.is_cached:
                self._memory.keep(key, answer)
            return answer

    def excerpt(self, text: str) -> str:
        """The beginning of what a service sent, without secrets and control characters."""
        plain = redact(text[:_LOOKED_AT_CHARS], self._secrets, is_cut=len(text) >= _LOOKED_AT_CHARS)
        words = " ".join("".join(char if char.isprintable() else " " for char in plain).split())
        return _SECRET_PARAM.sub(r"\1[hidden]", words)[:EXCERPT_CHARS]

    def refused(self, answer: Answer, question: Question, *, pause_s: float = 60.0, says: str | None = None) -> ProviderError | None:
        """The error that a status stands for where a service has no rule of its own; None for 200 and 204.

        Args:
            answer: What came back.
            question: What was asked.
            pause_s: Wait after 429 where the answer names none, seconds.
            says: The service's own words; by default the beginning of the body.
        """
        status = answer.status
        if status in (200, 204):
            return None
        words = self.excerpt(answer.beginning) if says is None else self.excerpt(says)
        problem = f"answered {status}{f': {words}' if words else ''}"
        named = (self._provider, question.zone, problem)
        if status == 401:
            return ProviderAuthError(*named)
        if status in (403, 501):
            return ProviderAccessError(*named)
        if status == 429:
            return ProviderQuotaError(*named, answer.retry_at(pause_s))
        if status in (408, 425) or status >= 500:
            return ProviderUnavailable(*named)
        if 400 <= status < 500:
            return ProviderRequestError(*named)
        return ProviderResponseError(self._provider, question.zone, f"answered {status}, which was not expected", words)

    # One question until it is settled

    def _persist(self, question: Question) -> Answer:
        attempt, has_waited = 0, False
        while True:
            answer: Answer | None = None
            try:
                answer = self._once(question)
                error = self._judge(answer, question) or self._type_problem(answer, question)
                if error is None:
                    self._cooldown.forget((question.path, question.params))
                    return answer
                raise error
            except ProviderUnavailable:
                pause_s = self._backoff_s(attempt)
                if answer is not None and "retry-after" in answer.headers:
                    pause_s = max(pause_s, (answer.retry_at(0.0) - answer.fetched_at).total_seconds())
                if attempt >= self._network.retries or pause_s > self._network.max_wait_s:
                    raise
            except ProviderQuotaError as error:
                pause_s = (error.retry_at - self._world.clock.now()).total_seconds()
                self._gate.close(error.retry_at, question.lane)
                if has_waited or pause_s > self._network.max_wait_s:
                    raise
                has_waited = True
            except ProviderAuthError:
                if self._on_auth == "raise":
                    raise
                if attempt >= self._network.retries:
                    self._cooldown.begin((question.path, question.params))
                    raise
                pause_s = self._backoff_s(attempt)
            attempt += 1
            if pause_s > 0:
                self._world.sleep(pause_s)

    def _backoff_s(self, attempt: int) -> float:
        """Between nothing and twice the mean pause, so that many clients do not come back together."""
        mean_s = min(self._network.backoff_s * 2.0**attempt, self._network.max_backoff_s / 2)
        return 2 * mean_s * self._world.chance()

    def _once(self, question: Question) -> Answer:
        url = (
            httpx.URL(self._base + question.path, params=list(question.params))
            if question.params
            else httpx.URL(self._base + question.path)
        )
        for _ in range(_MAX_REDIRECTS + 1):
            if (retry_at := self._gate.pass_through(question.lane)) is not None:
                raise ProviderQuotaError(self._provider, question.zone, "was asked as often as it allows", retry_at)
            answer = self._send(url, question)
            if answer.status not in (301, 302, 303, 307, 308):
                return answer
            url = self._next_url(url, answer, question)
        raise ProviderResponseError(self._provider, question.zone, f"redirects more than {_MAX_REDIRECTS} times; check base_url")

    def _send(self, url: httpx.URL, question: Question) -> Answer:
        credentials = question.credentials
        request = self._http.build_request("GET", url, headers={"accept": ", ".join(question.content)})
        if credentials is not None:
            self.hide(*credentials.headers.values(), *credentials.params.values(), *(credentials.basic or ()))
            request.extensions[EXTENSION] = credentials
        give_up_at = self._world.clock.now() + timedelta(seconds=self._network.total_timeout_s)

        def tick() -> None:
            if self._world.clock.now() > give_up_at:
                raise httpx.ReadTimeout("the whole took too long")

        try:
            response = self._http.send(request, stream=True)
            try:
                body = read_body(response, self._network.max_response_bytes, tick)
            finally:
                response.close()
        except BodyTooLarge:
            raise ProviderResponseError(
                self._provider,
                question.zone,
                f"sent more than {self._network.max_response_bytes} bytes; ask for less, or raise network.max_response_bytes",
            ) from None
        except httpx.TimeoutException as error:
            raise ProviderUnavailable(self._provider, question.zone, f"did not answer in time ({type(error).__name__})") from None
        except BodyCutOff as error:
            raise ProviderUnavailable(self._provider, question.zone, f"its answer did not come whole: {error}") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise ProviderUnavailable(
                self._provider, question.zone, self.excerpt(f"no connection ({type(error).__name__}: {error})")
            ) from None
        answer = Answer(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=body,
            fetched_at=self._world.clock.now(),
        )
        self._note_skew(answer)
        return answer

    def _next_url(self, url: httpx.URL, answer: Answer, question: Question) -> httpx.URL:
        """Where the service sends us, if that is the service itself: nobody else is asked, and nobody else sees the key."""
        try:
            there = url.join(answer.headers.get("location", ""))
        except (httpx.InvalidURL, ValueError):
            there = httpx.URL("")
        if (there.scheme, there.host, there.port) != (url.scheme, url.host, url.port):
            where = self.excerpt(f"{there.scheme}://{there.host}")
            raise ProviderResponseError(self._provider, question.zone, f"redirects to {where}, which is not followed; check base_url")
        for name in question.credentials.params if question.credentials else ():
            there = there.copy_remove_param(name)  # it joins beneath httpx again, which logs this address
        if redact(str(there), self._secrets) != str(there):
            raise ProviderResponseError(self._provider, question.zone, "redirects to an address with the key in it, which is not followed")
        return there

    def _type_problem(self, answer: Answer, question: Question) -> ProviderError | None:
        if answer.status == 204 or answer.content_type in question.content:
            return None
        told = self.excerpt(answer.content_type) or "no type"
        problem = f"answered with {told}, expected {' or '.join(question.content)}"
        return ProviderResponseError(self._provider, question.zone, problem, self.excerpt(answer.beginning))

    def _note_skew(self, answer: Answer) -> None:
        skew_s = answer.skew_s
        if skew_s is not None and abs(skew_s) > self._network.max_clock_skew_s and not self._has_warned_of_skew:
            self._has_warned_of_skew = True
            log.warning("the clock of %s is %.0f s ahead of ours; what it dates is taken with care", self._provider, skew_s)


def as_params(params: Mapping[str, str]) -> Params:
    """Query parameters in order."""
    return tuple(params.items())

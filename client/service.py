"""Calls to the function: signed each time, repeated until there is a definite answer."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, urlencode, urlsplit

from client.connection import NoAnswer, exchange
from client.errors import Unavailable
from client.language import tr
from client.sign_in import UnsignedRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from client.connection import Answer
    from client.console import Console
    from client.profiles import Profile
    from client.sign_in import Credential

KEY_PAIRS = "/v1/key-pairs"
GRANTS = "/v1/grants"
HEALTH = "/healthz"

_LONGEST_PAUSE = 30.0
_UNREACHED_SECONDS = 10.0
"""How long a function that never answered is tried: a wrong address does not become right by waiting."""


@dataclass
class Service:
    """The function of one profile. `doubtful` tells whether a request went out without a definite answer."""

    profile: Profile
    credential: Credential
    console: Console
    total_seconds: float = 120.0
    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.uniform
    doubtful: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._start = self.monotonic()
        self._reached = False

    def post(
        self, path: str, body: bytes, idempotency_key: str | None = None, *, sent_before: bool = False
    ) -> Answer:
        """Send a body until there is a definite answer, and return that, an error as well.

        `sent_before` says that an earlier process may have sent it. Raises Unavailable when the time is over.
        """
        self.doubtful = self.doubtful or sent_before
        headers = {"content-type": "application/json"}
        if idempotency_key:
            headers["idempotency-key"] = idempotency_key
        return self._answer("POST", path, "", headers, body)

    def ask(self, method: str, path: str, query: Mapping[str, str]) -> Answer:
        """Send a GET or DELETE like `post`. Parameters without a value are left out."""
        given = sorted((name, value) for name, value in query.items() if value)
        # As TC3 signs it: RFC 3986 escapes everything but these characters.
        return self._answer(method, path, urlencode(given, quote_via=quote, safe=""), {}, b"")

    def _answer(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> Answer:
        headers["host"] = urlsplit(self.profile.url).netloc
        request = UnsignedRequest(method, path, query, headers, body)
        attempt = 0
        renewed = False
        while True:
            attempt += 1
            try:
                answer = self._send(request)
            except NoAnswer as fault:
                self.doubtful = self.doubtful or fault.sent
                self._reached = self._reached or fault.sent
                if fault.lasting:
                    self._give_up(str(fault), None)
                self._pause(str(fault), attempt, None)
                continue
            self._reached = True
            # Whoever answers in the function's place may have passed the request on before.
            self.doubtful = self.doubtful or answer.temporary or not answer.code
            if answer.status == HTTPStatus.UNAUTHORIZED and not renewed and self.credential.renew():
                renewed = True
                continue
            if not answer.temporary:
                self.console.end_progress()
                return answer
            self._pause(_reason(answer), attempt, answer.retry_after)

    def _send(self, request: UnsignedRequest) -> Answer:
        proof = self.credential.headers(request, self.now())
        # The last attempt before the end still gets a moment to be answered.
        seconds = max(5.0, self._left())
        target = f"{request.path}?{request.query}" if request.query else request.path
        url = self.profile.url + target
        return exchange(request.method, url, {**request.headers, **proof}, request.body or None, seconds)

    def _left(self) -> float:
        # A function that never answered is not waited for as long as one that does.
        total = self.total_seconds if self._reached else min(self.total_seconds, _UNREACHED_SECONDS)
        return self._start + total - self.monotonic()

    def _pause(self, problem: str, attempt: int, retry_after: float | None) -> None:
        """Wait before the next attempt; raise Unavailable if there is no time for one."""
        pause = retry_after
        if pause is None:
            # Jitter, so that clients that failed together do not return together.
            pause = self.jitter(0.2, min(_LONGEST_PAUSE, 2.0**attempt / 2))
        if pause > self._left():
            self._give_up(problem, retry_after)
        self.console.progress(
            tr(
                "{problem} Trying again in {seconds:.0f} s; {left:.0f} s left.",
                problem=problem,
                seconds=max(pause, 1),
                left=self._left(),
            )
        )
        self.sleep(pause)

    def _give_up(self, problem: str, retry_after: float | None) -> NoReturn:
        self.console.end_progress()
        advice = tr("Check the address and the network: keypair doctor")
        if self.doubtful:
            advice = tr("Run the same command again: it goes on with the same request, and nothing is lost.")
        if retry_after is not None:
            advice = f"{tr('The function asks to wait {seconds:.0f} s.', seconds=retry_after)} {advice}"
        raise Unavailable(problem, advice)


def _reason(answer: Answer) -> str:
    known = {
        "request-in-flight": tr("The same request is still being worked on."),
        "rate-limited": tr("Too many requests."),
        "cloud-busy": tr("The cloud is busy."),
        "cloud-unreachable": tr("The function cannot reach the cloud."),
        "outcome-unknown": tr("The outcome is not known yet."),
    }
    return known.get(answer.code) or tr(
        "The function is not available at the moment ({status}).", status=answer.code or answer.status
    )

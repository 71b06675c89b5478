"""Requests to chat platforms: repeated while time is left, and never sent elsewhere."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest

from handler.chat.http_client import ANSWER_LIMIT, TRIES, HttpClient
from handler.errors import PlatformUnavailable
from handler.http.fetch import HttpResponse
from handler.scf.invocation import Deadline
from tests.support.chat_stand_in import StandIn
from tests.support.function_under_test import NOON, TestClock

if TYPE_CHECKING:
    from collections.abc import Iterator

ORIGIN = "https://hooks.slack.com"


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with StandIn(lambda _: (200, b"ok")).serving() as running:
        yield running


def deadline(seconds: float = 30.0) -> tuple[Deadline, TestClock]:
    clock = TestClock()
    return Deadline(clock.clock(), NOON + seconds), clock


def post(stand_in: StandIn, until: Deadline) -> HttpResponse:
    outgoing = HttpClient({ORIGIN: stand_in.url})
    return outgoing.post_json(ORIGIN, "/commands/T1", {"text": "密钥"}, until, headers={"X-Own": "1"})


def test_a_post(stand_in: StandIn) -> None:
    until, clock = deadline()
    assert post(stand_in, until) == HttpResponse(200, b"ok")
    (posted,) = stand_in.posted
    assert (posted.path, posted.payload) == ("/commands/T1", {"text": "密钥"})
    assert posted.headers["content-type"] == "application/json"
    assert posted.headers["x-own"] == "1"
    assert clock.time == NOON


def test_a_get(stand_in: StandIn) -> None:
    outgoing = HttpClient({ORIGIN: stand_in.url})
    assert outgoing.get(ORIGIN, "/token?x=1", deadline()[0]) == HttpResponse(200, b"ok")
    (posted,) = stand_in.posted
    assert (posted.path, posted.payload) == ("/token?x=1", None)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_temporary_failures_are_repeated(stand_in: StandIn, status: int) -> None:
    stand_in.troubles = [(status, b""), (status, b"")]
    until, clock = deadline()
    assert post(stand_in, until).status == 200
    assert stand_in.requests == 3
    assert clock.time == NOON + 1 + 2


@pytest.mark.parametrize("status", [301, 302, 307, 400, 403, 404, 410])
def test_permanent_failures_are_not_repeated(stand_in: StandIn, status: int) -> None:
    """Above all, redirects: they would send the reply to somebody else."""
    stand_in.troubles = [(status, b"no")]
    assert post(stand_in, deadline()[0]).status == status
    assert stand_in.requests == 1


def test_giving_up_after_some_tries(stand_in: StandIn) -> None:
    stand_in.troubles = [(500, b"")] * 9
    with pytest.raises(PlatformUnavailable) as given_up:
        post(stand_in, deadline(600)[0])
    assert given_up.value.reason == "chat-busy"
    assert stand_in.requests == TRIES


def test_giving_up_when_time_runs_out(stand_in: StandIn) -> None:
    stand_in.troubles = [(500, b"")] * 9
    until, clock = deadline(4.9)
    with pytest.raises(PlatformUnavailable):
        post(stand_in, until)
    assert stand_in.requests == 2
    assert clock.time == NOON + 1


def test_without_time_nothing_is_sent(stand_in: StandIn) -> None:
    with pytest.raises(PlatformUnavailable) as given_up:
        post(stand_in, deadline(-1)[0])
    assert given_up.value.reason == "chat-no-answer"
    assert stand_in.posted == []


def test_nothing_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(PlatformUnavailable) as given_up:
            HttpClient({ORIGIN: url}).post_json(ORIGIN, "/x", {}, deadline(1)[0])
    assert given_up.value.reason == "chat-no-answer"


def test_reading_a_response_stops_at_the_limit(stand_in: StandIn) -> None:
    stand_in.troubles = [(200, b"x" * (ANSWER_LIMIT + 100))]
    assert len(post(stand_in, deadline()[0]).body) == ANSWER_LIMIT + 1


def test_paths_are_not_logged(stand_in: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        post(stand_in, deadline()[0])
    assert caplog.text == ""


def test_a_proxy_of_the_environment_is_not_used(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert post(stand_in, deadline()[0]).status == 200

"""WeCom's self-built apps: the handshake, what is refused, and what has to be set."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from handler.auth.nonces import Nonces
from handler.chat.http_client import HttpClient
from handler.chat.platforms.platform_settings import require_settings
from handler.chat.platforms.registry import PLATFORMS, PlatformContext, configured
from handler.chat.platforms.wecomapp import WeComAppSettings, _ApiResponse
from handler.errors import SettingsInvalid
from handler.http.fetch import HttpResponse
from handler.scf.invocation import Clock
from handler.store.memory import MemoryStore
from tests.support import wecom_stand_in
from tests.support.function_under_test import FunctionUnderTest
from tests.support.least_settings import LEAST
from tests.support.wecom_stand_in import PUBLISHED
from tests.support.wecomapp_attacks import ATTACKS
from tests.support.wecomapp_stand_in import SETTINGS, WeComApp, closed, running_app, xml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess
    from tests.support.wecomapp_attacks import Attack


@pytest.fixture
def app(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[WeComApp]:
    with running_app(emulator, tmp_path) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_forged_requests_are_refused(app: WeComApp, attack: Attack, caplog: pytest.LogCaptureFixture) -> None:
    before = app.chat.function.create_calls()
    with caplog.at_level(logging.DEBUG):
        answer = app.chat.send(attack.event(app))
        app.chat.work()
    assert (answer.status, app.chat.decisions()) == (
        attack.status, [("wecomapp", "refused", attack.reason)]
    )  # fmt: skip
    assert app.chat.function.create_calls() == before
    assert caplog.text == ""
    # Only those whom the company's WeCom vouches for are told why.
    assert len(app.api.payloads) == (attack.status == 200)


def test_what_is_too_long_to_be_read(app: WeComApp) -> None:
    event = app.command("/keypair " + "a" * 49_200)
    assert app.chat.send(event).status == 413
    assert app.stand_in.requests == 0


@pytest.mark.parametrize("content_type", ["application/xml", "text/plain", "application/json"])
def test_the_content_type_is_not_signed_and_not_looked_at(app: WeComApp, content_type: str) -> None:
    """Which one WeCom sends is documented nowhere."""
    event = app.command("help")
    assert len(app.told({**event, "headers": {**event["headers"], "content-type": content_type}})) == 1


@pytest.mark.parametrize("echo", ["1616140317555161061", "中文", ""])
def test_a_handshake_is_answered_with_the_bare_text(app: WeComApp, echo: str) -> None:
    answer = app.chat.send(app.handshake(closed(echo)))
    assert (answer.status, answer.body) == (200, echo)
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert app.chat.decisions() == []


def test_the_vector_that_wecom_publishes(app: WeComApp) -> None:
    app.chat.function.clock.time = int(PUBLISHED["timestamp"])
    event = {"httpMethod": "GET", "path": "/chat/wecomapp", "headers": {}, "queryString": PUBLISHED}
    answer = app.chat.send(event)
    assert (answer.status, answer.body) == (200, "1616140317555161061")
    changed = {**PUBLISHED, "msg_signature": PUBLISHED["msg_signature"][:-1] + "4"}
    assert app.chat.send({**event, "queryString": changed}).status == 401
    assert app.chat.decisions() == [("wecomapp", "refused", "wecomapp-signature")]


@pytest.mark.parametrize("offset", [-300, 300])
def test_a_signature_at_the_edge_of_its_time(app: WeComApp, offset: int) -> None:
    timestamp = str(int(app.chat.function.clock.time) + offset)
    event = app.command("help")
    event = {**event, "queryString": app.query(_encrypted(event["body"]), timestamp=timestamp)}
    assert len(app.told(event)) == 1


def test_a_nonce_stays_used_for_as_long_as_its_signature_is_good(app: WeComApp) -> None:
    clock = app.chat.function.clock
    encrypted = closed(xml(app.message("help")))
    event = app.event(encrypted, timestamp=str(int(clock.time) + 300))
    assert len(app.told(event)) == 1
    query = {**event["queryString"], "echostr": encrypted}
    for pause in (599, 1):
        clock.time += pause
        answer = app.chat.send({**event, "httpMethod": "GET", "queryString": query, "body": ""})
        assert answer.status == 401
    assert app.chat.decisions() == [("wecomapp", "refused", "nonce-used")] * 2


def _encrypted(body: str) -> str:
    return body.partition("<Encrypt><![CDATA[")[2].partition("]]>")[0]


@pytest.mark.parametrize("method", ["PUT", "HEAD"])
def test_other_methods(app: WeComApp, method: str) -> None:
    answer = app.chat.send({**app.command("/keypair a"), "httpMethod": method})
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")


def test_without_settings_the_path_answers_404(emulator: EmulatorProcess, tmp_path: Path) -> None:
    with running_app(emulator, tmp_path, settings=wecom_stand_in.SETTINGS) as app:
        assert app.chat.send(app.command("/keypair a")).status == 404
        assert app.chat.decisions() == []


@pytest.mark.parametrize("name", SETTINGS)
def test_all_of_the_settings_but_one(emulator: EmulatorProcess, tmp_path: Path, name: str) -> None:
    settings = {other: value for other, value in SETTINGS.items() if other != name}
    with pytest.raises(SettingsInvalid) as refused:
        FunctionUnderTest(emulator, tmp_path / "policy.json", settings=settings)
    assert str(refused.value) == f"{', '.join(SETTINGS)}: set all of them, or none"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (SETTINGS, {"wecomapp"}),
        (wecom_stand_in.SETTINGS, {"wecom"}),
        ({**SETTINGS, **wecom_stand_in.SETTINGS}, {"wecom", "wecomapp"}),
    ],
)
def test_apps_and_bots_have_separate_settings(given: dict[str, str], names: set[str]) -> None:
    """The settings of the one begin with the name of the other."""
    context = PlatformContext(HttpClient(), Nonces(MemoryStore(Clock())), Clock())
    assert set(configured({**LEAST, **given}, context, PLATFORMS)) == names


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("TOKEN", ["", "a b", "a-b", "ß", "a" * 33]),
        ("AES_KEY", ["", "a" * 42, "a" * 43 + "=", "-" * 43]),
        ("CORP_ID", ["", "ww", "WW5823bf96d3bd56c7", "ww5823 bf96", "xx5823bf96", "ww1\n", "ww" + "a" * 63]),
        ("AGENT_ID", ["", "0", "01", "-1", "1000002\n", "1e6", "\uff11"]),
        ("SECRET", ["", "short", "a" * 15, "a" * 129, "secret&corpid=ww1", "a" * 42 + "=", "a" * 43 + "\n"]),
    ],
)  # fmt: skip
def test_settings_that_are_refused(name: str, values: list[str]) -> None:
    for value in values:
        with pytest.raises(SettingsInvalid, match=rf"^KEYPAIR_WECOMAPP_{name} is malformed; it takes the "):
            require_settings(WeComAppSettings, {**SETTINGS, f"KEYPAIR_WECOMAPP_{name}": value})


def test_no_secret_is_shown() -> None:
    shown = repr(require_settings(WeComAppSettings, SETTINGS))
    assert "secret" not in repr(HttpResponse(200, b"secret"))
    assert "secret" not in repr(_ApiResponse(errcode=0, access_token="secret"))
    for name in ("TOKEN", "AES_KEY", "SECRET"):
        assert SETTINGS[f"KEYPAIR_WECOMAPP_{name}"] not in shown

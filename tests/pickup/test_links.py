"""Pick-up links: one reading, for an hour, and a line in the audit log for each try."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from handler.auth.master_secret import MasterSecrets
from handler.errors import NotFound, PickedUp, StoreUnavailable
from handler.order import EnvelopeFormat
from handler.pickup import PATH
from handler.pickup.links import LINK_TTL_SECONDS, PickupLinks, file_name_of
from handler.scf.invocation import Clock
from handler.store.memory import MemoryStore
from tests.support.chat_function import CONTEXT
from tests.support.function_under_test import MASTER, OTHER_MASTER, Answer, FunctionUnderTest, TestClock
from tests.support.pickup import ISSUED

if TYPE_CHECKING:
    from collections.abc import Callable

ID = "a" * 42 + "_"
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.fixture
def links(function: FunctionUnderTest) -> PickupLinks:
    return function.services.bot.pickup_links


def get(function: FunctionUnderTest, path: str, method: str = "POST") -> Answer:
    event = {"httpMethod": method, "path": path, "headers": {"x-scf-remote-addr": "203.0.113.7"}}
    return function.call(event, CONTEXT)


def left(links: PickupLinks) -> str:
    """Leave the envelope, and return the id of its link."""
    return links.create("alice", ISSUED, "message 1").removeprefix("/pickup/")


def path_of(link: str) -> str:
    base = "https://keys.example.com"
    assert link.startswith(base)
    return link.removeprefix(base)


def test_only_the_first_request_gets_the_envelope(function: FunctionUnderTest, links: PickupLinks) -> None:
    path = path_of(links.create("alice", ISSUED, "message 1"))
    assert PATH.fullmatch(path)
    answer = get(function, path)
    assert (answer.status, answer.body) == (200, "-----BEGIN…\n")
    assert answer.headers == {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Disposition": 'attachment; filename="web_1.age"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    second = get(function, path)
    assert (second.status, second.code) == (410, "picked-up")
    first_line, second_line = function.audit_lines()
    known = {
        "door": "pickup", "decision": "replayed", "reason": None, "caller": "alice", "keyName": "web_1",
        "keyId": "skey-1a2b3c4d", "fingerprint": "SHA256:abc", "region": "ap-guangzhou", "projectId": 7,
        "recipients": ["age1x"], "remoteAddress": "203.0.113.7",
    }  # fmt: skip
    assert (
        first_line.items() >= {name: value for name, value in known.items() if name != "recipients"}.items()
    )
    assert first_line["recipients"] == known["recipients"]
    assert (second_line["decision"], second_line["reason"]) == ("refused", "picked-up")


def test_an_envelope_is_kept_for_an_hour(function: FunctionUnderTest, links: PickupLinks) -> None:
    first, second = (path_of(links.create("alice", ISSUED, f"message {n}")) for n in range(2))
    assert first != second
    function.clock.time += LINK_TTL_SECONDS - 1
    assert get(function, first).status == 200
    function.clock.time += 1
    assert get(function, second).status == 404
    assert function.audit_lines()[-1]["reason"] == "pickup-unknown"


@pytest.mark.parametrize(
    "path",
    [
        "/pickup/",
        "/pickup",
        "/pickup/a",
        f"/pickup/{ID}/",
        f"/pickup/{ID}a",
        f"/pickup/{ID[:-1]}.",
        "/pickup/%2e",
    ],
)
def test_what_is_no_link(function: FunctionUnderTest, path: str) -> None:
    assert get(function, path).status == 404
    assert function.audit_lines() == []


def test_an_unknown_id(function: FunctionUnderTest) -> None:
    assert get(function, f"/pickup/{ID}").status == 404
    (line,) = function.audit_lines()
    assert (line["door"], line["decision"], line["reason"]) == ("pickup", "refused", "pickup-unknown")


def test_a_browser_gets_a_page_with_a_button(function: FunctionUnderTest, links: PickupLinks) -> None:
    """Chat clients fetch links for previews. Neither that nor opening the link uses it up."""
    path = path_of(links.create("alice", ISSUED, "message 1"))
    for where, accept in ((path, BROWSER), (f"/pickup/{ID}", BROWSER), (path, {}), (path, {"accept": "*/*"})):
        shown = function.call({"httpMethod": "GET", "path": where, "headers": accept}, CONTEXT)
        assert (shown.status, shown.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "-----BEGIN" not in shown.body
        assert "script-src 'none'; " in shown.headers["Content-Security-Policy"]
    assert function.audit_lines() == []
    post = {"httpMethod": "POST", "path": path, "headers": BROWSER, "body": ""}
    posted = function.call(post, CONTEXT)
    assert (posted.status, posted.body) == (200, "-----BEGIN…\n")
    assert posted.headers["Content-Disposition"] == 'attachment; filename="web_1.age"'
    assert get(function, path).json["code"] == "picked-up"
    again = function.call(post, CONTEXT)
    assert (again.status, again.headers["Content-Type"]) == (410, "text/html; charset=utf-8")
    assert "The file was already downloaded" in again.body


def test_a_browser_is_told_to_try_again(function: FunctionUnderTest, links: PickupLinks) -> None:
    path = path_of(links.create("alice", ISSUED, "message 1"))
    function.audit.close()
    answer = function.call({"httpMethod": "POST", "path": path, "headers": BROWSER, "body": ""}, CONTEXT)
    assert answer.status == 503
    assert "try again in a minute" in answer.body


def test_a_link_is_the_same_for_the_same_message(function: FunctionUnderTest, links: PickupLinks) -> None:
    """A reply may be delivered several times. All copies contain the same link."""
    first, again, other = (links.create("alice", ISSUED, f"message {n}") for n in (1, 1, 2))
    assert first == again != other
    assert get(function, path_of(first)).status == 200
    assert links.create("alice", ISSUED, "message 1") == first
    assert get(function, path_of(first)).status == 410
    assert (
        replace(links, master_secrets=MasterSecrets([OTHER_MASTER])).create("alice", ISSUED, "message 1")
        != first
    )


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
def test_other_methods_take_nothing(function: FunctionUnderTest, links: PickupLinks, method: str) -> None:
    path = path_of(links.create("alice", ISSUED, "message 1"))
    answer = get(function, path, method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    assert get(function, path).status == 200


def test_one_of_many_concurrent_requests_gets_the_envelope() -> None:
    clock = Clock()
    links = PickupLinks(MemoryStore(clock), clock, "", MasterSecrets([MASTER]))
    for n in range(20):
        pickup_id = links.create("alice", ISSUED, f"message {n}").removeprefix("/pickup/")

        def take(_: int, pickup_id: str = pickup_id) -> bool:
            try:
                links.take(pickup_id)
            except PickedUp:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(take, range(8))) == 1


class Interrupted(MemoryStore):
    """A store in which something happens between a reading and a replacement."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.meanwhile: Callable[[], None] = lambda: None

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        self.meanwhile()
        return super().replace(key, expected, value, ttl)


def test_a_concurrent_download_wins() -> None:
    clock = TestClock().clock()
    store = Interrupted(clock)
    links = PickupLinks(store, clock, "", MasterSecrets([MASTER]))
    pickup_id = left(links)

    def faster() -> None:
        store.meanwhile = lambda: None
        links.take(pickup_id)

    store.meanwhile = faster
    with pytest.raises(PickedUp):
        links.take(pickup_id)


class Forgetful(MemoryStore):
    """A store that performs the first replacement but loses its response."""

    loses = True

    def replace(self, key: str, expected: str, value: str, ttl: float) -> bool:
        done = super().replace(key, expected, value, ttl)
        if self.loses:
            self.loses = False
            raise StoreUnavailable("lost")
        return done


def test_a_lost_response_of_the_store_does_not_use_up_the_link() -> None:
    clock = TestClock().clock()
    links = PickupLinks(Forgetful(clock), clock, "", MasterSecrets([MASTER]))
    pickup_id = left(links)
    with pytest.raises(StoreUnavailable):
        links.take(pickup_id)
    assert links.take(pickup_id).ciphertext == ISSUED.sealed_private_key.ciphertext


def test_an_unaudited_download_is_put_back(function: FunctionUnderTest, links: PickupLinks) -> None:
    """It stays available for the rest of its hour."""
    path = path_of(links.create("alice", ISSUED, "message 1"))

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, f"No space left on device for {len(text)} characters")

    good = function.audit
    function.audit = Full()
    answer = get(function, path)
    assert (answer.status, answer.code) == (503, "audit-unavailable")
    assert ISSUED.sealed_private_key.ciphertext not in answer.body
    function.audit = good
    function.clock.time += LINK_TTL_SECONDS - 1
    assert get(function, path).status == 200


def test_the_envelope_of_a_deleted_key_pair_is_not_handed_out(
    function: FunctionUnderTest, links: PickupLinks
) -> None:
    path = path_of(links.create("alice", ISSUED, "message 1"))
    function.services.issuer.ledger.finish_delete(ISSUED.key_id)
    answer = get(function, path)
    assert (answer.status, answer.code) == (410, "key-pair-deleted")
    (line,) = function.audit_lines()
    assert (line["decision"], line["reason"], line["keyId"]) == ("refused", "key-pair-deleted", ISSUED.key_id)


def test_an_expired_envelope_is_not_put_back() -> None:
    clock = TestClock()
    links = PickupLinks(MemoryStore(clock.clock()), clock.clock(), "", MasterSecrets([MASTER]))
    pickup_id = left(links)
    envelope = links.take(pickup_id)
    clock.time += LINK_TTL_SECONDS
    links.put_back(pickup_id, envelope)
    with pytest.raises(NotFound):
        links.take(pickup_id)


def test_an_unreadable_value_in_the_store() -> None:
    clock = TestClock().clock()
    store = MemoryStore(clock)
    links = PickupLinks(store, clock, "", MasterSecrets([MASTER]))
    pickup_id = left(links)
    ((key, (_, text)),) = store._entries.items()  # noqa: SLF001  # a look at what is stored
    assert pickup_id not in key + text
    assert json.loads(text)["ciphertext"] == ISSUED.sealed_private_key.ciphertext
    store.replace(key, text, "{}", 60)
    with pytest.raises(StoreUnavailable) as unreadable:
        links.take(pickup_id)
    assert unreadable.value.reason == "pickup-unreadable"


@pytest.mark.parametrize(
    ("envelope", "suffix"), [("age", "age"), ("jwe", "jwe"), ("cms", "cms"), ("openpgp", "asc")]
)
def test_the_file_is_named_as_its_command_expects(envelope: str, suffix: str) -> None:
    sealed = replace(ISSUED.sealed_private_key, format=EnvelopeFormat(envelope))
    assert file_name_of(replace(ISSUED, sealed_private_key=sealed)) == f"web_1.{suffix}"

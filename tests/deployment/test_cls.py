"""The queries and alarms for CLS, tried on audit lines that the function itself has written.

CLS runs SQL in the dialect of Presto. SQLite runs the same statements, given the one function that it lacks.
"""

from __future__ import annotations

import json
import re
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cloud_stand_in.parameters import check
from tests.support.function_process import ROOT
from tests.support.function_under_test import OTHER_MASTER, REST, FunctionUnderTest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess

CLS = ROOT / "docs" / "cls"
QUERIES: dict[str, str] = {
    one["name"]: one["query"] for one in json.loads((CLS / "queries.json").read_text("utf-8"))
}
ALARMS: list[dict[str, Any]] = json.loads((CLS / "alarms.json").read_text("utf-8"))


def extract(text: str, path: str) -> str | None:
    """Do what Presto's json_extract_scalar does with a path of one name."""
    try:
        value = json.loads(text)[path.removeprefix("$.")]
    except (ValueError, KeyError):
        return None
    return None if value is None or isinstance(value, (list, dict)) else str(value)


def search(messages: list[str], query: str) -> list[dict[str, Any]]:
    """Run a query of CLS: a search for words, then SQL over what it finds."""
    words, _, sql = query.partition(" | ")
    found = re.fullmatch(r'SCF_Message:"([^"]+)"', words)
    assert found, words
    with sqlite3.connect(":memory:") as connection:
        connection.row_factory = sqlite3.Row
        connection.create_function("json_extract_scalar", 2, extract)
        connection.execute("CREATE TABLE log (SCF_Message TEXT)")
        hits = [(message,) for message in messages if found[1] in message]
        connection.executemany("INSERT INTO log VALUES (?)", hits)
        rows = [dict(row) for row in connection.execute(sql)]
    connection.close()
    return rows


@pytest.fixture
def messages(emulator: EmulatorProcess, tmp_path: Path) -> list[str]:
    """The log of a function: two orders, one of them again, refusals, a leftover and two sweeps."""
    function = FunctionUnderTest(emulator, tmp_path / "policy.json")
    function.delete_key_pairs()
    order = function.signed(REST)
    function.call(order)
    function.call(order)
    function.call(function.signed(REST, caller="second"))
    function.call(function.signed(REST, master=OTHER_MASTER))
    function.call(function.signed(REST, caller="nobody"))
    function.call({"Type": "Timer"})
    function.emulator.add_faults({"action": "CreateKeyPair", "kind": "cut"})
    function.emulator.add_faults({"action": "DescribeKeyPairs", "kind": "cut", "times": 3})
    function.call(function.signed(REST))
    function.call({"Type": "Timer"})
    function.delete_key_pairs()
    return ["START RequestId: 1", *function.audit.getvalue().splitlines(), "not { json", "RetMsg:{}"]


def test_what_each_caller_received(messages: list[str]) -> None:
    rows = search(messages, QUERIES["issued-by-caller"])
    assert rows == [{"caller": "demo", "issued": 2}, {"caller": "second", "issued": 1}]
    (first, again) = search(messages, QUERIES["what-a-caller-got"].replace("CALLER", "demo"))
    assert (first["decision"], again["decision"]) == ("issued", "replayed")
    assert first["key_id"] == again["key_id"]
    assert first["address"] == "203.0.113.7"


def test_who_was_refused_and_why(messages: list[str]) -> None:
    reasons = {row["reason"]: row["refused"] for row in search(messages, QUERIES["refused-by-reason"])}
    assert reasons == {"tc3-signature": 1, "tc3-caller": 1}
    rows = search(messages, QUERIES["failed-authentication-by-address"])
    assert rows == [{"address": "203.0.113.7", "failed": 2}]


def test_what_needs_somebody_s_eyes(messages: list[str]) -> None:
    (row,) = search(messages, QUERIES["left-or-unknown"])
    assert row["decision"] == "unknown"
    assert row["key_name"]
    (swept,) = search(messages, QUERIES["not-ready"])
    assert swept["checks"].startswith("store ok, role describe-")
    assert search(messages, QUERIES["sweeps"]) == [{"sweeps": 2}]
    (policy,) = search(messages, QUERIES["policies"])
    assert re.fullmatch("[0-9a-f]{16}", policy["policy"])


def test_every_query_is_tried() -> None:
    tried = set(re.findall(r'QUERIES\["([a-z-]+)"\]', (ROOT / "tests/deployment/test_cls.py").read_text()))
    assert tried == set(QUERIES)


@pytest.mark.slow
@pytest.mark.parametrize("alarm", ALARMS, ids=[alarm["Name"] for alarm in ALARMS])
def test_an_alarm_is_what_the_api_takes_and_counts_what_it_says(
    alarm: dict[str, Any], messages: list[str]
) -> None:
    check("cls", "CreateAlarm", alarm)
    (target,) = alarm["AlarmTargets"]
    ((name, value),) = search(messages, target["Query"])[0].items()
    expected = {
        "not ready": 1,
        "key pairs left or unknown": 1,
        "no sweep": 2,
        "many failed authentications": 2,
    }
    assert (name, value) == ("found", expected[alarm["Name"].partition(": ")[2]])
    assert alarm["Condition"].startswith("$1.found ")


def test_the_index_is_what_the_api_takes() -> None:
    index = json.loads((CLS / "index.json").read_text("utf-8"))
    check("cls", "CreateIndex", {"TopicId": "topic", **index})
    fields = {one["Key"] for one in index["Rule"]["KeyValue"]["KeyValues"]}
    assert "SCF_Message" in fields

"""The stand-in for SCF: a changed configuration is never answered by an instance of an earlier one."""

from __future__ import annotations

from scripts.function_url.instance import Returned
from scripts.packaging.archive import with_entries
from tests.support.cloud_stand_in.functions import RunningFunction, Version

_EMPTY_ZIP = b"PK\x05\x06" + bytes(18)
_CODE = b"import os\n\ndef main_handler(event, context):\n    return os.environ['KEYPAIR_ROUND']\n"


def test_each_version_has_an_instance_of_its_own() -> None:
    running = RunningFunction({}, {}, lambda event: event, lambda outcome: outcome)
    with running.resources:
        package = with_entries(_EMPTY_ZIP, {"index.py": _CODE})
        seen = []
        for number in range(5):
            # Nothing else keeps the version: a later one may get its place in memory.
            outcome = running.call(Version(package, {"KEYPAIR_ROUND": str(number)}, 20), {})
            assert isinstance(outcome, Returned)
            seen.append(outcome.value)
    assert seen == ["0", "1", "2", "3", "4"]

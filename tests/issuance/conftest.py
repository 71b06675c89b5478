"""Instances of one function, and a request to them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.support.function_under_test import TestClock, fresh_name
from tests.support.instances import Instances, Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator_process import EmulatorProcess


@pytest.fixture
def instances(emulator: EmulatorProcess, tmp_path: Path) -> Iterator[Instances]:
    # The emulator stamps key pairs with the real time.
    instances = Instances(emulator, tmp_path, TestClock(time.time()))
    instances.instance().delete_key_pairs()  # left by earlier tests
    yield instances
    emulator.control("DELETE", "/faults")
    emulator.behave()
    instances.instance().delete_key_pairs()


@pytest.fixture(autouse=True)
def another_time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run where it is another day: the cloud's times are in UTC."""
    morning = time.gmtime().tm_hour < 12
    monkeypatch.setenv("TZ", "WEST+12" if morning else "EAST-14")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def request_() -> Request:
    return Request(fresh_name())

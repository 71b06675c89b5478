"""Deployed code that runs: every Function URL is a local one, and leads where its alias leads."""

from __future__ import annotations

import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.function_url.code_root import unpacked
from scripts.function_url.environment import function_environment
from scripts.function_url.front import FunctionUrl
from scripts.function_url.instance import Instance, Logs, Outcome
from scripts.python310 import find_python310

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, eq=False)
class Version:
    """What one version of a function is made of; it never changes, and equals no other."""

    code: bytes
    variables: Mapping[str, str]
    timeout: float


@dataclass
class RunningFunction:
    """Runs the versions of one function, each in an instance of its own that starts with its first event."""

    credentials: Mapping[str, str]
    outside: Mapping[str, str]
    """Variables that stand for the network around it: where CVM and SCF are."""
    meddle_before: Callable[[Mapping[str, object]], Mapping[str, object]]
    """What the Function URL does to an event, and to what comes of it."""
    meddle_after: Callable[[Outcome], Outcome]
    resources: ExitStack = field(default_factory=ExitStack)
    _instances: dict[Version, Instance] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._folder = Path(
            self.resources.enter_context(tempfile.TemporaryDirectory(prefix="stand-in-function-"))
        )
        self.log = self._folder / "stdout"
        self.log.touch()

    def call(self, version: Version, event: Mapping[str, object]) -> Outcome:
        """Run `version` on an event."""
        with self._lock:
            instance = self._instances.get(version)
            if instance is None:
                instance = self._instances[version] = self._start(version)
        return instance.call(event)

    def _start(self, version: Version) -> Instance:
        package = self._folder / f"{len(self._instances)}.zip"
        package.write_bytes(version.code)
        # A stub runs on any Python. Tests of the real package are skipped where there is no 3.10.
        python = find_python310() or Path(sys.executable)
        code = self.resources.enter_context(unpacked(package, python))
        environment = function_environment({**version.variables, **self.outside}, self.credentials, code.root)
        logs = Logs(stdout=self.log, stderr=self._folder / "stderr")
        instance = Instance(code, environment, logs, time_limit=version.timeout, on_start=lambda _pid: None)
        self.resources.callback(instance.stop)
        return instance

    def serve(self, current: Callable[[], Version]) -> str:
        """Serve a Function URL for whatever `current` returns at each request; return its address."""
        front = FunctionUrl(0)
        thread = threading.Thread(target=front.serve, args=(_Routed(self, current),), daemon=True)
        thread.start()

        def stop() -> None:
            front.shutdown()
            front.server_close()
            thread.join()

        self.resources.callback(stop)
        return f"http://127.0.0.1:{front.server_port}"


@dataclass(frozen=True)
class _Routed:
    running: RunningFunction
    current: Callable[[], Version]

    def call(self, event: Mapping[str, object]) -> Outcome:
        return self.running.meddle_after(self.running.call(self.current(), self.running.meddle_before(event)))

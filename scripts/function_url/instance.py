"""One function instance: a child process that serves one request at a time, restarted if it ends."""

import json
import os
import select
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.function_url.bootstrap import USER_CODE_ERROR
from scripts.function_url.code_root import CodeRoot

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_INIT_SECONDS = 60.0  # SCF's default initTimeout
TIMED_OUT = 433
PROCESS_EXITED = 439
INIT_TIMED_OUT = 450
_MESSAGES = {
    USER_CODE_ERROR: "User code exception caught",
    TIMED_OUT: "Invoking task timed out",
    437: "HandlerNotFound",
    PROCESS_EXITED: "User process exit when running",
    INIT_TIMED_OUT: "Initialization timed out",
}


@dataclass(frozen=True)
class Returned:
    """What `main_handler` returned: any JSON value."""

    value: object


@dataclass(frozen=True)
class Failed:
    """The call returned no value: SCF's code, and the function's traceback if there is one."""

    code: int
    trace: str = ""

    @property
    def message(self) -> str:
        """Describe the failure as SCF does."""
        return _MESSAGES[self.code]


Outcome = Returned | Failed


@dataclass(frozen=True)
class Logs:
    """The files that receive an instance's standard output and error."""

    stdout: Path
    stderr: Path


class _Gone(Exception):  # a signal between the two processes, not an error
    """The child process ended."""


class _Child:
    """The process and the two pipes to it. Each message is a JSON object on one line."""

    def __init__(self, code: CodeRoot, environment: Mapping[str, str], logs: Logs) -> None:
        requests_read, self._requests = os.pipe()
        self._answers, answers_write = os.pipe()
        self._unread = bytearray()
        with logs.stdout.open("ab") as stdout, logs.stderr.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*code.command, str(_BOOTSTRAP), str(requests_read), str(answers_write), code.index],
                cwd=code.root,
                env=environment,
                pass_fds=(requests_read, answers_write),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        # Now only the child holds these ends, so its death shows as end of file.
        os.close(requests_read)
        os.close(answers_write)

    def send(self, message: Mapping[str, object]) -> None:
        """Send a message; raise _Gone if the child has ended."""
        unsent = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while unsent:
                unsent = unsent[os.write(self._requests, unsent) :]
        except BrokenPipeError as error:
            raise _Gone from error

    def receive(self, deadline: float) -> dict[str, object]:
        """Receive a message; raise _Gone if the child has ended, TimeoutError at `deadline` (monotonic)."""
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))
            if not readable:
                raise TimeoutError
            chunk = os.read(self._answers, 65536)
            if not chunk:
                raise _Gone
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        message: dict[str, object] = json.loads(line)
        return message

    def kill(self) -> None:
        """Kill it and its children without notice, as SCF does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        self.kill()
        os.close(self._requests)
        os.close(self._answers)


class Instance:
    """Runs `main_handler` in a child process."""

    def __init__(
        self,
        code: CodeRoot,
        environment: Mapping[str, str],
        logs: Logs,
        *,
        time_limit: float,
        on_start: Callable[[int | None], None],
    ) -> None:
        """Prepare. `on_start` gets the process ID of an instance that is ready, or None if loading failed.

        The function sees `environment`. `time_limit` is in seconds and does not include loading.
        """
        self._code = code
        self._environment = dict(environment)
        self._logs = logs
        self._time_limit = time_limit
        self._on_start = on_start
        self._one_at_a_time = threading.Lock()
        self._child: _Child | None = None
        self._stopped = threading.Event()

    def start(self) -> Failed | None:
        """Load the function before the first request; return the failure, if any."""
        with self._one_at_a_time:
            started = self._running()
            return started if isinstance(started, Failed) else None

    def call(self, event: Mapping[str, object]) -> Outcome:
        """Run the function on one event, after the earlier ones."""
        request = {"event": event, "context": self._context(), "environment": self._environment}
        with self._one_at_a_time:
            while True:
                child = self._running()
                if isinstance(child, Failed):
                    return child
                deadline = time.monotonic() + self._time_limit
                try:
                    child.send(request)
                    child.receive(deadline)
                except _Gone:
                    # It ended before it accepted the request, so the function has not seen it.
                    self._discard()
                    continue
                except TimeoutError:
                    self._discard()
                    return Failed(TIMED_OUT)
                return self._finish(child, deadline)

    def stop(self) -> None:
        """End the child process for good. A running call gets PROCESS_EXITED."""
        self._stopped.set()
        if child := self._child:
            child.kill()
        with self._one_at_a_time:
            self._discard()

    def _finish(self, child: _Child, deadline: float) -> Outcome:
        try:
            answer = child.receive(deadline)
        except _Gone:
            self._discard()
            return Failed(PROCESS_EXITED)
        except TimeoutError:
            self._discard()
            return Failed(TIMED_OUT)
        if "value" in answer:
            return Returned(answer["value"])
        return _failed(answer)

    def _running(self) -> _Child | Failed:
        if self._stopped.is_set():
            return Failed(PROCESS_EXITED)
        if self._child is not None and self._child.process.poll() is None:
            return self._child
        self._discard()
        # Credentials come with a call, not at load time, so code that reads them at import fails here.
        at_load = {
            name: value
            for name, value in self._environment.items()
            if not name.startswith(("TENCENTCLOUD_SECRET", "TENCENTCLOUD_SESSION", "TENCENTCLOUD_TOKEN"))
        }
        self._child = child = _Child(self._code, at_load, self._logs)
        if self._stopped.is_set():  # again: it may have been set while there was no child
            return Failed(PROCESS_EXITED)
        failed: Failed | None = None
        try:
            answer = child.receive(time.monotonic() + _INIT_SECONDS)
            if "ready" not in answer:
                failed = _failed(answer)
        except _Gone:
            failed = Failed(PROCESS_EXITED)
        except TimeoutError:
            failed = Failed(INIT_TIMED_OUT)
        self._on_start(None if failed else child.process.pid)
        if failed:
            self._discard()
            return failed
        return child

    def _discard(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _context(self) -> dict[str, object]:
        """Return the documented context, https://cloud.tencent.com/document/product/583/9210."""
        return {
            "memory_limit_in_mb": 128,
            "time_limit_in_ms": int(self._time_limit * 1000),
            "request_id": str(uuid.uuid4()),
            # On SCF they hold live credentials too, so logging the context would publish them.
            "environment": json.dumps(self._environment),
            "environ": ";".join(f"{name}={value}" for name, value in self._environment.items()),
            "function_version": "$LATEST",
            "function_name": "keypair-issuer",
            "namespace": "default",
            "tencentcloud_region": self._environment.get("KEYPAIR_REGION", "ap-guangzhou"),
            "tencentcloud_appid": "1250000000",
            "tencentcloud_uin": "100000000001",
        }


def _failed(answer: dict[str, object]) -> Failed:
    return Failed(int(str(answer["code"])), str(answer["trace"]))

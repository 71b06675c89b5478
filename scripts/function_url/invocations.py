"""SCF's Invoke API for the one function here: it queues asynchronous events, which run a moment later.

https://cloud.tencent.com/document/api/583/17243
"""

import json
import queue
import threading
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from scripts.cvm_emulator.errors import ApiError
from scripts.cvm_emulator.server import LoopbackServer, QuietHandler, serving
from scripts.cvm_emulator.signature import Credential, authenticate
from scripts.function_url.front import Function

VERSION = "2018-04-16"
_EVENT_LIMIT = 128 * 1024  # bytes, https://cloud.tencent.com/document/product/583/11637
_PARAMETERS = {"FunctionName", "Namespace", "Qualifier", "InvocationType", "ClientContext"}


class Invocations:
    """Accepts Invoke calls on its own port, and runs their events afterwards."""

    def __init__(self, credential: Credential, port: int = 0) -> None:
        self._credential = credential
        self._server = LoopbackServer(port, partial(_Handler, self))
        self._events: queue.Queue[dict[str, object] | None] = queue.Queue()
        self.url = self._server.url

    @contextmanager
    def serving(self, function: Function, instances: int = 1) -> Iterator[None]:
        """Accept calls and run `function` on their events, with limited concurrency, during the block."""
        threads = [
            threading.Thread(target=self._run, args=(function,), daemon=True) for _ in range(instances)
        ]
        for thread in threads:
            thread.start()
        try:
            with serving(self._server):
                yield
        finally:
            for _ in threads:
                self._events.put(None)
            for thread in threads:
                thread.join()

    def _run(self, function: Function) -> None:
        while (event := self._events.get()) is not None:
            try:
                function.call(event)
            except Exception:  # noqa: BLE001  # whatever it is, other events must still run
                traceback.print_exc()
            finally:
                self._events.task_done()

    def settle(self) -> None:
        """Wait until the function has run on all events so far."""
        self._events.join()

    def answer(self, headers: Any, body: bytes) -> dict[str, object]:  # noqa: ANN401  # an email.message.Message
        """Return the contents of `Response`."""
        request_id = str(uuid.uuid4())
        try:
            authenticate(headers, body, self._credential, time.time(), "scf")
            self._events.put(_event(headers, body))
        except ApiError as error:
            return {"Error": {"Code": error.code, "Message": error.message}, "RequestId": request_id}
        result = {"FunctionRequestId": str(uuid.uuid4()), "InvokeResult": 0, "RetMsg": "", "ErrMsg": ""}
        return {"Result": result, "RequestId": request_id}


def _event(headers: Any, body: bytes) -> dict[str, object]:  # noqa: ANN401  # as above
    if headers.get("X-TC-Action") != "Invoke" or headers.get("X-TC-Version") != VERSION:
        raise ApiError("InvalidAction", "Only Invoke of this version is here.")
    parameters = json.loads(body)
    if set(parameters) != _PARAMETERS or parameters["InvocationType"] != "Event":
        raise ApiError("InvalidParameterValue", "An asynchronous event, and nothing else, is taken here.")
    if parameters["FunctionName"] != "keypair-issuer" or parameters["Namespace"] != "default":
        raise ApiError("ResourceNotFound.Function", "There is no such function.")
    context = parameters["ClientContext"]
    if len(context.encode()) > _EVENT_LIMIT:
        raise ApiError("RequestTooLarge", "The event is too large.")
    event: dict[str, object] = json.loads(context)
    return event


class _Handler(QuietHandler):
    def __init__(self, invocations: Invocations, *connection: Any) -> None:  # noqa: ANN401  # http.server's own arguments
        # The base class serves the whole connection inside its constructor.
        self._invocations = invocations
        super().__init__(*connection)

    def do_POST(self) -> None:  # noqa: N802  # http.server asks for this name
        """Answer one call."""
        answer = {"Response": self._invocations.answer(self.headers, self.body() or b"")}
        content = json.dumps(answer).encode()
        self.head(200, {"Content-Type": "application/json", "Content-Length": str(len(content))})
        self.wfile.write(content)

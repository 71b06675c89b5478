"""The process: one port for all services, and paths below /_control for tests."""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import tempfile
import threading
import time
import uuid
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from scripts.cvm_emulator.errors import ApiError
from scripts.cvm_emulator.server import LoopbackServer, QuietHandler, serving
from scripts.cvm_emulator.signature import Credential, authenticate
from scripts.function_url.emulator import Emulator, running_emulator
from scripts.info_file import write_info
from tests.support.cloud_stand_in import cos, parameters
from tests.support.cloud_stand_in.account import Account
from tests.support.cloud_stand_in.others import Cam, Cls, Tag
from tests.support.cloud_stand_in.scf import Scf

_READING = ("Get", "List", "Describe", "Search", "HEAD")
_BODY_LIMIT = 10 * 1024 * 1024
_CREDENTIAL_SCOPE = re.compile(r"Credential=[^/]+/[0-9-]+/([a-z]+)/tc3_request")
_VERSIONS = {"cam": "2019-01-16", "cls": "2020-10-16", "scf": "2018-04-16", "tag": "2018-08-13"}


class StandIn:
    """All services over one account, which a test can replace by an empty one."""

    def __init__(self, emulator: Emulator) -> None:
        self.credential = Credential("AKIDdeployer0000000000000000000000", "d" * 32)
        self.emulator = emulator
        self.lock = threading.RLock()
        self.url = ""
        self.account = Account()
        self.services: dict[str, Any] = {}
        self.reset()

    def close(self) -> None:
        """End all that runs in the account."""
        self.account.resources.close()

    def reset(self) -> None:
        """Begin with an empty account."""
        self.close()
        self.account = Account()
        outside = {"KEYPAIR_CVM_ENDPOINT": self.emulator.cvm_endpoint}
        self.services = {
            "cam": Cam(self.account),
            "cls": Cls(self.account),
            "scf": Scf(self.account, self.emulator.credentials(), outside, lambda: self.url),
            "tag": Tag(self.account),
        }

    def api(self, headers: Any, body: bytes) -> dict[str, Any]:  # noqa: ANN401  # an email.message.Message
        """Return what goes under `Response`."""
        request_id = str(uuid.uuid4())
        try:
            return {**self._result(headers, body), "RequestId": request_id}
        except ApiError as failure:
            return {"Error": {"Code": failure.code, "Message": failure.message}, "RequestId": request_id}

    def _result(self, headers: Any, body: bytes) -> dict[str, Any]:  # noqa: ANN401  # as above
        scope = _CREDENTIAL_SCOPE.search(headers.get("Authorization", ""))
        service = scope[1] if scope else ""
        if service not in self.services:
            raise ApiError("InvalidAction", f"There is no service {service!r} here.")
        authenticate(headers, body, self.credential, time.time(), service)
        if headers.get("X-TC-Version") != _VERSIONS[service]:
            raise ApiError("NoSuchVersion", "Not the version of this service.")
        action = headers.get("X-TC-Action", "")
        given = json.loads(body)
        self.account.calls.append({"service": service, "action": action, "parameters": given})
        parameters.check(service, action, given)
        if f"{service} {action}" in self.account.denied:
            raise ApiError("UnauthorizedOperation", f"No right to {service}:{action}.")
        method = getattr(self.services[service], re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower(), None)
        if method is None:
            raise ApiError("InvalidAction", f"{service} {action} is not imitated.")
        result: dict[str, Any] = method(given)
        return result

    def cos(self, method: str, path: str, headers: Any, body: bytes) -> cos.CosReply:  # noqa: ANN401  # as above
        """Answer a request to COS."""
        named = {"Bucket": cos.bucket_of(headers), **({"Key": path[1:]} if path != "/" else {})}
        what = f"{method} {'Object' if 'Key' in named else 'Bucket'}"
        self.account.calls.append({"service": "cos", "action": what, "parameters": named})
        if not cos.is_signed(self.credential, method, path, headers):
            return cos.refusal()
        return cos.answer(self.account, method, path, headers, body)

    def is_cut_off(self) -> bool:
        """Tell whether the call that was made last gets no answer."""
        account = self.account
        last = account.calls[-1] if account.calls else {"service": "", "action": "Get"}
        if f"{last['service']} {last['action']}" == account.pause_at:
            account.pause_at = None
            account.paused.set()
            return True
        if account.hang_up_after_change and not last["action"].startswith((*_READING, account.spared or "-")):
            account.hang_up_after_change = False
            return True
        return False

    def control(self, path: str, body: bytes) -> object:
        """Do what a test asks for."""
        given = json.loads(body or b"{}")
        if path == "/_control/paused":
            # Until the paused call was made; its caller still waits for the answer.
            return {"paused": self.account.paused.wait(timeout=60)}
        with self.lock:
            return self._control(path, given)

    def _control(self, path: str, given: dict[str, Any]) -> object:
        if path == "/_control/reset":
            self.reset()
        elif path == "/_control/set":
            for name, value in given.items():
                assert hasattr(self.account, name)
                setattr(self.account, name, set(value) if name == "denied" else value)
        elif path == "/_control/calls":
            return self.account.calls
        elif path == "/_control/state":
            return self._state()
        elif path == "/_control/timer":
            return self._fire(given["trigger"])
        return {}

    def _fire(self, name: str) -> object:
        """Let a timer's time come; https://cloud.tencent.com/document/product/583/9708."""
        event = {**self.account.timer_event}
        if "TriggerName" in event:
            event["TriggerName"] = name
        for function in self.account.functions.values():
            for trigger in function.triggers:
                if trigger["TriggerName"] == name and trigger["Enable"]:
                    version = self.services["scf"]._target(function, trigger["Qualifier"])  # noqa: SLF001  # of this package
                    return getattr(function.running.call(version, event), "value", None)
        return None

    def _state(self) -> dict[str, Any]:
        account = self.account
        return {
            "functions": {
                name: {
                    "configuration": function.configuration,
                    "aliases": function.aliases,
                    "versions": sorted(function.versions, key=int),
                    "triggers": [trigger["TriggerName"] for trigger in function.triggers],
                    "reserved": function.reserved_mb,
                    "asyncRetry": function.async_retry,
                    "log": str(function.running.log),
                }
                for (_, name), function in account.functions.items()
            },
            "roles": sorted(account.roles),
            "policies": {one["PolicyName"]: one["PolicyDocument"] for one in account.policies.values()},
            "attached": len(account.attached),
            "topics": [topic["TopicName"] for topic in account.topics.values()],
            "buckets": {name: sorted(objects) for name, objects in account.buckets.items()},
        }


def _json(content: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()


class _Handler(QuietHandler):
    def __init__(self, stand_in: StandIn, *connection: Any) -> None:  # noqa: ANN401  # http.server's arguments
        # The base class serves the whole connection inside its constructor.
        self._stand_in = stand_in
        super().__init__(*connection)

    def _exchange(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        stand_in = self._stand_in
        if self.path.startswith("/_control/"):
            self._send(*_json(stand_in.control(self.path, body)))
            return
        if self.path.startswith("/_code/"):
            _, _, namespace, name, qualifier = self.path.split("/")
            self._send(
                200,
                {"Content-Type": "application/zip"},
                stand_in.services["scf"].code_of(namespace, name, qualifier),
            )
            return
        if cos.is_cos(self.headers):
            with stand_in.lock:
                reply = stand_in.cos(self.command, self.path, self.headers, body)
            status, headers, content = reply.status, reply.headers, reply.body
        elif len(body) > _BODY_LIMIT:
            failure = {"Code": "RequestSizeLimitExceeded", "Message": "More than 10 MB."}
            status, headers, content = _json({"Response": {"Error": failure, "RequestId": "-"}})
        else:
            with stand_in.lock:
                response = stand_in.api(self.headers, body)
            status, headers, content = _json({"Response": response})
        if stand_in.is_cut_off():
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._send(status, headers, b"" if self.command == "HEAD" else content)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _exchange  # noqa: N815  # http.server asks for these names

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.head(status, {**headers, "Content-Length": str(len(body))})
        self.wfile.write(body)


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="cloud_stand_in")
    parser.add_argument("--info", type=Path, required=True, metavar="FILE")
    options = parser.parse_args()
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    with ExitStack() as cleanup:
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cloud-stand-in-")))
        emulator = cleanup.enter_context(running_emulator(folder))
        stand_in = StandIn(emulator)
        cleanup.callback(stand_in.close)
        server = LoopbackServer(0, partial(_Handler, stand_in))
        stand_in.url = server.url
        cleanup.enter_context(serving(server))
        info = {
            "url": server.url,
            "secretId": stand_in.credential.secret_id,
            "secretKey": stand_in.credential.secret_key,
            "cvmEndpoint": emulator.cvm_endpoint,
            "cvmControlUrl": emulator.control_url,
        }
        write_info(options.info, info)
        signal.sigwait(stop_signals)


if __name__ == "__main__":
    main()

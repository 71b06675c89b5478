"""One API call, from headers and body to the bytes of the answer."""

import json
import re
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from email.message import Message

from .actions import Actions, Call
from .answer import Answer, error_answer, json_answer
from .conduct import Conduct
from .errors import ApiError
from .faults import Delay, FaultQueue
from .signature import Credential, authenticate

VERSION = "2017-03-12"
_REGION = re.compile(r"[a-z]{2,}(-[a-z0-9]+)+")


class RateLimit:
    """Limits the calls of each action within any second; 0 means no limit."""

    def __init__(self, per_second: int) -> None:
        self.per_second = per_second
        self._lock = threading.Lock()
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    def check(self, action: str) -> None:
        """Count a call; raise ApiError if it is one too many."""
        with self._lock:
            now = time.monotonic()
            recent = self._recent[action]
            while recent and recent[0] <= now - 1:
                recent.popleft()
            if self.per_second and len(recent) >= self.per_second:
                raise ApiError(
                    "RequestLimitExceeded", f"More than {self.per_second} calls of {action} in a second."
                )
            recent.append(now)


class Service:
    """The API as its callers see it.

    `wait` pauses for a number of seconds. It returns True early if the emulator is shutting down.
    """

    def __init__(
        self,
        actions: Actions,
        faults: FaultQueue,
        rate_limit: RateLimit,
        *,
        conduct: Conduct,
        credential: Credential,
        wait: Callable[[float], bool],
    ) -> None:
        self._actions = actions
        self._faults = faults
        self._rate_limit = rate_limit
        self._conduct = conduct
        self._credential = credential
        self._wait = wait
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()

    def calls(self) -> dict[str, int]:
        """Return how often each action was called, refused calls included."""
        with self._lock:
            return dict(self._calls)

    def answer(self, headers: Message, body: bytes) -> Answer:
        """Serve a `POST /` and return its answer."""
        request_id = str(uuid.uuid4())
        try:
            action = self._admitted(headers, body)
        except ApiError as refused:
            return error_answer(refused.code, refused.message, request_id)
        return self.perform(action, lambda: _decoded(headers, body), request_id, headers["X-TC-Region"])

    def count(self, action: str) -> None:
        """Count a call before anything can refuse it. Unknown actions do not count."""
        if action in self._actions.by_name:
            with self._lock:
                self._calls[action] += 1

    def admit(self, action: str) -> None:
        """Admit an authenticated call of an action; raise ApiError if it is unknown or one too many."""
        if action not in self._actions.by_name:
            raise ApiError("InvalidAction", "The action does not exist in this version.")
        self._conduct.check_rights(action)
        self._rate_limit.check(action)

    def perform(self, action: str, parameters: Callable[[], object], request_id: str, region: str) -> Answer:
        """Serve an admitted call, with its fault if there is one.

        `parameters` returns the action's parameters in the form of API v3, or raises ApiError.
        """
        fault = self._faults.take(action)
        if fault is not None and fault.after == "before":
            if not isinstance(fault, Delay):
                return fault.spoiled(Answer(request_id))
            if self._wait(fault.seconds):
                # Calls after the shutdown must not change a saved account.
                return Answer(request_id, cut=True)
        answer = self._performed(action, lambda: Call(parameters(), fault, region), request_id)
        if isinstance(fault, Delay) and fault.after == "effect":
            self._wait(fault.seconds)
        return answer if fault is None else fault.spoiled(answer)

    def _admitted(self, headers: Message, body: bytes) -> str:
        action = headers.get("X-TC-Action", "")
        self.count(action)
        authenticate(headers, body, self._credential, time.time())
        for name in ("X-TC-Action", "X-TC-Version", "X-TC-Region"):
            if not headers.get(name):
                raise ApiError("MissingParameter", f"The request is missing the header `{name}`.")
        if headers["X-TC-Version"] != VERSION:
            raise ApiError("NoSuchVersion", "The version does not exist.")
        if _REGION.fullmatch(headers["X-TC-Region"]) is None:
            raise ApiError("UnsupportedRegion", "The region does not exist.")
        self.admit(action)
        return action

    def _performed(self, action: str, call: Callable[[], Call], request_id: str) -> Answer:
        try:
            result = self._actions.by_name[action](call())
        except ApiError as refused:
            return error_answer(refused.code, refused.message, request_id)
        return json_answer(result, request_id)


def _decoded(headers: Message, body: bytes) -> object:
    if headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
        raise ApiError("InvalidRequest", "The body must be application/json.")
    try:
        decoded: object = json.loads(body)
    except ValueError as malformed:
        raise ApiError("InvalidRequest", "The body is not JSON.") from malformed
    if not isinstance(decoded, dict):
        raise ApiError("InvalidRequest", "The body must be a JSON object.")
    return decoded

"""The control port: faults, the clock and a look inside, for tests. Bound to loopback only.

POST   /faults                 a JSON list of faults, see faults.py
DELETE /faults
GET    /state                  {"calls": {ACTION: COUNT}, "keyPairs": [...], "faults": [...]}
POST   /key-pairs/KEY_ID/bind  as if an instance used the key pair; DELETE ends that
GET    /private-keys           every private key that went into an answer; they open nothing
GET    /private-keys?from=N    all but the first N of them
POST   /clock                  {"offset": SECONDS}: shifts the CreatedTime of new key pairs;
                               {"at": SECONDS} stops the clock at that time
POST   /rate                   {"perSecond": N}: 0 means no limit
POST   /conduct                how badly the cloud behaves, see conduct.py; DELETE ends that
GET    /tags                   every tag that the account has ever had: [[KEY, VALUE], ...]
DELETE /tags                   forgets those that no key pair bears
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from .conduct import Conduct, ConductSettings
from .faults import Fault, FaultQueue
from .keys import KeyPool
from .server import QuietHandler
from .service import RateLimit, Service
from .state import State

_FAULTS: TypeAdapter[list[Fault]] = TypeAdapter(list[Fault])
_PRIVATE_KEYS = re.compile(r"/private-keys(?:\?from=([0-9]+))?")
_BIND = re.compile(r"/key-pairs/([^/]+)/bind")


class CreationClock:
    """The time of new key pairs. Signatures are always checked against the true time."""

    def __init__(self) -> None:
        self.offset: float = 0
        self.at: float | None = None

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.offset if self.at is None else self.at


class _ClockSetting(BaseModel):
    model_config = ConfigDict(extra="forbid")
    offset: float = Field(default=0, ge=-1e9, le=1e9)
    at: float | None = Field(default=None, ge=0, le=1e11)


class _RateSetting(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)
    per_second: int = Field(ge=0)


@dataclass(frozen=True)
class Emulator:
    """What the control port shows and changes."""

    service: Service
    state: State
    keys: KeyPool
    faults: FaultQueue
    rate_limit: RateLimit
    clock: CreationClock
    conduct: Conduct


class ControlHandler(QuietHandler):
    """Answers on the control port."""

    def __init__(self, emulator: Emulator, *connection: Any) -> None:  # noqa: ANN401  # http.server's own arguments
        # The base class serves the whole connection in its constructor.
        self._emulator = emulator
        super().__init__(*connection)

    def do_GET(self) -> None:  # noqa: N802  # http.server asks for this name
        """Serve GET."""
        if self.path == "/state":
            key_pairs = [key_pair.described() for key_pair in self._emulator.state.all()]
            self._send(
                200,
                {
                    "calls": self._emulator.service.calls(),
                    "keyPairs": key_pairs,
                    "faults": self._emulator.faults.remaining(),
                },
            )
        elif private_keys := _PRIVATE_KEYS.fullmatch(self.path):
            self._send(200, self._emulator.keys.handed_out[int(private_keys[1] or 0) :])
        elif self.path == "/tags":
            self._send(200, sorted(self._emulator.state.tags()))
        else:
            self._send(404, {"error": "no such path"})

    def do_POST(self) -> None:  # noqa: N802  # http.server asks for this name
        """Serve POST."""
        body = self.body() or b""
        try:
            self._set(body)
        except ValidationError as invalid:
            self._send(400, {"error": str(invalid)})

    def _set(self, body: bytes) -> None:
        if self.path == "/faults":
            self._emulator.faults.add(_FAULTS.validate_json(body))
            self._send(200, {"faults": self._emulator.faults.remaining()})
        elif self.path == "/clock":
            setting = _ClockSetting.model_validate_json(body)
            self._emulator.clock.offset, self._emulator.clock.at = setting.offset, setting.at
            self._send(200, setting.model_dump())
        elif self.path == "/rate":
            self._emulator.rate_limit.per_second = _RateSetting.model_validate_json(body).per_second
            self._send(200, {"perSecond": self._emulator.rate_limit.per_second})
        elif self.path == "/conduct":
            self._emulator.conduct.settings = ConductSettings.model_validate_json(body)
            self._send(200, self._emulator.conduct.settings.model_dump(by_alias=True))
        elif (bind := _BIND.fullmatch(self.path)) and self._emulator.state.bind(
            bind[1], instance_id="ins-emulated"
        ):
            self._send(200, {"keyId": bind[1]})
        else:
            self._send(404, {"error": "no such path or key pair"})

    def do_DELETE(self) -> None:  # noqa: N802  # http.server asks for this name
        """Clear the faults, or release a key pair."""
        if self.path == "/faults":
            self._emulator.faults.clear()
            self._send(200, {"faults": []})
        elif self.path == "/conduct":
            self._emulator.conduct.settings = ConductSettings()
            self._send(200, {})
        elif self.path == "/tags":
            self._emulator.state.forget_tags()
            self._send(200, {})
        elif (bound := _BIND.fullmatch(self.path)) and self._emulator.state.bind(bound[1], instance_id=None):
            self._send(200, {"keyId": bound[1]})
        else:
            self._send(404, {"error": "no such path"})

    def _send(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)

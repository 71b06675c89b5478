"""Records which replies were delivered, so that a repeated message does not get a second answer."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING

from handler.errors import RequestInFlight, StoreUnavailable
from handler.order import ANSWER_TTL
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handler.store.base import Store


class ReplyKind(str, Enum):
    """What a reply carries. The value begins the key in the store."""

    KEY_PAIR = "given"
    NOTICE = "told"
    """Anything else, such as help or a refusal."""


class DeliveryState(str, Enum):
    """How far a delivery has come. The value is what the store holds."""

    SENDING = "saying"
    FAILED = "failed"
    DELIVERED = "said"


@dataclass(frozen=True)
class DeliveryLog:
    """The state of each reply, by message and kind.

    Key pairs and notices are recorded separately. Otherwise a refusal would hold back the key pair when the
    platform repeats the message after the cause is gone, for example because the name is free again.
    """

    store: Store

    def key_pair_state(self, message_id: str) -> DeliveryState | None:
        """Return the state of the reply with the key pair, or None if no delivery was started.

        Raises StoreUnavailable.
        """
        value = self.store.get(_key(ReplyKind.KEY_PAIR, message_id))
        return None if value is None else DeliveryState(value)

    @contextmanager
    def attempt(self, kind: ReplyKind, message_id: str) -> Iterator[bool]:
        """Record the outcome of the `with` block, which delivers the reply if the value is True.

        The value is False if the reply was already delivered. Raises StoreUnavailable, or RequestInFlight
        while another invocation is delivering it. If an invocation dies while it delivers, its record expires
        after MAX_INVOCATION_SECONDS, and the next attempt may start.
        """
        key = _key(kind, message_id)
        if not self._start(key):
            if self.store.get(key) != DeliveryState.DELIVERED.value:
                raise RequestInFlight("reply-in-hand")
            yield False
            return
        try:
            yield True
        except Exception:
            # For any failure, a defect included: the next attempt need not wait until the record expires.
            self._finish(key, DeliveryState.FAILED)
            raise
        # Already delivered. If recording that fails, the worst case is a duplicate message.
        with suppress(StoreUnavailable):
            self._finish(key, DeliveryState.DELIVERED)

    def _start(self, key: str) -> bool:
        """Take over the delivery if nobody has started it, or if the last attempt failed."""
        sending, failed = DeliveryState.SENDING.value, DeliveryState.FAILED.value
        return self.store.add(key, sending, MAX_INVOCATION_SECONDS) or self.store.replace(
            key, failed, sending, MAX_INVOCATION_SECONDS
        )

    def _finish(self, key: str, state: DeliveryState) -> None:
        self.store.replace(key, DeliveryState.SENDING.value, state.value, ANSWER_TTL)


def _key(kind: ReplyKind, message_id: str) -> str:
    return f"{kind.value}:{message_id}"

"""What becomes of a message: answered at once, or worked on in a later invocation and answered then."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.chat import words
from handler.chat.command import Help, Mistake, Wanted, place_of, understand
from handler.chat.pickup import file_name_of
from handler.claims import ANSWER_TTL
from handler.errors import (
    KeyPairFunctionError,
    NotGranted,
    NotUnderstood,
    OutcomeUnknown,
    RequestInFlight,
    Unregistered,
)
from handler.invocation import LONGEST
from handler.order import KeyPairOrder
from handler.sealing import refuse_private_recipient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.audit import AuditTrail
    from handler.chat.deferral import Deferral
    from handler.chat.keys_from import KeysFrom
    from handler.chat.pickup import Pickups
    from handler.chat.platform import Message, Platform, Reply
    from handler.http import Response
    from handler.invocation import Deadline, Invocation
    from handler.issuing import IssuedKeyPair, Issuer
    from handler.policy import Policy
    from handler.store.base import Store

PATH = "/chat/"
"""Where the platforms' requests come to: this and the platform's name."""
ISSUE_MINIMUM = 8.0
"""Seconds without which an order is not tried again."""

_REFUSED, _GIVEN = "refused", "given"
"""What was said of a message."""
_SAYING, _FAILED, _SAID = "saying", "failed", "said"
"""How far that came."""


@dataclass(frozen=True)
class Bot:
    """The bot of all platforms."""

    platforms: Mapping[str, Platform]
    policy: Policy
    issuer: Issuer
    store: Store
    deferral: Deferral
    invoke_again: Callable[[str, Invocation], None]
    """Event (JSON) -> a later invocation; raises an error of `handler.errors`."""
    pickups: Pickups
    keys_from: KeysFrom
    default_region: str

    def at(self, path: str) -> Platform | None:
        """Return the platform whose requests come to `path`."""
        return self.platforms.get(path.removeprefix(PATH)) if path.startswith(PATH) else None

    def caller_of(self, message: Message) -> str:
        """Return the id of the caller whom the policy names for the one who wrote; raise Unregistered."""
        who = (message.platform, message.tenant, message.user)
        caller_id = self.policy.chat_callers.get(who)
        if caller_id is None:
            raise Unregistered
        return caller_id

    def receive(self, message: Message, invocation: Invocation) -> Response:
        """Answer a caller's message; an order is handed to a later invocation.

        Platforms wait for three seconds, and then say that the bot is broken.
        """
        if not message.private:
            raise NotGranted("chat-not-private")
        if understand(message.text) is Help.HELP:
            return self.answer(message, words.help_text(message.locale), invocation.deadline)
        _wanted(message)
        self.invoke_again(self.deferral.event(message), invocation)
        return self.platforms[message.platform].acknowledge(message)

    def refuse(self, message: Message, error: KeyPairFunctionError, deadline: Deadline) -> Response:
        """Tell the one who wrote why there is no key pair, in answer to the request."""
        return self.answer(message, words.refused(error, message), deadline)

    def answer(self, message: Message, reply: Reply, deadline: Deadline) -> Response:
        """Say `reply` in answer to the request, or else aside; raise PlatformUnavailable."""
        platform = self.platforms[message.platform]
        answer = platform.answer(message, reply)
        if answer is not None:
            return answer
        self._refuse_aside(message, reply, deadline)
        return platform.acknowledge(message)

    def work(self, message: Message, invocation: Invocation, trail: AuditTrail) -> None:
        """Make the key pair that a message asks for and give it to the one who wrote.

        Raises an error of `handler.errors`; OutcomeUnknown where the key pair is made but cannot be given.
        """
        caller_id = self.caller_of(message)
        trail.note(caller=caller_id)
        order = self._order(_wanted(message), message, caller_id)
        trail.note(key_name=order.name, region=order.region, project_id=order.project_id)
        issued = self._issue(order, caller_id, message, invocation, trail)
        try:
            self._deliver(
                message, _GIVEN, lambda: self._dressed(message, caller_id, issued), invocation.deadline
            )
        except Exception as failure:
            # The key pair is there: nobody may be told that nothing is left.
            raise OutcomeUnknown("reply-not-delivered") from failure

    def work_refused(self, message: Message, error: KeyPairFunctionError, deadline: Deadline) -> None:
        """Tell the one who wrote why there is no key pair; raise PlatformUnavailable."""
        # The invocation that has the order in hand will answer.
        if not isinstance(error, RequestInFlight):
            self._refuse_aside(message, words.refused(error, message), deadline)

    def _refuse_aside(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Say why there is no key pair, unless this very message has got its key pair already."""
        if self.store.get(f"{_GIVEN}:{_event(message)}") != _SAID:
            self._deliver(message, _REFUSED, lambda: reply, deadline)

    def _order(self, wanted: Wanted, message: Message, caller_id: str) -> KeyPairOrder:
        recipients: tuple[str, ...] = ()
        # SECURITY BOUNDARY: whoever could exchange the text would have the key sealed to themselves.
        if wanted.recipient is not None and not message.vouched:
            raise NotGranted("chat-own-recipients")
        place = place_of(wanted.recipient or "")
        if place is not None:
            # Before anything is fetched: who may not bring keys may not send the function anywhere either.
            if not any(grant.own_recipients for grant in self.policy.callers[caller_id].grants):
                raise NotGranted("not-granted-own-recipients")
            recipients = self.keys_from.keys(*place)
        elif wanted.recipient is not None:
            recipients = (wanted.recipient,)
        return KeyPairOrder(
            name=wanted.name,
            region=wanted.region or self.default_region,
            recipients=recipients,
            expires_in=wanted.expires_in,
        )

    def _issue(
        self,
        order: KeyPairOrder,
        caller_id: str,
        message: Message,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> IssuedKeyPair:
        """Issue, and again where waiting helps: nobody repeats this request but this function itself."""
        deadline = invocation.deadline
        while True:
            try:
                return self.issuer.issue(
                    order,
                    caller_id=caller_id,
                    # The same for the platform's retries: one message, one key pair.
                    idempotency_key=f"chat:{_event(message)}",
                    invocation=invocation,
                    trail=trail,
                )
            except KeyPairFunctionError as error:
                pause = error.retry_after
                if pause is None or deadline.remaining() < pause + ISSUE_MINIMUM:
                    raise
                deadline.clock.sleep(pause)

    def _dressed(self, message: Message, caller_id: str, issued: IssuedKeyPair) -> Reply:
        file_name = file_name_of(issued)
        reply = words.issued_here(issued, file_name, message.locale)
        if self.platforms[message.platform].fits(reply):
            return reply
        link = self.pickups.leave(caller_id, issued)
        return words.issued_elsewhere(issued, file_name, link, message.locale)

    def _deliver(self, message: Message, what: str, reply: Callable[[], Reply], deadline: Deadline) -> None:
        """Say what `reply` returns, once for each message: its repetitions find that it was said.

        A refusal and a key pair have marks of their own: a message that was refused and comes again, when its
        name is free for example, would otherwise make a key pair that nobody is given. An invocation that
        dies over it leaves a mark that ends soon; then a repetition says it.
        """
        key = f"{what}:{_event(message)}"
        if not (self.store.add(key, _SAYING, LONGEST) or self.store.replace(key, _FAILED, _SAYING, LONGEST)):
            return
        try:
            self.platforms[message.platform].deliver(message, reply(), deadline)
        except Exception:
            self.store.replace(key, _SAYING, _FAILED, ANSWER_TTL)
            raise
        self.store.replace(key, _SAYING, _SAID, ANSWER_TTL)


def _wanted(message: Message) -> Wanted:
    # Of every kind, for the text goes into an event that the platform keeps until it is worked on.
    refuse_private_recipient(message.text)
    command = understand(message.text)
    if isinstance(command, Wanted):
        return command
    raise NotUnderstood(f"command-{command.value if isinstance(command, Mistake) else Mistake.OTHER.value}")


def _event(message: Message) -> str:
    parts = (message.platform, message.tenant, message.user, message.event_id)
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

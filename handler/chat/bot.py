"""What becomes of a message: answered at once, or worked on in a later invocation and answered then."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from handler.chat import messages
from handler.chat.command import Help, Mistake, Wanted, place_of, understand
from handler.errors import (
    KeyPairFunctionError,
    NotGranted,
    NotUnderstood,
    OutcomeUnknown,
    PlatformRefused,
    PlatformUnavailable,
    RequestInFlight,
    StoreUnavailable,
    Unregistered,
)
from handler.order import ANSWER_TTL, KeyPairOrder
from handler.pickup.links import file_name_of
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from handler.sealing import refuse_private_recipient

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.audit import AuditTrail
    from handler.chat.jobs import Job, JobCodec
    from handler.chat.platforms.base import Message, Platform, Reply
    from handler.chat.published_keys import PublishedKeys
    from handler.http.messages import Response
    from handler.issuance.issuer import IssuedKeyPair, Issuer
    from handler.pickup.links import PickupLinks
    from handler.policy.model import Policy
    from handler.scf.invocation import Deadline, Invocation
    from handler.store.base import Store

ISSUE_MINIMUM = 8.0
"""Seconds without which an order is not tried again."""
HANDING_ON = 4.0
"""Seconds that are kept for leaving the rest to a later invocation, and again to tell that this failed."""
HEARING = 3.0
"""Seconds for which a message is taken for one that is being handed on; no platform sends it again before."""

_GIVEN, _TOLD = "given", "told"
"""What was said of a message: its key pair, or anything else."""
_SAYING, _FAILED, _SAID = "saying", "failed", "said"
"""How far that came."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bot:
    """The bot of all platforms."""

    platforms: Mapping[str, Platform]
    policy: Policy
    issuer: Issuer
    store: Store
    deferral: JobCodec
    invoke_again: Callable[[str, Invocation], None]
    """Event (JSON) -> a later invocation; raises an error of `handler.errors`."""
    pickups: PickupLinks
    keys_from: PublishedKeys
    default_region: str

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
            return self.answer(message, messages.help_text(message), invocation.deadline)
        _wanted(message)
        # What comes again within a minute, from the platform or from somebody who saw it go by, costs no
        # further invocation. Later it does: the one that has it in hand may have died.
        heard = f"heard:{_digest(message.model_dump_json())}"
        if self.store.add(heard, "", HEARING):
            self.invoke_again(self.deferral.begin(message), invocation)
            with suppress(StoreUnavailable):
                self.store.replace(heard, "", "", MAX_INVOCATION_SECONDS)
        return self.platforms[message.platform].acknowledge(message)

    def refuse(self, message: Message, error: KeyPairFunctionError, deadline: Deadline) -> Response:
        """Tell the one who wrote why there is no key pair, in answer to the request."""
        if isinstance(error, PlatformUnavailable | PlatformRefused):
            # What could not be said comes with the platform's repetition; this would be no better news.
            raise error
        with suppress(StoreUnavailable):
            if self._given(message) is not None:
                # There is a key pair, and it is being given, whatever becomes of a repetition.
                return self.platforms[message.platform].acknowledge(message)
        # Where others read along, they are told nothing else.
        told = error if message.private else NotGranted("chat-not-private")
        return self.answer(message, messages.refused(told, message), deadline)

    def answer(self, message: Message, reply: Reply, deadline: Deadline) -> Response:
        """Say `reply` in answer to the request, or else aside.

        Raises PlatformUnavailable, PlatformRefused or StoreUnavailable.
        """
        platform = self.platforms[message.platform]
        answer = platform.answer(message, reply)
        if answer is not None:
            return answer
        self._deliver(message, _TOLD, lambda: reply, deadline)
        return platform.acknowledge(message)

    def work(self, deferred: Job, invocation: Invocation, trail: AuditTrail) -> None:
        """Make the key pair that a message asks for and give it to the one who wrote.

        Where it cannot be given yet, a later invocation does. Raises an error of `handler.errors`;
        OutcomeUnknown where the key pair is made but cannot be given.
        """
        message = deferred.message
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
            if not self._handed_on(deferred, failure, invocation):
                # The key pair is there: nobody may be told that nothing is left.
                raise OutcomeUnknown("reply-not-delivered") from failure

    def work_refused(self, deferred: Job, error: KeyPairFunctionError, invocation: Invocation) -> None:
        """Tell the one who wrote why there is no key pair, or leave it to a later invocation.

        Raises an error of `handler.errors` where neither can be done.
        """
        try:
            self._tell_refused(deferred.message, error, invocation.deadline)
        except KeyPairFunctionError as failure:
            if not self._handed_on(deferred, failure, invocation):
                raise

    def _tell_refused(self, message: Message, error: KeyPairFunctionError, deadline: Deadline) -> None:
        given = self._given(message)
        if given == _SAID:
            return
        if isinstance(error, RequestInFlight):
            # Another invocation has the order in hand and will answer, unless it has died.
            raise error
        if given is not None and not isinstance(error, OutcomeUnknown):
            # An earlier round has made the key pair: nobody may be told that there is none.
            if error.retry_after is not None:
                raise error
            error = OutcomeUnknown("reply-not-delivered")
        reply = messages.refused(error, message)
        self._deliver(message, _TOLD, lambda: reply, deadline)

    def _given(self, message: Message) -> str | None:
        """Return how far the giving of a key pair for this message has come; None if there is none yet."""
        return self.store.get(f"{_GIVEN}:{_event(message)}")

    def _handed_on(self, deferred: Job, failure: Exception, invocation: Invocation) -> bool:
        """Leave it to a later invocation to do what `failure` kept this one from; return whether it will.

        It asks for the same key pair again, gets the one that is there, and gives it.
        """
        later = self.deferral.next(deferred)
        if not isinstance(failure, KeyPairFunctionError) or failure.retry_after is None or later is None:
            return False
        _log.warning("%s: tried again in a later invocation", failure.reason)
        # An event runs at once, and nothing else would keep them apart.
        deadline = invocation.deadline
        deadline.clock.sleep(max(deadline.remaining() - 2 * HANDING_ON, 0))
        if not self._leads(later):
            return True
        try:
            self.invoke_again(self.deferral.event(later), invocation)
        except OutcomeUnknown:
            # It may be in the queue. To send it again would make two of one, again and again.
            return True
        except KeyPairFunctionError:
            return False
        return True

    def _leads(self, later: Job) -> bool:
        """Tell whether it is this invocation that hands on: an event may run twice, and each would."""
        try:
            return self.store.add(f"next:{later.round}:{_event(later.message)}", "", MAX_INVOCATION_SECONDS)
        except StoreUnavailable:
            return True

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
            recipients = self._published(*place, message)
        elif wanted.recipient is not None:
            recipients = (wanted.recipient,)
        return KeyPairOrder(
            name=wanted.name,
            region=wanted.region or self.default_region,
            recipients=recipients,
            expires_in=wanted.expires_in,
        )

    def _published(self, place: str, user: str, message: Message) -> tuple[str, ...]:
        """Return the keys that `user` had there when this message was first worked on.

        With others it would be another order, and what was made for it would be given to nobody.
        """
        key = f"keys:{_event(message)}"
        kept = self.store.get(key)
        if kept is None:
            kept = "\n".join(self.keys_from.keys(place, user))
            if not self.store.add(key, kept, ANSWER_TTL):
                kept = self.store.get(key) or kept
        return tuple(kept.split("\n"))

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
        reply = messages.issued_here(issued, file_name, message.locale)
        if self.platforms[message.platform].fits(reply):
            return reply
        link = self.pickups.leave(caller_id, issued, _event(message))
        return messages.issued_elsewhere(issued, file_name, link, message.locale)

    def _deliver(self, message: Message, what: str, reply: Callable[[], Reply], deadline: Deadline) -> None:
        """Say what `reply` returns, once for each message: its repetitions find that it was said.

        A key pair has a mark of its own: a message that was refused and comes again, when its name is free
        for example, would otherwise make a key pair that nobody is given. Raises RequestInFlight while
        another invocation says it; one that dies over it leaves a mark that ends soon.
        """
        key = f"{what}:{_event(message)}"
        deadline = deadline.sooner(2 * HANDING_ON if what == _GIVEN else HANDING_ON)
        if not (
            self.store.add(key, _SAYING, MAX_INVOCATION_SECONDS)
            or self.store.replace(key, _FAILED, _SAYING, MAX_INVOCATION_SECONDS)
        ):
            if self.store.get(key) == _SAID:
                return
            raise RequestInFlight("reply-in-hand")
        try:
            self.platforms[message.platform].deliver(message, reply(), deadline)
        except Exception:
            # Whatever it was, a defect too: the next one need not wait until this mark has ended.
            self.store.replace(key, _SAYING, _FAILED, ANSWER_TTL)
            raise
        # Said is said: that nobody could write it down leads at worst to its being said twice.
        with suppress(StoreUnavailable):
            self.store.replace(key, _SAYING, _SAID, ANSWER_TTL)


def _wanted(message: Message) -> Wanted:
    # Of every kind, for the text goes into an event that the platform keeps until it is worked on.
    refuse_private_recipient(message.text)
    command = understand(message.text)
    if isinstance(command, Wanted):
        return command
    raise NotUnderstood(f"command-{command.value if isinstance(command, Mistake) else Mistake.OTHER.value}")


def _event(message: Message) -> str:
    return _digest(f"{message.platform}\n{message.tenant}\n{message.user}\n{message.event_id}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

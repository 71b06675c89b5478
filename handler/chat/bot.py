"""What happens to a chat message: it is answered at once, or a later invocation runs it as a job."""

from __future__ import annotations

import hashlib
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from handler.chat import messages
from handler.chat.command import (
    CommandProblem,
    DeleteCommand,
    HelpCommand,
    KeyPairCommand,
    ListCommand,
    parse_command,
    place_of,
    plain,
)
from handler.chat.delivery import DeliveryState, ReplyKind
from handler.errors import (
    KeyPairFunctionError,
    NotGranted,
    NotUnderstood,
    OutcomeUnknown,
    PlatformRefused,
    PlatformUnavailable,
    RecipientRefused,
    RequestInFlight,
    StoreUnavailable,
    Unregistered,
)
from handler.issuance.order_terms import OrderTerms
from handler.order import ANSWER_TTL, Action, KeyPairOrder, PrivateKeyFormat
from handler.pickup.links import file_name_of
from handler.scf.invocation import MAX_INVOCATION_SECONDS
from handler.sealing import refuse_private_recipient
from handler.sealing.recipient_problems import RecipientProblem
from handler.sealing.recipient_text import PGP_LABEL
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.audit import AuditTrail
    from handler.chat.delivery import DeliveryLog
    from handler.chat.jobs import Job, JobCodec
    from handler.chat.own_key_pairs import OwnKeyPairs
    from handler.chat.platforms.base import Message, Platform, Reply
    from handler.chat.published_keys import PublishedKeys
    from handler.http.messages import Response
    from handler.issuance.issuer import IssuedKeyPair, Issuer
    from handler.pickup.links import PickupLinks
    from handler.policy.model import Policy
    from handler.scf.invocation import Deadline, Invocation
    from handler.store.base import Store

MIN_ISSUE_SECONDS = 8.0
"""Issuing is retried only if at least this much time is left."""
RESCHEDULE_SECONDS = 4.0
"""Time reserved for handing a job to a later invocation, and once more for reporting that this failed."""
RECEIPT_SECONDS = 3.0
"""How long a message counts as received while Invoke is called. No platform repeats a message sooner."""

_SKIPPED = "#"
"""Begins the lines with published keys that were skipped. No key begins like this."""

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Bot:
    """The bot behind all chat platforms."""

    platforms: Mapping[str, Platform]
    policy: Policy
    issuer: Issuer
    store: Store
    deliveries: DeliveryLog
    jobs: JobCodec
    invoke_again: Callable[[str, Invocation], None]
    """Send an event (JSON) to a later invocation; raises an error of `handler.errors`."""
    pickup_links: PickupLinks
    published_keys: PublishedKeys
    own_key_pairs: Callable[[], OwnKeyPairs]
    """Made when a message asks for it: an order has no use for it."""
    default_region: str

    def caller_of(self, message: Message) -> str:
        """Return the id of the caller whom the policy registers for the author; raise Unregistered."""
        caller_id = self.policy.chat_caller(message.platform, message.tenant, message.user)
        if caller_id is None:
            raise Unregistered
        return caller_id

    def receive(self, message: Message, invocation: Invocation) -> Response:
        """Answer a caller's message. If it asks for anything but help, a later invocation does it.

        Platforms wait three seconds for a response, then report that the bot is broken.
        """
        if not message.is_direct:
            raise NotGranted("chat-not-private")
        if parse_command(message.text) is HelpCommand.HELP:
            return self.respond(message, messages.help_text(message), invocation.deadline)
        _command(message)
        # A message that arrives again within a minute, repeated by the platform or replayed by somebody else,
        # starts no further invocation. Later it does: the invocation that ran it may have died.
        receipt = f"heard:{_digest(message.model_dump_json())}"
        if self.store.add(receipt, "", RECEIPT_SECONDS):
            self.invoke_again(self.jobs.start(message), invocation)
            with suppress(StoreUnavailable):
                self.store.replace(receipt, "", "", MAX_INVOCATION_SECONDS)
        return self.platforms[message.platform].acknowledge(message)

    def refuse(self, message: Message, error: KeyPairFunctionError, deadline: Deadline) -> Response:
        """Tell the author, in response to the webhook, why the command failed."""
        if isinstance(error, PlatformUnavailable | PlatformRefused):
            # The platform did not take a reply. It would not take a report of that either.
            raise error
        with suppress(StoreUnavailable):
            if self.deliveries.key_pair_state(message_id(message)) is not None:
                # An earlier copy of this message has its key pair, and a job is delivering it.
                return self.platforms[message.platform].acknowledge(message)
        # Where others read along, the reply says nothing else.
        public_error = error if message.is_direct else NotGranted("chat-not-private")
        return self.respond(message, messages.refused(public_error, message), deadline)

    def respond(self, message: Message, reply: Reply, deadline: Deadline) -> Response:
        """Reply in the HTTP response, or in a separate message if the platform requires that.

        Raises PlatformUnavailable, PlatformRefused or StoreUnavailable.
        """
        platform = self.platforms[message.platform]
        response = platform.respond(message, reply)
        if response is not None:
            return response
        self._deliver_notice(message, reply, deadline)
        return platform.acknowledge(message)

    def run_job(self, job: Job, invocation: Invocation, trail: AuditTrail) -> None:
        """Do what a message asks for, and deliver the result to the author.

        If it cannot be delivered yet, a later invocation tries again. Raises an error of `handler.errors`;
        OutcomeUnknown if the key pair exists but cannot be delivered.
        """
        caller_id = self.caller_of(job.message)
        trail.note(caller=caller_id)
        command = _command(job.message)
        if isinstance(command, KeyPairCommand):
            self._make_key_pair(command, job, caller_id, invocation, trail)
        else:
            self._manage_key_pairs(command, job, caller_id, invocation, trail)

    def _make_key_pair(
        self, command: KeyPairCommand, job: Job, caller_id: str, invocation: Invocation, trail: AuditTrail
    ) -> None:
        message = job.message
        order, notes = self._order(command, message, caller_id)
        trail.note_order(order)
        issued = self._issue(order, caller_id, message, invocation, trail)
        try:
            self._deliver_key_pair(message, caller_id, issued, notes, invocation.deadline)
        except Exception as failure:
            if not self._reschedule(job, failure, invocation):
                # The key pair exists, so the author must not be told that there is none.
                raise OutcomeUnknown("reply-not-delivered") from failure

    def _manage_key_pairs(
        self,
        command: ListCommand | DeleteCommand,
        job: Job,
        caller_id: str,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> None:
        message = job.message
        own, deadline = self.own_key_pairs(), invocation.deadline
        reply = _retried(
            lambda: own.reply(
                command,
                message,
                message_id(message),
                caller_id=caller_id,
                invocation=invocation,
                trail=trail,
            ),
            deadline,
        )
        try:
            self._deliver_notice(message, reply, deadline)
        except KeyPairFunctionError as failure:
            if not self._reschedule(job, failure, invocation):
                raise

    def report_failure(self, job: Job, error: KeyPairFunctionError, invocation: Invocation) -> None:
        """Tell the author why the command failed, or let a later invocation do it.

        Raises an error of `handler.errors` if neither is possible.
        """
        if isinstance(error, PlatformUnavailable | PlatformRefused):
            # What the author asked for is done. A report of failure would deny it.
            return
        try:
            self._deliver_failure(job.message, error, invocation.deadline)
        except KeyPairFunctionError as failure:
            if not self._reschedule(job, failure, invocation):
                raise

    def _deliver_failure(self, message: Message, error: KeyPairFunctionError, deadline: Deadline) -> None:
        state = self.deliveries.key_pair_state(message_id(message))
        if state is DeliveryState.DELIVERED:
            return
        if isinstance(error, RequestInFlight):
            # Another invocation is making this key pair. It will answer, unless it has died.
            raise error
        if state is not None and not isinstance(error, OutcomeUnknown):
            # An earlier round made the key pair, so the author must not be told that there is none.
            if error.retry_after is not None:
                raise error
            error = OutcomeUnknown("reply-not-delivered")
        self._deliver_notice(message, messages.refused(error, message), deadline)

    def _reschedule(self, job: Job, failure: Exception, invocation: Invocation) -> bool:
        """Hand the job to a later invocation if `failure` is temporary; return whether it was handed over.

        The later invocation asks for the same key pair, finds that it exists, and delivers it.
        """
        next_job = self.jobs.next_round(job)
        if not isinstance(failure, KeyPairFunctionError) or failure.retry_after is None or next_job is None:
            return False
        _log.warning("%s: tried again in a later invocation", failure.reason)
        # SCF runs the event at once, so the pause between two rounds has to be here.
        deadline = invocation.deadline
        deadline.clock.sleep(max(deadline.remaining() - 2 * RESCHEDULE_SECONDS, 0))
        if not self._claim_round(next_job):
            return True
        try:
            self.invoke_again(self.jobs.encode(next_job), invocation)
        except OutcomeUnknown:
            # The event may be in the queue. Sending it again would double the jobs in every round.
            return True
        except KeyPairFunctionError:
            return False
        return True

    def _claim_round(self, next_job: Job) -> bool:
        """Claim the next round for this invocation; tell whether it has it. SCF may run an event twice."""
        key = f"next:{next_job.round}:{message_id(next_job.message)}"
        try:
            return self.store.add(key, "", MAX_INVOCATION_SECONDS)
        except StoreUnavailable:
            return True

    def _order(
        self, command: KeyPairCommand, message: Message, caller_id: str
    ) -> tuple[KeyPairOrder, messages.Notes]:
        """Return the order in a command, and what the answer says about how it was read."""
        recipients, skipped = command.recipients, tuple[str, ...]()
        # SECURITY BOUNDARY: anybody who can change the text could have the key pair sealed to their own key.
        if command.recipients and not message.text_authenticated:
            raise NotGranted("chat-own-recipients")
        place = place_of(command.recipients[0]) if len(command.recipients) == 1 else None
        if place is not None:
            # Before the fetch: callers who may not bring keys cannot make the function fetch any.
            grants = self.policy.callers[caller_id].grants
            if not any(grant.own_recipients and Action.CREATE in grant.actions for grant in grants):
                raise NotGranted("not-granted-own-recipients")
            recipients, skipped = self._published_keys_of(*place, message)
        order = KeyPairOrder(
            name=command.name,
            region=command.region or self.default_region,
            recipients=recipients,
            private_key_format=command.private_key_format or PrivateKeyFormat.PKCS1,
            expires_in=command.expires_in,
        )
        return order, messages.Notes(skipped, command.comment_reads_like_options)

    def _published_keys_of(
        self, place: str, user: str, message: Message
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the keys of `user` as they were when this message was first processed, and what was skipped.

        Other keys would make another order, and the key pair of the first one could not be delivered.
        """
        key = f"keys:{message_id(message)}"
        stored = self.store.get(key)
        if stored is None:
            published = self.published_keys.keys(place, user)
            stored = "\n".join([*published.keys, *(f"{_SKIPPED}{title}" for title in published.skipped)])
            if not self.store.add(key, stored, ANSWER_TTL):
                stored = self.store.get(key) or stored
        lines = stored.split("\n")
        skipped = (line.removeprefix(_SKIPPED) for line in lines if line.startswith(_SKIPPED))
        return tuple(line for line in lines if not line.startswith(_SKIPPED)), tuple(skipped)

    def _issue(
        self,
        order: KeyPairOrder,
        caller_id: str,
        message: Message,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> IssuedKeyPair:
        # The platform's retries carry the same id: one message, one key pair.
        key = f"chat:{message_id(message)}"
        terms = OrderTerms(caller_id, key, None, invocation, trail)
        return _retried(lambda: self.issuer.issue(order, terms), invocation.deadline)

    def _deliver_key_pair(
        self,
        message: Message,
        caller_id: str,
        issued: IssuedKeyPair,
        notes: messages.Notes,
        deadline: Deadline,
    ) -> None:
        """Deliver the key pair, once. Raises RequestInFlight while another invocation delivers it."""
        # Time for handing the job over, and for reporting that this failed.
        deadline = deadline.minus(2 * RESCHEDULE_SECONDS)
        with self.deliveries.attempt(ReplyKind.KEY_PAIR, message_id(message)) as due:
            if due:
                reply = self._key_pair_reply(message, caller_id, issued, notes)
                self.platforms[message.platform].deliver(message, reply, deadline)

    def _deliver_notice(self, message: Message, reply: Reply, deadline: Deadline) -> None:
        """Deliver a reply without a key pair, once. Raises RequestInFlight as for a key pair."""
        deadline = deadline.minus(RESCHEDULE_SECONDS)
        with self.deliveries.attempt(ReplyKind.NOTICE, message_id(message)) as due:
            if due:
                self.platforms[message.platform].deliver(message, reply, deadline)

    def _key_pair_reply(
        self, message: Message, caller_id: str, issued: IssuedKeyPair, notes: messages.Notes
    ) -> Reply:
        """Return the key pair as a reply, with a link if the envelope is too long for a message."""
        file_name = file_name_of(issued)
        reply = messages.key_pair(issued, file_name, message.locale, notes)
        if self.platforms[message.platform].fits(reply):
            return reply
        link = self.pickup_links.create(caller_id, issued, message_id(message))
        return messages.key_pair_with_link(issued, file_name, link, message.locale, notes)


def _retried(act: Callable[[], _Result], deadline: Deadline) -> _Result:
    """Return what `act` returns, and retry temporary failures: no client would repeat this request."""
    while True:
        try:
            return act()
        except KeyPairFunctionError as error:
            pause = error.retry_after
            if pause is None or deadline.remaining() < pause + MIN_ISSUE_SECONDS:
                raise
            deadline.clock.sleep(pause)


def _command(message: Message) -> KeyPairCommand | ListCommand | DeleteCommand:
    """Return the command in a message; raise NotUnderstood, NotGranted or RecipientRefused."""
    # Private keys of every kind: the text goes into an event, which SCF keeps until it has run.
    for text in (message.text, plain(message.text)):
        refuse_private_recipient(text)
    command = parse_command(message.text)
    # SECURITY BOUNDARY: anybody who can change the text could delete the author's key pairs.
    if isinstance(command, DeleteCommand) and not message.text_authenticated:
        raise NotGranted("chat-delete-unauthenticated")
    if isinstance(command, KeyPairCommand | ListCommand | DeleteCommand):
        return command
    if command is CommandProblem.LONG and PGP_LABEL in message.text:
        raise RecipientRefused(RecipientProblem.PGP_TOO_LONG)
    problem = command if isinstance(command, CommandProblem) else CommandProblem.OTHER
    raise NotUnderstood(f"command-{problem.value}")


def message_id(message: Message) -> str:
    """Return the id under which the store knows a message. The platform's retries have the same."""
    return _digest(f"{message.platform}\n{message.tenant}\n{message.user}\n{message.event_id}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

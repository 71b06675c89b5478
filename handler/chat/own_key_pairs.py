"""Lists and deletes the author's key pairs.

Deleting takes two messages: the reply to the first contains a word, and the second must repeat it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from handler.chat import messages
from handler.chat.command import ListCommand
from handler.errors import KeyPairInUse, KeyPairNotFound, NotGranted
from handler.order import ANSWER_TTL, Action
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from handler.audit import AuditTrail
    from handler.chat.command import DeleteCommand
    from handler.chat.platforms.base import Message, Reply
    from handler.issuance.inventory import Inventory
    from handler.scf.invocation import Invocation
    from handler.store.base import Store

_REPLY_SECONDS = 8.0
"""Time reserved for the reply, and for handing the job to a later invocation."""


@dataclass(frozen=True)
class OwnKeyPairs:
    """What the bot does with key pairs that exist."""

    inventory: Inventory
    store: Store
    new_word: Callable[[], str]
    default_region: str

    def reply(
        self,
        command: ListCommand | DeleteCommand,
        message: Message,
        message_id: str,
        *,
        caller_id: str,
        invocation: Invocation,
        trail: AuditTrail,
    ) -> Reply:
        """Do what `command` asks for, and return the reply. Doing it again for one message is harmless.

        Raises NotGranted, KeyPairNotFound, KeyPairInUse, and what the inventory raises.
        """
        invocation = replace(invocation, deadline=invocation.deadline.minus(_REPLY_SECONDS))
        region = command.region or self.default_region
        if isinstance(command, ListCommand):
            every = self.inventory.list(
                region, lambda _: True, caller_id=caller_id, invocation=invocation, trail=trail
            )
            return messages.key_pair_list(every, region, message.locale)
        name = command.name
        trail.note(key_name=name, region=region)
        if command.word is not None:
            key_id = self._redeem(_question(message, name, region, command.word), message_id)
            self.inventory.delete([key_id], region, caller_id=caller_id, invocation=invocation, trail=trail)
            return messages.deleted(name, region, message.locale)
        found = self.inventory.list(
            region,
            lambda pair: pair.key_name == name,
            action=Action.DELETE,
            caller_id=caller_id,
            invocation=invocation,
            trail=trail,
        )
        if not found:
            raise KeyPairNotFound
        pair = found[0]
        if pair.instance_ids:
            raise KeyPairInUse
        word = self.new_word()
        self.store.add(_question(message, name, region, word), pair.key_id, messages.WORD_TTL_SECONDS)
        return messages.delete_question(pair, word, message.locale, in_region=command.region is not None)

    def _redeem(self, question: str, message_id: str) -> str:
        """Return the id of the key pair that the author was asked about; raise NotGranted.

        SECURITY BOUNDARY: a word is good for one message, so a replayed message deletes nothing else. It
        stays good for that message, whose job may run more than once.
        """
        stored = self.store.get(question)
        if stored is not None and " " not in stored:
            self.store.replace(question, stored, f"{stored} {message_id}", ANSWER_TTL)
            stored = self.store.get(question)
        key_id, _, used_by = (stored or "").partition(" ")
        if used_by != message_id:
            raise NotGranted("chat-delete-word")
        return key_id


def _question(message: Message, name: str, region: str, word: str) -> str:
    """Return the key under which the store knows a question: to this user, about this key pair."""
    text = json.dumps([message.platform, message.tenant, message.user, name, region, word])
    return f"confirm:{hashlib.sha256(text.encode()).hexdigest()}"

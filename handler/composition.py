"""The composition root: settings in, an application out."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from handler.api.grants import GrantsDoor
from handler.api.rest import PATH as REST_PATH
from handler.api.rest import RestDoor
from handler.api.tencent_v2 import PATH as V2_PATH
from handler.api.tencent_v2 import TencentV2Door
from handler.api.tencent_v3 import TencentV3Door
from handler.application import Application
from handler.authentication import Authentication
from handler.chat import platforms
from handler.chat.bot import Bot
from handler.chat.deferral import Deferral
from handler.chat.keys_from import KeysFrom
from handler.chat.outgoing import Outgoing
from handler.chat.pickup import Pickups
from handler.chat.platform import Tools
from handler.claims import Claims
from handler.cloud.cvm import Cvm
from handler.cloud.scf import Scf
from handler.errors import SettingsInvalid
from handler.http import Response, json_response
from handler.issuing import Issuer
from handler.limits import Limiter
from handler.marks import Marker
from handler.nonces import Nonces
from handler.policy import Policy
from handler.settings import Settings
from handler.store import open_store
from handler.sweeping import Sweeper
from handler.web.page import pages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handler.chat.platform import Platform
    from handler.door import Door
    from handler.invocation import Clock, Credentials, Deadline
    from handler.issuing import Connect
    from handler.store.base import Store

OPENAPI = Path(__file__).parent / "api" / "openapi.json"
"""Made by `scripts/openapi`."""


def _health() -> Response:
    return json_response(200, {"status": "ok"})


def _description() -> Response:
    return Response(200, OPENAPI.read_text(encoding="utf-8"), "application/json")


_PAGES: dict[str, Callable[[], Response]] = {"/healthz": _health, "/openapi.json": _description}


@dataclass(frozen=True)
class ChatNetwork:
    """How the bot reaches others: which chat platforms, and where people publish their keys."""

    outgoing: Outgoing = field(default_factory=Outgoing)
    keys_from: Callable[[Mapping[str, str]], KeysFrom] = KeysFrom
    platforms: Mapping[str, Callable[[Settings, Tools], Platform | None]] = field(
        default_factory=lambda: platforms.PLATFORMS
    )


def build(
    environ: Mapping[str, str],
    clock: Clock,
    audit_stream: Callable[[], TextIO],
    chat: ChatNetwork | None = None,
) -> Application:
    """Return the application that `environ` describes; raise SettingsInvalid or PolicyInvalid."""
    settings = Settings.from_environ(environ)
    jitter = random.SystemRandom().random

    def connect(credentials: Credentials, region: str, deadline: Deadline) -> Cvm:
        return Cvm(credentials, region, deadline, jitter=jitter, endpoint=settings.cvm_endpoint)

    return compose(
        settings,
        policy=Policy.load(settings.policy),
        store=open_store(settings.store, clock),
        connect=connect,
        chat=chat or ChatNetwork(),
        clock=clock,
        audit_stream=audit_stream,
    )


def compose(
    settings: Settings,
    *,
    policy: Policy,
    store: Store,
    connect: Connect,
    chat: ChatNetwork,
    clock: Clock,
    audit_stream: Callable[[], TextIO],
) -> Application:
    """Return an application of these parts.

    Raises PolicyInvalid or SettingsInvalid where they do not fit together.
    """
    platforms.check(policy, chat.platforms)
    talking = platforms.configured(settings, Tools(chat.outgoing, Nonces(store), clock), chat.platforms)
    if talking and settings.store == "memory:" and settings.scf_endpoint is None:
        # What one invocation makes, another gives: with memories of their own it would be given to nobody.
        raise SettingsInvalid(
            "KEYPAIR_STORE: chat needs a store that all instances share, redis:// or rediss://"
        )
    authentication = Authentication.under(settings, policy, store, clock)
    v2 = TencentV2Door(authentication.v2, settings.region)
    marker = Marker(settings.master_secrets)
    claims = Claims(store, clock, new_holder=lambda: uuid.uuid4().hex)
    doors: dict[tuple[str, str], Door] = {
        ("POST", REST_PATH): RestDoor(authentication.token_or_tc3, settings.region),
        ("POST", "/"): TencentV3Door(authentication.tc3, settings.region),
        ("GET", V2_PATH): v2,
        ("POST", V2_PATH): v2,
    }
    if policy.web is not None and policy.issuers:
        from handler.web.form import PATH as FORM_PATH
        from handler.web.form import FormDoor

        # Without an issuer there is no token that somebody could type.
        doors["POST", FORM_PATH] = FormDoor(
            authentication.bearer.authenticate, settings.region, settings.hosts, policy.web.origins
        )
    issuer = Issuer(policy, claims, marker, connect, clock)
    bot = Bot(
        platforms=talking,
        policy=policy,
        issuer=issuer,
        store=store,
        deferral=Deferral(settings.master_secrets, clock),
        invoke_again=Scf(settings.region, settings.scf_endpoint).invoke_again,
        pickups=Pickups(store, clock, settings.link_base, settings.master_secret),
        keys_from=chat.keys_from(policy.keys_from),
        default_region=settings.region,
    )
    return Application(
        issuer=issuer,
        sweeper=Sweeper(policy.regions | {settings.region}, claims, marker, connect, clock),
        doors=doors,
        grants=GrantsDoor(authentication.token_or_tc3, policy, settings.region),
        pages={**_PAGES, **pages(policy, settings.region)},
        policy=policy,
        limiter=Limiter(store, clock),
        bot=bot,
        clock=clock,
        audit_stream=audit_stream,
    )

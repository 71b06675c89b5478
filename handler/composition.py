"""The composition root: builds the application from the settings."""

from __future__ import annotations

import hashlib
import random
import secrets
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TextIO

from handler.api import pages
from handler.api.grants import PATH as GRANTS_PATH
from handler.api.grants import GrantsEndpoint
from handler.api.pages import PageEndpoint
from handler.api.readiness import ReadinessEndpoint
from handler.api.rest import PATH as REST_PATH
from handler.api.rest import RestEndpoint
from handler.api.tencent_v2 import TencentV2Endpoint
from handler.api.tencent_v3 import TencentV3Endpoint
from handler.api.timer import SweepEndpoint
from handler.application import Application
from handler.audit import AuditLog
from handler.auth.admission import Admission
from handler.auth.authenticator import Authenticator
from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.nonces import Nonces
from handler.auth.rate_limits import Limiter
from handler.chat.bot import Bot
from handler.chat.delivery import DeliveryLog
from handler.chat.endpoints import ChatWebhook, JobEndpoint
from handler.chat.jobs import JobCodec
from handler.chat.platforms import registry
from handler.chat.platforms.base import PlatformContext
from handler.chat.published_keys import PublishedKeys
from handler.cloud.cvm import Cvm
from handler.cloud.scf import Scf
from handler.http.client import HttpClient
from handler.issuance.idempotency import IdempotencyLedger
from handler.issuance.issuer import Issuer
from handler.issuance.ownership_tags import ALPHABET, HOLDER_DIGITS, TagSigner
from handler.issuance.readiness import Readiness
from handler.issuance.sweeper import Sweeper
from handler.pickup.endpoint import PickupEndpoint
from handler.pickup.links import PickupLinks
from handler.policy.model import Policy
from handler.settings import Settings, effective_environ
from handler.store import open_store
from handler.store.authenticated import AuthenticatedStore
from handler.store.sharing import Host
from handler.web.origins import CrossOriginRules
from handler.web.page import pages as web_pages

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from handler.chat.platforms.registry import MakePlatform
    from handler.http.endpoint import Endpoint
    from handler.issuance.issuer import Connect
    from handler.scf.invocation import Clock
    from handler.store.base import Store

_DIGEST_LENGTH = 16
"""Hexadecimal digits: enough to tell versions of a policy apart."""


@dataclass(frozen=True)
class ChatNetwork:
    """What the bot reaches over the network: chat platforms and published keys."""

    http: HttpClient = field(default_factory=HttpClient)
    published_keys: Callable[[Mapping[str, str]], PublishedKeys] = PublishedKeys
    platforms: Mapping[str, MakePlatform] = field(default_factory=lambda: registry.PLATFORMS)


@dataclass(frozen=True)
class Services:
    """The services that the endpoints use."""

    settings: Settings
    policy: Policy
    authenticator: Authenticator
    admission: Admission
    issuer: Issuer
    sweeper: Sweeper
    readiness: Readiness
    bot: Bot
    audit_log: AuditLog

    def application(self) -> Application:
        """Return the application; raise PolicyInvalid if the web page cannot work."""
        endpoints: dict[str | re.Pattern[str], list[Endpoint]] = {}
        for endpoint in [*_api(self), *_web(self), *_chat(self), SweepEndpoint(self.sweeper)]:
            endpoints.setdefault(endpoint.path, []).append(endpoint)
        web = self.policy.web
        rules = CrossOriginRules(() if web is None else web.origins, (REST_PATH, GRANTS_PATH))
        return Application(endpoints, rules, self.audit_log)


def build(environ: Mapping[str, str], clock: Clock, audit_stream: Callable[[], TextIO]) -> Application:
    """Return the application that `environ` describes; raise SettingsInvalid or PolicyInvalid."""
    return services(environ, clock, audit_stream).application()


def services(
    environ: Mapping[str, str],
    clock: Clock,
    audit_stream: Callable[[], TextIO],
    chat: ChatNetwork | None = None,
) -> Services:
    """Return the services that `environ` describes; raise SettingsInvalid or PolicyInvalid."""
    environ = effective_environ(environ)
    chat = chat or ChatNetwork()
    settings = Settings.from_environ(environ, delegated=map(registry.prefix_of, chat.platforms))
    return compose(
        settings,
        policy=Policy.load(settings.policy),
        policy_digest=_digest(settings.policy),
        store=open_store(settings.store, clock),
        connect=partial(Cvm, jitter=random.SystemRandom().random, endpoint=settings.cvm_endpoint),
        chat=chat,
        environ=environ,
        clock=clock,
        audit_stream=audit_stream,
    )


def compose(
    settings: Settings,
    *,
    policy: Policy,
    policy_digest: str | None = None,
    store: Store,
    connect: Connect,
    chat: ChatNetwork,
    environ: Mapping[str, str],
    clock: Clock,
    audit_stream: Callable[[], TextIO],
) -> Services:
    """Return services made of these parts; raise PolicyInvalid or SettingsInvalid if they contradict.

    The settings of the chat platforms are read from `environ`, which also tells where the function runs.
    """
    host = Host.of(environ, settings.scf_endpoint)
    host.require_shared(settings.store, policy.used_once)
    codes = partial(MasterSecrets(settings.master_secrets).derive, Purpose.STORE_RECORD)
    # On SCF each instance has a file system of its own.
    shared = store.shared and (host is not Host.SCF or host.shares(settings.store))
    store = AuthenticatedStore(store, codes, clock, shared)
    audit_log = AuditLog(audit_stream, clock, policy_digest)
    # Retired secrets recognise key pairs and prove nothing else.
    signer = TagSigner(MasterSecrets((*settings.master_secrets, *settings.retired_master_secrets)))
    ledger = IdempotencyLedger(store, clock, new_holder=_new_holder)
    issuer = Issuer(policy, ledger, signer, connect, clock)
    return Services(
        settings,
        policy,
        Authenticator.under(settings, policy, store, clock),
        Admission(policy, Limiter(store, clock)),
        issuer,
        Sweeper(policy.regions | {settings.region}, ledger, signer, connect, clock, audit_log),
        Readiness(store, connect, settings.region),
        _bot(
            settings,
            policy=policy,
            store=store,
            clock=clock,
            chat=chat,
            environ=environ,
            host=host,
            issuer=issuer,
        ),
        audit_log,
    )


def _digest(policy: Path) -> str:
    """Return what audit lines and `/readyz` call the policy by, `scripts/deploy status` too."""
    return hashlib.sha256(policy.read_bytes()).hexdigest()[:_DIGEST_LENGTH]


def _new_holder() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(HOLDER_DIGITS))


def _bot(
    settings: Settings,
    *,
    policy: Policy,
    store: Store,
    clock: Clock,
    chat: ChatNetwork,
    environ: Mapping[str, str],
    host: Host,
    issuer: Issuer,
) -> Bot:
    registry.check(policy, chat.platforms)
    master_secrets = MasterSecrets(settings.master_secrets)
    context = PlatformContext(chat.http, Nonces(store), clock)
    platforms = registry.configured(environ, context, chat.platforms)
    # Besides nonces: one invocation creates the key pair and another one delivers it.
    host.require_shared(settings.store, ["chat"] if platforms else [])
    return Bot(
        platforms=platforms,
        policy=policy,
        issuer=issuer,
        store=store,
        deliveries=DeliveryLog(store),
        jobs=JobCodec(master_secrets, clock),
        invoke_again=Scf(settings.region, settings.scf_endpoint).invoke_again,
        pickup_links=PickupLinks(store, clock, settings.link_base, master_secrets),
        published_keys=chat.published_keys(policy.keys_from),
        default_region=settings.region,
    )


def _api(services: Services) -> list[Endpoint]:
    """Return the endpoints for programs."""
    auth, region = services.authenticator, services.settings.region
    shared = (services.admission, services.issuer, region)
    return [
        RestEndpoint(auth.token_or_tc3, *shared),
        TencentV3Endpoint(auth.tc3, *shared),
        TencentV2Endpoint(auth.v2, *shared),
        GrantsEndpoint(auth.token_or_tc3, services.admission, services.policy, region),
        ReadinessEndpoint(
            auth.token_or_tc3,
            services.admission,
            services.policy,
            services.readiness,
            services.audit_log.policy_digest,
        ),
        PageEndpoint("/healthz", pages.health),
        PageEndpoint("/openapi.json", pages.openapi),
    ]


def _web(services: Services) -> list[Endpoint]:
    """Return the endpoints for browsers, if the policy has a table [web]."""
    policy, region = services.policy, services.settings.region
    endpoints: list[Endpoint] = [PageEndpoint(*page) for page in web_pages(policy, region).items()]
    if policy.web is not None and policy.issuers:
        # Without an issuer there are no tokens to type into the form.
        from handler.web.form import FormEndpoint

        form = FormEndpoint(
            services.authenticator.bearer.authenticate,
            services.admission,
            services.issuer,
            region,
            services.settings.hosts,
            policy.web.origins,
        )
        endpoints.append(form)
    return endpoints


def _chat(services: Services) -> list[Endpoint]:
    """Return the webhooks of the configured chat platforms, the job endpoint and the pick-up links."""
    bot = services.bot
    webhooks = [ChatWebhook(platform, bot, services.admission) for platform in bot.platforms.values()]
    return [*webhooks, JobEndpoint(bot), PickupEndpoint(bot.pickup_links)]

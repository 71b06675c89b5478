"""The composition root: builds the application from the settings."""

from __future__ import annotations

import random
import re
import secrets
from dataclasses import field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, TextIO

from handler import pickup
from handler.application import Application
from handler.audit import AuditLog
from handler.auth.admission import Admission
from handler.auth.authenticator import Authenticator
from handler.auth.master_secret import MasterSecrets, Purpose
from handler.auth.nonces import Nonces
from handler.auth.rate_limits import Limiter
from handler.chat.http_client import HttpClient
from handler.chat.platforms import registry
from handler.chat.platforms.registry import PlatformContext
from handler.http.endpoint import LazyEndpoint
from handler.order import KEY_ID
from handler.policy.compiled import file_digest
from handler.policy.model import Policy
from handler.records import dataclass
from handler.scf.events import DEFERRED, INTERNAL, TIMER
from handler.settings import Settings, effective_environ
from handler.store import open_store
from handler.store.authenticated import AuthenticatedStore
from handler.store.sharing import Host
from handler.web.origins import CrossOriginRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from handler.chat.bot import Bot
    from handler.chat.own_key_pairs import OwnKeyPairs
    from handler.chat.platforms.base import Platform
    from handler.chat.platforms.registry import MakePlatform
    from handler.chat.published_keys import PublishedKeys
    from handler.cloud.cvm import Cvm
    from handler.http.endpoint import Endpoint
    from handler.issuance.idempotency import IdempotencyLedger
    from handler.issuance.inventory import Inventory
    from handler.issuance.issuer import Connect, Issuer
    from handler.issuance.ownership_tags import TagSigner
    from handler.issuance.readiness import Readiness
    from handler.issuance.sweeper import Sweeper
    from handler.scf.invocation import Clock, Credentials, Deadline
    from handler.store.base import Store

# Every endpoint, and most services, are imported by the first request that needs them: imports dominate a
# cold start. docs/performance.md has the measurements, and tests/system/test_start.py holds what each
# endpoint may load.

_DIGEST_LENGTH = 16
"""Hexadecimal digits: enough to tell versions of a policy apart."""
_REST_PATH = "/v1/key-pairs"
_KEY_PAIR_PATH = re.compile(rf"{_REST_PATH}/{KEY_ID}")
_GRANTS_PATH = "/v1/grants"


def _published_keys(templates: Mapping[str, str]) -> PublishedKeys:
    from handler.chat.published_keys import PublishedKeys

    return PublishedKeys(templates)


@dataclass(frozen=True)
class ChatNetwork:
    """What the bot reaches over the network: chat platforms and published keys."""

    http: HttpClient = field(default_factory=HttpClient)
    published_keys: Callable[[Mapping[str, str]], PublishedKeys] = _published_keys
    platforms: Mapping[str, MakePlatform] = field(default_factory=lambda: registry.PLATFORMS)


@dataclass(frozen=True)
class Services:
    """The services that the endpoints use, each made when it is first used."""

    settings: Settings
    policy: Policy
    store: Store
    """One whose records only this function can write."""
    connect: Connect
    chat: ChatNetwork
    platforms: Mapping[str, Platform]
    """The chat platforms whose settings are present."""
    clock: Clock
    audit_log: AuditLog

    @cached_property
    def authenticator(self) -> Authenticator:
        """Tells who sent a request."""
        return Authenticator(self.settings, self.policy, self.store, self.clock)

    @cached_property
    def admission(self) -> Admission:
        """Limits the rate of requests."""
        return Admission(self.policy, Limiter(self.store, self.clock))

    @cached_property
    def issuer(self) -> Issuer:
        """Issues key pairs."""
        from handler.issuance.issuer import Issuer

        return Issuer(self.policy, self._ledger, self._tag_signer, self.connect, self.clock)

    @cached_property
    def inventory(self) -> Inventory:
        """Lists, shows and deletes key pairs."""
        from handler.issuance.inventory import Inventory

        return Inventory(self.policy, self._ledger, self._tag_signer, self.connect, self.clock)

    @cached_property
    def sweeper(self) -> Sweeper:
        """Removes what is left over."""
        from handler.issuance.sweeper import Sweeper

        return Sweeper(
            self.policy.regions | {self.settings.region},
            self._ledger,
            self._tag_signer,
            self.connect,
            self.clock,
            self.audit_log,
        )

    @cached_property
    def readiness(self) -> Readiness:
        """Tells whether a key pair could be issued now."""
        from handler.issuance.readiness import Readiness

        return Readiness(self.store, self.connect, self.settings.region)

    @cached_property
    def bot(self) -> Bot:
        """Answers chat messages."""
        from handler.chat.bot import Bot
        from handler.chat.delivery import DeliveryLog
        from handler.chat.jobs import JobCodec
        from handler.cloud.scf import Scf
        from handler.pickup.links import PickupLinks

        def own_key_pairs() -> OwnKeyPairs:
            from handler.chat.own_key_pairs import OwnKeyPairs

            return OwnKeyPairs(self.inventory, store, _new_word, settings.region)

        settings, store = self.settings, self.store
        published_keys = self.chat.published_keys(self.policy.keys_from)
        if settings.keys_from_cloud_networks:
            published_keys = replace(published_keys, cloud_networks=True)
        master_secrets = MasterSecrets(settings.master_secrets)
        return Bot(
            platforms=self.platforms,
            policy=self.policy,
            issuer=self.issuer,
            store=store,
            deliveries=DeliveryLog(store),
            jobs=JobCodec(master_secrets, self.clock),
            invoke_again=Scf(settings.region, settings.scf_endpoint).invoke_again,
            pickup_links=PickupLinks(store, self.clock, settings.link_base, master_secrets),
            published_keys=published_keys,
            own_key_pairs=own_key_pairs,
            default_region=settings.region,
        )

    @cached_property
    def _ledger(self) -> IdempotencyLedger:
        from handler.issuance.idempotency import IdempotencyLedger

        return IdempotencyLedger(self.store, self.clock, new_holder=_new_holder)

    @cached_property
    def _tag_signer(self) -> TagSigner:
        from handler.issuance.ownership_tags import TagSigner

        # Retired secrets recognise key pairs and prove nothing else.
        secrets_ = (*self.settings.master_secrets, *self.settings.retired_master_secrets)
        return TagSigner(MasterSecrets(secrets_))

    def application(self) -> Application:
        """Return the application; raise PolicyInvalid if the web page cannot work."""
        endpoints: dict[str | re.Pattern[str], list[Endpoint]] = {}
        for endpoint in [*_api(self), *_web(self), *_chat(self), *_timer(self)]:
            endpoints.setdefault(endpoint.path, []).append(endpoint)
        web = self.policy.web
        rules = CrossOriginRules(() if web is None else web.origins, (_REST_PATH, _GRANTS_PATH))
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
        connect=partial(_connect, endpoint=settings.cvm_endpoint),
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
    registry.check(policy, chat.platforms)
    context = PlatformContext(chat.http, Nonces(store), clock)
    platforms = registry.configured(environ, context, chat.platforms)
    # Besides nonces: one invocation creates the key pair and another one delivers it.
    host.require_shared(settings.store, ["chat"] if platforms else [])
    audit_log = AuditLog(audit_stream, clock, policy_digest)
    return Services(settings, policy, store, connect, chat, platforms, clock, audit_log)


def _connect(credentials: Credentials, region: str, deadline: Deadline, *, endpoint: str | None) -> Cvm:
    from handler.cloud.cvm import Cvm

    return Cvm(credentials, region, deadline, jitter=random.SystemRandom().random, endpoint=endpoint)


def _digest(policy: Path) -> str:
    """Return what audit lines and `/readyz` call the policy by, `scripts/deploy status` too."""
    return file_digest(policy)[:_DIGEST_LENGTH]


def _new_word() -> str:
    # Without vowels, so that no chat client corrects it to a word that it knows.
    return "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(6))


def _new_holder() -> str:
    from handler.issuance.ownership_tags import ALPHABET, HOLDER_DIGITS

    return "".join(secrets.choice(ALPHABET) for _ in range(HOLDER_DIGITS))


def _api(services: Services) -> list[Endpoint]:
    """Return the endpoints for programs."""
    auth, region = services.authenticator, services.settings.region

    def rest() -> Endpoint:
        from handler.api.rest import RestEndpoint

        return RestEndpoint(auth.token_or_tc3, services.admission, services.issuer, region)

    def key_pairs() -> Endpoint:
        from handler.api.key_pairs import ListEndpoint

        return ListEndpoint(auth.token_or_tc3, services.admission, services.inventory, region)

    def key_pair() -> Endpoint:
        from handler.api.key_pairs import KeyPairEndpoint

        return KeyPairEndpoint(auth.token_or_tc3, services.admission, services.inventory, region)

    def tencent_v3() -> Endpoint:
        from handler.api.tencent_v3 import TencentV3Endpoint

        return TencentV3Endpoint(
            auth.tc3,
            services.admission,
            services.issuer,
            region,
            inventory=lambda: services.inventory,
            nonces=auth.nonces,
        )

    def tencent_v2() -> Endpoint:
        from handler.api.tencent_v2 import TencentV2Endpoint

        return TencentV2Endpoint(auth.v2, services.admission, services.issuer, region)

    def grants() -> Endpoint:
        from handler.api.grants import GrantsEndpoint

        return GrantsEndpoint(auth.token_or_tc3, services.admission, services.policy, region)

    def readiness() -> Endpoint:
        from handler.api.readiness import ReadinessEndpoint

        return ReadinessEndpoint(
            auth.token_or_tc3,
            services.admission,
            services.policy,
            services.readiness,
            services.audit_log.policy_digest,
        )

    def health() -> Endpoint:
        from handler.api import pages

        return pages.PageEndpoint("/healthz", pages.health)

    def openapi() -> Endpoint:
        from handler.api import pages

        return pages.PageEndpoint("/openapi.json", pages.openapi)

    return [
        LazyEndpoint(_REST_PATH, ("POST",), "rest", rest),
        LazyEndpoint(_REST_PATH, ("GET",), "rest", key_pairs),
        LazyEndpoint(_KEY_PAIR_PATH, ("GET", "DELETE"), "rest", key_pair),
        LazyEndpoint("/", ("POST",), "tencent-v3", tencent_v3),
        LazyEndpoint("/v2/index.php", ("GET", "POST"), "tencent-v2", tencent_v2),
        LazyEndpoint(_GRANTS_PATH, ("POST",), "grants", grants),
        LazyEndpoint("/readyz", ("GET", "POST"), "readiness", readiness),
        LazyEndpoint("/healthz", ("GET",), None, health),
        LazyEndpoint("/openapi.json", ("GET",), None, openapi),
    ]


def _web(services: Services) -> list[Endpoint]:
    """Return the endpoints for browsers, if the policy has a table [web]."""
    policy, region = services.policy, services.settings.region
    if policy.web is None:
        return []
    from handler.api.pages import PageEndpoint
    from handler.web.page import pages

    endpoints: list[Endpoint] = [PageEndpoint(*page) for page in pages(policy, region).items()]
    origins = policy.web.origins

    def form() -> Endpoint:
        from handler.web.form import FormEndpoint

        verify, hosts = services.authenticator.bearer.authenticate, services.settings.hosts
        return FormEndpoint(verify, services.admission, services.issuer, region, hosts, origins)

    if policy.issuers:
        # Without an issuer there are no tokens to type into the form.
        endpoints.append(LazyEndpoint("/form", ("POST",), "form", form))
    return endpoints


def _chat(services: Services) -> list[Endpoint]:
    """Return the webhooks of the configured chat platforms, the job endpoint and the pick-up links."""

    def job() -> Endpoint:
        from handler.chat.endpoints import JobEndpoint

        return JobEndpoint(services.bot)

    def links() -> Endpoint:
        from handler.pickup.endpoint import PickupEndpoint

        return PickupEndpoint(services.bot.pickup_links)

    def webhook(platform: Platform) -> Endpoint:
        from handler.chat.endpoints import ChatWebhook

        return ChatWebhook(platform, services.bot, services.admission)

    return [
        *(
            LazyEndpoint(f"/chat/{name}", platform.methods, name, partial(webhook, platform))
            for name, platform in services.platforms.items()
        ),
        LazyEndpoint(DEFERRED, (INTERNAL,), "deferred", job),
        LazyEndpoint(pickup.PATH, ("GET", "POST"), "pickup", links),
    ]


def _timer(services: Services) -> list[Endpoint]:
    """Return the endpoint that sweeps."""

    def sweep() -> Endpoint:
        from handler.api.timer import SweepEndpoint

        return SweepEndpoint(services.sweeper)

    return [LazyEndpoint(TIMER, (INTERNAL,), None, sweep)]

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
from handler.http.endpoint import Route
from handler.order import KEY_ID
from handler.policy.compiled import file_digest
from handler.policy.model import Policy
from handler.scf.events import DEFERRED, INTERNAL, TIMER
from handler.settings import Settings, effective_environ
from handler.startup.records import dataclass
from handler.store import open_store
from handler.store.authenticated import AuthenticatedStore
from handler.store.sharing import Host
from handler.web.origins import CrossOriginRules

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
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
KEY_PAIRS_PATH = "/v1/key-pairs"
_KEY_PAIR_PATH = re.compile(rf"{KEY_PAIRS_PATH}/{KEY_ID}")
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
    burns_for_all: bool
    """Whether all instances know what one of them has seen used."""

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
            own_key_pairs=self._own_key_pairs,
            default_region=settings.region,
        )

    def _own_key_pairs(self) -> OwnKeyPairs:
        from handler.chat.own_key_pairs import OwnKeyPairs

        return OwnKeyPairs(self.inventory, self.store, _new_word, self.settings.region)

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
        routes: dict[str | re.Pattern[str], list[Route]] = {}
        make = _Routes(self)
        for route in [*make.api(), *make.web(), *make.chat(), *make.timer()]:
            routes.setdefault(route.path, []).append(route)
        web = self.policy.web
        rules = CrossOriginRules(() if web is None else web.origins, (KEY_PAIRS_PATH, _GRANTS_PATH))
        return Application(routes, rules, self.audit_log)


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
    store = AuthenticatedStore(store, codes, clock, store.shared and host.shares(settings.store))
    registry.check(policy, chat.platforms)
    context = PlatformContext(chat.http, Nonces(store), clock)
    platforms = registry.configured(environ, context, chat.platforms)
    # Besides nonces: one invocation creates the key pair and another one delivers it.
    host.require_shared(settings.store, ["chat"] if platforms else [])
    return Services(
        settings=settings,
        policy=policy,
        store=store,
        connect=connect,
        chat=chat,
        platforms=platforms,
        clock=clock,
        audit_log=AuditLog(audit_stream, clock, policy_digest),
        burns_for_all=host.shares(settings.store),
    )


def _connect(credentials: Credentials, region: str, deadline: Deadline, *, endpoint: str | None) -> Cvm:
    from handler.cloud.cvm import Cvm

    return Cvm(credentials, region, deadline, jitter=random.SystemRandom().random, endpoint=endpoint)


def _digest(policy: Path) -> str:
    """Return the digest of the policy that audit lines, `/readyz` and `scripts/deploy status` show."""
    return file_digest(policy)[:_DIGEST_LENGTH]


def _new_word() -> str:
    # Without vowels, so that no chat client corrects it to a word that it knows.
    return "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(6))


def _new_holder() -> str:
    from handler.issuance.ownership_tags import ALPHABET, HOLDER_DIGITS

    return "".join(secrets.choice(ALPHABET) for _ in range(HOLDER_DIGITS))


@dataclass(frozen=True)
class _Routes:
    """Makes the routes. Each method that returns an endpoint is called by the first request to its path."""

    services: Services

    def api(self) -> list[Route]:
        """Return the routes for programs."""
        return [
            Route(KEY_PAIRS_PATH, ("POST",), "rest", self._rest),
            Route(KEY_PAIRS_PATH, ("GET",), "rest", self._key_pairs),
            Route(_KEY_PAIR_PATH, ("GET", "DELETE"), "rest", self._key_pair),
            Route("/", ("POST",), "tencent-v3", self._tencent_v3),
            Route("/v2/index.php", ("GET", "POST"), "tencent-v2", self._tencent_v2),
            Route(_GRANTS_PATH, ("POST",), "grants", self._grants),
            # POST too: SDKs can sign nothing else.
            Route("/readyz", ("GET", "POST"), "readiness", self._readiness),
            Route("/healthz", ("GET",), None, self._health),
            Route("/openapi.json", ("GET",), None, self._openapi),
        ]

    def web(self) -> list[Route]:
        """Return the routes for browsers, if the policy has a table [web]."""
        policy = self.services.policy
        if policy.web is None:
            return []
        from handler.api.pages import PageEndpoint
        from handler.web.page import pages

        routes = [
            Route(path, ("GET",), None, partial(PageEndpoint, render))
            for path, render in pages(policy, self.services.settings.region).items()
        ]
        if policy.issuers:
            # Without an issuer there are no tokens to type into the form.
            form = partial(self._form, policy.web.origins)
            routes.append(Route("/form", ("POST",), "form", form))
        return routes

    def chat(self) -> list[Route]:
        """Return the routes of the chat platforms that are configured, of jobs, and of pick-up links."""
        return [
            *(
                Route(f"/chat/{name}", platform.methods, name, partial(self._webhook, platform))
                for name, platform in self.services.platforms.items()
            ),
            Route(DEFERRED, (INTERNAL,), "deferred", self._job),
            Route(pickup.PATH, ("GET", "POST"), "pickup", self._links),
        ]

    def timer(self) -> list[Route]:
        """Return the route of the sweep, which writes its own audit lines."""
        return [Route(TIMER, (INTERNAL,), None, self._sweep)]

    def _rest(self) -> Endpoint:
        from handler.api.rest import RestEndpoint

        services = self.services
        return RestEndpoint(
            services.authenticator.token_or_tc3,
            services.admission,
            services.issuer,
            services.settings.region,
        )

    def _key_pairs(self) -> Endpoint:
        from handler.api.key_pairs import ListEndpoint

        services = self.services
        return ListEndpoint(
            services.authenticator.token_or_tc3,
            services.admission,
            services.inventory,
            services.settings.region,
        )

    def _key_pair(self) -> Endpoint:
        from handler.api.key_pairs import KeyPairEndpoint

        services = self.services
        return KeyPairEndpoint(
            services.authenticator.token_or_tc3,
            services.admission,
            services.inventory,
            services.settings.region,
        )

    def _tencent_v3(self) -> Endpoint:
        from handler.api.tencent_v3 import TencentV3Endpoint

        services = self.services
        return TencentV3Endpoint(
            services.authenticator.tc3,
            services.admission,
            services.issuer,
            services.settings.region,
            inventory=lambda: services.inventory,
            nonces=services.authenticator.nonces if services.burns_for_all else None,
        )

    def _tencent_v2(self) -> Endpoint:
        from handler.api.tencent_v2 import TencentV2Endpoint

        services = self.services
        return TencentV2Endpoint(
            services.authenticator.v2, services.admission, services.issuer, services.settings.region
        )

    def _grants(self) -> Endpoint:
        from handler.api.grants import GrantsEndpoint

        services = self.services
        return GrantsEndpoint(
            services.authenticator.token_or_tc3,
            services.admission,
            services.policy,
            services.settings.region,
        )

    def _readiness(self) -> Endpoint:
        from handler.api.readiness import ReadinessEndpoint

        services = self.services
        return ReadinessEndpoint(
            services.authenticator.token_or_tc3,
            services.admission,
            services.policy,
            services.readiness,
            services.audit_log.policy_digest,
        )

    def _health(self) -> Endpoint:
        from handler.api import pages

        return pages.PageEndpoint(pages.health)

    def _openapi(self) -> Endpoint:
        from handler.api import pages

        return pages.PageEndpoint(pages.openapi)

    def _form(self, origins: Collection[str]) -> Endpoint:
        from handler.web.form import FormEndpoint

        services = self.services
        return FormEndpoint(
            services.authenticator.bearer.authenticate,
            services.admission,
            services.issuer,
            services.settings.region,
            services.settings.hosts,
            origins,
        )

    def _webhook(self, platform: Platform) -> Endpoint:
        from handler.chat.endpoints import ChatWebhook

        return ChatWebhook(platform, self.services.bot, self.services.admission)

    def _job(self) -> Endpoint:
        from handler.chat.endpoints import JobEndpoint

        return JobEndpoint(self.services.bot)

    def _links(self) -> Endpoint:
        from handler.pickup.endpoint import PickupEndpoint

        return PickupEndpoint(self.services.bot.pickup_links, self.services.issuer.ledger.was_deleted)

    def _sweep(self) -> Endpoint:
        from handler.api.timer import SweepEndpoint

        return SweepEndpoint(self.services.sweeper)

"""Fetches SSH keys that people publish, such as `https://github.com/alice.keys` (`keys_from` in the policy).

SECURITY BOUNDARY: the caller chooses the user name, but neither host nor path. The function runs inside the
cloud's network, so a DNS answer must not lead there: the connection goes to an address that was checked, and
the certificate must still be valid for the host.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from handler.errors import KeysNotFound, KeysUnavailable, RecipientRefused
from handler.http.fetch import HttpRequest, fetch, resolve_name
from handler.order import RECIPIENTS_LIMIT, EnvelopeFormat
from handler.sealing import prepare_sealer
from handler.sealing.ssh_keys import read_key
from handler.startup.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FETCH_SECONDS = 4.0
"""Time limit for the whole fetch."""
MAX_RESPONSE_BYTES = 64 * 1024

_FORMATS = (EnvelopeFormat.AGE, EnvelopeFormat.JWE)
"""The formats for SSH keys. An envelope has one: the first for which there are keys."""
# RFC 4291 section 2.4, and the IANA registry ipv6-address-space: all other unicast space is unassigned.
_UNICAST = ipaddress.ip_network("2000::/3")
# Entries of IANA's special-purpose address registries that some Python versions call global: older ones lack
# newer entries, and newer ones make exceptions for single services in 2001::/23.
_SPECIAL = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # RFC 6890: IETF protocol assignments
        "192.88.99.0/24",  # RFC 7526: 6to4 relays
        "2001::/23",  # RFC 2928: IETF protocol assignments, including Teredo (RFC 4380)
        "2002::/16",  # RFC 3056: 6to4, which leads to an IPv4 address
        "3fff::/20",  # RFC 9637: documentation
    )
]
# Tencent Cloud uses them inside. By the registries, all but the first (RFC 6598) are public.
_USED_BY_THE_CLOUD = [
    ipaddress.ip_network(network) for network in ("100.64.0.0/10", "9.0.0.0/8", "11.0.0.0/8", "30.0.0.0/8")
]
_NOT_FOUND = (404, 410)

ResolveAddresses: TypeAlias = Callable[[str, int], "Sequence[str]"]
"""Host and port -> IP addresses; may raise OSError."""
Dial: TypeAlias = Callable[[str, int], "tuple[str, int]"]
"""Address and port -> where to connect."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve `host` by DNS."""
    return [address for address, _ in resolve_name(host, port)]


def straight(address: str, port: int) -> tuple[str, int]:
    """Return the address unchanged."""
    return address, port


@dataclass(frozen=True)
class SelectedKeys:
    """Published keys that can be sealed to, and the types of those that were skipped."""

    keys: tuple[str, ...]
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedKeys:
    """Fetches keys from the places in the policy. Tests inject the other fields."""

    places: Mapping[str, str]
    resolve: ResolveAddresses = resolve
    dial: Dial = straight
    authority: str | None = None
    """A file of certificate authorities to trust instead of the usual ones."""
    seconds: float = FETCH_SECONDS
    cloud_networks: bool = False
    """Whether keys may come from networks that the cloud uses inside."""

    def keys(self, place: str, user: str) -> SelectedKeys:
        """Return the SSH public keys of `user`, a name that `handler.chat.command.place_of` accepted.

        Raises KeysNotFound or KeysUnavailable.
        """
        template = self.places.get(place)
        if template is None:
            raise KeysNotFound("keys-place-unknown")
        request = HttpRequest(
            template.replace("{user}", user),
            headers={"Accept": "text/plain"},
            resolve=self._public_address,
            authority=self.authority,
        )
        answer = fetch(request, seconds=self.seconds, limit=MAX_RESPONSE_BYTES)
        if answer is None:
            raise KeysUnavailable("keys-no-answer")
        if answer.status in _NOT_FOUND:
            raise KeysNotFound("keys-user-unknown")
        # Redirects are not followed: the policy determines the address.
        if not answer.ok:
            raise KeysUnavailable("keys-status")
        if len(answer.body) > MAX_RESPONSE_BYTES:
            raise KeysUnavailable("keys-too-long")
        return _selected(answer.body.decode("utf-8", "replace"))

    def _public_address(self, host: str, port: int) -> list[tuple[str, int]]:
        addresses = self.resolve(host, port)
        # All of them: if a name has one address inside, the next lookup may return that one.
        if not addresses or not all(is_public(address, self.cloud_networks) for address in addresses):
            raise KeysUnavailable("keys-address-refused")
        return [self.dial(addresses[0], port)]


def _selected(text: str) -> SelectedKeys:
    """Return the usable keys in a published list; raise KeysNotFound if there are none."""
    usable: dict[EnvelopeFormat, dict[str, None]] = {chosen: {} for chosen in _FORMATS}
    skipped: dict[str, None] = {}
    for line in text.splitlines():
        key = read_key(line.strip())
        if key is None or len(usable[_FORMATS[0]]) == RECIPIENTS_LIMIT:
            continue
        try:
            sealer = prepare_sealer([key.line], now=0.0)  # SSH keys do not expire
        except RecipientRefused:
            skipped[key.type] = None
        else:
            usable[sealer.format][key.line] = None
    chosen = next((found for found in usable.values() if found), None)
    if chosen is None:
        raise KeysNotFound("keys-none-usable")
    for found in usable.values():
        if found is not chosen:
            skipped |= {line.partition(" ")[0]: None for line in found}
    return SelectedKeys(tuple(chosen)[:RECIPIENTS_LIMIT], tuple(skipped)[:RECIPIENTS_LIMIT])


def is_public(address: str, cloud_networks: bool = False) -> bool:  # noqa: FBT001, FBT002  # one question
    """Return whether `address` is public, or in a network of the cloud if these count as public.

    IPv4 addresses embedded in IPv6 are judged as themselves.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        # Addresses with a zone (RFC 4007) are local to a link.
        if parsed.scope_id is not None:
            return False
        inner = parsed.ipv4_mapped or _nat64(parsed)
        if inner is None and parsed not in _UNICAST:
            return False
        parsed = inner or parsed
    if any(parsed in network for network in _USED_BY_THE_CLOUD):
        return cloud_networks
    special = any(parsed in network for network in _SPECIAL)
    return parsed.is_global and not parsed.is_multicast and not special


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    # RFC 6052 section 2.1: the well-known prefix.
    in_prefix = address in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if in_prefix else None

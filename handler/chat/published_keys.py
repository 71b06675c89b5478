"""SSH keys from where people publish them: `https://github.com/alice.keys`, by the policy's `keys_from`.

SECURITY BOUNDARY: the user's name is the caller's choice; host and path are not. The function sits inside the
cloud's network, so an answer of the name service that leads there is not followed: the connection goes to an
address that was looked at, and the certificate has to be the host's all the same.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from handler.errors import KeysNotFound, KeysUnavailable
from handler.http.fetch import HttpRequest, fetch, resolve_name
from handler.order import RECIPIENTS_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT = 4.0
"""Seconds for the whole."""
LIMIT = 64 * 1024
"""Bytes of an answer."""

_TYPES = ("ssh-ed25519 ", "ssh-rsa ")
"""Those that can be sealed to; `ecdsa-…` and `sk-…` cannot."""
# RFC 4291 section 2.4, and the IANA registry ipv6-address-space: nothing else is given out for unicast.
_UNICAST = ipaddress.ip_network("2000::/3")
# What some Pythons call global of IANA's iana-ipv4-special-registry and iana-ipv6-special-registry: the older
# ones lack newer entries, and the newer ones except single services from 2001::/23.
_SPECIAL = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # RFC 6890: IETF protocol assignments
        "192.88.99.0/24",  # RFC 7526: relays of 6to4
        "2001::/23",  # RFC 2928: IETF protocol assignments, Teredo's tunnels (RFC 4380) among them
        "2002::/16",  # RFC 3056: 6to4, which leads to an IPv4 address
        "3fff::/20",  # RFC 9637: documentation
    )
]
_NOT_FOUND = (404, 410)
_OK = 200

Resolve: TypeAlias = Callable[[str, int], "Sequence[str]"]
"""Host and port -> IP addresses; may raise OSError."""
Dial: TypeAlias = Callable[[str, int], "tuple[str, int]"]
"""Address and port -> where to connect."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the name service for the addresses of `host`."""
    return [address for address, _ in resolve_name(host, port)]


def straight(address: str, port: int) -> tuple[str, int]:
    """Connect to `address` itself."""
    return address, port


@dataclass(frozen=True)
class PublishedKeys:
    """The places that the policy names; the other fields are the machine's but for tests."""

    places: Mapping[str, str]
    resolve: Resolve = resolve
    dial: Dial = straight
    authority: str | None = None
    """A file of certificate authorities to trust instead of the usual ones."""
    seconds: float = TIMEOUT

    def keys(self, place: str, user: str) -> tuple[str, ...]:
        """Return the SSH public keys of `user`, as `handler.chat.command.place_of` read it.

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
        answer = fetch(request, seconds=self.seconds, limit=LIMIT)
        if answer is None:
            raise KeysUnavailable("keys-no-answer")
        if answer.status in _NOT_FOUND:
            raise KeysNotFound("keys-user-unknown")
        # A redirect is not followed: the policy names the address.
        if answer.status != _OK:
            raise KeysUnavailable("keys-status")
        if len(answer.body) > LIMIT:
            raise KeysUnavailable("keys-too-long")
        lines = answer.body.decode("utf-8", "replace").splitlines()
        keys = [line.strip() for line in lines if line.lstrip().startswith(_TYPES)]
        if not keys:
            raise KeysNotFound("keys-none-usable")
        return tuple(dict.fromkeys(keys))[:RECIPIENTS_LIMIT]

    def _public_address(self, host: str, port: int) -> list[tuple[str, int]]:
        addresses = self.resolve(host, port)
        # All of them: if a name has one address inside, the next lookup may return that one.
        if not addresses or not all(is_public(address) for address in addresses):
            raise KeysUnavailable("keys-address-refused")
        return [self.dial(addresses[0], port)]


def is_public(address: str) -> bool:
    """Tell whether `address` is one of the public internet, also where IPv6 wraps an IPv4 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        # A zone (RFC 4007) is for addresses that mean another machine on each link.
        if parsed.scope_id is not None:
            return False
        inner = parsed.ipv4_mapped or _nat64(parsed)
        if inner is None and parsed not in _UNICAST:
            return False
        parsed = inner or parsed
    special = any(parsed in network for network in _SPECIAL)
    return parsed.is_global and not parsed.is_multicast and not special


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    # RFC 6052 section 2.1: the well-known prefix.
    in_prefix = address in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if in_prefix else None

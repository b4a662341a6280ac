"""What an OpenID provider publishes, endpoints and keys: fetched when needed, kept while it is away (RFC 8414, RFC 7517)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

from flowtrail.errors import ConfigurationError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = structlog.get_logger()

REFRESH_SECONDS = 3600.0
"""After so long keys are fetched again when one is needed, so that those that were withdrawn end. Twice as old ones wait for it."""
PAUSE_SECONDS = 10.0
"""At most so often are keys fetched because a token names an unknown one, or after the provider did not answer."""
ANSWER_SECONDS = 10.0
"""How long an answer of the provider may take as a whole."""
_MAX_KEYS = 100
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SIGNING_KEY_TYPES = ("RSA", "EC", "OKP")


@dataclass(frozen=True, slots=True)
class Published:
    """The provider's metadata, as far as it is used, and its public keys for signatures."""

    authorization_endpoint: str
    token_endpoint: str
    client_auth_methods: tuple[str, ...]
    """How it lets a client show its secret."""
    keys: KeySet

    def has_key(self, key_id: str | None) -> bool:
        return any(key_id in (None, key.kid) for key in self.keys)


class Directory:
    """Knows what `issuer` published. `fetch` gets the JSON at an address, and raises Unavailable."""

    def __init__(self, issuer: str, fetch: Callable[[str], Awaitable[Any]]) -> None:
        self._issuer = issuer
        self._fetch = fetch
        self._published: Published | None = None
        self._fetched_at = 0.0
        self._paused_until = 0.0
        self._has_failed = False
        self._renewal: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def published(self, key_id: str | None = None) -> Published:
        """Return what is published, with the key `key_id` if there is one of that name.

        A provider that is away or slow is no reason to forget its keys, or to wait for it where they are known. Raises Unavailable
        when nothing, or not what is asked for, is known of it.
        """
        known = self._published
        has_key = known is not None and known.has_key(key_id)
        age = time.monotonic() - self._fetched_at
        if not has_key or age > REFRESH_SECONDS:
            renewal = self._renew()
            if renewal is not None and (not has_key or (age > 2 * REFRESH_SECONDS and not self._has_failed)):
                await asyncio.shield(renewal)  # others wait for it too
        if self._published is None or (self._has_failed and not self._published.has_key(key_id)):
            raise Unavailable("the OpenID provider can't be reached at the moment")
        return self._published

    def _renew(self) -> asyncio.Task[None] | None:
        """Begin to fetch, unless that is under way already; None when it is too early to try again."""
        if self._renewal is None and time.monotonic() >= self._paused_until:
            self._renewal = asyncio.create_task(self._fetch_all())
        return self._renewal

    async def _fetch_all(self) -> None:
        is_first = self._published is None
        try:
            self._published = await self._read()
            self._has_failed, self._fetched_at = False, time.monotonic()
        except Unavailable as error:
            self._has_failed = True
            log.warning("the OpenID provider's keys could not be fetched", issuer=self._issuer, reason=error.message)
        finally:
            self._renewal = None
            # Keys that change soon after the service started are fetched without a pause.
            self._paused_until = 0.0 if is_first and not self._has_failed else time.monotonic() + PAUSE_SECONDS

    async def _read(self) -> Published:
        metadata = await self._fetch(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(metadata, dict) or metadata.get("issuer") != self._issuer:
            raise Unavailable("the OpenID provider calls itself by another name than FLOWTRAIL_OIDC_ISSUER")
        authorization, token, keys = (
            _endpoint(metadata, name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
        )
        methods = metadata.get("token_endpoint_auth_methods_supported")
        methods = tuple(map(str, methods)) if isinstance(methods, list) else ("client_secret_basic",)  # OpenID Discovery's default
        return Published(authorization, token, methods, _signing_keys(await self._fetch(keys)))


def check_address(name: str, address: str) -> None:
    """Raise ConfigurationError unless `address` can be trusted to be the provider's: https, or this machine."""
    try:
        parts = urlsplit(address)
        is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        is_plain = bool(parts.hostname) and not (parts.username or parts.password or parts.fragment)
    except ValueError:
        is_safe = is_plain = False
    if not is_safe or not is_plain:
        raise ConfigurationError(f"{name}: must be an https:// address")


def _endpoint(metadata: dict[str, Any], name: str) -> str:
    address = metadata.get(name)
    try:
        check_address(name, address if isinstance(address, str) else "")
    except ConfigurationError as error:
        raise Unavailable(f"the OpenID provider's metadata can't be used: {error.message}") from None
    return str(address)


def _signing_keys(published: Any) -> KeySet:
    """The public keys for signatures; others, and those of kinds that are not known, are passed over."""
    entries = published.get("keys") if isinstance(published, dict) else None
    keys = []
    for entry in entries[:_MAX_KEYS] if isinstance(entries, list) else ():
        if isinstance(entry, dict) and entry.get("kty") in _SIGNING_KEY_TYPES and entry.get("use", "sig") == "sig":
            try:
                keys.append(JWKRegistry.import_key(entry))
            except (JoseError, ValueError, TypeError, LookupError):
                log.warning("a key of the OpenID provider can't be used", key_id=str(entry.get("kid"))[:100])
    if not keys:
        raise Unavailable("the OpenID provider publishes no key that can be used")
    return KeySet(keys)


async def json_at(client: httpx2.AsyncClient, address: str) -> Any:
    """Return the JSON at `address`; raises Unavailable."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            response = await client.get(address)
        response.raise_for_status()
        return response.json()
    except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError, RecursionError) as error:
        raise Unavailable(f"the OpenID provider did not answer as it should: {type(error).__name__}") from error

"""Who may read and who may record (spec 4.1, 5.10, 6.3).

A token comes from the settings, from the file that first start writes for the wrapper on the same machine, from the table
that `flowtrail token` keeps, from signing in with a browser, or from the OpenID provider.
"""

from __future__ import annotations

import hmac
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from flowtrail import browser_sessions, tokens
from flowtrail.errors import FlowtrailError, TooManyAttempts, Unauthenticated
from flowtrail.lookups import Lookups
from flowtrail.observability import metrics
from flowtrail.oidc import Provider, SignInFailed
from flowtrail.record_token import record_token
from flowtrail.throttling import Attempts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic import SecretStr

    from flowtrail.database import Database
    from flowtrail.settings import Settings

log = structlog.get_logger()

_REMEMBERED = 5.0
"""Seconds for which a lookup holds; as long a revoked token may still be let in."""
_MARK_INTERVAL = 60.0
"""Seconds between notes that a token is in use."""
_NO_PROVIDER = "this service has no provider to sign in at"
_UNKNOWN = "the token is not valid: it is unknown, has expired or was revoked"


@dataclass(frozen=True)
class Viewer:
    """Who asks, and what they may do."""

    name: str
    can_read: bool
    can_record: bool
    servers: frozenset[str] | None = None
    """The MCP servers whose flows and executions exist for this viewer; None: all."""
    is_anonymous: bool = False


class Access:
    """Tells viewers apart by their Authorization header."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """Read the tokens of the settings, or the file's, which is made here the first time.

        Raises ConfigurationError when the file, or the settings of the OpenID provider, can't be used.
        """
        self.provider = Provider.of(settings)
        """Where readers may come from besides; None: nowhere."""
        self._database = database
        self._session_lifetime = timedelta(seconds=settings.session_lifetime)
        self._record_digests = [_digest(token) for token in settings.record_token]
        if not self._record_digests:
            self._record_digests = [tokens.digest(record_token(settings.data_dir))]
        self._read_digest = _digest(settings.read_token) if settings.read_token else None
        self._tokens = Lookups(self._read_tokens, _REMEMBERED)
        self._sessions = Lookups(self._read_sessions, _REMEMBERED)
        self._restricted = Lookups(self._read_restriction, _REMEMBERED)
        self._attempts = Attempts()
        self._marked: dict[bytes, float] = {}

    @property
    def session_seconds(self) -> int:
        """How long a browser stays signed in that came from the provider."""
        return int(self._session_lifetime.total_seconds())

    async def close(self) -> None:
        """Close the connections to the OpenID provider."""
        if self.provider is not None:
            await self.provider.close()

    async def viewer(self, authorization: str | None, client: str | None = None) -> Viewer:
        """Return who sent the header `authorization`; raises Unauthenticated for a token that is not valid.

        Without one the viewer is anonymous and may read where reading is open. `client` is the address an attempt comes from:
        wrong ones are counted and logged, and too many raise TooManyAttempts. None looks again at a token that was let in before.
        """
        if authorization is None:
            return Viewer("anonymous", can_read=not await self._is_reading_restricted(), can_record=False, is_anonymous=True)
        digest = tokens.digest(authorization)
        if client is None:
            return await self._holder(authorization)
        with self._attempt(client, digest):
            viewer = await self._holder(authorization)
        self._attempts.succeeded(client, digest)
        return viewer

    async def sign_in_url(self, redirect_uri: str, *, state: str, nonce: str, code_verifier: str) -> str:
        """Return where the provider signs browsers in; raises Unauthenticated where there is none, or Unavailable."""
        if self.provider is None:
            raise SignInFailed(_NO_PROVIDER)
        return await self.provider.authorization_url(redirect_uri, state=state, nonce=nonce, code_verifier=code_verifier)

    async def sign_in(self, client: str, code: str, redirect_uri: str, *, nonce: str, code_verifier: str) -> str:
        """Trade the code that a browser brought from the provider for the token of a session.

        Raises Unauthenticated, counted as an attempt of the address `client`, or Unavailable.
        """
        if self.provider is None:
            raise SignInFailed(_NO_PROVIDER)
        with self._attempt(client, tokens.digest(code)):
            identity = await self.provider.signed_in(code, redirect_uri, nonce=nonce, code_verifier=code_verifier)
        async with self._database.write() as write:
            return await browser_sessions.begin(write, identity.subject, identity.servers, self._session_lifetime)

    async def end_session(self, token: str) -> None:
        """Make worthless what `sign_in` returned; other tokens stay as they are. Raises Unavailable."""
        if token.startswith(browser_sessions.PREFIX):
            async with self._database.write() as write:
                await browser_sessions.end(write, token)
            self._sessions.forget(tokens.digest(token))

    @contextmanager
    def _attempt(self, client: str, digest: bytes) -> Iterator[None]:
        """Let an address try, unless it is held up, and count and log what fails."""
        try:
            self._attempts.check(client, digest)
            yield
        except TooManyAttempts:
            metrics.refusals.labels("TOO_MANY_ATTEMPTS").inc()
            raise
        except Unauthenticated as error:
            metrics.refusals.labels(error.code).inc()
            log.warning("access refused", client=client, code=error.code, reason=error.message)
            if self._attempts.failed(client, digest):
                log.warning("an address is held up: too many of its tokens were not valid", client=client)
            raise

    async def _holder(self, authorization: str) -> Viewer:
        token = _bearer_token(authorization)
        digest = tokens.digest(token)
        if _is_among(digest, self._record_digests):
            return Viewer("recorder", can_read=True, can_record=True)
        if self._read_digest is not None and hmac.compare_digest(digest, self._read_digest):
            return Viewer("reader", can_read=True, can_record=False)
        if token.startswith(browser_sessions.PREFIX):
            session = await self._sessions.get(digest)
            if session is None:
                raise Unauthenticated("the session has ended: sign in again")
            return Viewer(session.subject, can_read=True, can_record=False, servers=session.servers)
        if tokens.may_be_stored(token):
            return await self._holder_of_stored(digest)
        if self.provider is not None and token.count(".") == 2:
            identity = await self.provider.bearer(token)
            return Viewer(identity.subject, can_read=True, can_record=False, servers=identity.servers)
        raise Unauthenticated(_UNKNOWN)

    async def _holder_of_stored(self, digest: bytes) -> Viewer:
        found = await self._tokens.get(digest)
        if found is None:
            raise Unauthenticated(_UNKNOWN)
        await self._mark_used(digest, found)
        return Viewer(found.name, can_read=True, can_record=found.scope == "record", servers=found.servers)

    async def _is_reading_restricted(self) -> bool:
        """Reading is open until somebody says who may read."""
        if self._read_digest is not None or self.provider is not None:
            return True
        return bool(await self._restricted.get(b""))

    async def _read_restriction(self, keys: Sequence[bytes]) -> Mapping[bytes, bool]:
        async with self._database.read() as read:
            return dict.fromkeys(keys, await tokens.any_for_reading(read))

    async def _read_tokens(self, digests: Sequence[bytes]) -> Mapping[bytes, tokens.ApiToken]:
        async with self._database.read() as read:
            return await tokens.by_digests(read, digests)

    async def _read_sessions(self, digests: Sequence[bytes]) -> Mapping[bytes, browser_sessions.BrowserSession]:
        async with self._database.read() as read:
            return await browser_sessions.by_digests(read, digests)

    async def _mark_used(self, digest: bytes, token: tokens.ApiToken) -> None:
        if time.monotonic() < self._marked.get(digest, 0.0):
            return
        self._marked[digest] = time.monotonic() + _MARK_INTERVAL
        # A database that takes no writes at the moment is no reason to refuse a reader.
        with suppress(FlowtrailError):
            async with self._database.write() as write:
                await tokens.mark_used(write, token.id)


def _bearer_token(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Authorization: must be `Bearer` and a token")
    return token.strip()


def _digest(token: SecretStr) -> bytes:
    return tokens.digest(token.get_secret_value())


def _is_among(digest: bytes, digests: list[bytes]) -> bool:
    return any(hmac.compare_digest(digest, known) for known in digests)

"""Who may read and who may record (spec 4.1, 6.3).

A token comes from the settings, from the file that first start writes for the wrapper on the same machine, or from the
table that `flowtrail token` keeps.
"""

from __future__ import annotations

import hmac
import os
import secrets
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from flowtrail import tokens
from flowtrail.errors import ConfigurationError, FlowtrailError, Unauthenticated

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from flowtrail.database import Database
    from flowtrail.settings import Settings

_Value = TypeVar("_Value")
RECORD_TOKEN_FILE = "record-token"  # noqa: S105 (a file's name)
"""In the data folder: the token that the wrapper on this machine finds by itself."""
_REMEMBERED = 5.0
"""Seconds for which a lookup in the table holds; as long a revoked token may still be let in."""
_REMEMBERED_TOKENS = 1000
_MARK_INTERVAL = 60.0
"""Seconds between notes that a token is in use."""


@dataclass(frozen=True)
class Viewer:
    """Who asks, and what they may do."""

    name: str
    can_read: bool
    can_record: bool
    servers: frozenset[str] | None = None
    """The MCP servers whose flows and executions exist for this viewer; None: all."""
    is_anonymous: bool = False


@dataclass(frozen=True)
class _Lookup:
    """What the table said about a digest, and until when (monotonic seconds) that holds."""

    token: tokens.ApiToken | None
    until: float


class Access:
    """Tells viewers apart by their Authorization header."""

    def __init__(self, database: Database, settings: Settings) -> None:
        """Read the tokens of the settings, or the file's, which is made here the first time.

        Raises ConfigurationError when the file can't be used.
        """
        self._database = database
        self._record_digests = [_digest(token) for token in settings.record_token]
        if not self._record_digests:
            self._record_digests = [tokens.digest(record_token(settings.data_dir))]
        self._read_digest = _digest(settings.read_token) if settings.read_token else None
        self._lookups: dict[bytes, _Lookup] = {}
        self._marked: dict[bytes, float] = {}
        self._restricted = (False, 0.0)

    async def viewer(self, authorization: str | None) -> Viewer:
        """Return who sent the header `authorization`; raises Unauthenticated for a token that is not valid.

        Without one the viewer is anonymous and may read where reading is open.
        """
        if authorization is None:
            return Viewer("anonymous", can_read=not await self._is_reading_restricted(), can_record=False, is_anonymous=True)
        token = _bearer_token(authorization)
        digest = tokens.digest(token)
        if _is_among(digest, self._record_digests):
            return Viewer("recorder", can_read=True, can_record=True)
        if self._read_digest is not None and hmac.compare_digest(digest, self._read_digest):
            return Viewer("reader", can_read=True, can_record=False)
        found = await self._stored(digest) if tokens.may_be_stored(token) else None
        if found is None:
            raise Unauthenticated("the token is not valid: it is unknown or was revoked")
        return Viewer(found.name, can_read=True, can_record=found.scope == "record", servers=found.servers)

    async def _is_reading_restricted(self) -> bool:
        """Reading is open until somebody says who may read."""
        if self._read_digest is not None:
            return True
        restricted, until = self._restricted
        if time.monotonic() >= until:
            async with self._database.read() as read:
                restricted = await tokens.any_for_reading(read)
            self._restricted = (restricted, time.monotonic() + _REMEMBERED)
        return restricted

    async def _stored(self, digest: bytes) -> tokens.ApiToken | None:
        lookup = self._lookups.get(digest)
        if lookup is None or time.monotonic() >= lookup.until:
            async with self._database.read() as read:
                lookup = _Lookup(await tokens.by_digest(read, digest), time.monotonic() + _REMEMBERED)
            _remember(self._lookups, digest, lookup)
        if lookup.token is not None:
            await self._mark_used(digest, lookup.token)
        return lookup.token

    async def _mark_used(self, digest: bytes, token: tokens.ApiToken) -> None:
        if time.monotonic() < self._marked.get(digest, 0.0):
            return
        _remember(self._marked, digest, time.monotonic() + _MARK_INTERVAL)
        # A database that takes no writes at the moment is no reason to refuse a reader.
        with suppress(FlowtrailError):
            async with self._database.write() as write:
                await tokens.mark_used(write, token.id)


def record_token(data_dir: Path) -> str:
    """Return the token in the file of `data_dir`, which is made, for its owner's eyes only, if it is missing.

    Processes that start at once agree on one. Raises ConfigurationError when the file can't be used, or is open to others.
    """
    path = data_dir / RECORD_TOKEN_FILE
    try:
        if not path.exists():
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_token(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others: delete it, and a new token is made at the next start")
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the recorder token {path} can't be used: {error}") from error
    if not token:
        raise ConfigurationError(f"{path} is empty: delete it, and a new token is made at the next start")
    return token


def _write_token(path: Path) -> None:
    """Make the file whole or not at all; one that another process has made meanwhile stays."""
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)  # noqa: PTH108 (a path as text, from mkstemp)


def _bearer_token(authorization: str) -> str:
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("Authorization: must be `Bearer` and a token")
    return token.strip()


def _digest(token: SecretStr) -> bytes:
    return tokens.digest(token.get_secret_value())


def _is_among(digest: bytes, digests: list[bytes]) -> bool:
    return any(hmac.compare_digest(digest, known) for known in digests)


def _remember(memory: dict[bytes, _Value], digest: bytes, value: _Value) -> None:
    """Keep the newest only, so that guesses can't fill the memory."""
    memory.pop(digest, None)
    if len(memory) >= _REMEMBERED_TOKENS:
        del memory[next(iter(memory))]
    memory[digest] = value

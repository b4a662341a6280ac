"""Keyset pagination: cursors are positions in an order, pages windows between them. Knows no GraphQL and no table (spec 2.1)."""

import base64
import binascii
import re
import struct
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, Self, TypeVar

from flowtrail.errors import BadUserInput

DEFAULT_PAGE_SIZE = 20
MAX_PAGE_SIZE = 100

_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""From which PostgreSQL counts, too: it writes cursors itself (executions/written.py)."""
_MICROSECOND = timedelta(microseconds=1)
_LAYOUT = struct.Struct(">Bq16s")
_LAYOUT_WITH_PAGE = struct.Struct(">Bq16sI")
_VERSION = 1
_HEXADECIMAL = re.compile("(?:[0-9a-f]{2})+")
_MAX_PAGE = 2**31 - 2  # one less than GraphQL's Int, since the next page is one more

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Position:
    """Where an execution stands in the order of all: newest first, by (startedAt, id)."""

    started_at: datetime
    id: uuid.UUID
    page: int | None = None
    """The number of the page that starts after it, where counting could not tell it (page_cursors.py)."""

    def encode(self) -> str:
        """Return the opaque cursor."""
        cursor = encode_cursor(self.started_at, self.id)
        return cursor if self.page is None else cursor + self.page.to_bytes(4).hex()

    @classmethod
    def decode(cls, cursor: str) -> Self:
        """Return the position of a cursor; raises ValueError when it is none of ours."""
        if not _HEXADECIMAL.fullmatch(cursor):
            raise ValueError("alphabet")
        packed = bytes.fromhex(cursor)
        if len(packed) == _LAYOUT.size:
            version, microseconds, execution_id = _LAYOUT.unpack(packed)
            page = None
        elif len(packed) == _LAYOUT_WITH_PAGE.size:
            version, microseconds, execution_id, page = _LAYOUT_WITH_PAGE.unpack(packed)
        else:
            raise ValueError("length")
        if version != _VERSION or (page is not None and not 1 <= page <= _MAX_PAGE):
            raise ValueError("content")
        try:
            return cls(_EPOCH + microseconds * _MICROSECOND, uuid.UUID(bytes=execution_id), page)
        except OverflowError:
            raise ValueError("time") from None


def encode_cursor(started_at: datetime, id_: uuid.UUID) -> str:
    """Return the cursor of a position, for rows of which there are many."""
    since = started_at - _EPOCH
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return _LAYOUT.pack(_VERSION, microseconds, id_.bytes).hex()


def encode_base64(packed: bytes) -> str:
    """Return unpadded URL-safe base64, the form of ids and of other cursors."""
    return binascii.b2a_base64(packed, newline=False).translate(_URL_SAFE, b"=").decode()


def decode_base64(text: str) -> bytes:
    """Return the bytes of unpadded URL-safe base64; raises ValueError for anything else."""
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("base64") from error


@dataclass(frozen=True, slots=True)
class PageRequest(Generic[K]):
    """What `first`, `after`, `last` and `before` ask for. Positions are exclusive."""

    size: int
    backward: bool = False
    after: K | None = None
    before: K | None = None


def page_request(
    first: int | None,
    after: str | None,
    last: int | None,
    before: str | None,
    decode: Callable[[str], K],
) -> PageRequest[K]:
    """Check the four arguments of a connection; raises BadUserInput naming the one that is wrong."""
    if first is not None and last is not None:
        raise BadUserInput("first and last can't be given together: first pages forward, last backward")
    for name, size in (("first", first), ("last", last)):
        if size is not None and not 0 <= size <= MAX_PAGE_SIZE:
            raise BadUserInput(f"{name}: {size} is outside 0 to {MAX_PAGE_SIZE}")
    size = first if first is not None else last if last is not None else DEFAULT_PAGE_SIZE
    return PageRequest(size, last is not None, _decoded("after", after, decode), _decoded("before", before, decode))


def _decoded(name: str, cursor: str | None, decode: Callable[[str], K]) -> K | None:
    if cursor is None:
        return None
    try:
        return decode(cursor)
    except ValueError:
        raise BadUserInput(f"{name}: not a cursor of this connection") from None


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """The rows of one page, in the connection's order, and whether there are more on either side."""

    rows: list[T]
    has_next: bool
    has_previous: bool

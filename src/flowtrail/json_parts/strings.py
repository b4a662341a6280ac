"""Strings that are larger than a part: cut where nothing is cut in two that belongs together."""

from __future__ import annotations

import re
from json import JSONDecodeError
from typing import TYPE_CHECKING

from flowtrail import json_text

if TYPE_CHECKING:
    from collections.abc import Generator

_UNITS = re.compile(
    rb"""(?: [^"\\]+
       | (?P<high> \\u[dD][89abAB][0-9a-fA-F]{2})
       | \\u(?![dD][89abAB])[0-9a-fA-F]{4}
       | \\["\\/bfnrt]
       )*""",
    re.VERBOSE,
)
_ENOUGH = 24
"""Bytes that hold two escapes, one of which is wrong."""


class StringError(Exception):
    """A string is wrong at the byte `at`."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.message = message
        self.at = at


def pieces(data: bytes | bytearray, opening: int, part: int) -> Generator[str, None, int]:
    """Yield the pieces of the string whose quotation mark is at `opening`, each of at most `part` bytes, and return where it has
    ended; raises StringError. `data` is UTF-8.
    """
    at = opening + 1
    while True:
        end, is_last = _cut(data, at, part)
        if not is_last and end in (at, len(data)):  # what comes here is no part of a string, or the text is over
            text = data[at:end].decode("utf-8", "surrogatepass") or data[at : at + _ENOUGH].decode("utf-8", "replace")
            _scanned(text, at, opening)
        yield _scanned(data[at:end].decode("utf-8", "surrogatepass") + '"', at, opening)
        if is_last:
            return end + 1
        at = end


def _cut(data: bytes | bytearray, at: int, part: int) -> tuple[int, bool]:
    """Where the piece that begins at `at` ends, and whether the string does."""
    found = _UNITS.match(data, at, at + part)
    assert found is not None  # noqa: S101 (it matches nothing as well)
    end = found.end()
    if data[end : end + 1] == b'"':
        return end, True
    if found.end("high") == end:  # its other half may follow
        return found.start("high"), False
    while end > at and end < len(data) and data[end] & 0xC0 == 0x80:  # inside of a character
        end -= 1
    return end, False


def _scanned(text: str, at: int, opening: int) -> str:
    """Return the string that a text is up to its quotation mark; raises StringError where there is none."""
    try:
        return json_text.scan_string(text, 0)[0]
    except JSONDecodeError as error:
        if error.msg.startswith("Unterminated"):
            raise StringError(error.msg, opening) from None
        raise StringError(error.msg, at + len(text[: error.pos].encode("utf-8", "surrogatepass"))) from None

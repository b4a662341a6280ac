"""The bytes of a large text: whether they are UTF-8, where they may be cut, and how many of them should be decoded in one go."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

from flowtrail import json_text

if TYPE_CHECKING:
    from flowtrail.json_parts.kinds import Steps

PART = 8 * 1024
"""Bytes that are decoded in one go."""
_SPARSE_PART = 4 * PART
"""Of a text that is long strings above all."""
_SPARSE = 50
"""Bytes of such a text, at least, for each array, object and comma."""
CHECKED = 256 * 1024
"""Bytes that are looked through in one go."""


def utf_8_of(data: bytes | bytearray) -> Steps[bytes | bytearray]:
    """Return a JSON text as UTF-8, without a byte order mark; raises JsonTextError when it can't be decoded."""
    encoding = json.detect_encoding(bytes(data[:4]))
    if encoding == "utf-8-sig":
        data = data[len(codecs.BOM_UTF8) :]
    elif encoding != "utf-8":
        return (yield from _transcoded(data, encoding))
    start = 0
    while start < len(data):
        end = boundary(data, start + CHECKED)
        _decode(data[start:end])
        start = end
        yield
    return data


def part_of(data: bytes | bytearray) -> Steps[int]:
    """Return how many bytes of a text should be decoded in one go."""
    found = 0
    for start in range(0, len(data), CHECKED):
        some = data[start : start + CHECKED]
        found += some.count(b"[") + some.count(b"{") + some.count(b",")
        if found * _SPARSE > len(data):
            return PART
        yield
    return _SPARSE_PART


def _transcoded(data: bytes | bytearray, encoding: str) -> Steps[bytes]:
    decoder, parts = codecs.getincrementaldecoder(encoding)("surrogatepass"), []
    for start in range(0, len(data), PART):
        try:
            text = decoder.decode(data[start : start + PART], final=start + PART >= len(data))
        except UnicodeDecodeError:
            raise json_text.JsonTextError("not valid UTF-8") from None
        parts.append(text.encode("utf-8", "surrogatepass"))
        yield
    return b"".join(parts)


def boundary(data: bytes | bytearray, end: int) -> int:
    """Return where the character that `end` may lie in begins."""
    if end >= len(data):
        return len(data)
    for start in range(end, end - 4, -1):
        if data[start] & 0xC0 != 0x80:
            return start
    return end  # it is no UTF-8, or begins here


def _decode(data: bytes | bytearray) -> str:
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise json_text.JsonTextError("not valid UTF-8") from None

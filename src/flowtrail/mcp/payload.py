"""Python values as JSON text, exactly; and as an always-valid preview of it when they are larger than the limit (spec
1.6).

Tools hand over whatever they like. What JSON can say is kept as it is; what it can't gets the form that Python programs
expect of it (models and dataclasses as objects, dates as ISO 8601, bytes as base64), and anything else its `repr`.
Nothing here raises because of a value.
"""

import base64
import dataclasses
import datetime
import enum
import json
import math
import pathlib
import uuid
from collections.abc import Mapping, Set
from decimal import Decimal
from typing import Any

from flowtrail.json_text import MAX_DEPTH, MAX_DIGITS, JsonTextError, digest, dump

DEFAULT_LIMIT = 1024 * 1024
"""Bytes of JSON text of one value, at most; a larger value is cut."""

_REPR_LIMIT = 10_000
_CUT = "…"


@dataclasses.dataclass(frozen=True, slots=True)
class Payload:
    """A value's JSON text. `size_bytes` and `sha256` are there when it was cut, and tell of the whole."""

    text: str
    size_bytes: int | None = None
    sha256: str | None = None


def encode(value: Any) -> str:
    """Return the JSON text of any value."""
    try:
        return dump(value)
    except JsonTextError:
        return dump(plain(value))


def limited(text: str, limit: int) -> Payload:
    """Return `text`, or the preview of it that fits `limit` bytes."""
    if len(text) * 4 <= limit:
        return Payload(text)
    size, sha256 = digest(text)
    if size <= limit:
        return Payload(text)
    preview, _ = _cut(json.loads(text), limit)
    return Payload(dump(preview), size, sha256.hex())


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` made of JSON's own types only, within the limits of depth and digits."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return _plain_integer(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if depth >= MAX_DEPTH:
        return "[nested too deeply]"
    if isinstance(value, Mapping):
        return {_key(name): plain(item, depth + 1) for name, item in list(value.items())}
    if isinstance(value, list | tuple | Set):
        return [plain(item, depth + 1) for item in list(value)]
    return _plain_object(value, depth)


def _plain_object(value: Any, depth: int) -> Any:
    try:
        match value:
            case enum.Enum():
                return plain(value.value, depth + 1)
            case datetime.datetime() | datetime.date() | datetime.time():
                return value.isoformat()
            case datetime.timedelta():
                return value.total_seconds()
            case uuid.UUID() | Decimal() | pathlib.PurePath():
                return str(value)
            case bytes() | bytearray() | memoryview():
                return base64.b64encode(value).decode()
            case BaseException():
                return f"{type(value).__name__}: {value}"
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name), depth + 1) for field in dataclasses.fields(value)}
        if callable(dump_model := getattr(value, "model_dump", None)) and not isinstance(value, type):
            return plain(dump_model(by_alias=True), depth + 1)
    except Exception:  # noqa: S110 (a value's own code may raise anything; its repr is the answer then)
        pass
    return _repr(value)


def _plain_integer(number: int) -> int | str:
    # 10 ** MAX_DIGITS has 3.3219 bits a digit: comparing lengths costs no conversion.
    return number if number.bit_length() < MAX_DIGITS * 3.32 else f"[integer of {number.bit_length()} bits]"


def _key(name: Any) -> str:
    match name:
        case str():
            return str.__str__(name)
        case True | False | None:
            return {True: "true", False: "false", None: "null"}[name]
        case int() | float():
            return str(plain(name))
        case _:
            return _repr(name)


def _repr(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _REPR_LIMIT else text[:_REPR_LIMIT] + _CUT


def _cut(value: Any, budget: int) -> tuple[Any, int]:
    """Return what of `value` fits in `budget` bytes of JSON text, and the bytes it takes."""
    if isinstance(value, str):
        return _cut_string(value, budget)
    if isinstance(value, dict):
        kept: dict[str, Any] = {}
        used = 2
        for name, item in value.items():
            head = _bytes(name) + 2
            if used + head + 8 > budget:
                break
            kept[name], size = _cut(item, budget - used - head)
            used += head + size
        return kept, used
    if isinstance(value, list):
        items: list[Any] = []
        used = 2
        for item in value:
            if used + 9 > budget:
                break
            shown, size = _cut(item, budget - used - 1)
            items.append(shown)
            used += size + 1
        return items, used
    size = _bytes(value)
    return (value, size) if size <= budget else (None, 4)


def _cut_string(value: str, budget: int) -> tuple[str, int]:
    size = _bytes(value)
    if size <= budget:
        return value, size
    # A character takes at most 6 bytes as an escape, so what is kept always fits.
    kept = value[: max(0, (budget - 6) // 6)]
    while (room := budget - 6 - _bytes(kept)) > 64 and len(kept) < len(value):
        kept = value[: len(kept) + max(1, room // 6)]
    kept += _CUT
    return kept, _bytes(kept)


def _bytes(value: Any) -> int:
    return len(dump(value).encode())

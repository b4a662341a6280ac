"""What executions can be found by of their parameters: each value's digest, made in Python as they are recorded (spec 2.2).

A value is named by its RFC 6901 pointer. Two values are equal when JSON says so: numbers by their value, whatever their notation
and size; objects whatever the order of their keys; and a string never equals a number. The digests are in `execution_parameter`,
in the order of pages (docs/decisions/parameters-by-digest.md). What a recorder replaced by a marker never arrives here (spec 4.7).
"""

import hashlib
import json
import re
import uuid
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

MAX_VALUES = 64
"""Values of one execution that it can be found by: the outermost first, in the order they came."""
MAX_DEPTH = 5
"""Arrays and objects around a value that can be searched for, at most."""
MAX_LENGTH = 1000
"""Characters of the JSON text of such a value, at most."""

_POINTER = re.compile(r"(/([^~/]|~[01])*)*")


class NotSearchable(ValueError):
    """No execution can be found by such a path or value; the message says which of the two, and why."""


def digests_of(params: Any) -> tuple[uuid.UUID, ...]:
    """Return what an execution with these parameters can be found by: one digest for each value, containers included."""
    return tuple(digest for path, value in islice(_values(params), MAX_VALUES) if (digest := _digest(path, value)))


def searched_digest(path: str, value: Any) -> uuid.UUID:
    """Return the digest of the executions that have `value` at `path`; raises NotSearchable where none is kept."""
    if not _POINTER.fullmatch(path):
        raise NotSearchable("path: not an RFC 6901 pointer, as /city or /items/0/name")
    if path.count("/") > MAX_DEPTH:
        raise NotSearchable(f"path: leads through more than {MAX_DEPTH} levels, deeper than is searched")
    digest = _digest(path, value)
    if digest is None:
        raise NotSearchable(f"value: its JSON text has more than {MAX_LENGTH} characters, longer than is searched")
    return digest


def _values(params: Any) -> Iterator[tuple[str, Any]]:
    """All values with their pointers, breadth first."""
    waiting = deque([("", params, 0)])
    while waiting:
        path, value, depth = waiting.popleft()
        yield path, value
        if depth == MAX_DEPTH or len(waiting) >= MAX_VALUES:
            continue
        if isinstance(value, dict):
            inside = ((_token(name), item) for name, item in value.items())
        elif isinstance(value, list):
            inside = ((str(index), item) for index, item in enumerate(value))
        else:
            continue
        waiting.extend((f"{path}/{token}", item, depth + 1) for token, item in islice(inside, MAX_VALUES))


def _token(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _digest(path: str, value: Any) -> uuid.UUID | None:
    """None for a value that is too long."""
    text, length = [f"{len(path)} {path}"], 0
    for piece in _canonical(value):
        length += len(piece)
        if length > MAX_LENGTH:
            return None
        text.append(piece)
    return uuid.UUID(bytes=hashlib.blake2b("".join(text).encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _canonical(value: Any) -> Iterator[str]:
    """The JSON text that all values equal to `value` share, piece by piece."""
    if isinstance(value, dict):
        yield "{"
        for number, name in enumerate(sorted(value)):
            yield f"{',' if number else ''}{json.dumps(name, ensure_ascii=False)}:"
            yield from _canonical(value[name])
        yield "}"
    elif isinstance(value, list):
        yield "["
        for number, item in enumerate(value):
            if number:
                yield ","
            yield from _canonical(item)
        yield "]"
    elif isinstance(value, float) and value.is_integer():
        yield str(int(value))
    else:
        yield json.dumps(value, ensure_ascii=False)

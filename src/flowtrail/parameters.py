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

_TOO_MANY = MAX_LENGTH // 2 + 1
"""Values whose text is too long, whatever they are."""
_TOO_LONG = "…" * (MAX_LENGTH + 1)
_ENCODER = json.JSONEncoder(ensure_ascii=False)
_CONSTANTS = {None: "null", True: "true", False: "false"}
_POINTER = re.compile(r"(/([^~/]|~[01])*)*")


class NotSearchable(ValueError):
    """No execution can be found by such a path or value; the message says which of the two, and why."""


def digests_of(params: Any) -> tuple[uuid.UUID, ...]:
    """Return what an execution with these parameters can be found by: one digest for each value, containers included."""
    known: dict[int, str] = {}
    return tuple(digest for path, value in islice(_values(params), MAX_VALUES) if (digest := _digest(path, value, known)))


def outline_of(params: Any) -> Any:
    """Return `params` without most of what their digests do not depend on: of what is too long, the first members are enough.

    Their preview is the same too.
    """
    return _outline(params)[0]


def shortened(members: Any) -> Any:
    """Return a list or dict of more than MAX_VALUES members, whose text is too long, with the first of them only."""
    if isinstance(members, dict):
        names = list(islice(members, MAX_VALUES + 1))
        return {name: members[name] for name in names[:-1]} | {names[-1]: _TOO_LONG}
    return [*members[:MAX_VALUES], _TOO_LONG]


def _outline(value: Any) -> tuple[Any, int]:
    """The outline of a value, and how many values are in it, counted as far as matters."""
    if isinstance(value, dict):
        outlines = {name: _outline(item) for name, item in islice(value.items(), _TOO_MANY)}
        members: Any = {name: item for name, (item, _) in outlines.items()}
        count = 1 + sum(inside for _, inside in outlines.values())
    elif isinstance(value, list):
        found = [_outline(item) for item in islice(value, _TOO_MANY)]
        members, count = [item for item, _ in found], 1 + sum(inside for _, inside in found)
    else:
        return value, 1
    return (shortened(members) if count > _TOO_MANY and len(members) > MAX_VALUES else members), count


def searched_digest(path: str, value: Any) -> uuid.UUID:
    """Return the digest of the executions that have `value` at `path`; raises NotSearchable where none is kept."""
    if not _POINTER.fullmatch(path):
        raise NotSearchable("path: not an RFC 6901 pointer, as /city or /items/0/name")
    if path.count("/") > MAX_DEPTH:
        raise NotSearchable(f"path: leads through more than {MAX_DEPTH} levels, deeper than is searched")
    digest = _digest(path, value, {})
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


def _digest(path: str, value: Any, known: dict[int, str]) -> uuid.UUID | None:
    """None for a value that is too long. Its outermost containers come first, and leave the texts of others in `known`."""
    text = _canonical(value, MAX_LENGTH, known)
    if text is None:
        return None
    named = f"{len(path)} {path}{text}"
    return uuid.UUID(bytes=hashlib.blake2b(named.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _canonical(value: Any, room: int, known: dict[int, str]) -> str | None:
    """The JSON text that all values equal to `value` share; None when it has more than `room` characters."""
    if isinstance(value, (dict, list)):
        text = known.get(id(value)) or _canonical_container(value, room, known)
    elif isinstance(value, str):
        text = _ENCODER.encode(value) if len(value) <= room else None
    elif isinstance(value, bool) or value is None:
        text = _CONSTANTS[value]
    elif isinstance(value, int) or value.is_integer():
        text = str(int(value))
    else:
        text = _ENCODER.encode(value)
    return None if text is None or len(text) > room else text


def _canonical_container(value: dict[str, Any] | list[Any], room: int, known: dict[int, str]) -> str | None:
    if 2 * len(value) > room:
        return None
    if isinstance(value, dict):
        brackets, entries = "{}", [(f"{_ENCODER.encode(name)}:", value[name]) for name in sorted(value)]
    else:
        brackets, entries = "[]", [("", item) for item in value]
    pieces = []
    room -= len(brackets)
    for name, item in entries:
        text = _canonical(item, room, known)
        if text is None:
            return None
        pieces.append(name + text)
        room -= len(pieces[-1]) + 1
    known[id(value)] = whole = f"{brackets[0]}{','.join(pieces)}{brackets[1]}"
    return whole

"""The one line that a list shows of an execution's parameters (spec 1.5)."""

from itertools import islice
from typing import Any

import regex

from flowtrail import json_text

MAX_CHARACTERS = 80
"""User-perceived characters (extended grapheme clusters), so that no emoji is split."""
_MAX_CODE_POINTS = 2000
"""Of a whole preview, since one character may consist of any number of them."""
_CHARACTER = regex.compile(r"\X")


def preview_of(params: Any) -> str:
    """Return the first parameter as `name: value`, at most 80 characters and then "…"; empty for no parameters."""
    if isinstance(params, dict):
        if not params:
            return ""
        name, value = next(iter(params.items()))
        line = f"{name}: {_shown(value)}"
    else:
        line = _shown(params) if params else ""
    return _cut(json_text.clean(line))


def _shown(value: Any) -> str:
    return value[: _MAX_CODE_POINTS + 1] if isinstance(value, str) else json_text.dump(value)


def _cut(line: str) -> str:
    if line.isascii() and "\r" not in line:
        return line if len(line) <= MAX_CHARACTERS else line[:MAX_CHARACTERS] + "…"
    end = 0
    for character in islice(_CHARACTER.finditer(line[: _MAX_CODE_POINTS + 1]), MAX_CHARACTERS):
        if character.end() > _MAX_CODE_POINTS:
            break
        end = character.end()
    return line if end == len(line) else line[:end] + "…"

"""JSON values as exact text: what arrives is what is stored and what goes back (spec 1.6).

Payloads never pass through a library that rounds big integers or refuses lone surrogates. Their one form is compact JSON text in
UTF-8: no spaces, keys in the order they came, control characters and lone surrogates as ``\\uXXXX`` escapes, the rest as it is.
`sizeBytes` and `sha256` of `PayloadInfo` are those of this text. Used by the service and by the wrapper; imports neither.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MAX_DEPTH = 200
"""Arrays and objects inside one another, at most."""
MAX_DIGITS = 4300
"""Digits of one integer, at most: Python refuses to convert longer ones."""

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTAINERS = (dict, list, tuple)


class JsonTextError(ValueError):
    """The value has no JSON text, or none within the limits; the message says why."""


@dataclass(frozen=True, slots=True)
class JsonText:
    """A large value, as the text that `dump` returns of it (json_parts/text.py)."""

    text: str
    size: int
    """In bytes."""
    sha256: bytes
    outline: Any
    """The value without most of what is in it (parameters.py)."""
    refusal: str | None = None
    """Why it has no text that is within the limits."""


def dump(value: Any, levels: int = MAX_DEPTH) -> str:
    """Return the JSON text of `value`; raises JsonTextError for what JSON or the limits do not allow.

    `levels` is how deep arrays and objects may be inside one another where they lie inside of others.
    """
    try:
        text = _encode(value)
    except RecursionError:
        raise JsonTextError(f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise JsonTextError(reason(error)) from None
    except TypeError:
        if isinstance(value, JsonText):
            return _text_of(value)
        raise JsonTextError("not a JSON value") from None
    if text.count("[") + text.count("{") > levels and _depth(value, levels) > levels:
        raise JsonTextError(f"nested deeper than {MAX_DEPTH} levels")
    return escape_surrogates(text)


def load(text: str | bytes | bytearray) -> Any:
    """Return the value of a JSON text; raises JsonTextError when it is none or passes the limits."""
    try:
        # As json.loads does, which would make a decoder for each text.
        return _decoder.decode(text if isinstance(text, str) else text.decode(json.detect_encoding(text), "surrogatepass"))
    except RecursionError:
        raise JsonTextError("nested too deeply") from None
    except UnicodeDecodeError:
        raise JsonTextError("not valid UTF-8") from None
    except ValueError as error:
        raise JsonTextError(reason(error)) from None


def escape_surrogates(text: str) -> str:
    """Return JSON `text` with each lone surrogate as its escape, so that it can be encoded."""
    return text if text.isascii() else _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def digest(text: str) -> tuple[int, bytes]:
    """Return the size in bytes and the SHA-256 of a JSON text."""
    encoded = text.encode()
    return len(encoded), hashlib.sha256(encoded).digest()


def clean(text: str) -> str:
    """Return `text` as a PostgreSQL text column can hold it: NUL as U+2400, a lone surrogate as U+FFFD."""
    return text if text.isascii() and "\0" not in text else _SURROGATE.sub("\ufffd", text.replace("\0", "\u2400"))


def _encoding() -> Callable[[Any], str]:
    """The encoder's function. `encode` makes another encoder for each value, which costs three times what a small one does."""
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return _ENCODER.encode
    chunks = make(None, _ENCODER.default, json.encoder.encode_basestring, None, ":", ",", False, False, False)
    return lambda value: "".join(chunks(value, 0))


def _text_of(value: JsonText) -> str:
    if value.refusal is not None:
        raise JsonTextError(value.refusal)
    return value.text


def _depth(value: Any, levels: int) -> int:
    """How many arrays and objects are inside one another, counted to one beyond the limit."""
    depth, level = 0, [value]
    while depth <= levels and (containers := [item for item in level if isinstance(item, _CONTAINERS)]):
        depth += 1
        level = [item for each in containers for item in (each.values() if isinstance(each, dict) else each)]
    return depth


def reason(error: ValueError) -> str:
    """Return what an error of the decoder or encoder says, in the words of this module."""
    if isinstance(error, JsonTextError):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        return misplaced(error.msg, error.lineno, error.colno)
    if "digits" in str(error):
        return f"an integer has more than {MAX_DIGITS} digits"
    return "a number is too large for a JSON value, or not a number"


def misplaced(message: str, line: int, column: int) -> str:
    """Return what is said of a text that is wrong in this place."""
    return f"not valid JSON: {message} at line {line}, column {column}"


def _refuse_constant(name: str) -> Any:
    raise JsonTextError(f"{name} is not a JSON value")


def _finite_float(text: str) -> float:
    number = float(text)
    if number - number != 0.0:
        raise JsonTextError("a number is too large for a JSON value")
    return number


_encode = _encoding()
_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite_float)

scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]  # a public attribute
"""Returns the value that begins at an index of a text, and the index after it; raises StopIteration or ValueError."""
scan_string: Callable[[str, int], tuple[str, int]] = json.decoder.scanstring  # type: ignore[attr-defined]  # likewise
"""Returns the string that an index lies in, just behind its quotation mark, and the index after it; raises JSONDecodeError."""

"""What stays home: secrets are replaced by a marker before anything is written or sent (spec 4.7).

Four rules hide a value, and the marker says which: the tool's input schema (`format: password`, `writeOnly`), a name on
the list, the author's callable, and text that looks like a credential. A string hidden in a call's parameters is also
hidden wherever it turns up later in the call.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from flowtrail.json_text import dump
from flowtrail.mcp.secret_schema import Alternatives, SecretSchema

Hide = Callable[[str, Any], bool]
"""The author's rule: given a value's RFC 6901 pointer and the value, whether to hide it."""

DEFAULT_NAMES = frozenset(
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "passcode",
        "secret",
        "token",
        "apikey",
        "privatekey",
        "secretkey",
        "accesskey",
        "signingkey",
        "encryptionkey",
        "authorization",
        "proxyauthorization",
        "credential",
        "credentials",
        "cookie",
        "setcookie",
        "sessionid",
        "otp",
        "totp",
        "pin",
        "cvv",
        "cvc",
        "ssn",
    ]
)
"""Names of parameters and fields that are hidden, in lower case without separators."""

_SUFFIXES = (
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "secretkey",
    "accesskey",
    "credentials",
)
_HARMLESS = re.compile("(?:page|next|previous|cursor|continuation|progress|sync|cancel|max|stop|eos|bos|pad|unk)token$")
_KEY = re.compile(r'"((?:[^"\\]|\\.)+)":')
_NOT_ALPHANUMERIC = re.compile("[^0-9a-z]+")
_SHORTEST_SECRET = 4

_CREDENTIALS = re.compile(
    r"(?P<bearer>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s/:@\"']*:)[^\s/@\"']+(?=@)"
    r"|\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[^-]|-(?!----END))*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(
    r"(?P<name>\b[\w-]*(?:password|passwd|pwd|passphrase|secret|token|api[-_]?key|authorization|cookie)[\"']?\s*[=:]\s*)"
    r"(?!\[redacted)(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&)}\]]+)",
    re.IGNORECASE,
)


def marker(rule: str) -> str:
    """Return what stands in place of a value hidden by `rule`."""
    return f"[redacted: {rule}]"


@dataclass(frozen=True)
class Redaction:
    """An author's rules: names beside the default ones, and a callable that is asked about every value."""

    names: frozenset[str] = DEFAULT_NAMES
    hide: Hide | None = None

    @classmethod
    def with_names(cls, names: Iterable[str], hide: Hide | None = None) -> "Redaction":
        """Return the rules with `names` (of any case and separators) beside the default ones."""
        return cls(DEFAULT_NAMES | {_normal(name) for name in names}, hide)

    def hides_name(self, name: str) -> bool:
        """Return whether values under `name` are hidden."""
        return _hides_name(self.names, name)


@functools.lru_cache(maxsize=10_000)
def _hides_name(names: frozenset[str], name: str) -> bool:
    normal = _normal(name)
    return normal in names or (normal.endswith(_SUFFIXES) and not _HARMLESS.search(normal))


def _normal(name: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", name.lower())


@dataclass
class CallRedaction:
    """The rules for one call, with the secrets its parameters have shown."""

    rules: Redaction
    schema: SecretSchema = field(default_factory=lambda: SecretSchema({}))
    _secrets: set[str | int | float] = field(default_factory=set)
    _encoded: list[str] = field(default_factory=list)

    def parameters(self, text: str) -> str:
        """Return the JSON text of a call's parameters with its secrets hidden, and remember these for the rest of the call."""
        if not self.schema.marks_secrets and not self._suspicious(text):
            return text
        return dump(self._walk(json.loads(text), "", "", self.schema.root, learn=True))

    def data(self, text: str) -> str:
        """Return the JSON text of a result or of a node's data with secrets hidden."""
        return dump(self._walk(json.loads(text), "", "", ())) if self._suspicious(text) else text

    def message(self, text: str) -> str:
        """Return an error's text with secrets hidden."""
        return _ASSIGNMENT.sub(rf"\g<name>{marker('credential')}", self._string(text))

    def _suspicious(self, text: str) -> bool:
        # A look at the text is fifty times cheaper than a walk through the value, and most values hold nothing to hide.
        return (
            self.rules.hide is not None
            or any(secret in text for secret in self._encoded)
            or any(self.rules.hides_name(name) for name in _KEY.findall(text))
            or _CREDENTIALS.search(text) is not None
        )

    def _walk(self, value: Any, name: str, pointer: str, position: Alternatives, *, learn: bool = False) -> Any:
        if (rule := self._rule(value, name, pointer, position)) is not None:
            if learn:
                self._learn(value)
            return marker(rule)
        if isinstance(value, dict):
            return {
                self._string(key): self._walk(
                    item, key, f"{pointer}/{_escape(key)}", self.schema.property(position, key), learn=learn
                )
                for key, item in value.items()
            }
        if isinstance(value, list):
            items = self.schema.items(position)
            return [self._walk(item, name, f"{pointer}/{index}", items, learn=learn) for index, item in enumerate(value)]
        if isinstance(value, str):
            return self._string(value)
        return marker("parameter") if not isinstance(value, bool) and value in self._secrets else value

    def _rule(self, value: Any, name: str, pointer: str, position: Alternatives) -> str | None:
        if value is None or value == "" or not pointer:
            return None
        if SecretSchema.is_secret(position):
            return "schema"
        if not isinstance(value, bool) and self.rules.hides_name(name):
            return "name"
        return "author" if self._author_hides(pointer, value) else None

    def _author_hides(self, pointer: str, value: Any) -> bool:
        try:
            return bool(self.rules.hide is not None and self.rules.hide(pointer, value))
        except Exception:
            return True

    def _learn(self, value: Any) -> None:
        if isinstance(value, dict | list):
            for item in value.values() if isinstance(value, dict) else value:
                self._learn(item)
        elif value is not None and not isinstance(value, bool) and len(str(value)) >= _SHORTEST_SECRET:
            self._secrets.add(value)
            text = dump(value)
            self._encoded.append(text[1:-1] if isinstance(value, str) else text)

    def _string(self, text: str) -> str:
        for secret in self._secrets:
            if (shown := str(secret)) in text:
                text = text.replace(shown, marker("parameter"))
        return _CREDENTIALS.sub(_hide_credential, text)


def _hide_credential(found: re.Match[str]) -> str:
    return (found["bearer"] or found["url"] or "") + marker("credential")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

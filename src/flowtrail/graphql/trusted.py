"""Trusted documents: operations that are known beforehand, asked for by the SHA-256 of their text (spec 2.10).

A manifest is a JSON object from hash to document. The one beside this module holds the documents of the page, the wrapper and the
commands, so that a service which answers nothing else still serves them.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphql import REMOVE, FieldNode, GraphQLError, Visitor, parse, print_ast, visit

from flowtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphql import DocumentNode

MANIFEST = Path(__file__).with_name("trusted_documents.json")
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


class TrustedDocuments:
    """Documents by their hash, and whether a document is among them however it is laid out."""

    def __init__(self, documents: dict[str, str]) -> None:
        self._documents = documents
        self._texts = frozenset(documents.values())
        self._canonical = {canonical(parse(text)) for text in documents.values()}

    @classmethod
    def load(cls, file: Path | None) -> TrustedDocuments:
        """Read the manifest of this release, and the operator's `file`; raises ConfigurationError, which says what is wrong."""
        documents = _read(MANIFEST)
        if file is not None:
            documents |= _read(file)
        try:
            return cls(documents)
        except GraphQLError as error:
            raise ConfigurationError(f"FLOWTRAIL_TRUSTED_DOCUMENTS_FILE: {file} holds a document with an error: {error}") from None

    def text_of(self, sha256: str) -> str | None:
        """Return the document with this hash; None when it is not trusted."""
        return self._documents.get(sha256)

    def has_text(self, text: str) -> bool:
        """Tell whether a document is trusted as it is laid out."""
        return text in self._texts

    def __contains__(self, document: DocumentNode) -> bool:
        return canonical(document) in self._canonical


def sha256_of(text: str) -> str:
    """Return the hash that stands for a document, whatever characters it has."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def manifest(documents: Iterable[str]) -> str:
    """Return the manifest of documents, as text."""
    return f"{json.dumps({sha256_of(text): text for text in documents}, indent=2, sort_keys=True)}\n"


def canonical(document: DocumentNode) -> str:
    """Return the document in one layout, without the `__typename` that clients add for their caches."""
    return print_ast(visit(document, _WithoutTypename()))


class _WithoutTypename(Visitor):
    def enter_field(self, node: FieldNode, *_: Any) -> Any:
        return REMOVE if node.name.value == "__typename" and not node.alias and not node.directives else None


def _read(path: Path) -> dict[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the trusted documents {path} can't be used: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"the trusted documents {path} must be a JSON object from SHA-256 to document")
    for key, text in content.items():
        if not isinstance(text, str) or not _SHA256.fullmatch(key) or sha256_of(text) != key:
            raise ConfigurationError(f"the trusted documents {path}: {key} is not the SHA-256 of its document")
    return content

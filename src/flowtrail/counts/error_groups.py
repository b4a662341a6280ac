"""Which errors are counted together: those of one kind, failing node and message, but for the numbers and ids in it (spec 2.8)."""

import hashlib
import re
import uuid

MAX_MESSAGE = 300
"""Characters of a normalised message."""

_VARIABLE = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"  # a UUID
    r"|\b0x[0-9a-f]+\b"
    r"|\b(?=[0-9a-f]*\d)(?=[0-9]*[a-f])[0-9a-f]{8,}\b"  # a hash or another id in hexadecimal
    r"|\d+(?:[.,:_-]\d+)*",
    re.IGNORECASE | re.ASCII,
)


def normalised(message: str) -> str:
    """Return what messages of one cause have in common: "…" stands for each number or id, and the end of a long one is left out."""
    return _VARIABLE.sub("…", message[: 2 * MAX_MESSAGE])[:MAX_MESSAGE]


def error_group(kind: str, node_id: str | None, message: str) -> uuid.UUID:
    """Return what errors of this kind, node and normalised message are counted by."""
    named = f"{kind} {-1 if node_id is None else len(node_id)} {node_id or ''}{normalised(message)}"
    return uuid.UUID(bytes=hashlib.sha256(named.encode()).digest()[:16])


def error_group_sql(kind: str, node_id: str, message: str) -> str:
    """SQL for the same digest, where only the node is a column: `kind` and `message` are constants without quotes."""
    named = f"'{kind} ' || coalesce(length({node_id}), -1) || ' ' || coalesce({node_id}, '') || '{normalised(message)}'"
    return f"encode(substring(sha256(convert_to({named}, 'UTF8')) FOR 16), 'hex')::uuid"

"""What holds for every answer, whatever was asked: a status below 500, a code, and not a word about how the service is made."""

import json
import os
import re
from pathlib import Path
from typing import Any

CODES = {
    "BAD_USER_INPUT",
    "NOT_FOUND",
    "UNAUTHENTICATED",
    "FORBIDDEN",
    "LIMIT_EXCEEDED",
    "UNAVAILABLE",
    "TIMEOUT",
}
"""All but INTERNAL: nothing a client sends may be our own fault."""
_LEAKS = re.compile(
    r"Traceback|File \"|site-packages|\.py\b|python|strawberry|asyncpg|sqlalchemy|postgres|graphql-core|starlette|fastapi|uvicorn"
    r"|httptools|llhttp|pydantic|orjson|websockets/|\bSELECT\b.*\bFROM\b|\bINSERT INTO\b|\bself\b|object at 0x|Error\(",
    re.IGNORECASE,
)


def verdict(status: int, headers: str, text: str) -> str:
    """Return an answer as a table shows it: status and codes. Raises AssertionError when the answer breaks the rule."""
    assert 200 <= status < 500, (status, text[:500])
    leaks_nothing(headers)
    leaks_nothing(text)
    codes = sorted(set(codes_of(text)))
    assert set(codes) <= CODES, text[:500]
    return " ".join([str(status), *codes])


def leaks_nothing(text: str) -> None:
    """Raise AssertionError when a text tells of what the service is made."""
    leak = _LEAKS.search(text)
    assert leak is None, (leak, text[:500])


def codes_of(text: str) -> list[str]:
    """Return the codes of the errors of a GraphQL response; raises KeyError for an error without one."""
    try:
        response: Any = json.loads(text)
    except ValueError:
        return []
    errors = response.get("errors", []) if isinstance(response, dict) else []
    return [error["extensions"]["code"] for error in errors]


def compare(table: Path, found: dict[str, str]) -> None:
    """Raise AssertionError unless the answers, by the names of what was asked, are those that the table has.

    FLOWTRAIL_TEST_UPDATE=1 writes them anew; read the difference before you keep it.
    """
    rows = "".join(f"{name.encode('unicode_escape').decode()}\t{answer}\n" for name, answer in found.items())
    if os.environ.get("FLOWTRAIL_TEST_UPDATE"):
        table.write_text(rows)
    assert rows == table.read_text()

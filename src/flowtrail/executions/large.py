"""Values that may be large: how many bytes of them one answer may have (spec 2.6, 2.10).

PostgreSQL adds up their sizes, which are known without reading them, before it sends or joins the first.
"""

from collections.abc import Iterable
from typing import Any

import asyncpg

from flowtrail.database import Read
from flowtrail.errors import LimitExceeded

MOST_BYTES = 32 * 1024 * 1024
"""Of payloads and stacks, that are read for one operation; a single value is never larger."""


def size_of_payload(value: str, prefix: str) -> str:
    """SQL of the bytes of a JSON value, whose facts are in columns with this prefix; the size among them is that of the whole."""
    return f"CASE WHEN {prefix}_truncated THEN octet_length({value}::text) ELSE coalesce({prefix}_size, 0)::integer END"


def size_of_text(value: str) -> str:
    """SQL of the bytes of a text."""
    return f"coalesce(octet_length({value}), 0)"


def all_bytes(sizes: Iterable[str]) -> str:
    """SQL of the bytes of all rows of a statement together, which fails when they are more than MOST_BYTES."""
    total = f"sum({' + '.join(sizes)}) OVER ()"
    # What fails depends on the rows, or the planner would work it out beforehand.
    return f"CASE WHEN {total} > {MOST_BYTES} THEN repeat(' ', 2147483647 - least(0, {total})::integer)::bigint ELSE {total} END"


def too_large() -> LimitExceeded:
    """What is raised for more than MOST_BYTES."""
    return LimitExceeded(
        f"the values selected here have more than {MOST_BYTES} bytes together: "
        "ask for fewer at once, or for their sizes (PayloadInfo.sizeBytes) first and then for each by its id"
    )


async def fetch(read: Read, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """Return the rows of a statement that may have `all_bytes` in it; raises LimitExceeded when that failed."""
    try:
        return await read.fetch(statement, *arguments)
    except asyncpg.ProgramLimitExceededError:
        raise too_large() from None

"""Tracking is a guest in every call: whatever goes wrong in it is logged once and never reaches the tool (spec 4.5)."""

import logging
from types import TracebackType

logger = logging.getLogger("flowtrail.mcp")

_seen: set[tuple[type[BaseException], str]] = set()


class Guarded:
    """Swallows and logs the exceptions of a block of tracking; not cancellation, and not what ends the process."""

    def __init__(self, doing: str) -> None:
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> bool:
        if error is None or not isinstance(error, Exception):
            return False
        if (seen := (type(error), self._doing)) not in _seen:
            _seen.add(seen)
            logger.error("flowtrail: %s failed; the tool is not affected", self._doing, exc_info=error)
        return True

"""Structured logs: one event a line, as JSON for machines or as text for a person (spec 6.4)."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, TextIO

import asyncpg
import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

SLOW_SECONDS = 1.0
"""A request or an operation that takes longer is worth a line."""
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Of the request that is being answered: every line of the log about it carries it."""
_root = logging.getLogger()
LogFormat = Literal["auto", "json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure(level: LogLevel = "info", log_format: LogFormat = "auto", stream: TextIO | None = None) -> None:
    """Send every log of the process, of this package and of libraries alike, to `stream` (standard error unless given).

    `auto` is text on a terminal and JSON elsewhere.
    """
    stream = stream or sys.stderr
    as_text = log_format == "text" or (log_format == "auto" and stream.isatty())
    shared: list[Processor] = [
        _with_request_id,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_row_values,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    last: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=True)]
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    _root.handlers = [handler]
    _root.setLevel(level.upper())
    for library in ("uvicorn", "uvicorn.error", "asyncio", "httpx2", "httpcore2", "alembic"):
        logger = logging.getLogger(library)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(logging.WARNING)


def debugs() -> bool:
    """Whether lines at debug level are written: those of every request are not worth putting together for nobody."""
    return _root.isEnabledFor(logging.DEBUG)


def _with_request_id(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if (id_ := request_id.get()) is not None:
        event.setdefault("request_id", id_)
    return event


def _without_row_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Take out the detail of PostgreSQL's errors: it quotes the row that failed, with what users recorded in it."""
    info = event.get("exc_info")
    error = info[1] if isinstance(info, tuple) else info
    if error is True:
        error = sys.exc_info()[1]
    seen = set()
    while isinstance(error, BaseException) and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, asyncpg.PostgresError):
            error.detail = None
        error = error.__cause__ or error.__context__
    return event

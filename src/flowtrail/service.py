"""What the service holds while it runs: the database, who may enter, and the upkeep that needs no request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import asyncpg
import structlog

from flowtrail import changes, counts, database_url, storage
from flowtrail.auth import Access
from flowtrail.changes import Tail
from flowtrail.changes.hints import Hints
from flowtrail.database import Database
from flowtrail.errors import FlowtrailError
from flowtrail.observability import metrics
from flowtrail.recording import upkeep
from flowtrail.replica import StandbyReplica
from flowtrail.settings import Settings

log = structlog.get_logger()

_PRUNE_INTERVAL = 60.0
_PURGE_INTERVAL = 60.0
_PURGE_BATCH = 1000


@dataclass(frozen=True)
class Service:
    settings: Settings
    database: Database
    access: Access
    tail: Tail


@asynccontextmanager
async def run(settings: Settings) -> AsyncIterator[Service]:
    """Open everything, and close it again in the opposite order. Raises ConfigurationError, or Unavailable."""
    async with AsyncExitStack() as stack:
        primary = database = await stack.enter_async_context(storage.opened(settings))
        await changes.ensure_epoch(primary)
        watching = []
        if settings.database_read_url is not None:
            url = database_url.parse(settings.database_read_url.get_secret_value(), name="DATABASE_READ_URL")
            replica = await StandbyReplica.open(url, settings)
            stack.push_async_callback(replica.close)
            database = primary.with_replica(replica)
            watching.append(replica.keep_watching(primary))
        access = Access(primary, settings)
        stack.push_async_callback(access.close)
        service = Service(settings, database, access, Tail(primary))
        metrics.build.labels(version("flowtrail")).set(1)
        tasks = [asyncio.create_task(work) for work in (*watching, *_upkeep(service), *_feed(service))]
        stack.push_async_callback(_stop, tasks)
        yield service


def _upkeep(service: Service) -> list[Coroutine[Any, Any, None]]:
    settings, database = service.settings, service.database
    retention = timedelta(seconds=settings.feed_retention)

    async def sweep() -> bool:
        async with database.write() as write:
            settled = await upkeep.settle_overdue(write)
        if settled:
            database.news.set()
            metrics.executions_ended.labels("ERROR").inc(settled)
        return settled == upkeep.SWEEP_BATCH

    async def fold() -> bool:
        async with database.write() as write:
            return await counts.fold(write) == counts.FOLD_BATCH

    async def prune() -> bool:
        async with database.write() as write:
            return await changes.prune(write, retention) == changes.BATCH

    async def purge() -> bool:
        assert settings.retention is not None  # noqa: S101 (it is not called then)
        async with database.write() as write:
            before = await upkeep.ago(write, settings.retention)
            return await upkeep.purge_batch(write, before=before, limit=_PURGE_BATCH) > 0

    return [
        _every(settings.sweep_interval, sweep),
        _every(settings.fold_interval, fold),
        _every(_PRUNE_INTERVAL, prune),
        _every(_PURGE_INTERVAL if settings.retention else None, purge),
    ]


def _feed(service: Service) -> list[Coroutine[Any, Any, None]]:
    listen_url = service.settings.database_listen_url
    dsn = database_url.parse(listen_url.get_secret_value(), name="DATABASE_LISTEN_URL").dsn if listen_url else service.database.dsn

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(dsn, timeout=10, server_settings={"application_name": "flowtrail hints"})

    hints = Hints(service.database, service.tail.wake, connect)
    return [service.tail.run(), hints.keep_listening(), hints.keep_sending()]


async def _every(seconds: float | None, work: Callable[[], Awaitable[bool]]) -> None:
    """Do `work` every so many seconds, and at once again while it says that there is more; None: never."""
    while seconds is not None:
        has_more = False
        try:
            has_more = await work()
            metrics.upkeep_done.labels(work.__name__).set_to_current_time()
        except (FlowtrailError, asyncpg.PostgresError) as error:
            log.warning("upkeep failed, will try again", work=work.__name__, error=str(error))
        except Exception:
            log.exception("upkeep failed, will try again", work=work.__name__)
        await asyncio.sleep(0 if has_more else seconds)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""Fixtures: one PostgreSQL for the whole run, a fresh database for each test, the real service over real HTTP.

The PostgreSQL is the embedded one, shared by all workers, or the server that FLOWTRAIL_TEST_DATABASE_URL names.
"""

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest

from flowtrail import embedded
from flowtrail.database import Database
from flowtrail.settings import Settings
from support import Postgres, Service, running_service

_FOLDER = "FLOWTRAIL_TEST_FOLDER"
_DATABASE_URL = "FLOWTRAIL_TEST_DATABASE_URL"

StartService = Callable[..., Any]


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker more than there are processors: much of the time tests wait for processes that they have started."""
    return (os.cpu_count() or 1) + 1


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a folder of its own, known to all workers, and keep the developer's settings out."""
    for name in [name for name in os.environ if name == "DATABASE_URL" or name.startswith("FLOWTRAIL_")]:
        if not name.startswith("FLOWTRAIL_TEST_"):
            del os.environ[name]
    if not hasattr(config, "workerinput"):
        # Not below pytest's own folder: PostgreSQL runs as another user when we are root, and could not reach it.
        folder = Path(tempfile.mkdtemp(prefix="flowtrail-tests-"))
        folder.chmod(0o711)
        os.environ[_FOLDER] = str(folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing behind. The workers have ended by now, and with them the embedded PostgreSQL."""
    if hasattr(config, "workerinput"):
        return
    folder = Path(os.environ.pop(_FOLDER))
    if external := os.environ.get(_DATABASE_URL):
        asyncio.run(Postgres(external, _prefix(folder)).drop_everything())
    shutil.rmtree(folder)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why tests were skipped, once for each reason."""
    reasons = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, count in reasons.items():
        terminalreporter.line(f"{count} {reason}")


def _prefix(folder: Path) -> str:
    return folder.name.replace("-", "_").lower()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server, with the template database made."""
    folder = Path(os.environ[_FOLDER])
    if external := os.environ.get(_DATABASE_URL):
        server = Postgres(external, _prefix(folder))
        asyncio.run(server.make_template())
        yield server
        return
    with embedded.start(folder) as running:
        server = Postgres(running.dsn, _prefix(folder))
        asyncio.run(_trade_durability_for_speed(server))
        asyncio.run(server.make_template())
        yield server


async def _trade_durability_for_speed(server: Postgres) -> None:
    connection = await asyncpg.connect(server.dsn)
    try:
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("ALTER SYSTEM SET full_page_writes = off")
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()


@pytest.fixture
def database_url(postgres: Postgres) -> Iterator[str]:
    """A migrated, empty database of this test's own, as a libpq URL."""
    dsn = asyncio.run(postgres.create_database())
    yield dsn
    asyncio.run(postgres.drop_database(dsn))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The service's pools on `database_url`."""
    opened = await Database.open(database_url, Settings())
    yield opened
    await opened.close()


@pytest.fixture
def record_token() -> str:
    """A token that `service` accepts from recorders."""
    return "record-token-of-the-tests"


@pytest.fixture
def read_token() -> str | None:
    """What readers of `service` must show; None: reading is open. Override it where a test is about it."""
    return None


@pytest.fixture
async def start_service(
    database_url: str, record_token: str, read_token: str | None, tmp_path: Path
) -> AsyncIterator[StartService]:
    """`await start_service(**settings)` runs one more service on this test's database, with other settings."""
    async with AsyncExitStack() as services:

        async def start(**settings: Any) -> Service:
            defaults: dict[str, Any] = {
                "database_url": database_url,
                "data_dir": tmp_path / "data",
                "record_token": record_token,
                "read_token": read_token,
            }
            return await services.enter_async_context(running_service(Settings(**(defaults | settings))))

        yield start


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """The service with its default settings."""
    running: Service = await start_service()
    return running


@pytest.fixture
def bound_scans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """`bound_scans(10)` lets a page look at ten candidates; statements that were made for another bound are forgotten."""
    selection, pages = (import_module(f"flowtrail.executions.{name}") for name in ("selection", "pages"))

    def bound(candidates: int) -> None:
        pages._statement.cache_clear()
        for name in ("SCAN_BOUND", "PARAMETER_SCAN_BOUND"):
            monkeypatch.setattr(selection, name, candidates)

    yield bound
    pages._statement.cache_clear()


@pytest.fixture
def client(service: Service) -> httpx2.AsyncClient:
    """An HTTP client whose base URL is the service's."""
    return service.client

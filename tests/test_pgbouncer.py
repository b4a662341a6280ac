"""A pooler between the service and PostgreSQL (docs/deployment)."""

import asyncio
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

import live
from load import OK, Load, assert_kept
from recorder import accept, finished, id_of, started
from support import Service

DEPLOYMENT = Path(__file__).parent.parent / "docs" / "deployment" / "README.md"
PREPARES_SINCE = (1, 21)
"""The first version that knows prepared statements in transaction mode."""
Pooled = Callable[..., Awaitable[Service]]


def documented(beginning: str) -> list[str]:
    """The lines of docs/deployment that begin so, without their indentation."""
    return [line.strip() for line in DEPLOYMENT.read_text().splitlines() if line.strip().startswith(beginning)]


def program(mode: str) -> str:
    """The pgbouncer to run; skips the test where there is none that can do it."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("pgbouncer is not installed: CI installs it")
        pytest.skip("pgbouncer is not installed")
    if mode == "transaction":
        said = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout
        version = re.search(r"PgBouncer (\d+)\.(\d+)", said)
        assert version, said
        if (int(version[1]), int(version[2])) < PREPARES_SINCE:
            pytest.skip(f"pgbouncer {version[1]}.{version[2]} knows no prepared statements in transaction mode: 1.21 does")
    return found


@asynccontextmanager
async def pgbouncer(dsn: str, mode: str) -> AsyncIterator[str]:
    """Run pgbouncer, as docs/deployment says, and yield the URL of the same database behind it."""
    command = program(mode)
    parts = urlsplit(dsn)
    host = parse_qs(parts.query).get("host")
    if host is None:
        pytest.skip("the pooler is set up for the embedded PostgreSQL only")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="flowtrail-pgbouncer-"))
    folder.chmod(0o755)
    settings = documented("ignore_startup_parameters")
    if mode == "transaction":
        settings += documented("max_prepared_statements")
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={host[0]} port=5432 user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"auth_file = {folder / 'users'}\npool_mode = {mode}\ndefault_pool_size = {POOL_SIZES[mode]}\n" + "\n".join(settings)
    )
    user: dict[str, Any] = {}
    if os.geteuid() == 0:  # pgbouncer refuses to run as root, and PostgreSQL's socket is its user's
        name = next(name for name in ("postgres", "nobody") if _exists(name))
        user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
    process = subprocess.Popen([command, str(folder / "pgbouncer.ini")], stderr=subprocess.PIPE, **user)
    try:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                assert process.poll() is None, process.communicate()[1]
                await asyncio.sleep(0.05)
        yield f"postgresql://postgres@127.0.0.1:{port}{parts.path}?sslmode=disable"
    finally:
        process.kill()  # asked to end, it would wait for its clients
        process.communicate()
        shutil.rmtree(folder)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


POOL_SIZES = {"session": 20, "transaction": 3}
"""Of pgbouncer's connections: in transaction mode fewer than the service has of its own, so that they share."""


async def execute(dsn: str, statement: str) -> Any:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.fixture(params=["session", "transaction"])
async def pooler(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[str]:
    """The URL of this test's database behind pgbouncer, with the limits that docs/deployment gives to the role."""
    for line in documented("ALTER ROLE flowtrail"):
        await execute(database_url, line.replace("ROLE flowtrail", f"DATABASE {urlsplit(database_url).path[1:]}"))
    async with pgbouncer(database_url, request.param) as url:
        yield url


@pytest.fixture
async def pooled(pooler: str, database_url: str, start_service: Any) -> Pooled:
    """`await pooled(**settings)` runs the service with pgbouncer between it and its database."""

    async def start(**settings: Any) -> Service:
        service: Service = await start_service(database_url=pooler, database_listen_url=database_url, **settings)
        return service

    return start


async def test_recording_reading_and_following_through_a_pooler(pooled: Pooled) -> None:
    service = await pooled()
    here = (await service.execute("{ executions { changeCursor } }"))["data"]["executions"]["changeCursor"]
    async with live.socket(service) as client:
        await client.subscribe(after=here)
        begin = started()
        await accept(service, begin)
        assert (await client.event())["kind"] == "STARTED"
        await accept(service, finished(id_of(begin)))
        assert (await client.event())["execution"]["status"] == "FULFILLED"
    answer = await service.execute("{ executions { totalCount } }")
    assert answer["data"]["executions"]["totalCount"] == 1


async def test_under_load_connections_of_the_pooler_are_cut(pooled: Pooled, database_url: str) -> None:
    service = await pooled()
    load = Load(service.url, service.record_token)

    async def cut() -> None:
        for _ in range(5):
            await execute(
                database_url,
                """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                   WHERE application_name = 'flowtrail' AND datname = current_database()""",
            )
            await asyncio.sleep(0.1)

    await load.during(cut())
    assert load.reads.keys() | load.writes.keys() <= {OK, "503 UNAVAILABLE", "200 UNAVAILABLE"}, (load.reads, load.writes)
    await assert_kept(load, database_url)


async def test_who_gives_up_stops_the_statement_behind_the_pooler(pooled: Pooled, database_url: str) -> None:
    service = await pooled(request_timeout=1.0, sweep_interval=None, fold_interval=None)
    holder = await asyncpg.connect(database_url)
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE execution IN ACCESS EXCLUSIVE MODE")
            answers = await asyncio.gather(*(service.execute("{ executions { totalCount } }") for _ in range(6)))
            assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"TIMEOUT"}
            async with asyncio.timeout(20):
                while await execute(
                    database_url,
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
                ):
                    await asyncio.sleep(0.02)
    finally:
        await holder.close()
    answer = await service.execute("{ executions { totalCount } }")
    assert answer["data"]["executions"]["totalCount"] == 0


async def test_the_limits_on_statements_are_those_of_the_role(pooled: Pooled, database_url: str) -> None:
    service = await pooled(request_timeout=30.0)
    async with service.database.read() as read:
        found = {name: await read.fetchval(f"SHOW {name}") for name in ("statement_timeout", "lock_timeout", "plan_cache_mode")}
    assert found == {"statement_timeout": "5s", "lock_timeout": "2s", "plan_cache_mode": "force_generic_plan"}

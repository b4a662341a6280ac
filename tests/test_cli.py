"""The `flowtrail` command as a user runs it: processes, exit codes, what is printed."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx2
import pytest

from flowtrail import database_url as urls
from flowtrail import migrate
from flowtrail.revisions import SchemaState
from live import socket
from support import Postgres, Service

FLOWTRAIL = str(Path(sys.executable).with_name("flowtrail"))
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """`run("migrate", DATABASE_URL=…)` runs the command with these variables set."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        variables = {**os.environ, "FLOWTRAIL_DATA_DIR": str(tmp_path), "COLUMNS": "200", **environment}
        return subprocess.run([FLOWTRAIL, *arguments], env=variables, capture_output=True, text=True, check=False)

    return run


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """Return the one line that says why."""
    assert done.returncode == code, done
    assert re.fullmatch(r"flowtrail: .+\n", done.stderr), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "command",
    [
        *(
            "serve",
            "demo",
            "proxy",
            "migrate",
            "purge",
            "recount",
            "bench",
            "export-schema",
            "token create",
            "token list",
            "token revoke",
        ),
        *("flows list", "flows delete", "spool status", "spool retry", "feed reset"),
    ],
)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    assert f"flowtrail {command}" in succeeded(run(*command.split(), "--help")).partition("Example:")[2]


def test_wrong_usage_is_told_apart_from_failure(run: Run) -> None:
    assert run("serve", "--port", "70000").returncode == 2
    assert run("nonsense").returncode == 2
    refused(run("purge"), code=2)
    refused(run("purge", "--older-than", "yesterday"), code=2)


def test_version(run: Run) -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", succeeded(run("--version")))


async def test_migrate(run: Run, postgres: Postgres) -> None:
    async with postgres.fresh_database(migrated=False) as dsn:
        assert run("migrate", "--check", DATABASE_URL=dsn).returncode == 1
        assert "run `flowtrail migrate`" in refused(run("serve", "--port", "0", DATABASE_URL=dsn))
        script = succeeded(run("migrate", "--sql", DATABASE_URL=dsn))
        assert "CREATE TABLE execution " in script
        succeeded(run("migrate", DATABASE_URL=dsn))
        succeeded(run("migrate", "--check", DATABASE_URL=dsn))
        assert "CREATE TABLE" not in succeeded(run("migrate", "--sql", DATABASE_URL=dsn))


def test_a_database_that_is_not_there(run: Run) -> None:
    message = refused(run("migrate", DATABASE_URL="postgresql://u:secret@127.0.0.1:1/d"))
    assert "can't be reached" in message
    assert "secret" not in message


def test_tokens(run: Run, database_url: str) -> None:
    token = succeeded(run("token", "create", "ci", "--scope", "record", "--server", "orders", DATABASE_URL=database_url)).strip()
    refused(run("token", "create", "ci", "--scope", "read", DATABASE_URL=database_url), code=2)
    listing = succeeded(run("token", "list", DATABASE_URL=database_url))
    assert listing.split("\t")[:3] == ["ci", "record", "orders"]
    assert token not in listing
    succeeded(run("token", "revoke", "ci", DATABASE_URL=database_url))
    assert "revoked" in succeeded(run("token", "list", DATABASE_URL=database_url))
    refused(run("token", "revoke", "ci", DATABASE_URL=database_url))


REGISTER = """
    mutation Register($server: String!) {
      registerFlows(input: {server: $server, flows: [{toolName: "ship"}]}) { flows { id } }
    }
"""


async def test_flows(run: Run, service: Service) -> None:
    await service.execute(REGISTER, {"server": "orders"}, token=service.record_token)
    there = {"FLOWTRAIL_URL": service.graphql_url, "FLOWTRAIL_RECORD_TOKEN": service.record_token}

    async def answer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(run, *arguments, **environment)

    assert succeeded(await answer("flows", "list", **there)).startswith("orders\tship\t")
    refused(await answer("flows", "delete", "orders", "ship", **{**there, "FLOWTRAIL_RECORD_TOKEN": "wrong"}))
    succeeded(await answer("flows", "delete", "orders", "ship", **there))
    assert succeeded(await answer("flows", "list", **there)) == ""
    assert "there is no flow" in refused(await answer("flows", "delete", "orders", "ship", **there))


EXECUTIONS = """
    INSERT INTO execution (id, flow_id, server, flow_name, flow_tool_name, status, started_at, ended_at, deadline,
                           timeout_at, initial_params_preview, is_preview, start_hash)
    SELECT gen_random_uuid(), $1, 'orders', 'Ship', 'ship', 'FULFILLED', started_at, started_at, started_at, started_at,
           '', false, '\\x00'
    FROM generate_series(now() - interval '30.5 days', now() - interval '1.5 days', '1 day') AS started_at
"""


async def test_purge(run: Run, database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    flow_id = await connection.fetchval(
        """INSERT INTO flow (id, server, tool_name, name, timeout_ms)
           VALUES (gen_random_uuid(), 'orders', 'ship', 'Ship', 1) RETURNING id"""
    )
    await connection.execute(EXECUTIONS, flow_id)
    await connection.execute(EXECUTIONS, None)

    async def left() -> int:
        count: int = await connection.fetchval("SELECT count(*) FROM execution")
        return count

    assert await left() == 60
    assert "44 executions would be deleted" in succeeded(run("purge", "--older-than", "9d", "--dry-run", DATABASE_URL=database_url))
    assert await left() == 60
    ours = ("purge", "--older-than", "9d", "--flow", "orders", "ship", "--batch", "4")
    assert "22 executions deleted" in succeeded(run(*ours, DATABASE_URL=database_url))
    assert "0 executions deleted" in succeeded(run(*ours, DATABASE_URL=database_url))
    one = await connection.fetchval("SELECT id FROM execution WHERE flow_id IS NULL LIMIT 1")
    assert "1 executions deleted" in succeeded(run("purge", "--execution", str(one), DATABASE_URL=database_url))
    assert await left() == 37
    refused(run("purge", "--flow", "orders", "nothing", DATABASE_URL=database_url))
    await connection.close()


async def test_feed_reset_asks_every_subscriber_to_query_again(run: Run, service: Service, database_url: str) -> None:
    answer = await service.execute("{ executions(first: 0) { changeCursor } }")
    cursor = answer["data"]["executions"]["changeCursor"]
    done = await asyncio.to_thread(run, "feed", "reset", DATABASE_URL=database_url)
    assert "anew" in succeeded(done)
    async with socket(service) as client:
        await client.subscribe(after=cursor)
        assert await client.event() == {"__typename": "ResyncRequired", "reason": "DATABASE_REPLACED"}


def test_export_schema(run: Run) -> None:
    assert "type Query" in succeeded(run("export-schema"))


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the user PostgreSQL runs as can reach."""
    with tempfile.TemporaryDirectory(prefix="flowtrail-tests-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[str]:
    """A service in a process of its own, stopped by SIGTERM; yields its GraphQL URL."""
    command = [FLOWTRAIL, "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[1]
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


def ask(url: str, token: str | None = None) -> httpx2.Response:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.post(url, json={"query": "{ flows { edges { cursor } } }"}, headers=headers, timeout=60)


NO_FLOWS: dict[str, object] = {"data": {"flows": {"edges": []}}}


def test_serve_sets_itself_up_and_cleans_up_after_itself(data_dir: Path, run: Run) -> None:
    with serving(FLOWTRAIL_DATA_DIR=str(data_dir)) as url:
        assert url.startswith("http://127.0.0.1:")
        assert ask(url).json() == NO_FLOWS
        here = {"FLOWTRAIL_DATA_DIR": str(data_dir), "FLOWTRAIL_URL": url}
        assert succeeded(run("flows", "list", **here)) == ""
        assert succeeded(run("token", "list", **here)) == ""
        succeeded(run("migrate", "--check", **here))
    assert (data_dir / "record-token").stat().st_mode & 0o777 == 0o600
    listing = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    assert str(data_dir) not in listing


def test_several_workers_serve_one_embedded_database(data_dir: Path) -> None:
    with serving("--workers", "2", FLOWTRAIL_DATA_DIR=str(data_dir)) as url:
        assert [ask(url).json() for _ in range(4)] == [NO_FLOWS] * 4


def test_serve_shows_no_secret(run: Run, database_url: str, tmp_path: Path) -> None:
    command = [FLOWTRAIL, "serve", "--port", "0"]
    environment = {**os.environ, "DATABASE_URL": database_url, "FLOWTRAIL_DATA_DIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        ask(process.stdout.readline().split()[1])
        process.send_signal(signal.SIGTERM)
        assert (tmp_path / "record-token").read_text().strip() not in process.stdout.read()


def test_beyond_this_machine_readers_need_a_token(run: Run, database_url: str) -> None:
    everywhere = ("serve", "--host", "0.0.0.0", "--port", "0")  # noqa: S104
    reason = refused(run(*everywhere, DATABASE_URL=database_url))
    assert all(way in reason for way in ("FLOWTRAIL_READ_TOKEN", "token create", "FLOWTRAIL_OIDC_ISSUER", "127.0.0.1"))
    provider = {"FLOWTRAIL_OIDC_ISSUER": "https://id.example", "FLOWTRAIL_OIDC_AUDIENCE": "flowtrail"}
    with serving("--host", "0.0.0.0", DATABASE_URL=database_url, **provider) as url:  # noqa: S104
        assert ask(url).json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    with serving("--host", "0.0.0.0", DATABASE_URL=database_url, FLOWTRAIL_READ_TOKEN="look") as url:  # noqa: S104
        assert ask(url).json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
        assert ask(url, "look").json() == NO_FLOWS
    succeeded(run("token", "create", "dashboard", "--scope", "read", DATABASE_URL=database_url))
    with serving("--host", "0.0.0.0", DATABASE_URL=database_url) as url:  # noqa: S104
        assert "errors" in ask(url).json()


def test_a_port_in_use_is_named(run: Run, database_url: str) -> None:
    with serving(DATABASE_URL=database_url) as url:
        port = url.rpartition(":")[2].partition("/")[0]
        assert f"port {port}" in refused(run("serve", "--port", port, DATABASE_URL=database_url))


def test_settings_that_make_no_sense_are_named(run: Run) -> None:
    assert "DATABASE_URL" in refused(run("serve", DATABASE_URL="mysql://u:secret@h/d"))
    assert "FLOWTRAIL_STATEMENT_TIMEOUT" in refused(run("serve", FLOWTRAIL_STATEMENT_TIMEOUT="long"))
    assert "keep one" in refused(run("serve", FLOWTRAIL_READ_TOKEN="a", FLOWTRAIL_READ_TOKEN_FILE="/nonexistent"))
    assert "can't be read" in refused(run("serve", DATABASE_URL_FILE="/nonexistent"))


def test_secrets_may_come_from_files(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "url").write_text(f"{database_url}\n")
    (tmp_path / "token").write_text("look\n")
    with serving(DATABASE_URL_FILE=str(tmp_path / "url"), FLOWTRAIL_READ_TOKEN_FILE=str(tmp_path / "token")) as url:
        assert "errors" in ask(url).json()
        assert ask(url, "look").json() == NO_FLOWS


def test_the_spool_of_a_machine_without_recorders_is_empty(run: Run) -> None:
    assert "No server has recorded" in succeeded(run("spool", "status"))
    succeeded(run("spool", "retry"))


def test_the_proxy_wants_one_server(run: Run) -> None:
    refused(run("proxy"))
    refused(run("proxy", "--upstream-url", "http://127.0.0.1:1/mcp", "--", "server"))


async def test_what_migrate_did_is_what_the_service_wants(run: Run, postgres: Postgres) -> None:
    async with postgres.fresh_database(migrated=False) as dsn:
        succeeded(run("migrate", DATABASE_URL=dsn))
        assert (await migrate.inspect(urls.parse(dsn)))[0] is SchemaState.CURRENT

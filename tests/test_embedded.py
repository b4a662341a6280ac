"""The embedded PostgreSQL: real servers, real processes, killed without warning."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import pytest

from flowtrail import embedded
from flowtrail.errors import ConfigurationError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no embedded PostgreSQL on Windows")

_CLIENT = """
import sys
from pathlib import Path
from flowtrail import embedded

with embedded.start(Path(sys.argv[1])) as postgres:
    print(postgres.dsn, flush=True)
    sys.stdin.read()
"""


class Client:
    """Another process that uses the server of a folder until it is closed or killed."""

    def __init__(self, data_dir: Path) -> None:
        command = [sys.executable, "-c", _CLIENT, str(data_dir)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def dsn(self) -> str:
        """Known once the server takes connections."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.communicate()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that the user PostgreSQL runs as can reach."""
    folder = Path(tempfile.mkdtemp(prefix="flowtrail-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def query(dsn: str, statement: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for what another process is about to do; a minute without it is a failure."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names `folder`: the supervisor and the postmaster, when they run."""
    listing = subprocess.run(["ps", "-eo", "pid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=1) for line in listing.splitlines() if f"{folder}/postgres" in line]
    return [int(pid) for pid, arguments in rows if "supervisor" in arguments or "bin/postgres" in arguments]


def supervisor_of(folder: Path) -> int:
    return int((folder / "postgres/supervisor.lock").read_text())


def postmaster_of(folder: Path) -> int:
    return int((folder / "postgres/data/postmaster.pid").read_text().split("\n")[0])


def started_at(dsn: str) -> Any:
    """When the server started; None while there is none."""
    try:
        return query(dsn, "SELECT pg_postmaster_start_time()")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        return None


def test_what_was_committed_is_there_after_a_restart(data_dir: Path) -> None:
    with embedded.start(data_dir) as postgres:
        query(postgres.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
    assert processes_of(data_dir) == []
    with embedded.start(data_dir) as postgres:
        assert query(postgres.dsn, "SELECT n FROM kept") == 1
        assert query(postgres.dsn, "SHOW fsync") == "on"
        assert query(postgres.dsn, "SHOW listen_addresses") == ""


def test_processes_that_start_at_once_on_an_empty_folder_share_one_server(data_dir: Path) -> None:
    with Client(data_dir) as first, Client(data_dir) as second, Client(data_dir) as third:
        servers = {started_at(client.dsn) for client in (first, second, third)}
        assert len(servers) == 1
    assert processes_of(data_dir) == []


def test_the_server_outlives_the_client_that_started_it(data_dir: Path) -> None:
    with Client(data_dir) as first:
        dsn = first.dsn
        with embedded.start(data_dir):
            started = started_at(dsn)
            first.process.communicate()
            assert started_at(dsn) == started
    assert processes_of(data_dir) == []


def test_a_killed_client_leaves_no_server_behind(data_dir: Path) -> None:
    with Client(data_dir) as client:
        query(client.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        client.process.kill()
    eventually(lambda: processes_of(data_dir) == [])
    with embedded.start(data_dir) as postgres:
        assert query(postgres.dsn, "SELECT n FROM kept") == 1


@pytest.mark.parametrize("victim", [postmaster_of, supervisor_of])
def test_a_killed_server_or_supervisor_comes_back_for_its_clients(data_dir: Path, victim: Callable[[Path], int]) -> None:
    with embedded.start(data_dir) as postgres:
        query(postgres.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        started = started_at(postgres.dsn)
        os.kill(victim(data_dir), signal.SIGKILL)
        eventually(lambda: started_at(postgres.dsn) not in (None, started))
        assert query(postgres.dsn, "SELECT n FROM kept") == 1
    eventually(lambda: processes_of(data_dir) == [])


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next start stops what was left")
def test_client_and_supervisor_killed_together_leave_nothing(data_dir: Path) -> None:
    with Client(data_dir) as client:
        query(client.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        supervisor = supervisor_of(data_dir)
        client.process.kill()
        os.kill(supervisor, signal.SIGKILL)
    eventually(lambda: processes_of(data_dir) == [])
    with embedded.start(data_dir) as postgres:
        assert query(postgres.dsn, "SELECT n FROM kept") == 1


def test_everything_killed_together_loses_nothing(data_dir: Path) -> None:
    with Client(data_dir) as client:
        query(client.dsn, "CREATE TABLE kept AS SELECT 1 AS n")
        for pid in (client.process.pid, supervisor_of(data_dir), postmaster_of(data_dir)):
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: processes_of(data_dir) == [])
    with embedded.start(data_dir) as postgres:
        assert query(postgres.dsn, "SELECT n FROM kept") == 1
    assert processes_of(data_dir) == []


def test_a_start_killed_half_way_does_not_hinder_the_next(data_dir: Path) -> None:
    with Client(data_dir) as client:
        eventually(lambda: (data_dir / "postgres/data.unfinished").exists() or (data_dir / "postgres/data").exists())
        client.process.kill()
    with embedded.start(data_dir) as postgres:
        assert started_at(postgres.dsn)
    assert not (data_dir / "postgres/data.unfinished").exists()


def test_a_path_too_long_for_a_socket_is_no_obstacle(data_dir: Path) -> None:
    deep = data_dir / ("d" * 100)
    with embedded.start(deep) as postgres:
        assert started_at(postgres.dsn)
    with embedded.start(deep) as postgres:
        assert started_at(postgres.dsn)


def test_the_environment_has_no_say_in_the_connection(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGHOST": "nowhere", "PGUSER": "nobody", "PGSSLMODE": "require"}.items():
        monkeypatch.setenv(name, value)
    with embedded.start(data_dir) as postgres:
        assert started_at(postgres.dsn)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
def test_root_keeps_what_others_can_not_reach_elsewhere_and_opens_no_folder(data_dir: Path) -> None:
    private = data_dir / "private"
    private.mkdir(mode=0o700)
    with embedded.start(private / "data") as postgres:
        assert started_at(postgres.dsn)
    kept_in = (private / "data/postgres").resolve()
    try:
        assert private.stat().st_mode & 0o777 == 0o700
        assert not kept_in.is_relative_to(private)
        with embedded.start(private / "data") as postgres:
            assert started_at(postgres.dsn)
    finally:
        shutil.rmtree(kept_in)
    with pytest.raises(ConfigurationError, match="which is gone"):
        embedded.start(private / "data")


def test_data_of_another_major_version_are_refused_untouched(data_dir: Path) -> None:
    with embedded.start(data_dir):
        pass
    marker = data_dir / "postgres/data/PG_VERSION"
    marker.write_text("12\n")
    with pytest.raises(ConfigurationError, match="made by PostgreSQL 12, and this is PostgreSQL 18"):
        embedded.start(data_dir)
    assert marker.read_text() == "12\n"


def test_a_folder_that_holds_something_else_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres/data").mkdir(parents=True)
    (data_dir / "postgres/data/letter.txt").write_text("dear")
    with pytest.raises(ConfigurationError, match="is not a PostgreSQL data folder"):
        embedded.start(data_dir)
    assert (data_dir / "postgres/data/letter.txt").read_text() == "dear"


def test_a_path_that_is_no_folder_is_refused(data_dir: Path) -> None:
    (data_dir / "file").touch()
    with pytest.raises(ConfigurationError, match="can't use"):
        embedded.start(data_dir / "file")


def test_a_server_that_does_not_start_says_why(data_dir: Path) -> None:
    with embedded.start(data_dir):
        pass
    with (data_dir / "postgres/data/postgresql.conf").open("a") as settings:
        settings.write("max_connections = plenty\n")
    with pytest.raises(ConfigurationError, match="max_connections"):
        embedded.start(data_dir)
    assert processes_of(data_dir) == []


def test_a_platform_without_the_binaries_is_told_to_set_database_url(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="set DATABASE_URL"):
        embedded.start(data_dir)

"""A PostgreSQL of one test's own, to be stopped, frozen, filled up, copied and promoted: what the shared one must not suffer."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from flowtrail import database_url, migrate
from flowtrail.embedded.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_SETTINGS = {"fsync": "off", "max_connections": "60", "shared_buffers": "32MB", "wal_level": "replica", "hot_standby": "on"}


@dataclass
class OwnPostgres:
    """A server on a port of 127.0.0.1, without passwords, in a folder that its user can reach."""

    cluster: Cluster
    data: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    standbys: list[OwnPostgres] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def command(self, program: str) -> str:
        return str(self.cluster.binaries() / program)

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        options = [f"--{name}={value}" for name, value in (_SETTINGS | self.settings).items()]
        command = [self.command("postgres"), "-D", str(self.data), "-p", str(self.port), "-k", "", "-h", "127.0.0.1", *options]
        async with asyncio.timeout(60):
            while True:
                if self.process is None or self.process.poll() is not None:
                    # Again, if it ended: some other test's client may have been given its port for a moment.
                    with (self.cluster.home / f"log-{self.port}").open("ab") as log:
                        self.process = subprocess.Popen(command, stdout=log, stderr=log, **self.cluster.as_user)
                with suppress(OSError, asyncpg.PostgresError):
                    await (await asyncpg.connect(self.dsn)).close()
                    return
                await asyncio.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """Stop it, by default as a crash would: whoever is connected is cut off."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """While the block lasts all its processes stand still: connections stay open, and nothing is answered."""
        assert self.process is not None
        pids = [self.process.pid, *_children(self.process.pid)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    async def execute(self, statement: str) -> Any:
        """Execute one statement as the superuser and return its first value."""
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    async def standby(self) -> OwnPostgres:
        """Return a running standby that follows this server."""
        copy = OwnPostgres(self.cluster, self.data.with_name(f"standby-{uuid.uuid4().hex[:8]}"), _free_port(), dict(self.settings))
        source = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        command = [self.command("pg_basebackup"), *source, "-D", str(copy.data), "-R", "-c", "fast", "-X", "stream"]
        done = await asyncio.to_thread(lambda: subprocess.run(command, check=False, capture_output=True, **self.cluster.as_user))
        assert done.returncode == 0, done.stderr
        await copy.start()
        self.standbys.append(copy)
        return copy

    async def caught_up_with(self, primary: OwnPostgres) -> None:
        """Wait until this standby has replayed what the primary has written by now."""
        place = await primary.execute("SELECT pg_current_wal_lsn()::text")
        async with asyncio.timeout(30):
            while not await self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{place}'"):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def own_postgres(*, at: Path | None = None, **settings: str) -> AsyncIterator[OwnPostgres]:
    """A running server with a migrated database `postgres`, and all its standbys, for the length of a block; below `at`."""
    folder = Path(tempfile.mkdtemp(prefix="flowtrail-own-", dir=at))
    folder.chmod(0o711)
    cluster = Cluster.of(folder)
    place = cluster.home / "servers"
    place.mkdir()
    if cluster.user:
        os.chown(place, cluster.user.pw_uid, cluster.user.pw_gid)
    server = OwnPostgres(cluster, place / "primary", _free_port(), settings)
    command = [server.command("initdb"), "-D", str(server.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, **cluster.as_user)
    try:
        await server.start()
        await migrate.upgrade(database_url.parse(server.dsn))
        yield server
    finally:
        for running in (*server.standbys, server):
            running.stop()
        shutil.rmtree(cluster.home, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port

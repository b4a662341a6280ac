"""The SQLite file under a spool: its connections, and facts about the file (spool.py has the queue)."""

import sqlite3
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flowtrail.mcp.spool_schema import PLACE_BITS, SCHEMA
from flowtrail.mcp.spooled import DeadLetter, Dropped, EventKind, SpoolState

if TYPE_CHECKING:
    from collections.abc import Iterator

IN_MEMORY = ":memory:"
DEAD_LETTER_LIMIT = 10_000
"""Dead letters kept in one file, at most; the oldest give way."""

_BUSY_SECONDS = 0.25
_LOG_BYTES = 4 * 1024 * 1024
_PAGES_AT_ONCE = 100


class SpoolFile:
    """A file that may be used from any thread. Any method may raise sqlite3.Error."""

    def __init__(self, path: Path | str) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._open()

    def _open(self) -> None:
        self._connection = self._reader = self._connect()
        try:
            self._prepare()
            if self._path != IN_MEMORY:
                self._reader = self._connect()
        except BaseException:
            self._connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        execute = self._connection.execute
        execute("PRAGMA auto_vacuum = INCREMENTAL")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = NORMAL")
        # Moving the log into the file waits for the disk: the recorder's thread does it, never a tool call.
        execute("PRAGMA wal_autocheckpoint = 0")
        execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        self._connection.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file; waits for who is using it."""
        with self._lock:
            if self._reader is not self._connection:
                self._reader.close()
            self._connection.close()

    def _replace(self) -> None:
        """Delete the file and begin an empty one in its place; what it says about itself stays."""
        about = self.about()
        dropped = self.dropped()
        self.close()
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                Path(f"{self._path}{suffix}").unlink()
        self._open()
        self.describe(**about)
        for found in dropped:
            self.count_dropped(found.server, found.executions, found.since)

    def tidy(self) -> None:
        """Move the log into the file and give free pages back to the disk."""
        if self._path == IN_MEMORY:
            return
        with self._reading() as reader:
            reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        with self._lock:
            self._connection.execute(f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})").fetchall()

    def describe(self, **about: str) -> None:
        """Note facts about the file, for whoever finds it."""
        with self._writing():
            self._connection.executemany("INSERT OR REPLACE INTO about VALUES (?, ?)", list(about.items()))

    def about(self) -> dict[str, str]:
        """Return what `describe` noted."""
        with self._lock:
            return dict(self._connection.execute("SELECT name, value FROM about"))

    def count_dropped(self, server: str, executions: int, at: int) -> None:
        """Add to what had to give way, first at `at` (microseconds since 1970)."""
        with self._lock:
            self._connection.execute(
                "INSERT INTO dropped VALUES (?, ?, ?) "
                "ON CONFLICT (server) DO UPDATE SET executions = executions + excluded.executions",
                (server, executions, at),
            )

    def dropped(self) -> list[Dropped]:
        """Return what had to give way, by server."""
        with self._lock:
            return [
                Dropped(*row) for row in self._connection.execute("SELECT server, executions, since FROM dropped ORDER BY server")
            ]

    def dead_letters(self, most: int = DEAD_LETTER_LIMIT) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, server, kind, at, body, code, reason FROM dead_letter ORDER BY sequence LIMIT ?", (most,)
            ).fetchall()
        return [DeadLetter(id_, server, EventKind(kind), *rest) for id_, server, kind, *rest in rows]

    def state(self) -> SpoolState:
        """Return what waits here."""
        with self._lock:
            executions, events, size, dead = self._connection.execute(
                "SELECT (SELECT count(*) FROM (SELECT number FROM execution UNION SELECT sequence >> ? FROM event)), "
                "count(*), coalesce(sum(length(body)), 0), (SELECT count(*) FROM dead_letter) FROM event",
                (PLACE_BITS,),
            ).fetchone()
        return SpoolState(executions, events, size, dead)

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits and nothing runs."""
        with self._lock:
            return not any(
                self._connection.execute("SELECT EXISTS (SELECT 1 FROM event), EXISTS (SELECT 1 FROM execution)").fetchone()
            )

    @contextmanager
    def _reading(self) -> "Iterator[sqlite3.Connection]":
        """The sender's connection. On disk it is one of its own: tool calls keep writing while it reads or waits for the disk."""
        if self._reader is not self._connection:
            yield self._reader
        else:
            with self._lock:
                yield self._connection

    @contextmanager
    def _writing(self) -> "Iterator[None]":
        """A transaction."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

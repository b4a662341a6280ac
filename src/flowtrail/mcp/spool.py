"""One file of events on their way to the service: on disk before they are sent, gone on a receipt (spec 4.6).

SQLite in WAL mode with synchronous NORMAL: what was appended survives the death of the process. A tool call costs one
insert into one b-tree for each event: an event's key is its execution's number and its place in it, so that the table is
in the order of sending. An execution has a row of its own from when sending it begins until its end is received, so that
the next process knows what was left. Every event carries a checksum; one that a disk damaged is set aside alone. A `Spool`
may be used from any thread. Any method may raise sqlite3.Error: `store.py` decides what that means.
"""

import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path

from flowtrail.mcp.spool_file import DEAD_LETTER_LIMIT, IN_MEMORY, SpoolFile
from flowtrail.mcp.spool_schema import PLACE_BITS
from flowtrail.mcp.spooled import Event, EventKind, Refusal

__all__ = ["DEAD_LETTER_LIMIT", "IN_MEMORY", "Spool"]

_EVENT_OVERHEAD = 64
_CHUNK = 100
_UNWRITABLE = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_CANTOPEN")


class Spool(SpoolFile):
    """A queue of events in the order that their executions started; `limit` is in bytes of events."""

    def __init__(self, path: Path | str, limit: int) -> None:
        self._limit = limit
        self._received = 0
        """Up to this sequence everything was received, though the disk did not let us remove it."""
        super().__init__(path)

    def _prepare(self) -> None:
        super()._prepare()
        self._learn_positions()

    def _learn_positions(self) -> None:
        """Go on counting after what the file holds."""
        (highest,) = self._connection.execute(
            "SELECT max(coalesce((SELECT max(sequence) FROM event), 0), coalesce((SELECT max(sequence) FROM dead_letter), 0), "
            f"coalesce((SELECT max(number) FROM execution), 0) << {PLACE_BITS})"
        ).fetchone()
        self._number: int = highest >> PLACE_BITS
        self._places: dict[int, int] = {}
        self._bytes = self._count_bytes()

    def _count_bytes(self) -> int:
        (size,) = self._connection.execute(f"SELECT coalesce(sum(length(body) + {_EVENT_OVERHEAD}), 0) FROM event").fetchone()
        return int(size)

    # Writing: from tool calls.

    def begin(self, execution_id: str, server: str, at: int, body: str) -> int:
        """Append an execution's start and return the execution's number in this file. Others may give way for it."""
        with self._lock:
            self._make_room(len(body))
            number = self._number + 1
            self._insert(number << PLACE_BITS, EventKind.STARTED, at, body, execution_id, server)
            self._number = number
            self._places[number] = 0
        return number

    def continue_execution(self, execution_id: str, server: str, at: int) -> int:
        """Return the number here of an execution whose earlier events wait elsewhere, or were salvaged."""
        with self._writing():
            known = self._connection.execute(
                f"SELECT number FROM execution WHERE id = ?1 UNION ALL SELECT sequence >> {PLACE_BITS} FROM event WHERE id = ?1",
                (execution_id,),
            ).fetchone()
            if known is not None:
                return int(known[0])
            self._number += 1
            self._connection.execute("INSERT INTO execution VALUES (?, ?, ?, ?)", (self._number, execution_id, server, at))
            return self._number

    def append(self, execution: int, kind: EventKind, at: int, body: str) -> bool:
        """Append an event; False when its execution has given way."""
        with self._lock:
            if (place := self._places.get(execution)) is None:
                place = self._last_place(execution)
            if place is None:
                return False
            self._make_room(len(body), keep=execution)
            self._insert(execution << PLACE_BITS | place + 1, kind, at, body)
            if kind is EventKind.FINISHED:
                self._places.pop(execution, None)
            else:
                self._places[execution] = place + 1
        return True

    def _last_place(self, execution: int) -> int | None:
        """Return the place of the last event of an execution that another process or file began; None when it is gone."""
        (highest,) = self._connection.execute(
            "SELECT max(sequence) FROM (SELECT sequence FROM event WHERE sequence >> ?2 = ?1 "
            "UNION ALL SELECT sequence FROM dead_letter WHERE sequence >> ?2 = ?1 "
            "UNION ALL SELECT number << ?2 FROM execution WHERE number = ?1)",
            (execution, PLACE_BITS),
        ).fetchone()
        return None if highest is None else int(highest) & ((1 << PLACE_BITS) - 1)

    def _insert(
        self, sequence: int, kind: EventKind, at: int, body: str, execution_id: str | None = None, server: str | None = None
    ) -> None:
        self._connection.execute(
            "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
            (sequence, int(kind), at, zlib.crc32(body.encode()), body, execution_id, server),
        )
        self._bytes += len(body) + _EVENT_OVERHEAD

    def _make_room(self, size: int, keep: int = -1) -> None:
        """Let the oldest whole executions go that nobody began to send, until a tenth of the limit is free."""
        if self._bytes + size <= self._limit:
            return
        target = self._limit * 9 // 10 - size
        with self._writing():
            candidates = self._connection.execute(
                f"SELECT sequence >> {PLACE_BITS}, server, at FROM event WHERE kind = ? AND sequence >> {PLACE_BITS} <> ? "
                f"AND sequence >> {PLACE_BITS} NOT IN (SELECT number FROM execution) ORDER BY sequence",
                (int(EventKind.STARTED), keep),
            )
            for number, server, at in candidates.fetchall():
                if self._bytes <= target:
                    break
                self._forget(number)
                self.count_dropped(server, 1, at)

    def _forget(self, execution: int) -> None:
        which = (execution << PLACE_BITS, (execution + 1) << PLACE_BITS)
        (size,) = self._connection.execute(
            f"SELECT coalesce(sum(length(body) + {_EVENT_OVERHEAD}), 0) FROM event WHERE sequence >= ? AND sequence < ?", which
        ).fetchone()
        self._connection.execute("DELETE FROM event WHERE sequence >= ? AND sequence < ?", which)
        self._places.pop(execution, None)
        self._bytes -= size

    # Sending: from the recorder's thread.

    def batch(self, most_events: int, most_bytes: int) -> list[Event]:
        """Return the next events to send, whole executions as far as they fit; one event at least, if there is any."""
        self._remove_received()
        events: list[Event] = []
        following: int | None = None
        size = 0
        with self._reading() as reader:
            cursor = reader.execute(
                "SELECT sequence, kind, at, checksum, body FROM event WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (self._received, most_events + 1),
            )
            for sequence, kind, at, checksum, body in cursor:
                encoded = body.encode(errors="replace")
                if events and (size + len(encoded) > most_bytes or len(events) >= most_events):
                    following = sequence >> PLACE_BITS
                    break
                size += len(encoded) + 1
                is_damaged = zlib.crc32(encoded) != checksum
                events.append(Event(sequence, sequence >> PLACE_BITS, EventKind(kind), at, body, is_damaged))
            cursor.close()
        # An execution's start without its end, because the batch was full, would run against its deadline.
        if following is not None and following == events[-1].execution != events[0].execution:
            events = [event for event in events if event.execution != following]
        return events

    def mark_begun(self, events: Sequence[Event]) -> None:
        """Note that sending these executions is tried from now on: they can't give way any more."""
        with suppress_unwritable(), self._writing():
            self._connection.executemany(
                f"INSERT OR IGNORE INTO execution SELECT sequence >> {PLACE_BITS}, id, server, at FROM event WHERE sequence = ?",
                [(event.sequence,) for event in events if event.kind is EventKind.STARTED],
            )

    def settle(self, events: Sequence[Event], refusals: dict[int, Refusal]) -> None:
        """Remove events that were received; those in `refusals` (by sequence) become dead letters."""
        try:
            for start in range(0, len(events), _CHUNK):
                chunk = events[start : start + _CHUNK]
                with self._writing():
                    for event in chunk:
                        if (refusal := refusals.get(event.sequence)) is not None:
                            self._bury(event.sequence, refusal)
                    self._remove(chunk)
            if refusals:
                self._limit_dead_letters()
        except sqlite3.OperationalError as error:
            if not is_unwritable(error):
                raise
            self._received = events[-1].sequence

    def _limit_dead_letters(self) -> None:
        with self._lock:
            self._connection.execute(
                "DELETE FROM dead_letter WHERE sequence <= "
                "(SELECT sequence FROM dead_letter ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
                (DEAD_LETTER_LIMIT,),
            )

    def _remove_received(self) -> None:
        """Remove what an unwritable disk kept us from removing; once all of it is received, begin the file anew."""
        if not self._received:
            return
        try:
            with self._writing():
                self._connection.execute(
                    "DELETE FROM execution WHERE number IN "
                    f"(SELECT sequence >> {PLACE_BITS} FROM event WHERE sequence <= ? AND kind = ?)",
                    (self._received, int(EventKind.FINISHED)),
                )
                self._connection.execute("DELETE FROM event WHERE sequence <= ?", (self._received,))
            self._received = 0
            self._bytes = self._count_bytes()
        except sqlite3.OperationalError as error:
            if not is_unwritable(error):
                raise
            with self._lock:
                waiting = self._connection.execute("SELECT 1 FROM event WHERE sequence > ?", (self._received,)).fetchone()
                if waiting is None:
                    self._begin_anew()

    def _begin_anew(self) -> None:
        """Give the disk back what the file takes; what runs is known to the new one."""
        numbers = {number for number, _, _ in self.running()}
        begun = self._connection.execute(
            "SELECT number, id, server, last_at FROM execution UNION ALL "
            f"SELECT sequence >> {PLACE_BITS}, id, server, at FROM event WHERE id IS NOT NULL"
        )
        running = [row for row in begun.fetchall() if row[0] in numbers]
        number, places = self._number, self._places
        try:
            self._replace()
        except OSError as error:
            raise sqlite3.OperationalError(f"the file can't be replaced: {error}") from error
        self._received = 0
        self._number, self._places = number, places
        with self._writing():
            self._connection.executemany("INSERT OR IGNORE INTO execution VALUES (?, ?, ?, ?)", running)

    def _remove(self, events: Sequence[Event]) -> None:
        execute = self._connection.executemany
        execute("DELETE FROM event WHERE sequence = ?", [(event.sequence,) for event in events])
        self._bytes -= sum(len(event.body) + _EVENT_OVERHEAD for event in events)
        execute(
            "UPDATE execution SET last_at = max(last_at, ?) WHERE number = ?",
            [(event.at, event.execution) for event in events if event.kind is not EventKind.FINISHED],
        )
        execute(
            "DELETE FROM execution WHERE number = ?", [(event.execution,) for event in events if event.kind is EventKind.FINISHED]
        )

    def _bury(self, sequence: int, refusal: Refusal) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO dead_letter "
            "SELECT e.sequence, e.kind, e.at, e.checksum, e.body, coalesce(x.id, e.id, ''), coalesce(x.server, e.server, ''), ?, ? "
            f"FROM event e LEFT JOIN execution x ON x.number = e.sequence >> {PLACE_BITS} WHERE e.sequence = ?",
            (refusal.code, refusal.reason[:1000], sequence),
        )

    # What a process left behind.

    def running(self) -> list[tuple[int, str, int]]:
        """Return number, id and last known time of the executions without an end."""
        with self._lock:
            return self._connection.execute(
                "SELECT x.number, x.id, max(x.at, coalesce((SELECT max(e.at) FROM event e "
                "  WHERE e.sequence >= x.number << ?1 AND e.sequence < (x.number + 1) << ?1), 0)) "
                "FROM (SELECT number, id, last_at AS at FROM execution UNION ALL SELECT sequence >> ?1, id, at FROM event "
                "  WHERE kind = ?2 AND sequence >> ?1 NOT IN (SELECT number FROM execution)) x "
                "WHERE NOT EXISTS (SELECT 1 FROM event e "
                "  WHERE e.sequence >= x.number << ?1 AND e.sequence < (x.number + 1) << ?1 AND e.kind = ?3) ORDER BY x.number",
                (PLACE_BITS, int(EventKind.STARTED), int(EventKind.FINISHED)),
            ).fetchall()

    def resurrect(self) -> int:
        """Put every dead letter back into the queue and return how many there were."""
        with self._writing():
            self._connection.execute(
                f"INSERT OR IGNORE INTO execution SELECT sequence >> {PLACE_BITS}, id, server, max(at) FROM dead_letter "
                f"GROUP BY sequence >> {PLACE_BITS}"
            )
            count = self._connection.execute(
                "INSERT OR IGNORE INTO event SELECT sequence, kind, at, checksum, body, id, server FROM dead_letter"
            ).rowcount
            self._connection.execute("DELETE FROM dead_letter")
            self._bytes = self._count_bytes()
        return count

    def salvage(self, damaged: Path) -> None:
        """Copy what can be read of a damaged file."""
        with suppress(sqlite3.Error), closing(sqlite3.connect(damaged, isolation_level=None)) as source:
            for table in ("event", "execution", "dead_letter", "dropped"):
                self._salvage_table(source, table)
        self._learn_positions()

    def _salvage_table(self, source: sqlite3.Connection, table: str) -> None:
        # From both ends towards the damage: a broken page ends a scan, not the table.
        for order in ("", "DESC"):
            with suppress(sqlite3.Error):
                for row in source.execute(f"SELECT * FROM {table} ORDER BY rowid {order}"):
                    with self._writing():
                        self._connection.execute(f"INSERT OR IGNORE INTO {table} VALUES ({','.join('?' * len(row))})", row)


def is_unwritable(error: sqlite3.Error) -> bool:
    """Return whether `error` says that a disk is full, broken or read-only."""
    return getattr(error, "sqlite_errorname", "").startswith(_UNWRITABLE)


class suppress_unwritable:  # noqa: N801 (reads as a verb where it is used)
    """Lets a note go unwritten that the disk does not take."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        return isinstance(error, sqlite3.OperationalError) and is_unwritable(error)

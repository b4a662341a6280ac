"""The spool's folder: every process writes a file of its own, so that no server waits for another (spec 4.6).

A process takes the lowest slot whose lock is free: a server that comes back finds its own leftovers there. Slots whose
process died are taken over by any other that sends to the same service. A file that SQLite finds damaged is set aside,
what is readable of it is kept.
"""

import os
import sqlite3
import sys
import uuid
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from flowtrail.mcp import events
from flowtrail.mcp.spool import Spool
from flowtrail.mcp.spooled import EventKind

_MOST_SLOTS = 1000
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_NOTADB"})


class SlotLock:
    """A file lock that the operating system releases when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> bool:
        """Take the lock if it is free; raises OSError when the folder takes no files."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; in a forked child, let go of the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class Slot:
    """A numbered file of the folder, locked by this process."""

    def __init__(self, directory: Path, number: int, lock: SlotLock, limit: int) -> None:
        self.number = number
        self._path = directory / f"{number}.sqlite3"
        self._limit = limit
        self._lock = lock
        self.spool = self._open()
        if "instance" not in (about := self.spool.about()):
            self.spool.describe(instance=uuid.uuid4().hex[:12])
            about = self.spool.about()
        self.instance = about["instance"]
        close_interrupted(self.spool)

    def _open(self) -> Spool:
        try:
            return Spool(self._path, self._limit)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return self._replace()

    def set_aside(self) -> None:
        """Replace the damaged file by a new one that has what can be read of it. The number of every execution stays."""
        with suppress(sqlite3.Error):
            self.spool.close()
        self.spool = self._replace()
        self.spool.describe(instance=self.instance)

    def _replace(self) -> Spool:
        damaged = self._path.with_name(f"{self.number}.damaged-{uuid.uuid4().hex[:8]}.sqlite3")
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).replace(damaged.with_name(damaged.name + suffix))
        spool = Spool(self._path, self._limit)
        spool.salvage(damaged)
        spool.describe(set_aside=damaged.name)
        return spool

    def release(self) -> None:
        """Close the file and let other processes have it."""
        with suppress(sqlite3.Error):
            self.spool.close()
        self._lock.release()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's lock. The file stays open, for closing it would disturb the parent."""
        self._lock.release()


def close_interrupted(spool: Spool) -> None:
    """End what runs in `spool` as INTERRUPTED, at the last time known of it (spec 1.9)."""
    for number, execution_id, at in spool.running():
        spool.append(number, EventKind.FINISHED, at, events.interrupted(execution_id, at))


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether `error` says that a file is damaged, not that a disk is full, slow or read-only."""
    return getattr(error, "sqlite_errorname", "").startswith(tuple(_DAMAGED))


def claim(directory: Path, limit: int) -> Slot:
    """Take the lowest free slot; raises OSError or sqlite3.Error when the folder can't be written."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(_MOST_SLOTS):
        if (slot := _take(directory, number, limit)) is not None:
            return slot
    raise OSError(f"all {_MOST_SLOTS} slots of {directory} are in use")


def orphans(directory: Path, limit: int, mine: Collection[int]) -> Iterator[Slot]:
    """Yield the slots of dead processes in which something waits; the caller releases them."""
    for path in sorted(directory.glob("*.sqlite3")):
        if not path.stem.isdecimal() or (number := int(path.stem)) in mine:
            continue
        with suppress(OSError, sqlite3.Error):
            if (slot := _take(directory, number, limit)) is None:
                continue
            if slot.spool.is_empty:
                slot.release()
            else:
                yield slot


def has_leftovers(directory: Path) -> bool:
    """Return whether some process has used the folder before."""
    try:
        return any(directory.glob("*.sqlite3"))
    except OSError:
        return False


def _take(directory: Path, number: int, limit: int) -> Slot | None:
    lock = SlotLock(directory / f"{number}.lock")
    if not lock.acquire():
        return None
    try:
        return Slot(directory, number, lock, limit)
    except BaseException:
        lock.release()
        raise


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

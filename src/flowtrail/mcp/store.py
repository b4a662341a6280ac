"""Where events wait: this process's slot on disk, or a bounded memory queue while the disk takes none (spec 4.6). Never
raises to a tool call.
"""

import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from flowtrail.mcp import slots
from flowtrail.mcp.configuration import MEMORY_LIMIT, Configuration
from flowtrail.mcp.slots import Slot
from flowtrail.mcp.spool import IN_MEMORY, Spool
from flowtrail.mcp.spooled import Dropped, EventKind

logger = logging.getLogger("flowtrail.mcp")

_DISK_RETRY_SECONDS = 5.0


@dataclass(slots=True)
class Handle:
    """An execution that is being recorded, and where. `spool` is None once it had to give way."""

    id: str
    server: str
    spool: Spool | None
    number: int


class Store:
    """This process's spools. Calls come from any thread."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._lock = threading.RLock()
        self._slot: Slot | None = None
        self._memory: Spool | None = None
        self._memory_instance = uuid.uuid4().hex[:12]
        self._disk_retry_at = 0.0
        self._disk_works = True

    @property
    def instance(self) -> str:
        """The lasting name of this recorder: that of its slot."""
        return self._slot.instance if self._slot is not None else self._memory_instance

    @property
    def slot_number(self) -> int | None:
        """The number of the slot that this process has claimed, if any."""
        return None if self._slot is None else self._slot.number

    def begin(self, execution_id: str, server: str, at: int, body: str) -> Handle:
        """Keep an execution's start."""
        if (slot := self._disk()) is not None:
            for _ in range(2):
                spool = slot.spool
                try:
                    return Handle(execution_id, server, spool, spool.begin(execution_id, server, at, body))
                except sqlite3.Error as error:
                    if not self._recovered(slot, spool, error):
                        break
        memory = self._in_memory()
        return Handle(execution_id, server, memory, memory.begin(execution_id, server, at, body))

    def append(self, handle: Handle, kind: EventKind, at: int, body: str) -> None:
        """Keep a later event of an execution, where the earlier ones are if possible."""
        for _ in range(2):
            if (spool := handle.spool) is None:
                return
            try:
                if not spool.append(handle.number, kind, at, body):
                    handle.spool = None
            except sqlite3.Error as error:
                if (slot := self._slot) is None or spool is self._memory or not self._recovered(slot, spool, error):
                    break
                self._move(handle, slot.spool, at)
            else:
                return
        memory = self._in_memory()
        self._move(handle, memory, at)
        memory.append(handle.number, kind, at, body)

    @staticmethod
    def _move(handle: Handle, spool: Spool, at: int) -> None:
        """Have an execution continued in another spool: the file that took the place of a damaged one, or memory."""
        with suppress(sqlite3.Error):
            handle.number = spool.continue_execution(handle.id, handle.server, at)
            handle.spool = spool

    def _recovered(self, slot: Slot, spool: Spool, error: sqlite3.Error) -> bool:
        """Return whether writing may be tried again: another thread has replaced the file, or it was damaged and is
        replaced now.
        """
        with self._lock:
            if slot.spool is not spool:
                return True
            if slots.is_damage(error):
                logger.warning("flowtrail: the spool file of slot %d is damaged (%s); it is set aside", slot.number, error)
                with suppress(OSError, sqlite3.Error):
                    slot.set_aside()
                    return True
            self._disk_failed(error)
            return False

    def damaged(self, spool: Spool, error: sqlite3.Error) -> None:
        """Hear from the sender that reading a spool failed."""
        if self._slot is not None and spool is self._slot.spool:
            self._recovered(self._slot, spool, error)

    def _disk(self) -> Slot | None:
        if self._slot is not None and self._disk_works:
            return self._slot
        with self._lock:
            if time.monotonic() < self._disk_retry_at:
                return None
            if self._slot is None:
                try:
                    self._slot = slots.claim(self._configuration.spool_dir, self._configuration.spool_limit)
                    self._slot.spool.describe(url=self._configuration.url)
                except (OSError, sqlite3.Error) as error:
                    self._disk_failed(error)
                    return None
            if not self._disk_works:
                logger.warning("flowtrail: events wait on disk again")
                self._disk_works = True
            return self._slot

    def _disk_failed(self, error: Exception) -> None:
        with self._lock:
            self._disk_retry_at = time.monotonic() + _DISK_RETRY_SECONDS
            if self._disk_works:
                self._disk_works = False
                logger.warning(
                    "flowtrail: the spool in %s takes no events (%s); they wait in memory", self._configuration.spool_dir, error
                )

    def _in_memory(self) -> Spool:
        with self._lock:
            if self._memory is None:
                self._memory = Spool(IN_MEMORY, min(MEMORY_LIMIT, self._configuration.spool_limit))
            return self._memory

    def open(self) -> None:
        """Claim a slot, so that what it holds is sent without waiting for a call."""
        self._disk()

    def spools(self) -> Iterator[Spool]:
        """Yield the spools in which this process's events wait, in the order to send them."""
        if self._slot is not None:
            yield self._slot.spool
        if self._memory is not None:
            yield self._memory

    def orphans(self) -> Iterator[Slot]:
        """Take over and yield the slots of dead processes; the caller releases them."""
        mine = () if self._slot is None else (self._slot.number,)
        yield from slots.orphans(self._configuration.spool_dir, self._configuration.spool_limit, mine)

    def dropped(self) -> dict[str, Dropped]:
        """Return what this recorder had to give up, by server."""
        total: dict[str, Dropped] = {}
        for spool in self.spools():
            for found in spool.dropped():
                known = total.get(found.server, Dropped(found.server, 0, found.since))
                total[found.server] = Dropped(found.server, known.executions + found.executions, min(known.since, found.since))
        return total

    def close_running(self) -> None:
        """End what still runs as INTERRUPTED, because the process is about to end."""
        for spool in self.spools():
            slots.close_interrupted(spool)

    def close(self) -> None:
        """Close every file and give the slot back."""
        with self._lock:
            if self._slot is not None:
                self._slot.release()
                self._slot = None

    def abandon(self) -> None:
        """In a forked child: leave the parent's slot alone."""
        if self._slot is not None:
            self._slot.abandon()

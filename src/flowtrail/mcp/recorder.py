"""The recorder: one thread of a process that sends what waits (spec 4.6). It starts at first use, survives a fork, and is
flushed at exit.

Tool calls only append to the store and go on. The thread sends soon after, in batches; while the service can't be reached
it tries again with growing, jittered pauses, and says so in one log line for each change of state.
"""

import atexit
import logging
import os
import random
import sqlite3
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from flowtrail.mcp.configuration import Configuration
from flowtrail.mcp.slots import Slot, has_leftovers
from flowtrail.mcp.spool import Spool
from flowtrail.mcp.spooled import EventKind
from flowtrail.mcp.store import Handle, Store

if TYPE_CHECKING:
    from flowtrail.mcp.delivery import Delivery

logger = logging.getLogger("flowtrail.mcp")

_LINGER_SECONDS = 0.02
_POLL_SECONDS = 2.0
_ORPHAN_SECONDS = 15.0
_REPORT_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 30.0
_jitter = random.Random()  # noqa: S311 (a generator of its own: the server may have seeded the one that all share)
_WORKING = "working"


class Recorder:
    """Keeps events and sends them. The methods for tool calls never raise because of recording."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._store = Store(configuration)
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._registrations: dict[str, dict[str, str]] = {}
        self._unregistered: set[tuple[str, str]] = set()
        self._adopted: list[Slot] = []
        self._foreign: set[int] = set()
        self._state = _WORKING
        self._failures = 0
        self._next_orphans = 0.0
        self._next_report = 0.0
        self._reported: dict[str, int] = {}

    # For tool calls.

    def begin(self, execution_id: str, server: str, at: int, body: str) -> Handle:
        """Keep an execution's start: on disk, before the tool begins."""
        handle = self._store.begin(execution_id, server, at, body)
        self._registrations.setdefault(server, {})
        self._notify()
        return handle

    def append(self, handle: Handle, kind: EventKind, at: int, body: str) -> None:
        """Keep a later event of an execution."""
        self._store.append(handle, kind, at, body)
        self._notify()

    def register(self, server: str, tool_name: str, registration: str) -> None:
        """Have a flow registered, unless it is just as it was."""
        known = self._registrations.setdefault(server, {})
        if known.get(tool_name) != registration:
            known[tool_name] = registration
            with self._lock:
                self._unregistered.add((server, tool_name))
            self._notify()

    def start_if_leftovers(self) -> None:
        """Send what an earlier process left, without waiting for a call."""
        if has_leftovers(self._configuration.spool_dir):
            self._start()

    def _notify(self) -> None:
        if not self._wake.is_set():
            self._wake.set()
        if self._thread is None:
            self._start()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._run, name="flowtrail-recorder", daemon=True)
                self._thread.start()

    # For the process.

    def flush(self, seconds: float) -> bool:
        """Wait until everything that waits is sent, at most `seconds`; return whether it is."""
        deadline = time.monotonic() + seconds
        self._notify()
        while time.monotonic() < deadline:
            if not self._unregistered and all(spool.state().events == 0 for spool in self._store.spools()):
                return True
            time.sleep(0.005)
        return False

    def close(self) -> None:
        """End what still runs, send what can be sent within the time that the configuration gives, and stop."""
        with suppress(sqlite3.Error):
            self._store.close_running()
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self._configuration.exit_seconds)
            if self._thread.is_alive():
                return  # the thread still uses the files; the operating system closes them
        for slot in self._adopted:
            slot.release()
        self._store.close()

    def abandon(self) -> None:
        """In a forked child: leave everything to the parent."""
        self._store.abandon()
        for slot in self._adopted:
            slot.abandon()

    # The thread.

    def _run(self) -> None:
        # Imported here: an MCP server that is called never waits for an HTTP library.
        from flowtrail.mcp.delivery import Delivery
        from flowtrail.mcp.transport import DeliveryError, Transport

        self._store.open()
        transport = Transport(self._configuration)
        delivery = Delivery(transport)
        pause = 0.0
        while True:
            stopping = self._stop.is_set()
            try:
                pause = self._work(delivery)
            except DeliveryError as error:
                pause = self._failed(error.state, str(error), error.retry_after)
            except sqlite3.Error as error:
                pause = self._failed("spool", f"the spool can't be read: {error}", None)
            except Exception:
                logger.exception("flowtrail: the recorder met an error of its own")
                pause = self._pause()
            if stopping:
                break
            self._wait(pause)
        transport.close()

    def _wait(self, pause: float) -> None:
        if pause:
            self._stop.wait(pause)
        elif self._wake.wait(_POLL_SECONDS) and not self._stop.is_set():
            # Events come in groups; a short wait makes one request of them.
            self._stop.wait(_LINGER_SECONDS)

    def _work(self, delivery: "Delivery") -> float:
        """Send everything there is; return 0, for nothing to wait for. Raises DeliveryError and sqlite3.Error."""
        self._wake.clear()
        self._register_flows(delivery)
        for spool in self._store.spools():
            self._drain(delivery, spool)
        self._adopt_orphans(delivery)
        self._report(delivery)
        self._failures = 0
        return 0.0

    def _drain(self, delivery: "Delivery", spool: Spool, *, is_own: bool = True) -> None:
        sent = 0
        try:
            while count := delivery.send_batch(spool, is_own=is_own):
                sent += count
                self._succeeded()
                if sent % 20_000 < count:
                    spool.tidy()
            if sent:
                spool.tidy()
        except sqlite3.DatabaseError as error:
            self._store.damaged(spool, error)
            raise

    def _register_flows(self, delivery: "Delivery") -> None:
        from flowtrail.mcp.transport import BadRequest

        with self._lock:
            waiting = sorted(self._unregistered)
        for server in sorted({server for server, _ in waiting}):
            names = [tool_name for owner, tool_name in waiting if owner == server]
            try:
                delivery.register_flows(server, [self._registrations[server][name] for name in names])
            except BadRequest as error:
                logger.warning("flowtrail: the service does not register flows of %s: %s", server, error)
            with self._lock:
                self._unregistered.difference_update((server, name) for name in names)
            self._succeeded()

    def _adopt_orphans(self, delivery: "Delivery") -> None:
        from flowtrail.mcp.delivery import ForeignEvents

        if (now := time.monotonic()) >= self._next_orphans:
            self._next_orphans = now + _ORPHAN_SECONDS
            held = {slot.number for slot in self._adopted}
            self._adopted += [slot for slot in self._store.orphans() if slot.number not in held | self._foreign]
        while self._adopted:
            slot = self._adopted[0]
            try:
                self._drain(delivery, slot.spool, is_own=False)
            except ForeignEvents:
                self._foreign.add(slot.number)
            slot.release()
            self._adopted.remove(slot)

    def _report(self, delivery: "Delivery") -> None:
        from flowtrail.mcp.transport import BadRequest

        dropped = self._store.dropped()
        counts = {server: dropped[server].executions if server in dropped else 0 for server in {*self._registrations, *dropped}}
        if counts == self._reported and time.monotonic() < self._next_report:
            return
        for server, count in sorted(counts.items()):
            since = dropped[server].since if count else None
            with suppress(BadRequest):
                delivery.report(server, self._store.instance, version("flowtrail"), count, since)
        self._reported = counts
        self._next_report = time.monotonic() + _REPORT_SECONDS

    def _succeeded(self) -> None:
        self._failures = 0
        if self._state != _WORKING:
            self._state = _WORKING
            logger.warning("flowtrail: recording to %s works again", self._configuration.url)

    def _failed(self, state: str, message: str, retry_after: float | None) -> float:
        if state != self._state:
            self._state = state
            logger.warning("flowtrail: events wait, %s can't take them (%s: %s)", self._configuration.url, state, message)
        return max(self._pause(), retry_after or 0.0)

    def _pause(self) -> float:
        self._failures += 1
        longest: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self._failures - 1, 16))
        return longest * _jitter.uniform(0.5, 1.0)


_recorders: dict[Configuration, Recorder] = {}
_recorders_lock = threading.Lock()
_abandoned: list[Recorder] = []


def recorder_for(configuration: Configuration) -> Recorder:
    """Return this process's recorder for `configuration`."""
    if (recorder := _recorders.get(configuration)) is not None:
        return recorder
    with _recorders_lock:
        return _recorders.setdefault(configuration, Recorder(configuration))


def flush_recorders(seconds: float) -> bool:
    """Wait until what this process recorded so far is received, at most `seconds`; return whether it is."""
    deadline = time.monotonic() + seconds
    return all(recorder.flush(deadline - time.monotonic()) for recorder in list(_recorders.values()))


def close_recorders() -> None:
    """Flush and stop every recorder of this process; a later call starts anew."""
    with _recorders_lock:
        recorders = list(_recorders.values())
        _recorders.clear()
    for recorder in recorders:
        recorder.close()


def _after_fork() -> None:
    global _recorders_lock
    _recorders_lock = threading.Lock()
    for recorder in _recorders.values():
        recorder.abandon()
        # Kept alive: closing the parent's files from here would disturb it.
        _abandoned.append(recorder)
    _recorders.clear()


atexit.register(close_recorders)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

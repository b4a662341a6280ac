"""`flowtrail spool status` and `flowtrail spool retry`: what waits on this machine, and another chance for what was
refused.

The command line calls `spool_status() -> list[SlotStatus]`, printing `status_text(…)` of it, and `retry_dead_letters() ->
Retried`, printing its `text`. Both raise ConfigurationError with a message for the user when the folder can't be read.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from flowtrail.errors import ConfigurationError
from flowtrail.mcp.configuration import DEFAULT_SPOOL_LIMIT, Configuration
from flowtrail.mcp.delivery import Delivery
from flowtrail.mcp.slots import SlotLock, close_interrupted
from flowtrail.mcp.spool import Spool
from flowtrail.mcp.spooled import DeadLetter, Dropped, SpoolState
from flowtrail.mcp.transport import DeliveryError, Transport

_UNKNOWN_URL = "unknown service"


@dataclass(frozen=True)
class SlotStatus:
    """One file of the spool: whose events, where to, and what is left of them."""

    path: Path
    url: str
    is_in_use: bool
    """Whether a process is recording into it now."""
    state: SpoolState
    dead_letters: tuple[DeadLetter, ...]
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True)
class Retried:
    """What `flowtrail spool retry` did: events put back, those sent at once, and what kept others from being sent."""

    put_back: int
    sent: int
    problems: tuple[str, ...]

    @property
    def text(self) -> str:
        """The same for a reader."""
        lines = [f"{self.put_back} refused events put back, {self.sent} events sent at once."]
        return "\n".join([*lines, *self.problems])


def spool_status(configuration: Configuration | None = None) -> list[SlotStatus]:
    """Return what waits in the spool of this user; raises ConfigurationError when it can't be read."""
    return [
        SlotStatus(path, _url(spool), in_use, spool.state(), tuple(spool.dead_letters()), tuple(spool.dropped()))
        for path, spool, in_use in _spools(configuration or Configuration.from_environment())
    ]


def retry_dead_letters(configuration: Configuration | None = None) -> Retried:
    """Put every refused event back into its queue, and send what no running server is going to send; raises
    ConfigurationError.
    """
    configuration = configuration or Configuration.from_environment()
    put_back, sent, problems = 0, 0, []
    for path, spool, in_use in _spools(configuration):
        put_back += spool.resurrect()
        if in_use or spool.is_empty:
            continue
        close_interrupted(spool)
        if _url(spool) != configuration.url:
            problems.append(f"{path}: waits for {_url(spool)}; set FLOWTRAIL_URL to it and run this again")
            continue
        transport = Transport(configuration)
        try:
            while count := Delivery(transport).send_batch(spool):
                sent += count
        except DeliveryError as error:
            problems.append(f"{path}: not sent, {error}")
        finally:
            transport.close()
    return Retried(put_back, sent, tuple(problems))


def status_text(statuses: list[SlotStatus]) -> str:
    """Return the status for a reader."""
    if not statuses:
        return "No server has recorded on this machine yet."
    lines = []
    for status in statuses:
        state = status.state
        owner = "in use" if status.is_in_use else "no process"
        lines.append(f"{status.path} ({owner}) for {status.url}")
        lines.append(
            f"  waiting: {state.events} events ({state.bytes:,} bytes), {state.executions} executions not ended or not yet received"
        )
        lines.extend(f"  dropped: {found.executions} executions of {found.server}" for found in status.dropped)
        if status.dead_letters:
            reasons = Counter((letter.code, letter.reason) for letter in status.dead_letters)
            lines.append(f"  refused: {state.dead_letters} events")
            lines.extend(f"    {count} x {code}: {reason}" for (code, reason), count in reasons.most_common(10))
    return "\n".join(lines)


def _url(spool: Spool) -> str:
    return spool.about().get("url", _UNKNOWN_URL)


def _spools(configuration: Configuration) -> Iterator[tuple[Path, Spool, bool]]:
    """Yield every file of every service, opened, and whether a process has it; it stays ours meanwhile when none has."""
    for path in sorted(configuration.spool_root.glob("*/*.sqlite3")):
        if not path.stem.isdecimal():
            continue
        lock = SlotLock(path.with_suffix(".lock"))
        try:
            is_free = lock.acquire()
            with closing(Spool(path, DEFAULT_SPOOL_LIMIT)) as spool:
                yield path, spool, not is_free
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(f"the spool file {path} can't be read: {error}") from error
        finally:
            lock.release()

"""PostgreSQL's own CPU time, where it runs on this machine: what a server leaves to it is not free."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PARENT, _OWN, _OF_THE_DEAD = 1, slice(11, 13), slice(13, 15)
"""Fields of /proc/PID/stat behind the name: the parent, ticks in user and system mode, and those of children that have ended."""


class Postmaster:
    """The process that PostgreSQL's other processes are children of."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @classmethod
    async def of(cls, dsn: str) -> Postmaster | None:
        """Return the one behind a database; None when it is on another machine, or none of ours to look at."""
        connection = await asyncpg.connect(dsn)
        try:
            backend: int = await connection.fetchval("SELECT pg_backend_pid()")
            fields = _stat(backend)
            is_here = fields is not None and (Path("/proc") / str(backend) / "comm").read_text().startswith("postgres")
        finally:
            await connection.close()
        return cls(int(fields[_PARENT])) if is_here and fields is not None else None

    @property
    def cpu(self) -> float:
        """CPU seconds that PostgreSQL has used since it was started, by processes that have ended, too.

        A child that ends between one look and another is in neither, or in both; so the looks are repeated until none did.
        """
        own = _stat(self._pid) or ()
        while True:
            ticks = sum(map(int, (*own[_OWN], *own[_OF_THE_DEAD], *self._of_children())))
            again = _stat(self._pid) or ()
            if again[_OF_THE_DEAD] == own[_OF_THE_DEAD]:
                return ticks / _TICKS
            own = again

    def _of_children(self) -> Iterator[str]:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and (fields := _stat(int(folder.name))) is not None and int(fields[_PARENT]) == self._pid:
                yield from fields[_OWN]


def _stat(pid: int) -> Sequence[str] | None:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None

"""Locks between processes: files under flock(2), which the kernel releases however their holder ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self


class FileLock:
    """One holder's handle on a lock file. Two handles exclude each other even within one process."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def take(self) -> None:
        """Wait until the lock is ours alone."""
        fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def share(self) -> None:
        """Wait until nobody holds the lock alone, then hold it with others."""
        fcntl.flock(self.descriptor, fcntl.LOCK_SH)

    def try_take(self) -> bool:
        """Take the lock if nobody else holds it; a share of it that this handle had is given up either way."""
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Give the lock back, unless a child process was handed it too."""
        os.close(self.descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def taken(path: Path) -> Iterator[FileLock]:
    """Hold the lock at `path` alone for a block, waiting for it as long as it takes."""
    with FileLock(path) as lock:
        lock.take()
        yield lock


def is_taken(path: Path) -> bool:
    """Tell whether anybody holds the lock at `path`."""
    with FileLock(path) as lock:
        return not lock.try_take()

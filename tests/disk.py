"""A disk that is soon full."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(kibibytes: int) -> Iterator[Path]:
    """A file system of its own for the length of a block; the test is skipped where none can be mounted."""
    place = Path(tempfile.mkdtemp(prefix="flowtrail-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kibibytes}k,mode=0755", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        place.rmdir()
        pytest.skip("a small disk takes root, and a kernel that lets it mount one")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
        place.rmdir()

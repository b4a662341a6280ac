"""The token that the wrapper on the same machine finds in a file, which first start makes for its owner's eyes only (spec 6.3)."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

from flowtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "record-token"
"""In the data folder."""


def record_token(data_dir: Path) -> str:
    """Return the token in the file of `data_dir`, which is made, for its owner's eyes only, if it is missing.

    Processes that start at once agree on one. Raises ConfigurationError when the file can't be used, or is open to others.
    """
    path = data_dir / FILE_NAME
    try:
        if not path.exists():
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others: delete it, and a new token is made at the next start")
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the recorder token {path} can't be used: {error}") from error
    if not token:
        raise ConfigurationError(f"{path} is empty: delete it, and a new token is made at the next start")
    return token


def _write(path: Path) -> None:
    """Make the file whole or not at all; one that another process has made meanwhile stays."""
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{secrets.token_urlsafe(32)}\n")
            file.flush()
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)  # noqa: PTH108 (a path as text, from mkstemp)

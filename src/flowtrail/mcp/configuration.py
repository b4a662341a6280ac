"""What the wrapper is told: by the author's arguments, else by the environment (docs/recording.md lists both)."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

DEFAULT_URL = "http://127.0.0.1:8000/graphql"
DEFAULT_SPOOL_LIMIT = 256 * 1024 * 1024
"""Bytes of events that wait on disk, at most."""
MEMORY_LIMIT = 16 * 1024 * 1024
"""Bytes of events that wait in memory, at most, when the disk takes none."""
DEFAULT_EXIT_SECONDS = 1.5
"""How long a process that ends waits for its last events to be sent; they are on disk anyway."""


@dataclass(frozen=True)
class Configuration:
    """Where events wait and where they go. Equal configurations share one recorder in a process."""

    url: str = DEFAULT_URL
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    data_dir: Path = Path()
    spool_root: Path = Path()
    spool_limit: int = DEFAULT_SPOOL_LIMIT
    exit_seconds: float = DEFAULT_EXIT_SECONDS
    disabled: bool = False

    @classmethod
    def from_environment(
        cls,
        *,
        url: str | None = None,
        token: str | None = None,
        spool_dir: str | Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> "Configuration":
        """Return the settings of the FLOWTRAIL_… variables, with the arguments before them. Values that can't be read are
        as if unset.
        """
        data_dir = _path(environment.get("FLOWTRAIL_DATA_DIR")) or Path(platformdirs.user_data_dir("flowtrail", appauthor=False))
        spool = _path(str(spool_dir)) if spool_dir is not None else _path(environment.get("FLOWTRAIL_SPOOL_DIR"))
        return cls(
            url=url or environment.get("FLOWTRAIL_URL") or DEFAULT_URL,
            token=token or environment.get("FLOWTRAIL_RECORD_TOKEN") or None,
            token_file=_path(environment.get("FLOWTRAIL_RECORD_TOKEN_FILE")),
            data_dir=data_dir,
            spool_root=spool or data_dir / "spool",
            spool_limit=int(_positive(environment.get("FLOWTRAIL_SPOOL_LIMIT_MIB"), DEFAULT_SPOOL_LIMIT / 1024**2) * 1024**2),
            exit_seconds=_positive(environment.get("FLOWTRAIL_EXIT_SECONDS"), DEFAULT_EXIT_SECONDS),
            disabled=environment.get("FLOWTRAIL_DISABLED", "").strip().lower() not in ("", "0", "false", "no", "off"),
        )

    @property
    def spool_dir(self) -> Path:
        """The folder of events for this service; events for another must never be sent here."""
        return self.spool_root / hashlib.sha256(self.url.encode()).hexdigest()[:12]

    def find_token(self) -> str | None:
        """Return the recorder token, read anew: a service that starts later, or rotates it, is found without a restart."""
        if self.token is not None:
            return self.token
        for file in (self.token_file, self.data_dir / "record-token"):
            try:
                if file is not None and (token := file.read_text().strip()):
                    return token
            except (OSError, UnicodeDecodeError):
                continue
        return None


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser().absolute() if text else None


def _positive(text: str | None, default: float) -> float:
    try:
        number = float(text) if text else default
    except ValueError:
        return default
    return number if 0 < number < float("inf") else default

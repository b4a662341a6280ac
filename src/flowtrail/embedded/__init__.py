"""The embedded PostgreSQL, for anyone who sets no DATABASE_URL (spec 6.1).

Its binaries come from a wheel; starting, sharing and stopping it is done here
(docs/decisions/own-postgres-launcher.md). Any number of processes may use one data folder: the first starts the server,
and when the last has gone, in whatever way, a supervisor stops it. Every process may be killed with SIGKILL at any
moment: nothing committed is lost, and nothing is left running.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flowtrail.errors import ConfigurationError

if TYPE_CHECKING:
    from flowtrail.embedded.client import EmbeddedPostgres


def start(data_dir: Path) -> "EmbeddedPostgres":
    """Return a running PostgreSQL whose data are kept in `data_dir`, started if no other process has done so.

    The first start of a folder takes seconds, later ones a fraction of one. Raises ConfigurationError when this
    platform has no embedded PostgreSQL, or the folder can't be used: not ours, of another major version, not writable.
    """
    if sys.platform == "win32":
        raise ConfigurationError("there is no embedded PostgreSQL on Windows: set DATABASE_URL")
    from flowtrail.embedded.client import EmbeddedPostgres

    return EmbeddedPostgres.start(data_dir)

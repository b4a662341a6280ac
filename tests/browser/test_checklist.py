"""README.md names each test of this folder, and no other."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_the_checklist_is_complete() -> None:
    named = set(re.findall(r"`(test_\w+)` \|$", (HERE / "README.md").read_text(), re.MULTILINE))
    files = [path for path in HERE.glob("test_*.py") if path != Path(__file__)]
    written = {name for path in files for name in re.findall(r"^async def (test_\w+)", path.read_text(), re.MULTILINE)}
    assert named == written

"""Packages for Node that tests need: installed once for the whole run, as a lock file says."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from flowtrail.embedded.locks import taken


def installed(folder: Path) -> Path:
    """Return a copy of `folder`, which has a package-lock.json, with its packages installed.

    Skips the test where there is no npm; where everything must be checked, fails it.
    """
    target = Path(os.environ["FLOWTRAIL_TEST_FOLDER"]) / folder.name
    with taken(target.with_suffix(".lock")):
        if not target.exists():
            npm = shutil.which("npm")
            if npm is None or shutil.which("node") is None:
                return _unavailable("this test needs Node.js and npm")
            draft = target.with_suffix(".draft")
            shutil.copytree(folder, draft, dirs_exist_ok=True)
            done = subprocess.run([npm, "ci", "--ignore-scripts"], cwd=draft, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                return _unavailable(f"npm could not install the packages of {folder.name}: {done.stderr}")
            draft.rename(target)
    return target


def _unavailable(reason: str) -> Path:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)

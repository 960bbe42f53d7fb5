"""A real PostgreSQL server in a temporary folder, reached through a socket there, apart from the system's own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self


class PostgreSQL:
    """
    One server, as a context manager.

    Attributes
    ----------
    url : str
        Address of its database, as the catalog wants it.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self._data = self._folder / "data"
        # The server refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self._folder, self._user)
        self.url = f"postgresql://{self._user}@/postgres?host={self._folder}"

    def __enter__(self) -> Self:
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", self._user, "--no-sync", "-E", "UTF8")
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(self._folder / "log"), "-o", options, "-w", "start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Its first process, while it runs."""
        return int((self._data / "postmaster.pid").read_text().splitlines()[0])

    def query(self, sql: str) -> str:
        """Run one statement."""
        return self._run("psql", "-h", str(self._folder), "-U", self._user, "-d", "postgres", "-Atc", sql)

    def _run(self, program: str, *arguments: str) -> str:
        user = self._user if os.geteuid() == 0 else None
        done = subprocess.run(
            [_program(program), *arguments],
            user=user,
            cwd=self._folder,
            stdout=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=True,
            text=True,
        )
        return (done.stdout or "").strip()


def _program(name: str) -> str:
    """Find it where Debian keeps a server's programs, or on the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = str(versions[-1]) if versions else shutil.which(name)
    assert found is not None, "PostgreSQL is needed: apt install postgresql"
    return found

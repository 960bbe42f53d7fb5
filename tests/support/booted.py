"""
A Debian machine with a real service manager, for the tests of the package: a root booted by systemd-nspawn.

It shares the host's network, so that a catalog and brokers on the host's loopback are in its reach, and nothing of it
survives the test. Commands are run in it as root; what they say and how they end is theirs.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from tests.support.waiting import wait_until

_LANDLOCK = "landlock_create_ruleset landlock_add_rule landlock_restrict_self"
"""Calls that older containers refuse to what runs in them, and a machine of its own does not."""

_PATH = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"


class Booted:
    """
    One machine, as a context manager.

    Parameters
    ----------
    root : pathlib.Path
        Copied, never changed.

    Attributes
    ----------
    root : pathlib.Path
        Its files, as the host sees them.
    """

    def __init__(self, root: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="booted-"))
        self.root = self._folder / "root"
        self._log = self._folder / "log"
        subprocess.run(["cp", "-a", "--reflink=auto", root, self.root], check=True, timeout=120)
        self._nspawn: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
                 f"--machine=tresma-{uuid4().hex[:12]}", f"--system-call-filter={_LANDLOCK}", "--directory", self.root],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        try:
            wait_until(self._is_up, "the machine having booted", timeout=180, interval=0.1)
        except AssertionError as error:
            said = self._log.read_text(errors="replace")[-2000:]
            self.__exit__(None, None, None)
            raise AssertionError(f"{error}; it said: {said}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._nspawn is not None
        if self._nspawn.poll() is None:
            self.run("systemctl", "poweroff", "--force", check=False)
            try:
                self._nspawn.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self._nspawn.kill()
                self._nspawn.wait(timeout=10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, *command: str, check: bool = True, timeout: float = 60.0) -> str:
        """Run a command in it, and return what it said."""
        inside = ["nsenter", "--target", str(self._leader()), "--all", "env", "-i", f"PATH={_PATH}", "HOME=/root",
                  "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *command]  # fmt: skip
        ended = subprocess.run(inside, capture_output=True, text=True, timeout=timeout, check=False)
        assert not check or ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}{self.journal()}"
        return ended.stdout

    def journal(self, unit: str = "tresma-agent") -> str:
        """What a service said."""
        return self.run("journalctl", "--no-pager", "--output=short-monotonic", f"--unit={unit}", check=False)[-6000:]

    def shown(self, *names: str, unit: str = "tresma-agent") -> dict[str, str]:
        """Properties of a service as the manager shows them."""
        said = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names))
        return dict(line.partition("=")[::2] for line in said.splitlines())

    def install(self, package: Path) -> str:
        """Install a package file as an administrator would."""
        shutil.copy(package, self.root / "root" / package.name)
        return self.run("dpkg", "--install", "--force-confdef", f"/root/{package.name}", timeout=120)

    def _leader(self) -> int:
        assert self._nspawn is not None
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        assert children, f"the machine does not run: {self._log.read_text(errors='replace')[-2000:]}"
        return int(children[0])

    def _is_up(self) -> bool:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self._log.read_text(errors="replace")[-2000:]
        if not Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split():
            return False
        return self.run("systemctl", "is-system-running", check=False).strip() in ("running", "degraded")

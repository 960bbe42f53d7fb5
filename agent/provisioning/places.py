"""Where a provisioned meter keeps what: below one root, so that a test, or an image on a bench, has one of its own."""

import os
import pwd
from pathlib import Path

from agent.files import sync_folder, write_durably

SERVICE_USER = "tresma"


class Places:
    """
    Files of one meter.

    Parameters
    ----------
    root : pathlib.Path
        ``/`` on a meter.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.is_machine = root == Path("/")
        self.settings = root / "etc/tresma"
        self.card = self.settings / "card.yaml"
        self.network = self.settings / "network.yaml"
        self.authorities = self.settings / "catalog-ca.pem"
        self.commissioning = self.settings / "commissioning.yaml"
        self.machine = self.settings / "machine"
        self.config = self.settings / "agent.yaml"
        self.state = root / "var/lib/tresma"
        self.lent = root / "run/tresma-provision"
        """Of root's, which the service may read: nothing that runs as the service can put a link in root's way here."""

    def seen(self, path: Path) -> Path:
        """Name a path as the running meter sees it."""
        return Path("/") / path.relative_to(self.root)

    def keep(self, path: Path, content: bytes, mode: int = 0o600, *, for_service: bool = False) -> bool:
        """
        Put durable content in the place of what was there; tell whether it was another.

        Parameters
        ----------
        for_service : bool
            Whether the service's group may read it.

        Raises
        ------
        OSError
        """
        try:
            if path.read_bytes() == content:
                return False
        except FileNotFoundError:
            pass
        make_folder(path.parent)
        write_durably(path, content, mode)
        path.chmod(mode)
        owner = service_user()
        if for_service and owner is not None:
            os.chown(path, -1, owner.pw_gid)
        return True

    def drop(self, path: Path) -> None:
        """Take a file away for good, if it is there."""
        if path.exists():
            path.unlink()
            sync_folder(path.parent)

    def lend(self, name: str, content: bytes) -> Path:
        """
        Give the service something to read, in memory.

        Raises
        ------
        OSError
        """
        make_folder(self.lent)
        self.lent.chmod(0o750)
        path, owner = self.lent / name, service_user()
        if owner is not None:
            os.chown(self.lent, 0, owner.pw_gid)
        self.keep(path, content, 0o640, for_service=True)
        return path

    def make_state(self) -> None:
        """Make the agent's folder, which is the service's own."""
        make_folder(self.state.parent)
        self.state.mkdir(mode=0o700, exist_ok=True)
        owner = service_user()
        if owner is not None and self.state.stat().st_uid != owner.pw_uid:
            os.chown(self.state, owner.pw_uid, owner.pw_gid)


def make_folder(folder: Path) -> None:
    """Make a folder that everybody may look into, and those above it, where they are missing, whatever the umask is."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        one.chmod(0o755)


def service_user() -> pwd.struct_passwd | None:
    """Find whom the service runs as; None where this process may not act for others, or there is no such user."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None

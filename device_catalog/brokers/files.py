"""
Keeps the brokers' files true: two access lists and the list of revoked certificates, and tells the brokers.

Where it stands: beside the publisher; whatever changes who may do what calls `changed`, and a moment later the files
are written whole where they differ, and the brokers read them again. A broker that cannot be told is named in the log,
and told again with the next change or after a minute.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from device_catalog.brokers.rights import Client, Rights, access_list
from device_catalog.config import CatalogConfig
from device_catalog.contract.topics import BROKERS

PAUSE = 0.2
"""How long further changes are waited for [s]."""

SHARE = 3.0
"""A round is followed by a rest of this many times its length: who configures thousands writes files now and then."""

LOOK = 10.0
"""How often changes are looked for that nobody told of [s]."""

REWRITE = 86_400.0
"""At least this often the files are looked at, whatever changed [s]."""

AGAIN = 60.0
"""How soon what failed is tried again [s]."""

HOOK_TIMEOUT = 20.0
"""How long the command that tells brokers may take [s]."""

REVOCATIONS_AGE = 30 * 86_400.0
"""The list of revoked certificates is written anew at this age, although nothing changed: brokers do not take an old
one [s]."""

_log = logging.getLogger(__name__)


class BrokerFiles:
    """
    Writes the files.

    Parameters
    ----------
    config : CatalogConfig
    rights : Rights
    anchors : str
        What brokers trust of devices, PEM.
    revocations : callable
        Makes the list of revoked certificates; blocks.
    """

    def __init__(self, config: CatalogConfig, rights: Rights, anchors: str, revocations: Callable[[], bytes]) -> None:
        self._anchors = anchors
        self._folder = Path(config.broker_files) if config.broker_files else None
        self._pid_files = tuple(Path(name) for name in config.broker_pid_files)
        self._command = shlex.split(config.broker_reload)
        self._clients = Path(config.state) / "authority" / CLIENTS
        self._rights = rights
        self._revocations = revocations
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the files are written at once."""
        if self._folder is not None:
            self._due.set()
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="broker files")

    def changed(self) -> None:
        """Take note that something changed; returns at once."""
        self._due.set()

    @property
    def due(self) -> bool:
        """Whether something changed that was not looked at yet."""
        return self._due.is_set()

    async def close(self) -> None:
        """End; a round under way is finished."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        failing, version, written = False, -1, 0.0
        while True:
            now = time.monotonic()
            age = now - written
            stale = self._rights.version() != version or age > (AGAIN if failing else REWRITE)
            if not self._due.is_set() and not stale:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), LOOK)
                continue
            await asyncio.sleep(PAUSE)
            self._due.clear()
            version, written = self._rights.version(), time.monotonic()
            try:
                await asyncio.shield(asyncio.to_thread(self._round, failing))
                failing = False
            except Exception as error:  # noqa: BLE001 - it is said, and tried again
                if not failing:
                    _log.error("the brokers' files are not up to date: %s", error)
                failing = True
            await asyncio.sleep(SHARE * (time.monotonic() - written))

    def _round(self, tell: bool) -> None:
        folder = self._folder
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        members, clients = self._rights.members(), read_clients(self._clients)
        different = False
        for broker in BROKERS:
            content = access_list(broker, members, clients).encode()
            different |= _replace(folder / f"{broker}.acl", content)
        different |= _replace(folder / ANCHORS, self._anchors.encode())
        different |= self._write_revocations(folder / "revocations.pem")
        if different or tell:
            self._tell()

    def _write_revocations(self, path: Path) -> bool:
        """Write the list of what is void, where it differs by more than its date, or is old."""
        from device_catalog.authority.revocations import same_revocations  # noqa: PLC0415 - cryptography, here only

        content = self._revocations()
        before = path.read_bytes() if path.exists() else b""
        return not same_revocations(before, content, REVOCATIONS_AGE) and _replace(path, content)

    def _tell(self) -> None:
        problems = []
        for path in self._pid_files:
            try:
                os.kill(int(path.read_text().strip()), signal.SIGHUP)
            except (OSError, ValueError) as error:
                problems.append(f"{path}: {getattr(error, 'strerror', None) or 'no process id'}")
        if self._command:
            try:
                done = subprocess.run(  # noqa: S603 - what the catalog's own configuration says
                    self._command, capture_output=True, timeout=HOOK_TIMEOUT, check=False
                )
                if done.returncode:
                    said = done.stderr.decode(errors="replace").strip()[-200:]
                    problems.append(f"{self._command[0]} ended with {done.returncode}: {said}")
            except (OSError, subprocess.TimeoutExpired) as error:
                problems.append(f"{self._command[0]}: {error}")
        if problems:
            raise RuntimeError("brokers could not be told: " + "; ".join(problems))


CLIENTS = "clients.json"
ANCHORS = "anchors.pem"


def read_clients(path: Path) -> tuple[Client, ...]:
    """Read which programs were given certificates for the brokers."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=tuple[Client, ...])
    except FileNotFoundError:
        return ()


def _replace(path: Path, content: bytes) -> bool:
    """Write a file whole where it differs; tell whether it did. Brokers may read it: nothing in it is secret."""
    if path.exists() and path.read_bytes() == content:
        return False
    # Several catalogs may write here, on several machines.
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}-{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    return True

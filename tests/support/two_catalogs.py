"""Two real catalogs at one real PostgreSQL, and meters that poll whichever answers."""

import hashlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from tests.support.catalog import CatalogProcess
from tests.support.mosquitto import Mosquitto
from tests.support.postgresql import PostgreSQL


class TwoCatalogs:
    """
    A PostgreSQL, a grid broker, and two catalogs that share a folder, as a context manager.

    Parameters
    ----------
    tls : bool
    before : callable
        Called with the database's address before anybody serves it.

    Attributes
    ----------
    postgresql : PostgreSQL
    broker : Mosquitto
    first, second : CatalogProcess
        The first one leads.
    """

    def __init__(self, *, tls: bool = False, before: Callable[[str], None] = lambda _: None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="catalogs-"))
        self.postgresql = PostgreSQL()
        self.broker = Mosquitto()
        self._tls = tls
        self._before = before

    def catalog(self, *, state: Path | None = None) -> CatalogProcess:
        """Make another one, not started yet."""
        options = [f"--database={self.postgresql.url}", "--operator-rate=100000"]
        return CatalogProcess(
            grid_brokers=[self.broker.url], options=options, state=state or self._folder, tls=self._tls
        )

    def __enter__(self) -> Self:
        self.postgresql.__enter__()
        self._before(self.postgresql.url)
        self.broker.__enter__()
        self.first, self.second = self.catalog(), self.catalog()
        self.first.start(timeout=60)
        self.second.start(timeout=60)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for catalog in (self.first, self.second):
            catalog.stop()
        self.broker.__exit__(kind, error, trace)
        self.postgresql.__exit__(kind, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)


class Meters:
    """
    Polls as meters until told to stop: one catalog after the other, the next one where one does not answer.

    Parameters
    ----------
    catalogs : sequence of CatalogProcess
    credentials : dict
        By device.
    pause : float
        Between two polls of a meter [s].

    Attributes
    ----------
    polls : int
        That were answered.
    failed : int
        That nobody answered.
    last : dict
        When each meter's last answered poll was sent [s, monotonic].
    silent : set of str
        Meters that no longer poll.
    """

    def __init__(self, catalogs: Sequence[CatalogProcess], credentials: dict[str, str], pause: float = 0.25) -> None:
        self._catalogs = catalogs
        self._credentials = credentials
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._session = requests.Session()
        self.polls = self.failed = 0
        self.last: dict[str, float] = {}
        self.silent: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._session.close()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(self._pause):
            for device in sorted(set(self._credentials) - self.silent):
                number += 1
                sent = time.monotonic()
                if any(self._is_answered(device, number + other) for other in range(len(self._catalogs))):
                    self.polls += 1
                    self.last[device] = sent
                else:
                    self.failed += 1
            number += 1  # another one of an even number of catalogs in the next round

    def _is_answered(self, device: str, number: int) -> bool:
        url = self._catalogs[number % len(self._catalogs)].url
        headers = {"Authorization": f"Bearer {self._credentials[device]}"}
        try:
            return self._session.get(f"{url}/v1/devices/{device}/desired", headers=headers, timeout=2).ok
        except requests.RequestException:
            return False


def digest_name(content: bytes) -> str:
    """Name a policy by its content, as it is stored."""
    return f"{hashlib.sha256(content).hexdigest()}.policy.json"

"""
What stands in devices' desired documents because somebody wants to help them: a bundle, and a log for a while.

Where it stands: `requests` decides; here the requests that wait for a device become its wish, which the fleet puts
into its document (`Fleet.help`). A wish names the request that it is of, so that the answer finds it.
"""

from collections.abc import Iterable, Sequence

from device_catalog.contract.support import LogLevel, LogWish, SupportKind, SupportWish
from device_catalog.documents import moment
from device_catalog.fleet.fleet import Fleet
from device_catalog.storage.support import SupportRow, SupportStore
from device_catalog.storage.threads import StorageThreads


class Wishes:
    """
    What is wanted of the devices of a fleet.

    Parameters
    ----------
    store : SupportStore
    fleet : Fleet
    threads : StorageThreads
    """

    def __init__(self, store: SupportStore, fleet: Fleet, threads: StorageThreads) -> None:
        self._store = store
        self._fleet = fleet
        self._threads = threads

    def load(self, devices: Iterable[str]) -> None:
        """Let the fleet know what is wanted of these; once, before anybody is served."""
        for device in devices:
            self._fleet.help(device, self._of(device), notify=False)

    def follow(self, devices: Sequence[str] | None) -> None:
        """Take over what another catalog wants of some devices, or of all; called while writing."""
        if devices is None:
            devices = list({*self._fleet.support, *(row.device for row in self._store.waiting())})
        for device in devices:
            wish = self._of(device)
            self._threads.in_loop(lambda name=device, now=wish: self._fleet.help(name, now, notify=False))

    def changed(self, device: str) -> None:
        """Let the device know what is wanted of it; called while writing."""
        self._threads.in_loop(self._fleet.help, device, self._of(device))

    def _of(self, device: str) -> SupportWish:
        now_ns = self._fleet.wall()
        bundle, logs = "", None
        for row in self._store.waiting(device):
            if row.until_ns <= now_ns:
                continue
            if row.kind == SupportKind.BUNDLE:
                bundle = bundle or name_of(row)
            elif logs is None:
                logs = LogWish(name_of(row), LogLevel(row.level), moment(row.asked_ns), moment(row.until_ns))
        return SupportWish(bundle, logs)


def name_of(row: SupportRow) -> str:
    """Name a request."""
    return f"s-{row.number}"


def number_of(name: str) -> int | None:
    """
    Read the name of a request; None where it is none.

    >>> number_of("s-17"), number_of("17"), number_of("s-x")
    (17, None, None)
    """
    digits = name.removeprefix("s-")
    right = name.startswith("s-") and digits.isascii() and digits.isdigit() and len(digits) < 10
    return int(digits) if right else None

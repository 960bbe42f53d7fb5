"""The register as its rooms are handed it: in memory for the polls, in the database for ever, and the way there."""

from typing import NamedTuple

from device_catalog.fleet.fleet import Fleet
from device_catalog.storage.store import Store
from device_catalog.storage.threads import StorageThreads


class Register(NamedTuple):
    """
    All that is registered.

    Attributes
    ----------
    fleet : Fleet
        In memory; what a poll touches.
    store : Store
        The database.
    threads : StorageThreads
        Where the database is used, so that nobody waits for the disk.
    """

    fleet: Fleet
    store: Store
    threads: StorageThreads

"""
What can go wrong between a catalog and those who use it.

Wrong use of this package (a bug) is a `ValueError` or `RuntimeError`. The world's faults are one family::

    CatalogError
    |-- AddressError         the catalog cannot listen where it is told to
    |-- DeviceUnknown        no device of that name
    |-- NetworkUnknown       no network of that name, or nothing of that name in it
    |-- RecordingUnknown     no recording of that name, or its file is not here
    |-- FaultUnknown         no fault of that name is remembered
    |-- SupportUnknown       no request for support of that name, or what it asked for is not here
    |-- RolloutUnknown       no rollout of that name
    |-- HistoryUnknown       nothing that was measured is kept of it
    |-- NotAuthorised        no credential, or not the right one
    |-- NotAllowed           the right credential, but not for this
    |-- OperatorUnknown      no operator of that name
    |-- EnrolmentRefused     a token that lets nobody in
    |-- Conflict             what is asked for contradicts what is there
    |-- RevisionOutdated     the document was changed by somebody else since it was read
    |-- Refused              a document is wrong; carries every problem found
    |-- Overloaded           too much is asked for at this moment; come back later
    |   |-- PolledTooOften   one device asks far more often than it was told to
    |   |-- AskedTooOften    one operator, device or address asks too much
    |   `-- RenewedTooEarly  a certificate that is to last longer
    `-- StorageError         the database cannot be used
        `-- StorageFull      there is no room for a change
"""

import errno
from collections.abc import Iterable

from algorithms.api.errors import Problem


class CatalogError(Exception):
    """Base of what the world, not a bug of ours, does to a catalog."""


class AddressError(CatalogError):
    """The catalog cannot listen where it is told to."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        remedy = "give an address of this machine with --host"
        if error.errno == errno.EADDRINUSE:
            remedy = "end what listens there, or give another --port"
        reason = str(error.strerror).partition(" (")[0]  # the library repeats the address
        super().__init__(f"expected to listen on {host} port {port}, found: {reason}; {remedy}")


class DeviceUnknown(CatalogError):  # noqa: N818 - reads as the sentence it is
    """No device of that name is registered."""

    def __init__(self, device: str) -> None:
        super().__init__(f"expected the name of a registered device, found {device}; register it, or list the devices")


class NetworkUnknown(CatalogError):  # noqa: N818 - as above
    """No network of that name, or no such area or revision of it."""


class RecordingUnknown(CatalogError):  # noqa: N818 - as above
    """No recording of that name, or its file is not here."""


class FaultUnknown(CatalogError):  # noqa: N818 - as above
    """No fault of that name is remembered."""


class SupportUnknown(CatalogError):  # noqa: N818 - as above
    """No request for support of that name, or what it asked for is not here."""


class RolloutUnknown(CatalogError):  # noqa: N818 - as above
    """No rollout of that name."""

    def __init__(self, rollout: str) -> None:
        super().__init__(f"expected the name of a rollout such as r-7, found {rollout[:80]}; list the rollouts")


class HistoryUnknown(CatalogError):  # noqa: N818 - as above
    """Nothing that was measured is kept of a device, or no history is kept at all."""


class NotAuthorised(CatalogError):  # noqa: N818 - as above
    """No credential, or not the right one for what is asked."""


class NotAllowed(CatalogError):  # noqa: N818 - as above
    """Whoever asks is known, and may not do this."""


class OperatorUnknown(CatalogError):  # noqa: N818 - as above
    """No operator of that name."""


class EnrolmentRefused(CatalogError):  # noqa: N818 - as above
    """A token lets nobody in: unknown, used, expired, or another device's."""


class Conflict(CatalogError):  # noqa: N818 - as above
    """What is asked for contradicts what is there."""


class RevisionOutdated(CatalogError):  # noqa: N818 - as above
    """The document was changed by somebody else since it was read."""

    def __init__(self, expected: str, current: int) -> None:
        self.current = current
        super().__init__(
            f"expected the document to be at {expected}, found revision {current}; read it again and repeat the change"
        )


class Refused(CatalogError):  # noqa: N818 - as above
    """A document is refused whole, with every problem found in it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class Overloaded(CatalogError):  # noqa: N818 - as above
    """Too much is asked for at this moment."""

    def __init__(self, detail: str, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__(detail)


class PolledTooOften(Overloaded):
    """One device polls far more often than it was told to."""

    def __init__(self, interval: float, retry_after: int) -> None:
        super().__init__(
            f"expected a poll every {interval:g} s, found them coming more than ten times as often; wait as long as "
            "Retry-After says",
            retry_after,
        )


class AskedTooOften(Overloaded):
    """One operator, device or address asks more than its share."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "expected fewer requests, found more than one operator, device or address may make; wait as long as "
            "Retry-After says",
            retry_after,
        )


class RenewedTooEarly(Overloaded):
    """A device asks for another certificate while the one before is young, or was made only now."""


class StorageError(CatalogError):
    """The database cannot be used: newer than this program, out of reach, or in use by another."""


class StorageFull(StorageError):  # noqa: N818 - as above
    """The disk that holds the database has no room for a change; what is there can be read."""

    def __init__(self) -> None:
        super().__init__(
            "expected room on the disk that holds the catalog's database, found it full; nothing was changed and "
            "devices are served as before: free some space there and repeat the change"
        )

"""All tables of the catalog's database, by subject."""

from typing import NamedTuple

from sqlalchemy import Engine

from device_catalog.storage.access import AccessStore
from device_catalog.storage.audit_trail import AuditTrail
from device_catalog.storage.commissionings import CommissioningStore
from device_catalog.storage.faults import FaultStore
from device_catalog.storage.groups import GroupStore
from device_catalog.storage.network_leases import NetworkLeaseStore
from device_catalog.storage.networks import NetworkStore
from device_catalog.storage.recordings import RecordingStore
from device_catalog.storage.rollouts import RolloutStore
from device_catalog.storage.store import Store
from device_catalog.storage.support import SupportStore


class Stores(NamedTuple):
    """The tables, by subject."""

    devices: Store
    recordings: RecordingStore
    support: SupportStore
    networks: NetworkStore
    leases: NetworkLeaseStore
    faults: FaultStore
    rollouts: RolloutStore
    groups: GroupStore
    access: AccessStore
    trail: AuditTrail
    commissionings: CommissioningStore

    @classmethod
    def of(cls, engine: Engine) -> "Stores":
        """Make all of them over one database."""
        return cls(
            Store(engine),
            RecordingStore(engine),
            SupportStore(engine),
            NetworkStore(engine),
            NetworkLeaseStore(engine),
            FaultStore(engine),
            RolloutStore(engine),
            GroupStore(engine),
            AccessStore(engine),
            AuditTrail(engine),
            CommissioningStore(engine),
        )

"""
Brings a restored database past everything that meters and switches may have seen since the copy was made.

Meters take no revision that is smaller than the one they have, and one of the same number is the same to them. So every
device's newest configuration becomes a revision that none can have seen, and so do the states of switches, which
configurations name. Rules of what else is known to be uncertain: tokens of enrolment end, since they may have been
used; rollouts that were under way stand still until a person has looked, since they may have been stopped for good
reason. Tokens of network leases need nothing: they are about the seconds of UTC (`storage.network_leases`).
"""

import math
import zlib
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BigInteger, Connection, Engine, case, func, insert, literal, select, update
from sqlalchemy.exc import SQLAlchemyError

from device_catalog.contract.rollouts import RolloutState
from device_catalog.storage.audit_trail import Act, AuditTrail
from device_catalog.storage.database import storage_error
from device_catalog.storage.tables import (
    configurations,
    devices,
    enrolments,
    networks,
    rollouts,
    topology_revisions,
)

REVISIONS_A_SECOND = 10
"""So many changes of one device a second are allowed for since the copy was made."""

LEAST = 1000

AUTHOR = "restore"


class Brought(NamedTuple):
    """
    What was done.

    Attributes
    ----------
    devices : int
        Whose configuration is a new revision.
    step : int
        By how much revisions grew.
    rollouts : tuple of str
        Those that stand still now.
    enrolments : int
        Tokens that count no more.
    """

    devices: int
    step: int
    rollouts: tuple[str, ...]
    enrolments: int


def bring_forward(engine: Engine, made_ns: int, now_ns: int, note: str) -> Brought:
    """
    Bring a restored database forward; its shape is the newest.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    made_ns : int
        When the copy was made [ns UTC].
    now_ns : int
        [ns UTC]
    note : str
        For the audit trail: which copy.

    Raises
    ------
    StorageError
    """
    step = LEAST + REVISIONS_A_SECOND * math.ceil(max(0, now_ns - made_ns) / 1e9)
    try:
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            known = _raise_devices(connection, step, now_ns)
            _raise_states(connection, step, now_ns)
            paused = _pause_rollouts(connection, now_ns)
            waiting = enrolments.c.used_ns.is_(None) & (enrolments.c.expires_ns > now_ns)
            ended = connection.execute(update(enrolments).where(waiting).values(expires_ns=now_ns)).rowcount
        act = Act(now_ns, AUTHOR, "administrator", "", "", "RESTORE", note, 0, "", "", "")
        AuditTrail(engine).append(act)
    except SQLAlchemyError as error:
        raise storage_error(error) from error
    return Brought(known, step, paused, ended)


def _raise_devices(connection: Connection, step: int, now_ns: int) -> int:
    d = devices.c
    highest = case((d.applied_revision > d.revision, d.applied_revision), else_=d.revision) + step
    newest = select(d.device, highest, configurations.c.document, literal(now_ns, BigInteger), literal(AUTHOR)).join(
        configurations, (configurations.c.device == d.device) & (configurations.c.revision == d.revision)
    )
    columns = ["device", "revision", "document", "issued_ns", "author"]
    connection.execute(insert(configurations).from_select(columns, newest))
    connection.execute(update(devices).values(revision=highest))
    known = connection.scalar(select(func.count()).select_from(devices).where(d.removed_ns.is_(None)))
    return int(known or 0)


def _raise_states(connection: Connection, step: int, now_ns: int) -> None:
    n, t = networks.c, topology_revisions.c
    there = select(n.network, n.topology_revision).where(n.topology_revision > 0)
    for network, revision in connection.execute(there).all():
        packed = connection.scalar(select(t.document).where(t.network == network, t.revision == revision))
        if packed is None:
            continue  # the catalog says so itself when it is asked for the network
        states: dict[str, Any] = msgspec.json.decode(zlib.decompress(bytes(packed)))
        states["revision"] = revision + step
        document = msgspec.json.encode(states)
        connection.execute(
            insert(topology_revisions).values(
                network=network,
                revision=revision + step,
                document=zlib.compress(document),
                size=len(document),
                stored_ns=now_ns,
                author=AUTHOR,
            )
        )
        connection.execute(update(networks).where(n.network == network).values(topology_revision=revision + step))
        _restate(connection, network, revision + step)


def _restate(connection: Connection, network: str, revision: int) -> None:
    """Name the states' new revision in the configurations of the devices in a network."""
    c = configurations.c
    query = (
        select(c.device, c.revision, c.document)
        .join(devices, (devices.c.device == c.device) & (devices.c.revision == c.revision))
        .where(devices.c.network == network)
    )
    for device, number, text in connection.execute(query).all():
        document: dict[str, Any] = msgspec.json.decode(text)
        topology = document.get("topology")
        if topology:
            topology["topology_revision"] = revision
            here = (c.device == device) & (c.revision == number)
            connection.execute(
                update(configurations).where(here).values(document=msgspec.json.encode(document).decode())
            )


def _pause_rollouts(connection: Connection, now_ns: int) -> tuple[str, ...]:
    r = rollouts.c
    running = r.state == RolloutState.RUNNING.value
    numbers = connection.scalars(select(r.number).where(running).order_by(r.number)).all()
    reason = "the catalog was restored from a copy; look what became of it, then resume or abort"
    connection.execute(
        update(rollouts)
        .where(running)
        .values(state=RolloutState.PAUSED.value, reason=reason, revision=r.revision + 1, changed_ns=now_ns)
    )
    return tuple(f"r-{number}" for number in numbers)

"""
Groups of devices in the database: which there are, who belongs to them. A device may belong to many.

Plain functions of a database, like `store`. A group is there as long as a device belongs to it. All calls block.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Engine, and_, delete, func, insert, select

from device_catalog.storage.rollouts import AT_ONCE, note
from device_catalog.storage.tables import device_groups, devices

_g = device_groups.c


class GroupStore:
    """
    Reads and writes.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(self, after: str, limit: int, tenant: str = "") -> list[tuple[str, int]]:
        """Read part of the list, ordered by name: group, and how many devices (of a tenant) belong to it."""
        query = select(_g.name, func.count()).join(devices, _here(tenant)).where(_g.name > after).group_by(_g.name)
        with self._engine.connect() as connection:
            return [(str(row[0]), int(row[1])) for row in connection.execute(query.order_by(_g.name).limit(limit))]

    def devices(self, group: str, after: str, limit: int, tenant: str = "") -> list[str]:
        """Read part of the devices of a group (and a tenant), ordered by name."""
        query = select(_g.device).join(devices, _here(tenant)).where(_g.name == group, _g.device > after)
        with self._engine.connect() as connection:
            return [str(name) for name in connection.scalars(query.order_by(_g.device).limit(limit))]

    def size(self, group: str, tenant: str = "") -> int:
        """Count the devices of a group (and a tenant)."""
        query = select(func.count(_g.device)).join(devices, _here(tenant)).where(_g.name == group)
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def change(
        self, group: str, add: Sequence[str], remove: Sequence[str], time_ns: int, author: str
    ) -> tuple[list[str], list[str]]:
        """Let devices join and leave; return who is new and who is gone."""
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            query = select(_g.device).where(_g.name == group)
            before = {str(name) for name in connection.scalars(query)}
            added = [name for name in dict.fromkeys(add) if name not in before]
            removed = [name for name in dict.fromkeys(remove) if name in before]
            if added:
                connection.execute(insert(device_groups), [{"name": group, "device": name} for name in added])
            for start in range(0, len(removed), AT_ONCE):
                gone = _g.device.in_(removed[start : start + AT_ONCE])
                connection.execute(delete(device_groups).where(_g.name == group, gone))
            for action, names in (("joins", added), ("leaves", removed)):
                for name in names:
                    note(connection, time_ns, author, "group", name, f"{action} {group}")
            return added, removed


def _here(tenant: str) -> ColumnElement[bool]:
    """Join a group's devices with those that are registered, of a tenant or of all."""
    here = and_(devices.c.device == _g.device, devices.c.removed_ns.is_(None))
    return and_(here, devices.c.tenant == tenant) if tenant else here

"""
Carries rollouts on: looks at every one of them each second, and does what is due.

Each look at one rollout is one transaction, and repeating it changes nothing: what was decided stands in the database,
so that a restart, or another catalog, goes on where this one ended. One catalog has the lead at a time. A rollout whose
look fails is told in the log and holds up no other; a look that takes long is repeated less often.

`looking` says what a look is.
"""

import logging
import os
import secrets
import socket

from sqlalchemy.exc import DataError, SQLAlchemyError

from device_catalog.fleet.register import Register
from device_catalog.rollouts.looking import Look
from device_catalog.storage.rollout_work import working
from device_catalog.storage.rollouts import Raised, RolloutStore, name_of

SLOW_ROUND = 10.0
"""How often finished rollouts, and those whose devices are on the way back, are looked at [s]."""

LEAD = 30.0
"""A catalog that has not looked for so long has lost the lead [s]."""

LARGEST_SHARE = 0.2
"""Looking takes at most this share of the time [1]."""

_log = logging.getLogger(__name__)


class Ticking:
    """
    Looks at rollouts.

    Parameters
    ----------
    register : Register
    store : RolloutStore
    """

    def __init__(self, register: Register, store: RolloutStore) -> None:
        self._fleet, _, self._threads = register
        self._store = store
        self._holder = f"{socket.gethostname()[:32]}-{os.getpid()}-{secrets.token_hex(4)}"
        self._rest_until = 0.0
        self._slow_due = 0.0

    async def tick(self, *, at_once: bool = False) -> None:
        """
        Look at all rollouts that are due; called every second, and `at_once` after an order.

        Raises
        ------
        StorageError
        """
        began = self._fleet.monotonic()
        if began < self._rest_until and not at_once:
            return
        await self._threads.write(self._tick, at_once)
        self._rest_until = began + (self._fleet.monotonic() - began) / LARGEST_SHARE

    def _tick(self, at_once: bool) -> None:
        now_ns = self._fleet.wall()
        if not self._store.lead("rollouts", self._holder, now_ns, now_ns + int(LEAD * 1e9)) and not at_once:
            return
        slow = self._fleet.monotonic() >= self._slow_due
        if slow:
            self._slow_due = self._fleet.monotonic() + SLOW_ROUND
        for number in self._store.active(all_of_them=slow or at_once):
            try:
                self.look(number)
            except Exception as error:  # one rollout must not hold up the others; it is logged
                if isinstance(error, SQLAlchemyError) and not isinstance(error, DataError):
                    raise  # it is the database that fails, not this rollout
                _log.exception("rollout %s could not be carried on; the others are", name_of(number))

    def look(self, number: int) -> None:
        """Look at one rollout; called while writing."""
        raised: list[Raised] = []
        with working(self._store, number) as work:
            if work is not None:
                raised = Look(self._fleet, work).all()
        if raised:
            self._threads.in_loop(self.tell, raised)

    def tell(self, raised: list[Raised]) -> None:
        """Take note of desired documents that changed, and ask their devices to ask; in the server's own thread."""
        for item in raised:
            device = self._fleet.devices.get(item.device)
            if device is not None and item.revision > device.revision:
                self._fleet.changed(device, item.revision, item.interval, item.lease)

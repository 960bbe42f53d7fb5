"""
The gate that every command passes: those that algorithms of this device give, and those that it is given.

Where it stands: between the brokers and `running`; owned by `service`. What goes out needs a lease of the switch
(`network_leases`) and a signature (`agent.trust`); what comes in is read and judged (`commands`), and counts only by an
authority that the DSO's policy knows. A command that does not pass is told in the log, a few lines a minute, and
forgotten.
"""

import logging
from collections.abc import Callable

from agent.allowance import Allowance
from agent.clock import Clock
from agent.commands import judge, read_command
from agent.network_leases import LeaseDesk
from agent.trust.in_force import TrustInForce
from algorithms.api.errors import WireError, shortened
from algorithms.api.records import Command, Record
from algorithms.api.switching import read_order

log = logging.getLogger(__name__)

BAD_COMMANDS = 10
"""Lines a minute in the log about commands that are not obeyed; the rest is a number [1]."""


class CommandGate:
    """
    The gate of one agent.

    Parameters
    ----------
    device : str
    trust : TrustInForce
    leases : LeaseDesk
    clock : Clock
    deliver : callable
        Takes a device and a record of it, for the algorithms that take commands.
    """

    def __init__(
        self,
        device: str,
        trust: TrustInForce,
        leases: LeaseDesk,
        clock: Clock,
        deliver: Callable[[str, Record], None],
    ) -> None:
        self._device = device
        self._trust = trust
        self._leases = leases
        self._clock = clock
        self._deliver = deliver
        self._bad_commands = Allowance(BAD_COMMANDS)

    def signed(self, command: Command, maker: str) -> Command | None:
        """Sign what the algorithm `maker` orders; None where it must not be sent."""
        objection = self._leases.objection(command)
        if not objection:
            command, objection = self._trust.signed(command, maker)
        if objection:
            if self._bad_commands.take():
                log.warning("command %s to %s is not sent: %s", command.id, command.recipient, objection)
            return None
        return command

    def obey_order(self, command: Command) -> None:
        """Hand an order to a switch of this device to its algorithm, unless it is stale or nobody's who may give it."""
        order = read_order(command)
        try:
            judge(command, self._trust.now_ns(self._clock.now_ns()))
            self._expect_authority(command, order.network if order is not None else "")
        except WireError as error:
            if self._bad_commands.take():
                log.warning("an order to switch %s is not obeyed: %s", shortened(command.recipient), error)
            return
        log.info("order %s: %s %s", command.id, command.verb, command.recipient)
        self._deliver(self._device, command)

    def obey(self, payload: bytes, retained: bool) -> None:
        """Hand an order to the algorithms that take commands; one that must not be obeyed is told and forgotten."""
        try:
            now_ns = self._trust.now_ns(self._clock.now_ns())
            command = read_command(payload, retained=retained, device=self._device, now_ns=now_ns)
            self._expect_authority(command, None)
        except WireError as error:
            if self._bad_commands.take():
                log.warning("a command is not obeyed: %s", error)
            return
        log.info("command %s: %s", command.id, command.verb)
        self._deliver(self._device, command)

    def tell_withheld(self) -> None:
        """Say once, when a minute is over, how many more were not obeyed; to be called now and then."""
        untold = self._bad_commands.withheld()
        if untold:
            log.warning("%d more commands were not obeyed within a minute", untold)

    def _expect_authority(self, command: Command, network: str | None) -> None:
        objection = self._trust.objection(command, network)
        if objection:
            raise WireError(f"command {command.id}: {objection}")

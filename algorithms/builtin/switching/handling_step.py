"""
The phases of handling faults, each with the room that does its work, and what a phase comes to.

Where it stands: `fault_handling` is in one phase at a time, calls its room and goes where the `Step` says. From the
trip of a relay on::

    PROTECTION  protection_wait     the relay's own sequence: trips, pauses, lockout
    PROOF       dead_proof          the meters say that the line is dead
    PLANNING    restoration_plan    what to open, what to close, who stays dark; a proposal
    LEASE       lease_keeping       the right to switch, claimed at every switch
    SWITCHING   plan_run            around the fault open and locked, then closings one by one, each watched
    BACK        after_trip          only where a relay trips meanwhile: what was closed last is opened again
    SETTLED     supply_watch        told; and told again where meters see nothing of what was brought back
                second_chance       once more where what ended it has changed

From each of them it may end early: `restoration_end` says how, and what stands then.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from algorithms.api.records import Record
from algorithms.builtin.switching.fault_case import FaultCase


class Phase(StrEnum):
    """How far the handling is."""

    IDLE = "idle"
    PROTECTION = "protection"
    PROOF = "proof"
    PLANNING = "planning"
    LEASE = "lease"
    SWITCHING = "switching"
    BACK = "back"
    SETTLED = "settled"


@dataclass(frozen=True, slots=True)
class Step:
    """
    What a phase comes to; it stays where nothing is said of going on or ending.

    Attributes
    ----------
    given : tuple of Record
    to : Phase or None
        Where it goes on.
    outcome, why : str
        How it ends, and the reason.
    gone : tuple of FaultCase
        The faults that it ends for, where not for all.
    """

    given: tuple[Record, ...] = ()
    to: Phase | None = None
    outcome: str = ""
    why: str = ""
    gone: tuple[FaultCase, ...] = ()

    def after(self, given: list[Record]) -> "Step":
        """Give the same with something said before."""
        return replace(self, given=(*given, *self.given))


STAY = Step()

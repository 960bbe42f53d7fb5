"""
What boots: the image's own command, asked and told.

Where it stands: below `desk`. The command (``/usr/lib/tresma/slot``) belongs to the image, which alone knows how its
boot program chooses; every change that it says it made is durable. Here its answers are judged before they count.
"""

import subprocess
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec

from agent.errors import SlotError
from agent.updates.slots.arguments import COMMAND
from algorithms.api.errors import shortened

LONGEST = 60.0
"""How long one answer may take [s]."""


Answer = TypeVar("Answer", bound=msgspec.Struct)


class Slot(msgspec.Struct, frozen=True):
    """A slot: where it is, its size [bytes], and ``good``, ``trying``, ``bad`` or ``empty``."""

    device: str
    size: int
    state: str


class Slots(msgspec.Struct, frozen=True, tag_field="schema", tag="slots/1"):
    """Both slots; which one runs, boots by default, and is on trial or armed for one."""

    booted: str
    default: str
    trying: str
    slots: dict[str, Slot]


class Inactive(msgspec.Struct, frozen=True):
    """The slot that may be written."""

    slot: str
    device: str
    size: int


class Backend(Protocol):
    """Whoever decides what boots."""

    def status(self) -> Slots:
        """Say how it is."""

    def inactive(self) -> Inactive:
        """Name the slot that may be written."""

    def mark(self, verb: str, slot: str = "") -> None:
        """``bad`` or ``try`` a slot, or call the one that runs ``good``; durable when this returns."""


class CommandBackend:
    """
    The image's command.

    Parameters
    ----------
    command : sequence of str
    """

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self._command = tuple(command)

    def status(self) -> Slots:
        """
        Say how it is.

        Raises
        ------
        SlotError
        """
        found = self._read("status", Slots)
        if found.booted not in found.slots or found.default not in found.slots or len(found.slots) < 2:
            raise SlotError("expected of the slots two, of which one runs and one is the default, found others")
        return found

    def inactive(self) -> Inactive:
        """
        Name the slot that may be written.

        Raises
        ------
        SlotError
        """
        found, status = self._read("inactive", Inactive), self.status()
        if found.slot in (status.booted, status.default) or found.slot not in status.slots:
            raise SlotError(f"expected a slot that neither runs nor is the default, found {found.slot[:20]}")
        return found

    def mark(self, verb: str, slot: str = "") -> None:
        """
        Change what boots.

        Raises
        ------
        SlotError
        """
        self._ask(verb, *((slot,) if slot else ()))

    def _read(self, verb: str, kind: type[Answer]) -> Answer:
        said = self._ask(verb)
        try:
            return msgspec.json.decode(said, type=kind)
        except msgspec.DecodeError as error:
            raise SlotError(f"expected of `slot {verb}` a line of JSON, found: {shortened(str(error), 200)}") from error

    def _ask(self, *words: str) -> bytes:
        command = [*self._command, *words]
        try:
            ended = subprocess.run(  # noqa: S603 - the image's own command
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=LONGEST, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            found = getattr(error, "strerror", None) or str(error)
            raise SlotError(f"expected an answer of {' '.join(command)}, found: {shortened(found, 200)}") from error
        if ended.returncode:
            lines = ended.stderr[-2000:].decode(errors="replace").strip().splitlines() or [f"status {ended.returncode}"]
            raise SlotError(f"`slot {' '.join(words)}`: {shortened(lines[-1], 300)}")
        return ended.stdout[:65536]

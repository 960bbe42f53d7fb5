"""
Two files as root slots, and a boot program that chooses between them: what is hardware on a real meter.

Also a command, as the image has one: ``python tests/support/slot_files.py FOLDER status|inactive|bad S|try S|good``.
"""

import os
import sys
from pathlib import Path

import msgspec

from agent.errors import SlotError
from agent.files import write_durably
from agent.updates.slots.backend import Inactive, Slot, Slots

SIZE = 65536


class Record(msgspec.Struct, frozen=True):
    """What the boot program reads: durable, and no more than a real one has."""

    default: str = "A"
    armed: str = ""
    states: dict[str, str] = msgspec.field(default_factory=lambda: {"A": "good", "B": "empty"})


class FileSlots:
    """The backend, and the boot program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, content: bytes) -> None:
        """Flash the card: an image in the first slot, nothing in the second."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "A").write_bytes(content.ljust(SIZE, b"\0"))
        (self.folder / "B").write_bytes(bytes(SIZE))
        write_durably(self.folder / "record", msgspec.json.encode(Record()))
        (self.folder / "booted").write_text("A")

    @property
    def record(self) -> Record:
        return msgspec.json.decode((self.folder / "record").read_bytes(), type=Record)

    @property
    def booted(self) -> str:
        return (self.folder / "booted").read_text()

    def _keep(self, **fields: object) -> None:
        write_durably(self.folder / "record", msgspec.json.encode(msgspec.structs.replace(self.record, **fields)))

    def boot(self) -> str:
        """Choose a slot, as a boot program does: what is armed once, and the default otherwise."""
        record = self.record
        slot = record.armed or record.default
        if record.armed:
            self._keep(armed="", states={**record.states, record.armed: "trying"})
        (self.folder / "booted").write_text(slot)
        return slot

    def content(self, slot: str) -> bytes:
        return (self.folder / slot).read_bytes()

    # ---- as the image's command answers

    def status(self) -> Slots:
        record, booted = self.record, self.booted
        trying = record.armed or (booted if booted != record.default else "")
        slots = {name: Slot(str(self.folder / name), SIZE, record.states[name]) for name in "AB"}
        return Slots(booted, record.default, trying, slots)

    def inactive(self) -> Inactive:
        slot = "B" if self.booted == "A" else "A"
        return Inactive(slot, str(self.folder / slot), SIZE)

    def mark(self, verb: str, slot: str = "") -> None:
        record = self.record
        if verb == "bad":
            if slot in (record.default, self.booted):
                raise SlotError("expected the slot that is not in use, found one that is")
            armed = "" if record.armed == slot else record.armed
            self._keep(armed=armed, states={**record.states, slot: "bad"})
        elif verb == "try":
            self._keep(armed=slot)
        elif verb == "good":
            self._keep(default=self.booted, armed="", states={**record.states, self.booted: "good"})


def main() -> None:
    """Answer as the image's command does."""
    slots = FileSlots(Path(sys.argv[1]))
    match sys.argv[2:]:
        case ["status"]:
            answer = slots.status()
        case ["inactive"]:
            answer = slots.inactive()
        case [verb, *rest]:
            slots.mark(verb, *rest)
            return
    os.write(1, msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()

"""
What stands in which slot, and which releases may still come: kept by the helper, where the agent cannot write.

Rules: a slot's entry says that it is being written before the first byte changes, and that it is whole only after it
was read back. The floor of an image's releases rises when one is confirmed, never when one is merely written: a release
that does not come up must not shut out the one that mends it.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from agent.files import write_durably
from agent.updates.slots.messages import SlotContent

NAME = "slots.json"


class Entries(msgspec.Struct, frozen=True, tag_field="schema", tag="ledger/1"):
    """The whole ledger: contents by slot, and the floor of releases by image."""

    slots: dict[str, SlotContent] = {}
    floors: dict[str, int] = {}


class Ledger:
    """
    The helper's own book.

    Parameters
    ----------
    folder : pathlib.Path
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._entries = Entries()
        # New, or damaged: what runs says what it is, and what was written is written again.
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            self._entries = msgspec.json.decode(self._path.read_bytes(), type=Entries)

    @property
    def slots(self) -> Mapping[str, SlotContent]:
        """Contents by slot."""
        return self._entries.slots

    def __getitem__(self, slot: str) -> SlotContent:
        return self._entries.slots.get(slot, SlotContent())

    def floor(self, name: str) -> int:
        """Tell the lowest release of an image that is taken."""
        return self._entries.floors.get(name, 0)

    def enter(self, slot: str, content: SlotContent) -> None:
        """
        Say what stands in a slot; what is good raises the floor. Durable when this returns.

        Raises
        ------
        OSError
            When it cannot be kept; nothing has changed then.
        """
        floors = dict(self._entries.floors)
        if content.state == "good" and content.name:
            floors[content.name] = max(content.release, floors.get(content.name, 0))
        entries = Entries({**self._entries.slots, slot: content}, floors)
        if entries != self._entries:
            write_durably(self._path, msgspec.json.encode(entries))
            self._entries = entries

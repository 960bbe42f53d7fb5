"""What the agent asks the helper that writes slots, and what that answers: JSON, one object a line, over a socket."""

import msgspec

MAXIMUM_LINE = 64 * 1024
"""Longest line either side reads [bytes]."""
MAXIMUM_OFFER = 8 * 1024 * 1024
"""Longest offer that is read [bytes]."""

STATUS, WRITE, TRY, GOOD, LEAVE, SPOIL = "status", "write", "try", "good", "leave", "spoil"


class SlotRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    What is to be done.

    Attributes
    ----------
    do : str
        ``status``; ``write`` an image into the slot that does not run, with two descriptors beside it: the offer and
        the payload; ``try`` what stands there, which restarts the machine; ``good``: keep what runs; ``leave`` what
        runs on trial, which restarts too; ``spoil`` what stands in the other slot.
    name, version : str
        Of the image to write.
    reason : str
        For what is left or spoilt.
    """

    do: str
    name: str = ""
    version: str = ""
    reason: str = ""


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An image's manifest, and the documents by which it is judged, by file name; all as texts."""

    manifest: str
    documents: dict[str, str]


class SlotContent(msgspec.Struct, frozen=True):
    """
    What stands in a slot.

    Attributes
    ----------
    name, version : str
        Empty where that is not known.
    release : int
    sha256 : str
        Of the signed manifest; empty for what came with the card.
    state : str
        ``writing``, ``written``, ``good`` or ``failed``; empty for nothing.
    reason : str
        Why it failed.
    """

    name: str = ""
    version: str = ""
    release: int = 0
    sha256: str = ""
    state: str = ""
    reason: str = ""

    def is_same(self, other: "SlotContent") -> bool:
        """Tell whether both are the same image, as far as both are known."""
        same = (self.name, self.version, self.release) == (other.name, other.version, other.release)
        return same and (not self.sha256 or not other.sha256 or self.sha256 == other.sha256)


class SlotStatus(msgspec.Struct, frozen=True):
    """
    How it is.

    Attributes
    ----------
    booted, default, trying : str
        The slot that runs, the one that boots when nothing is tried, and the one that is on trial or armed.
    slots : dict
        `SlotContent` by slot.
    floor : int
        The lowest release that is taken.
    compatible : str
        The kind of machine that an image must be for.
    """

    booted: str
    default: str
    trying: str
    slots: dict[str, SlotContent]
    floor: int
    compatible: str

    @property
    def running(self) -> SlotContent:
        """What runs."""
        return self.slots.get(self.booted, SlotContent())

    @property
    def other(self) -> SlotContent:
        """What stands in the slot that does not run."""
        return next((content for slot, content in self.slots.items() if slot != self.booted), SlotContent())

    @property
    def on_trial(self) -> bool:
        """Whether what runs was not confirmed yet."""
        return bool(self.trying) and self.trying == self.booted


class SlotAnswer(msgspec.Struct, frozen=True):
    """
    What came of it.

    Attributes
    ----------
    error : str
        Why not, in one sentence; empty where it was done.
    passing : bool
        Whether that may pass by itself.
    progress : float or None
        How far it is [1]; another line follows then.
    status : SlotStatus or None
        How it is now.
    """

    error: str = ""
    passing: bool = False
    progress: float | None = None
    status: SlotStatus | None = None

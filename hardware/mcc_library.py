"""
What a board's driver needs of a vendor's library, and what can go wrong with it: the seam between the two.

Where it stands: `mcc_source` drives boards through this protocol; `uldaq_library` and `mcculw_library` are the two
implementations. Everything a library raises becomes one of the errors of `hardware.errors` there, each saying what to
do; no other room sees a vendor's error code.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hardware.errors import SourceAway, SourceLost, SourceRefused
from hardware.mcc_boards import BoardModel
from hardware.mcc_scan import Scan


class BoardFault(SourceLost):
    """
    A board stopped delivering while it was read.

    Parameters
    ----------
    reason : str
        What happened and what to look at.
    board_there : bool
        Whether the board itself still answers, so that the scan alone is begun anew.
    """

    def __init__(self, reason: str, *, board_there: bool = False) -> None:
        super().__init__(reason)
        self.board_there = board_there


@dataclass(frozen=True, slots=True)
class FoundBoard:
    """
    One board in a library's inventory.

    Attributes
    ----------
    product : str
        Name the library gives it.
    product_id : int
    serial : str
        Empty where it could not be read.
    permitted : bool
        Whether this user may open it, as far as the inventory tells.
    model : BoardModel or None
        None where its abilities are not known.
    descriptor : object
        What the library wants back.
    """

    product: str
    product_id: int
    serial: str
    permitted: bool
    model: BoardModel | None
    descriptor: Any = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.product} {self.serial or '(serial number not readable)'}"


class OpenBoard(Protocol):
    """A board that is connected."""

    def start(self, scan: Scan) -> float:
        """Begin a continuous scan; return the rate the library claims [Hz]."""
        ...

    def progress(self) -> int:
        """
        Return the scans completed since the start.

        Raises
        ------
        BoardFault
            When the scan does not run any more.
        """
        ...

    def copy(self, begin: int, end: int) -> NDArray[np.float64]:
        """Return scans of the ring from place `begin` to `end`, shape (n_inputs, end - begin) [V]; may be a view."""
        ...

    def stop(self) -> None:
        """End the scan, if one runs; raises nothing for a board that is gone."""
        ...

    def close(self) -> None:
        """End the scan and let go of the board, however it is."""
        ...


class BoardLibrary(Protocol):
    """A vendor's library."""

    driver: str
    remedy_for_permission: str
    whole_hertz: bool
    """Whether only whole rates can be asked for."""

    def inventory(self) -> Sequence[FoundBoard]:
        """
        List the boards that are plugged in.

        Raises
        ------
        SourceNotFound
            When the library is not installed.
        """
        ...

    def open(self, found: FoundBoard) -> OpenBoard:
        """
        Connect to a board.

        Raises
        ------
        SourceAway
            When it cannot be had at the moment: gone, claimed by another process, not permitted.
        SourceRefused
            When it never can, such as for its firmware.
        """
        ...


def choose(library: BoardLibrary, boards: Sequence[FoundBoard], serial: str) -> FoundBoard:
    """
    Pick the board to use.

    Parameters
    ----------
    library : BoardLibrary
    boards : sequence of FoundBoard
    serial : str
        Empty for the only one.

    Raises
    ------
    SourceAway
        When it is not plugged in, or not accessible.
    SourceRefused
        When it is not clear which one, or it is of an unknown model.

    Returns
    -------
    FoundBoard
        One whose model is known.
    """
    where = f"source {library.driver}"
    there = ", ".join(str(board) for board in boards) or "none"
    hidden = [board for board in boards if not board.permitted]
    if serial:
        matching = [board for board in boards if board.serial == serial]
        if not matching and hidden:
            raise SourceAway(f"{where}: expected the board {serial}, found {there}; {library.remedy_for_permission}")
        if not matching:
            raise SourceAway(f"{where}: expected the board {serial}, found {there}; plug it in, or correct "
                             f"options.serial")  # fmt: skip
    else:
        matching = [board for board in boards if board.model is not None] or list(boards)
        if not matching:
            raise SourceAway(f"{where}: expected a board, found none; plug it in (lsusb lists it as 09db:...)")
        if len(matching) > 1:
            raise SourceRefused(f"{where}: expected one board or options.serial, found {len(matching)}: {there}; "
                                f"set options.serial to the one that is wired")  # fmt: skip
    found = matching[0]
    if not found.permitted:
        raise SourceAway(f"{where}: expected to open {found}, found no permission; {library.remedy_for_permission}")
    if found.model is None:
        raise SourceRefused(f"{where}: expected a board whose abilities are known (tresma-agent boards --models lists "
                            f"them), found {found} (product {found.product_id:#x})")  # fmt: skip
    return found

"""What the codes of the Universal Library mean to whoever installs a board; pure."""

from typing import Any

from hardware.errors import SourceAway, SourceError, SourceRefused
from hardware.mcc_library import BoardFault, FoundBoard
from hardware.mcc_scan import Scan

_overrun, _dead, _no_connection, _no_board, _bad_board = 29, 161, 159, 343, 1
_gone = (_dead, _no_connection, _no_board, _bad_board)
BAD_OPTION = 52
NUMBER_IN_USE, _in_use = 1026, (1023, 1024)
_unsuitable = (16, 17, 24, 30, 41, 49, 52)
"""Channel, count, rate, range, board type, trigger, option: what a board of this model ought to grant."""


def refusal(found: FoundBoard, error: Any) -> SourceError:
    """Say why a board could not be opened."""
    where = f"source mcculw: expected to open {found}, found"
    if error.errorcode in _in_use:
        return SourceAway(f"{where} that another program uses it ({error}); end that one")
    if error.errorcode in _gone:
        return SourceAway(f"{where} that it went away ({error}); plug it in again")
    return SourceAway(f"{where} {error}; unplug it, plug it in again, and look at it in InstaCal")


def fault_at_start(scan: Scan, error: Any) -> SourceError:
    """Say why a scan could not be begun."""
    if error.errorcode in _unsuitable:
        return SourceRefused(
            f"source mcculw: expected a {scan.model.name} to scan inputs {scan.inputs} at {scan.asked_rate:g} Hz, "
            f"found that the Universal Library refuses ({error}); update it, or ask for less"
        )
    return fault(error)


def fault(error: Any) -> BoardFault:
    """Say why a scan ended."""
    if error.errorcode == _overrun:
        return BoardFault(
            f"the board's buffer ran over ({error}): the machine fetched its samples too late; lower the rate, or find "
            f"what keeps the processor or the USB bus busy",
            board_there=True,
        )
    if error.errorcode in _gone:
        return BoardFault(f"the board does not answer any more ({error}); look at cable, hub and power supply")
    return BoardFault(f"the library failed: {error}; unplug the board and plug it in again")

"""
Which boards are plugged in, whether they can be used, and what each can do: for an installer, before anything is set.

Where it stands: behind ``tresma-agent boards``. Each board found is opened and let go at once, so that what stands in
the way (permission, another process, firmware) is known now and not in the first night; nothing is sampled.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hardware.errors import SourceError
from hardware.mcc_boards import BoardModel
from hardware.mcc_library import BoardLibrary
from hardware.mcculw_library import McculwLibrary
from hardware.uldaq_library import UldaqLibrary


@dataclass(frozen=True, slots=True)
class BoardReport:
    """
    One board as an installer finds it.

    Attributes
    ----------
    driver : str
        For ``acquisition.driver``.
    product : str
    serial : str
        For ``acquisition.options.serial``; empty where it could not be read.
    model : BoardModel or None
        What it can do; None where that is not known.
    problem : str
        What keeps it from being used, and what to do; empty where nothing does.
    """

    driver: str
    product: str
    serial: str
    model: BoardModel | None
    problem: str


def default_library() -> BoardLibrary:
    """Return the library of this operating system."""
    return McculwLibrary() if sys.platform == "win32" else UldaqLibrary()


def inventory(library: BoardLibrary) -> Sequence[BoardReport]:
    """
    Look at every board there is.

    Parameters
    ----------
    library : BoardLibrary

    Raises
    ------
    SourceNotFound
        When the library is not installed; the message says how to get it.
    """
    reports = []
    for found in library.inventory():
        problem = ""
        if not found.permitted:
            problem = f"no permission: {library.remedy_for_permission}"
        elif found.model is None:
            problem = "no analogue inputs that a meter could use, as far as is known"
        else:
            try:
                library.open(found).close()
            except SourceError as error:
                problem = str(error)
        reports.append(BoardReport(library.driver, found.product, found.serial, found.model, problem))
    return reports

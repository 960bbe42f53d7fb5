"""
Boards of Measurement Computing on Linux as a waveform source: the driver ``uldaq``.

`mcc_source` does the work, `uldaq_library` speaks with the vendor's library. hardware/README.md tells an installer
which board, how to wire it, and how to install the library.
"""

from collections.abc import Mapping
from typing import Any

from hardware.mcc_clocks import BoardClocks
from hardware.mcc_source import BoardSource
from hardware.uldaq_library import UldaqLibrary


class UldaqSource(BoardSource):
    """
    A board on a Linux machine.

    Parameters
    ----------
    options : mapping
        See `mcc_options.OPTIONS`.
    clocks : BoardClocks or None
        None for the machine's own.

    Raises
    ------
    OptionsError
        With everything that is wrong with the options.

    Examples
    --------
    >>> UldaqSource({"serial": "01D5F3A2"}).info.description
    'board 01D5F3A2'
    >>> UldaqSource({"range": "ten"})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    hardware.checks.OptionsError: ...: options.range: expected a range such as +-10 or 0..10 [V], found ten
    """

    def __init__(self, options: Mapping[str, Any], clocks: BoardClocks | None = None) -> None:
        super().__init__(options, UldaqLibrary(), clocks)

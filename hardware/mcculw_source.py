"""
Boards of Measurement Computing on Windows as a waveform source: the driver ``mcculw``.

`mcc_source` does the work, `mcculw_library` speaks with the Universal Library. For a laboratory's Windows machine; a
meter runs Linux and takes `uldaq_source`. Tested against the library's documented interface, never run on Windows.
"""

from collections.abc import Mapping
from typing import Any

from hardware.mcc_clocks import BoardClocks
from hardware.mcc_source import BoardSource
from hardware.mcculw_library import McculwLibrary


class McculwSource(BoardSource):
    """
    A board on a Windows machine.

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
    >>> McculwSource({"serial": "01D5F3A2"}).info.driver
    'mcculw'
    """

    def __init__(self, options: Mapping[str, Any], clocks: BoardClocks | None = None) -> None:
        super().__init__(options, McculwLibrary(), clocks)

"""
A board as a waveform source: the same life for both vendors' libraries.

Where it stands: `uldaq_source` and `mcculw_source` are this class with their library. It finds the board; `mcc_scan`
plans what it is told; `mcc_run` is everything that happens while it samples.

The library is loaded at `start`, so a sampler forks first and touches USB afterwards.
"""

from collections.abc import Mapping
from typing import Any

from algorithms.api.samples import SampleBlock
from hardware.mcc_clocks import BoardClocks, MachineClocks
from hardware.mcc_library import BoardLibrary, FoundBoard, choose
from hardware.mcc_options import read_board_options
from hardware.mcc_run import BoardRun
from hardware.source import SourceInfo, SourcePlan, SourceRequest


class BoardSource:
    """
    A data-acquisition board as a waveform source.

    Parameters
    ----------
    options : mapping
        See `mcc_options.OPTIONS`.
    library : BoardLibrary
    clocks : BoardClocks or None
        None for the machine's own.

    Raises
    ------
    OptionsError
        With everything that is wrong with the options.
    """

    def __init__(self, options: Mapping[str, Any], library: BoardLibrary, clocks: BoardClocks | None = None) -> None:
        self._options = read_board_options(library.driver, options)
        self._library = library
        self._clocks = clocks if clocks is not None else MachineClocks()
        self._found: FoundBoard | None = None
        self._run: BoardRun | None = None

    @property
    def info(self) -> SourceInfo:
        """What it is; model and serial number once it was started."""
        serial = self._options.serial
        description = str(self._found or (f"board {serial}" if serial else "the only board there is"))
        rate = 0.0 if self._found is None or self._found.model is None else self._found.model.rate
        return SourceInfo(self._library.driver, description, live=True, maximum_rate=rate, judges_time=True)

    def start(self, request: SourceRequest) -> SourcePlan:
        """
        Find the board, open it and begin to sample.

        Raises
        ------
        SourceNotFound
            When the vendor's library is missing.
        SourceAway
            When the board cannot be had at the moment.
        SourceRefused
            When it cannot do what is asked; the message says what would fit.
        """
        if self._run is not None:
            raise RuntimeError("a stopped source expected; this one has been started")
        self._found = choose(self._library, self._library.inventory(), self._options.serial)
        run = BoardRun(self._library, self._clocks, self._options, request, self._found)
        try:
            run.begin()
        except BaseException:
            run.close()
            raise
        self._run = run
        return run.plan

    def read(self, timeout: float) -> SampleBlock | None:
        """
        Return the next block; None when there is none within `timeout` [s].

        Opening a board again takes as long as its library takes, which on boards that are programmed at power-up may
        exceed `timeout` by a second.

        Raises
        ------
        SourceLost
            When the board went away and did not come back.
        """
        if self._run is None:
            raise RuntimeError("a started source expected; call start first")
        return self._run.read(timeout)

    def stop(self) -> None:
        """Stop sampling and let go of the board."""
        run, self._run = self._run, None
        if run is not None:
            run.close()

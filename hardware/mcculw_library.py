"""
Measurement Computing's Universal Library for Windows (Python wheel `mcculw`) behind `mcc_library`'s protocol.

Rules: the wheel is imported when it is first needed (importing it loads the library); every code becomes an error that
says what to do. What differs from Linux stays in this room: boards are numbers, rates are whole hertz, a buffer belongs
to Windows and is copied out, and the count of samples wraps after a day (`mcculw_counts`).
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import SourceAway, SourceNotFound, SourceRefused
from hardware.mcc_boards import Wiring, model_of
from hardware.mcc_library import BoardFault, FoundBoard
from hardware.mcc_options import Trigger
from hardware.mcc_scan import Scan
from hardware.mcc_spans import Span
from hardware.mcculw_counts import unwrapped
from hardware.mcculw_errors import BAD_OPTION, NUMBER_IN_USE, fault, fault_at_start, refusal

INSTALL = "install InstaCal and the Universal Library from the maker's site"
BOARD_NUMBERS = 100


class McculwLibrary:
    """The boards that the Universal Library sees."""

    driver = "mcculw"
    remedy_for_permission = "run as a user who may use the board"
    whole_hertz = True

    def __init__(self) -> None:
        self._loaded: Any = None

    @property
    def wheel(self) -> Any:
        """The wheel's module of functions."""
        if self._loaded is None:
            self._loaded = _load()
            self._loaded.ignore_instacal()  # boards are found by their serial numbers, not by InstaCal's list
        return self._loaded

    def inventory(self) -> Sequence[FoundBoard]:
        """
        List the boards on USB.

        Raises
        ------
        SourceNotFound
            When the wheel or the library is missing.
        SourceAway
            When the library cannot look.
        """
        wheel = self.wheel
        try:
            descriptors = wheel.get_daq_device_inventory(_enums().InterfaceType.USB)
        except wheel.ULError as error:
            raise SourceAway(f"source mcculw: expected the list of boards, found {error}") from error
        return [
            FoundBoard(one.product_name, int(one.product_id), one.unique_id, True, model_of(int(one.product_id)), one)
            for one in descriptors
        ]

    def open(self, found: FoundBoard) -> "McculwBoard":
        """
        Take a free board number for a board.

        Raises
        ------
        SourceAway
            When it cannot be had at the moment.
        """
        wheel = self.wheel
        for number in range(BOARD_NUMBERS):
            try:
                wheel.create_daq_device(number, found.descriptor)
            except wheel.ULError as error:
                if error.errorcode == NUMBER_IN_USE:
                    continue
                raise refusal(found, error) from error
            return McculwBoard(wheel, number)
        raise SourceAway(
            f"source mcculw: expected a free board number below {BOARD_NUMBERS}, found none; end other programs"
        )


class McculwBoard:
    """A board with a number."""

    def __init__(self, wheel: Any, number: int) -> None:
        self._wheel = wheel
        self._number = number
        self._memory = 0
        self._scan: Scan | None = None
        self._scaled = True
        self._scans = 0

    def start(self, scan: Scan) -> float:
        """Begin a continuous scan; return the rate the library claims [Hz]."""
        self.stop()
        try:
            claimed = self._begin(scan, scaled=True)
        except self._wheel.ULError as error:
            if error.errorcode != BAD_OPTION:  # otherwise a board whose samples come as codes only
                raise fault_at_start(scan, error) from error
            try:
                claimed = self._begin(scan, scaled=False)
            except self._wheel.ULError as further:
                raise fault_at_start(scan, further) from further
        self._scan, self._scans = scan, 0
        return claimed

    def progress(self) -> int:
        """
        Return the scans completed since the start.

        Raises
        ------
        BoardFault
            When the scan does not run any more.
        """
        enums = _enums()
        if self._scan is None:
            raise RuntimeError("a started scan expected")
        try:
            status, count, index = self._wheel.get_status(self._number, enums.FunctionType.AIFUNCTION)
        except self._wheel.ULError as error:
            raise fault(error) from error
        if status != enums.Status.RUNNING:
            raise BoardFault("the scan ended, and the library does not say why", board_there=True)
        self._scans = unwrapped(self._scans, count, index, n_channels=len(self._scan.inputs), ring=self._scan.ring)
        return self._scans

    def copy(self, begin: int, end: int) -> NDArray[np.float64]:
        """Return scans of the ring, shape (n_inputs, end - begin) [V]."""
        if self._scan is None:
            raise RuntimeError("a started scan expected")
        n_channels, wheel = len(self._scan.inputs), self._wheel
        first, count = begin * n_channels, (end - begin) * n_channels
        kind, read = _reading(wheel, scaled=self._scaled, bits=self._scan.model.bits)
        values: Any = (kind * count)()
        try:
            read(self._memory, values, first, count)
        except wheel.ULError as error:
            raise fault(error) from error
        table = np.ctypeslib.as_array(values).reshape(-1, n_channels)
        if self._scaled:
            return table.T
        steps = np.array([self._scan.model.step(span) for span in self._scan.spans])
        lows = np.array([span.low for span in self._scan.spans])
        volts: NDArray[np.float64] = table * steps + lows
        return volts.T

    def stop(self) -> None:
        """End the scan, if one runs, and give its buffer back."""
        if self._scan is not None:
            self._scan = None
            _quietly(self._wheel, self._wheel.stop_background, self._number, _enums().FunctionType.AIFUNCTION)
        memory, self._memory = self._memory, 0
        if memory:
            _quietly(self._wheel, self._wheel.win_buf_free, memory)

    def close(self) -> None:
        """Let go of the board."""
        self.stop()
        _quietly(self._wheel, self._wheel.release_daq_device, self._number)

    def _begin(self, scan: Scan, *, scaled: bool) -> float:
        enums, wheel, number = _enums(), self._wheel, self._number
        n_points = len(scan.inputs) * scan.ring
        allocate = (
            wheel.scaled_win_buf_alloc if scaled
            else wheel.win_buf_alloc_32 if scan.model.bits > 16
            else wheel.win_buf_alloc
        )  # fmt: skip
        self.stop()
        self._memory, self._scaled = allocate(n_points), scaled
        if not self._memory:
            raise SourceRefused(
                f"source mcculw: expected a buffer of {n_points} samples, found no memory; lower options.buffer"
            )
        options = enums.ScanOptions.BACKGROUND | enums.ScanOptions.CONTINUOUS
        for wanted, name in (
            (scaled, "SCALEDATA"),
            (scan.burst, "BURSTMODE"),
            (scan.external_clock, "EXTCLOCK"),
            (scan.trigger is not Trigger.NONE, "EXTTRIGGER"),
        ):
            options |= enums.ScanOptions[name] if wanted else 0
        ranges = [_range(enums, span) for span in scan.spans]
        if len(scan.model.inputs) > 1:
            single = scan.wiring is Wiring.SINGLE_ENDED
            mode = enums.AnalogInputMode.SINGLE_ENDED if single else enums.AnalogInputMode.DIFFERENTIAL
            wheel.a_input_mode(number, mode)
        if scan.needs_queue:
            wheel.a_load_queue(number, list(scan.inputs), ranges, len(ranges))
        elif scan.model.range_per_channel:
            wheel.a_load_queue(number, [], [], 0)
        if scan.trigger is not Trigger.NONE:
            edge = "TRIG_POS_EDGE" if scan.trigger is Trigger.RISING else "TRIG_NEG_EDGE"
            wheel.set_trigger(number, enums.TrigType[edge], 0, 0)
        return float(
            wheel.a_in_scan(number, scan.inputs[0], scan.inputs[-1], n_points, round(scan.asked_rate), ranges[0],
                            self._memory, options)
        )  # fmt: skip


def _reading(wheel: Any, *, scaled: bool, bits: int) -> tuple[Any, Any]:
    """Return what a buffer holds, and the function that copies it out."""
    if scaled:
        return ctypes.c_double, wheel.scaled_win_buf_to_array
    if bits > 16:
        return ctypes.c_ulong, wheel.win_buf_to_array_32
    return ctypes.c_ushort, wheel.win_buf_to_array


def _load() -> Any:
    try:
        from mcculw import ul  # noqa: PLC0415 - loads the maker's library, which only such a machine has
    except ImportError as error:
        raise SourceNotFound(
            f"source mcculw: expected the Python package mcculw, found none ({error}); pip install 'tresma[mcculw]'"
        ) from error
    except (OSError, NameError, AttributeError) as error:  # not installed, not Windows, or too old
        raise SourceNotFound(
            f"source mcculw: expected the Universal Library on Windows, found {error}; {INSTALL}; on Linux use uldaq"
        ) from error
    return ul


def _enums() -> Any:
    from mcculw import enums  # noqa: PLC0415 - only with the wheel

    return enums


def _range(enums: Any, span: Span) -> Any:
    text = f"{span.high:g}".replace(".", "PT").removeprefix("0")
    return enums.ULRange[f"{'UNI' if span.low == 0 else 'BIP'}{text}VOLTS"]


def _quietly(wheel: Any, action: Any, *arguments: Any) -> None:
    """Do what may fail on a board that is gone, and changes nothing then."""
    try:
        action(*arguments)
    except wheel.ULError:
        return

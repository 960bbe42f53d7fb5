"""
Imagined boards behind the unmodified `mcculw` wheel: what of the Universal Library's C interface the wheel calls.

The wheel loads ``cbw64.dll`` through ``ctypes.WinDLL``, which Linux lacks: `loaded_universal_library` gives it one
whose functions are written here, from the maker's documentation: whole rates in and out, a buffer that belongs to the
library, a count of samples that moves by packets, is signed, has 32 bits and wraps to -2,147,483,647, an index of the
last complete scan. Time is the test's: samples are there when its clock says so.
"""

import ctypes
import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from hardware.timebase_clocks import KernelClock
from tests.support.uldaq_boards import AMPLITUDES, angle

OVERRUN, BAD_RATE, BAD_OPTION, DEAD, NO_BOARD, NUMBER_IN_USE, ALREADY_ACTIVE = 29, 24, 52, 161, 343, 1026, 22
_MESSAGES = {OVERRUN: "Data lost due to overrun, rate too high", DEAD: "Device no longer responding"}
_CONTINUOUS, _BACKGROUND, _SCALE, _EXTERNAL_CLOCK, _BURST = 0x2, 0x1, 0x10, 0x4, 0x1000
_RANGES = {1: (-10.0, 10.0), 0: (-5.0, 5.0), 14: (-2.0, 2.0), 4: (-1.0, 1.0), 15: (-20.0, 20.0), 100: (0.0, 10.0)}


class ManualClocks:
    """A host's clocks in a test's hands: they move when someone sleeps."""

    def __init__(self) -> None:
        self.elapsed = 0.0

    def read(self) -> tuple[int, int]:
        elapsed = round(self.elapsed * 1e9)
        return 1_700_000_000_000_000_000 + elapsed, elapsed

    def kernel(self) -> KernelClock:
        return KernelClock(1e-4, 0.0)

    def monotonic(self) -> float:
        return self.elapsed

    def sleep(self, seconds: float) -> None:
        self.elapsed += max(seconds, 1e-6)


@dataclass
class Board:
    """One board: what it is, what it does, and the scan that runs."""

    serial: str
    product: int = 0x12B
    name: str = "USB-202"
    bits: int = 12
    packet: int = 32
    rate: float | None = None
    """At which it really samples, of the channels together; the pacer's without it [Hz]."""
    scales: bool = True
    """Whether it takes SCALEDATA."""
    plugged: bool = True
    stalled: bool = False
    error: int = 0
    """What the next look at the scan says."""
    number: int | None = None
    channels: tuple[int, ...] = ()
    spans: tuple[tuple[float, float], ...] = ()
    queue: tuple[tuple[int, int], ...] = ()
    mode: int | None = None
    running: bool = False
    begun: float = 0.0
    written: int = 0
    memory: int = 0
    scaled: bool = True
    options: int = 0

    def volts(self, numbers: NDArray[np.int64], per_second: float) -> NDArray[np.float64]:
        """Return what the converter makes of the samples of these numbers."""
        place = numbers % len(self.channels)
        inputs = np.array(self.channels)[place]
        times = self.begun + numbers / per_second
        peaks = np.array([*AMPLITUDES, 0, 0])[inputs]
        angles = np.array([*(angle(k) for k in range(6)), 0, 0])[inputs]
        return peaks * np.cos(2 * np.pi * 50 * times + angles)


@dataclass
class UniversalLibrary:
    """The functions of ``cbw64.dll``, by the names that the wheel calls."""

    clocks: ManualClocks = field(default_factory=ManualClocks)
    boards: list[Board] = field(default_factory=list)
    buffers: dict[int, NDArray[Any]] = field(default_factory=dict)
    ignored_instacal: bool = False

    def reset(self, *boards: Board) -> ManualClocks:
        """Begin anew with these boards; return the clock they go by."""
        self.clocks, self.boards, self.buffers = ManualClocks(), list(boards), {}
        return self.clocks

    def _board(self, number: int) -> Board | None:
        return next((board for board in self.boards if board.number == number), None)

    def cbIgnoreInstaCal(self) -> int:  # noqa: N802 - the library's name
        self.ignored_instacal = True
        return 0

    def cbGetErrMsg(self, code: int, message: Any) -> int:  # noqa: N802
        message.value = _MESSAGES.get(code, f"message {code}").encode()
        return 0

    def cbGetDaqDeviceInventory(self, _interface: int, found: Any, count: Any) -> int:  # noqa: N802
        there = [board for board in self.boards if board.plugged]
        for descriptor, board in zip(found, there, strict=False):
            descriptor._product_name = board.name.encode()
            descriptor.product_id = board.product
            descriptor._unique_id = board.serial.encode()
        count._obj.value = len(there)
        return 0

    def cbCreateDaqDevice(self, number: int, descriptor: Any) -> int:  # noqa: N802
        board = next((one for one in self.boards if one.serial == descriptor.unique_id), None)
        if self._board(number) is not None or number == 0:
            return NUMBER_IN_USE  # 0 is somebody else's
        if board is None or not board.plugged:
            return NO_BOARD
        if board.number is not None:
            return 1024
        board.number = number
        return 0

    def cbReleaseDaqDevice(self, number: int) -> int:  # noqa: N802
        board = self._board(number)
        if board is not None:
            board.number, board.running = None, False
        return 0

    def _allocate(self, n_points: int, kind: type) -> int:
        handle = len(self.buffers) + 1
        self.buffers[handle] = np.zeros(n_points, kind)
        return handle

    def cbScaledWinBufAlloc(self, n_points: int) -> int:  # noqa: N802
        return self._allocate(n_points, np.float64)

    def cbWinBufAlloc(self, n_points: int) -> int:  # noqa: N802
        return self._allocate(n_points, np.uint16)

    def cbWinBufAlloc32(self, n_points: int) -> int:  # noqa: N802
        return self._allocate(n_points, np.uint32)

    def cbWinBufFree(self, handle: int) -> int:  # noqa: N802
        return 0 if self.buffers.pop(handle, None) is not None else 79

    def _copy(self, handle: int, target: Any, first: int, count: int) -> int:
        target[:count] = self.buffers[handle][first : first + count].tolist()
        return 0

    cbScaledWinBufToArray = cbWinBufToArray = cbWinBufToArray32 = _copy  # noqa: N815

    def cbAInputMode(self, number: int, mode: int) -> int:  # noqa: N802
        board = self._board(number)
        if board is None:
            return 1
        board.mode = mode
        return 0

    def cbALoadQueue(self, number: int, channels: Any, gains: Any, count: int) -> int:  # noqa: N802
        board = self._board(number)
        if board is None:
            return 1
        board.queue = tuple((channels[k], gains[k]) for k in range(count))
        return 0

    def cbSetTrigger(self, number: int, *_: int) -> int:  # noqa: N802
        return 0 if self._board(number) is not None else 1

    def cbAInScan(  # noqa: N802, PLR0917
        self, number: int, low: int, high: int, n_points: int, rate: Any, gain: int, handle: int, options: int
    ) -> int:
        board = self._board(number)
        if board is None or not board.plugged:
            return DEAD
        if board.running:
            return ALREADY_ACTIVE
        if options & _SCALE and not board.scales:
            return BAD_OPTION
        pairs = board.queue or tuple((channel, int(gain)) for channel in range(low, high + 1))
        if n_points % board.packet or n_points > self.buffers[handle].size:
            return 17
        if rate._obj.value * len(pairs) > 100_000:
            return BAD_RATE
        board.channels, board.spans = tuple(p[0] for p in pairs), tuple(_RANGES[p[1]] for p in pairs)
        if not board.rate:
            period = int(70e6 / (rate._obj.value * len(pairs)) - 1)
            board.rate = 70e6 / (1 + period)
        rate._obj.value = round(board.rate / len(pairs))
        board.begun, board.written, board.running = self.clocks.elapsed, 0, True
        board.memory, board.scaled, board.options = handle, bool(options & _SCALE), options
        return 0 if options & _CONTINUOUS and options & _BACKGROUND else BAD_OPTION

    def cbGetIOStatus(self, number: int, status: Any, count: Any, index: Any, _function: int) -> int:  # noqa: N802
        board = self._board(number)
        if board is None:
            return 1
        if not board.plugged:
            return DEAD
        if board.error:
            board.error, code, board.running = 0, board.error, False
            return code
        self._write(board)
        status._obj.value = int(board.running)
        rest = board.written % (1 << 32)
        # After 2,147,483,647 comes -2,147,483,647, as the manual says: one number fewer in every turn.
        count._obj.value = rest if rest < 1 << 31 else rest - (1 << 32) + 1
        scans, size = board.written // max(1, len(board.channels)), self.buffers[board.memory].size
        index._obj.value = (scans - 1) * len(board.channels) % size if scans else -1
        return 0

    def _write(self, board: Board) -> None:
        """Fill the buffer up to now, whole packets only."""
        if not board.running or board.stalled or not board.rate:
            return
        due = int((self.clocks.elapsed - board.begun) * board.rate) // board.packet * board.packet
        buffer = self.buffers[board.memory]
        numbers = np.arange(max(board.written, due - buffer.size), due)
        volts = board.volts(numbers, board.rate)
        spans = np.array(board.spans)[numbers % len(board.channels)]
        steps = (spans[:, 1] - spans[:, 0]) / 2**board.bits
        codes = np.clip(np.round((volts - spans[:, 0]) / steps), 0, 2**board.bits - 1)
        buffer[numbers % buffer.size] = codes * steps + spans[:, 0] if board.scaled else codes
        board.written = due

    def cbStopIOBackground(self, number: int, _function: int) -> int:  # noqa: N802
        board = self._board(number)
        if board is None or not board.plugged:
            return DEAD
        board.running = False
        return 0


class _Dll:
    """What ``WinDLL`` returns: functions with `argtypes`; one that the stand-in lacks answers "wrong board type"."""

    def __init__(self, library: UniversalLibrary) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Callable[..., int]:
        method = getattr(self._library, name, None)

        def call(*arguments: Any) -> int:
            return 41 if method is None else int(method(*arguments))

        setattr(self, name, call)
        return call


@functools.cache
def loaded_universal_library() -> UniversalLibrary:
    """Return the library that this process's wheel has loaded; it can be loaded only once."""
    library = UniversalLibrary()
    names = {"WinDLL": lambda _name: _Dll(library), "WINFUNCTYPE": ctypes.CFUNCTYPE}
    with patch.multiple(ctypes, create=True, **names):
        sys.modules.pop("mcculw.ul", None)
        importlib.import_module("mcculw.ul")
    return library

"""
Measurement Computing's Linux library (libuldaq, through its Python wheel `uldaq`) behind `mcc_library`'s protocol.

Rules: the wheel is imported when it is first needed, since importing it loads the C library, and libuldaq starts libusb
at its first call: both belong into the process that samples. Every code of the library becomes an error that says
what to do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import SourceAway, SourceNotFound, SourceRefused
from hardware.mcc_boards import Wiring, model_of
from hardware.mcc_library import BoardFault, FoundBoard
from hardware.mcc_options import Trigger
from hardware.mcc_scan import Scan

WHEEL = "pip install uldaq, beside the Debian package: pip install --target /usr/local/lib/tresma uldaq"
INSTALL = "install it as hardware/README.md says, in four lines"
NO_PERMISSION = "NO PERMISSION"

_no_permission, _claimed, _not_found, _not_connected, _dead = 4, 5, 6, 7, 8
_overrun, _bad_firmware, _pacer_overrun = 18, 93, 87
_gone = (_not_found, _not_connected, _dead)
_unsuitable = (13, 14, 15, 17, 21, 22, 30, 33, 34, 39, 40, 41)
"""Range, channel, mode, trigger, option, rate, queue, flag, count: what a board of this model ought to grant."""


class UldaqLibrary:
    """The boards that libuldaq sees."""

    driver = "uldaq"
    remedy_for_permission = (
        "install packaging/udev/60-tresma-daq.rules into /etc/udev/rules.d, add the user to the group plugdev, and "
        "plug the board in anew"
    )
    whole_hertz = False

    def __init__(self) -> None:
        self._loaded: Any = None

    @property
    def wheel(self) -> Any:
        """The wheel's module."""
        if self._loaded is None:
            self._loaded = _load()
        return self._loaded

    def inventory(self) -> Sequence[FoundBoard]:
        """
        List the boards on USB.

        Raises
        ------
        SourceNotFound
            When the wheel or the C library is missing.
        SourceAway
            When the library cannot look.
        """
        wheel = self.wheel
        try:
            descriptors = wheel.get_daq_device_inventory(wheel.InterfaceType.USB)
        except (wheel.ULException, ValueError) as error:  # a code that the wheel does not know is a ValueError
            raise SourceAway(f"source uldaq: expected the list of boards, found {error}") from error
        return [_found(descriptor) for descriptor in descriptors]

    def open(self, found: FoundBoard) -> "UldaqBoard":
        """
        Connect to a board.

        Raises
        ------
        SourceAway
            When it cannot be had at the moment.
        SourceRefused
            When its firmware is too old.
        """
        wheel = self.wheel
        device = None
        try:
            device = wheel.DaqDevice(found.descriptor)
            device.connect()
        except (wheel.ULException, ValueError) as error:
            if device is not None:
                _quietly(wheel, device.release)
            raise _refusal(found, error) from error
        return UldaqBoard(wheel, device)


class UldaqBoard:
    """A connected board."""

    def __init__(self, wheel: Any, device: Any) -> None:
        self._wheel = wheel
        self._device = device
        self._inputs = device.get_ai_device()
        self._buffer: Any = None  # the library writes to it until the scan has stopped
        self._ring: NDArray[np.float64] = np.empty((0, 0))
        self._running = False

    def start(self, scan: Scan) -> float:
        """Begin a continuous scan; return the rate the library claims [Hz]."""
        wheel, inputs = self._wheel, self._inputs
        buffer = wheel.create_float_buffer(len(scan.inputs), scan.ring)
        mode = wheel.AiInputMode.SINGLE_ENDED if scan.wiring is Wiring.SINGLE_ENDED else wheel.AiInputMode.DIFFERENTIAL
        ranges = [_range(wheel, span.low, span.high) for span in scan.spans]
        options = wheel.ScanOption.CONTINUOUS
        if scan.burst:
            options |= wheel.ScanOption.BURSTMODE
        if scan.external_clock:
            options |= wheel.ScanOption.EXTCLOCK
        try:
            if scan.model.skips_channels or scan.model.range_per_channel:
                elements = zip(scan.inputs, ranges, strict=True) if scan.needs_queue else ()
                inputs.a_in_load_queue([_element(wheel, number, mode, span) for number, span in elements])
            if scan.trigger is not Trigger.NONE:
                options |= wheel.ScanOption.EXTTRIGGER
                edge = "POS_EDGE" if scan.trigger is Trigger.RISING else "NEG_EDGE"
                inputs.set_trigger(wheel.TriggerType[edge], 0, 0.0, 0.0, 0)
            claimed = inputs.a_in_scan(
                scan.inputs[0], scan.inputs[-1], mode, ranges[0], scan.ring, scan.asked_rate, options,
                wheel.AInScanFlag.DEFAULT, buffer,
            )  # fmt: skip
        except (wheel.ULException, ValueError) as error:
            if _code(error) in _unsuitable:
                raise SourceRefused(
                    f"source uldaq: expected a {scan.model.name} to scan inputs {scan.inputs} at "
                    f"{scan.asked_rate:g} Hz, found that libuldaq refuses ({error}); install libuldaq 1.2.1, or "
                    f"ask for less"
                ) from error
            raise _fault(error) from error
        self._buffer, self._running = buffer, True
        self._ring = np.ctypeslib.as_array(buffer).reshape(scan.ring, len(scan.inputs)).T
        return float(claimed)

    def progress(self) -> int:
        """
        Return the scans completed since the start.

        Raises
        ------
        BoardFault
            When the scan does not run any more.
        """
        try:
            status, transfer = self._inputs.get_scan_status()
        except (self._wheel.ULException, ValueError) as error:
            raise _fault(error) from error
        if not status:  # idle
            raise BoardFault("the scan ended, and the library does not say why", board_there=True)
        return int(transfer.current_scan_count)

    def copy(self, begin: int, end: int) -> NDArray[np.float64]:
        """Return a view of the ring, shape (n_inputs, end - begin) [V]."""
        return self._ring[:, begin:end]

    def stop(self) -> None:
        """End the scan, if one runs."""
        if self._running:
            self._running = False
            _quietly(self._wheel, self._inputs.scan_stop)

    def close(self) -> None:
        """Let go of the board; the library would hand out the same dead object again if it were not released."""
        self.stop()
        _quietly(self._wheel, self._device.disconnect)
        _quietly(self._wheel, self._device.release)


def _load() -> Any:
    try:
        import uldaq  # noqa: PLC0415 - loads a C library that only a meter with a board has
    except ImportError as error:
        raise SourceNotFound(
            f"source uldaq: expected the Python package uldaq, found none ({error}); {WHEEL}"
        ) from error
    except (OSError, AttributeError) as error:  # no library, or one too old to have every function
        raise SourceNotFound(f"source uldaq: expected libuldaq 1.2 or newer, found {error}; {INSTALL}") from error
    return uldaq


def _found(descriptor: Any) -> FoundBoard:
    serial, product = _text(descriptor, "unique_id"), _text(descriptor, "product_name")
    permitted = NO_PERMISSION not in (serial, product)
    return FoundBoard(
        product=product,
        product_id=int(descriptor.product_id),
        serial=serial if permitted else "",
        permitted=permitted,
        model=model_of(int(descriptor.product_id)),
        descriptor=descriptor,
    )


def _text(descriptor: Any, name: str) -> str:
    try:
        return str(getattr(descriptor, name))
    except UnicodeDecodeError:  # a board with a damaged memory must not hide the others
        return ""


def _range(wheel: Any, low: float, high: float) -> Any:
    text = f"{high:g}".replace(".", "PT").removeprefix("0")
    return wheel.Range[f"{'UNI' if low == 0 else 'BIP'}{text}VOLTS"]


def _element(wheel: Any, number: int, mode: Any, span: Any) -> Any:
    element = wheel.AiQueueElement()
    element.channel, element.input_mode, element.range = number, mode, span
    return element


def _code(error: Exception) -> int:
    return int(getattr(error, "error_code", -1))


def _refusal(found: FoundBoard, error: Exception) -> SourceAway | SourceRefused:
    code = _code(error)
    where = f"source uldaq: expected to open {found}, found"
    if code == _no_permission:
        return SourceAway(f"{where} no permission; {UldaqLibrary.remedy_for_permission}")
    if code == _claimed:
        return SourceAway(f"{where} that another process uses it; end that one (is another agent or a check running?)")
    if code == _bad_firmware:
        return SourceRefused(f"{where} a firmware that this libuldaq cannot drive; update it with the maker's tool")
    if code in _gone:
        return SourceAway(f"{where} that it went away ({error}); plug it in again")
    return SourceAway(f"{where} {error}; unplug it, plug it in again, and look at its lamp")


def _fault(error: Exception) -> BoardFault:
    code = _code(error)
    if code == _overrun:
        return BoardFault(
            f"the board's buffer ran over ({error}): the machine fetched its samples too late; lower the rate, or find "
            f"what keeps the processor or the USB bus busy",
            board_there=True,
        )
    if code == _pacer_overrun:
        return BoardFault(
            f"the external clock is faster than the board can convert ({error}); check sample_rate and the clock",
            board_there=True,
        )
    if code in _gone:
        return BoardFault(f"the board does not answer any more ({error}); look at cable, hub and power supply")
    return BoardFault(f"the library failed: {error}; unplug the board and plug it in again")


def _quietly(wheel: Any, action: Any) -> None:
    """Do what may fail on a board that is gone, and changes nothing then."""
    try:
        action()
    except (wheel.ULException, ValueError):
        return

"""
What each data-acquisition board of Measurement Computing can really do, in one table.

Where it stands: `mcc_scan` checks a request against it, the Linux and the Windows driver take rates and ranges from it,
`tresma-agent boards` prints it. Pure.

Rules:

- A number here is what the vendor's library programs or the device's protocol says, never what a brochure rounds to.
- **The rate that a library returns is not always the rate at which a board samples.** The boards whose pacer starts
  each conversion divide their base clock by a whole number of periods for each *conversion*; libuldaq forgets one
  period when it works the rate out again, and the Universal Library returns whole hertz. `BoardModel.true_rate` is what
  the pacer does, before the crystal's own error (tens of ppm), which the time base finds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hardware.mcc_spans import Span, bipolar


class Wiring(StrEnum):
    """How an input's voltage is taken."""

    SINGLE_ENDED = "single-ended"
    """Against the board's analogue ground."""
    DIFFERENTIAL = "differential"
    """Between two terminals."""


class Pacer(StrEnum):
    """What one period of a board's sample clock starts."""

    CONVERSION = "conversion"
    """One conversion: n channels take n periods, evenly spread."""
    SCAN = "scan"
    """One conversion of all channels at once: each has a converter, or a sample-and-hold, of its own."""
    BURST = "scan, or conversion"
    """In burst mode a scan whose conversions follow each other as fast as they can; otherwise one conversion."""


@dataclass(frozen=True, slots=True)
class BoardModel:
    """
    What one model can do.

    Attributes
    ----------
    name : str
    product_ids : tuple of int
        USB product numbers.
    bits : int
        Of a code, as the vendor's library counts them.
    inputs : mapping of Wiring to int
        How many there are.
    ranges : mapping of Wiring to tuple of Span
    rate : float
        Highest, per channel [Hz].
    throughput : float
        Highest, all channels together [1/s].
    clock : float
        Nominal frequency that the pacer divides [Hz].
    pacer : Pacer
    forgets_a_period : bool
        Whether libuldaq returns clock / (1 + period * n) where the device does clock / ((1 + period) * n).
    fifo : int
        Samples the board holds while the host is late.
    burst_interval : float
        Between two conversions of a burst [s]; 0 for boards without one.
    skips_channels : bool
        Whether inputs between the first and the last may be left out of a scan.
    range_per_channel : bool
        Whether each input may have its own range.
    packet : int
        Samples that travel together.
    """

    name: str
    product_ids: tuple[int, ...]
    bits: int
    inputs: Mapping[Wiring, int]
    ranges: Mapping[Wiring, tuple[Span, ...]]
    rate: float
    throughput: float
    clock: float
    pacer: Pacer
    fifo: int
    forgets_a_period: bool = False
    burst_interval: float = 0.0
    skips_channels: bool = True
    range_per_channel: bool = True
    packet: int = 256

    @property
    def simultaneous(self) -> bool:
        """Whether all channels are taken at the same instant."""
        return self.pacer is Pacer.SCAN

    def step(self, span: Span) -> float:
        """Return one step of the converter [V]."""
        return (span.high - span.low) / (1 << self.bits)

    def highest_rate(self, n_channels: int) -> float:
        """Return the highest rate per channel at which so many channels can be scanned [Hz]."""
        return min(self.rate, self.throughput / max(1, n_channels))

    def period(self, rate: float, n_channels: int, *, burst: bool) -> int:
        """Return the number that is programmed into the pacer: clock cycles less one."""
        conversions = n_channels if self._paces_conversions(burst) else 1
        return max(0, min(2**32 - 1, int(self.clock / (rate * conversions) - 1)))

    def true_rate(self, rate: float, n_channels: int, *, burst: bool = False) -> float:
        """
        Return the rate at which each channel is sampled when `rate` is asked for [Hz], before the crystal's error.

        Examples
        --------
        Six channels of a USB-202 at 3,200 Hz; the library says 3201.4635 Hz:

        >>> board = model_named("USB-202")
        >>> round(board.true_rate(3200.0, 6), 4), round(board.returned_rate(3200.0, 6), 4)
        (3200.7316, 3201.4635)
        """
        conversions = n_channels if self._paces_conversions(burst) else 1
        return self.clock / ((1 + self.period(rate, n_channels, burst=burst)) * conversions)

    def returned_rate(self, rate: float, n_channels: int, *, burst: bool = False) -> float:
        """Return the rate that libuldaq gives back for the same scan [Hz]."""
        if self.forgets_a_period:
            return self.clock / (1 + self.period(rate, n_channels, burst=burst) * n_channels)
        return self.true_rate(rate, n_channels, burst=burst)

    def skew_step(self, true_rate: float, n_channels: int, *, burst: bool = False) -> float:
        """Return the time from one channel of a scan to the next [s]."""
        if self.simultaneous:
            return 0.0
        return self.burst_interval if burst and self.burst_interval else 1 / (true_rate * n_channels)

    def describe(self) -> str:
        """Say in one line what it can do."""
        inputs = " or ".join(f"{count} {wiring} inputs" for wiring, count in self.inputs.items())
        spans = sorted({span for ranges in self.ranges.values() for span in ranges}, reverse=True)
        how = "simultaneous" if self.simultaneous else "one after the other"
        return (f"{self.bits} bit, {inputs}, {', '.join(str(span) for span in spans)}, "
                f"{self.throughput / 1e3:g} kS/s in all, {how}")  # fmt: skip

    def _paces_conversions(self, burst: bool) -> bool:
        return self.pacer is Pacer.CONVERSION or (self.pacer is Pacer.BURST and not burst)


def _spans(*volts: float) -> tuple[Span, ...]:
    return tuple(bipolar(one) for one in volts)


_single, _differential = Wiring.SINGLE_ENDED, Wiring.DIFFERENTIAL
_fs_plus_ranges = {_single: _spans(10), _differential: _spans(20, 10, 5, 4, 2.5, 2, 1.25, 1)}
_four = _spans(10, 5, 2, 1)
_1808_ranges = (*_spans(10, 5), Span(0.0, 10.0), Span(0.0, 5.0))


def _usb_20x(name: str, product_id: int, throughput: float) -> BoardModel:
    return BoardModel(
        name, (product_id,), 12, {_single: 8}, {_single: _spans(10)}, throughput, throughput, 70e6, Pacer.CONVERSION,
        fifo=6144, forgets_a_period=True, range_per_channel=False, packet=32,
    )  # fmt: skip


def _fs_plus(name: str, product_id: int, bits: int, throughput: float) -> BoardModel:
    return BoardModel(
        name, (product_id,), bits, {_single: 8, _differential: 4}, _fs_plus_ranges, throughput, throughput, 60e6,
        Pacer.CONVERSION, fifo=8192, forgets_a_period=True, packet=32,
    )  # fmt: skip


def _usb_1608g(name: str, product_ids: tuple[int, ...], throughput: float) -> BoardModel:
    return BoardModel(
        name, product_ids, 16, {_single: 16, _differential: 8}, {_single: _four, _differential: _four}, throughput,
        throughput, 64e6, Pacer.BURST, fifo=4096, burst_interval=1 / 500e3,
    )  # fmt: skip


def _usb_1808(name: str, product_id: int, rate: float) -> BoardModel:
    return BoardModel(
        name, (product_id,), 18, {_single: 8, _differential: 8}, {_single: _1808_ranges, _differential: _1808_ranges},
        rate, 8 * rate, 100e6, Pacer.SCAN, fifo=8192, packet=128,
    )  # fmt: skip


MODELS = (
    _usb_20x("USB-201", 0x113, 100e3),
    _usb_20x("USB-202", 0x12B, 100e3),
    _usb_20x("USB-204", 0x114, 500e3),
    _usb_20x("USB-205", 0x12C, 500e3),
    _fs_plus("USB-1208FS-Plus", 0xE8, 12, 52e3),
    _fs_plus("USB-1408FS-Plus", 0xE9, 14, 48e3),
    BoardModel(
        "USB-1208HS", (0xC4, 0xC5, 0xC6), 13, {_single: 8, _differential: 4},
        {_single: (*_spans(10, 5, 2.5), Span(0.0, 10.0)), _differential: _spans(20, 10, 5)}, 1e6, 1e6, 40e6,
        Pacer.BURST, fifo=4096, burst_interval=1e-6,
    ),
    BoardModel(
        "USB-1608FS-Plus", (0xEA,), 16, {_single: 8}, {_single: _four}, 100e3, 400e3, 40e6, Pacer.SCAN, fifo=32768,
        packet=32,
    ),
    _usb_1608g("USB-1608G", (0x110, 0x134), 250e3),
    _usb_1608g("USB-1608GX", (0x111, 0x135, 0x112, 0x136), 500e3),
    BoardModel(
        "USB-1608HS", (0xBD, 0x99), 16, {_single: 8, _differential: 8}, {_single: _four, _differential: _four}, 250e3,
        2e6, 40e6, Pacer.SCAN, fifo=65536, skips_channels=False,
    ),
    _usb_1808("USB-1808", 0x13D, 50e3),
    _usb_1808("USB-1808X", 0x13E, 200e3),
)  # fmt: skip
"""Every model whose abilities are known."""


def model_of(product_id: int) -> BoardModel | None:
    """Return the model with this USB product number; None where it is not in the table."""
    return next((model for model in MODELS if product_id in model.product_ids), None)


def model_named(name: str) -> BoardModel:
    """
    Return the model of this name.

    Raises
    ------
    KeyError
    """
    return {model.name: model for model in MODELS}[name]


def fitting(wiring: Wiring, spans: Iterable[Span], inputs: Iterable[int], rate: float) -> list[str]:
    """
    Find the models that could do what is asked.

    Parameters
    ----------
    wiring : Wiring
    spans : iterable of Span
        Ranges wanted.
    inputs : iterable of int
        Numbers of the inputs wanted.
    rate : float
        Per channel [Hz].

    Returns
    -------
    list of str
        Names of the models.
    """
    wanted, numbers = set(spans), sorted(set(inputs))
    return [
        model.name
        for model in MODELS
        if wanted <= set(model.ranges.get(wiring, ()))
        and (not numbers or 0 <= numbers[0] <= numbers[-1] < model.inputs.get(wiring, 0))
        and rate <= model.highest_rate(len(numbers))
        and (len(wanted) <= 1 or model.range_per_channel)
    ]

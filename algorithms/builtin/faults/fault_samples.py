"""
From the samples around a fault to what location works with: phasors of the head, magnitudes of a meter.

Where it stands: `fault_location` (at the feeder's head) and `fault_voltages` (at the meters) keep their newest samples
here (`FaultSamples`) and cut windows out of them; `waveform.fault_window` chooses them and
`waveform.fault_phasors` does the sums. Rules:

- Head and meters look at the same stretch of the fault, counted from its beginning as each of them saw it: clocks need
  agree no better than to find the beginning.
- Samples that are missing are not made up: `NotMeasured` says what was missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.samples import Channel, Quantity, SampleBlock, SampleFlag
from algorithms.builtin.faults.believable import all_believable, greatest, without_others
from algorithms.builtin.sample_store import SampleStore
from algorithms.grid.faults.fault_scenarios import HeadMeasurement
from algorithms.waveform.fault_phasors import TIME_CONSTANTS, Fitted, fit, frequency
from algorithms.waveform.fault_window import window
from algorithms.waveform.phasor import Complexes, Floats

KEPT = 3.0
"""Samples kept [s]."""
BEFORE = 8
"""Cycles before a fault that are measured."""
LEAST_BEFORE = 3
DECAY = 0.03
"""Time constant with which changes of a fault are looked for [s]."""
LEAST_WINDOW = 0.75
"""Cycles of a fault below which nothing is measured."""
LASTING = 0.4
"""Share of a quarter of a cycle that a change must fill to be the beginning of a fault [1]."""
RAIL = 1.5
"""Steps below full scale from which on a sample counts as clipped."""


class NotMeasured(ValueError):  # noqa: N818 - it says what happened
    """The samples do not tell; the message says why."""


class FaultSamples:
    """
    The newest samples of one source, of chosen channels.

    Parameters
    ----------
    rows : sequence of int
        Of the channels wanted.
    channels : sequence of Channel
        Those channels.
    nominal_frequency : float
        [Hz]
    reverse : bool
        Whether currents are to change their sign.
    """

    def __init__(
        self, rows: Sequence[int], channels: Sequence[Channel], nominal_frequency: float, *, reverse: bool = False
    ) -> None:
        self.rows, self.channels = list(rows), tuple(channels)
        currents = [reverse and channel.quantity is Quantity.CURRENT for channel in self.channels]
        self._turned = np.flatnonzero(currents)
        self._limits = greatest(self.channels)
        self._nominal = nominal_frequency
        self._store: SampleStore | None = None
        self.end_ns = 0

    @property
    def rate(self) -> float:
        """Sampling rate [samples per second]."""
        return 0.0 if self._store is None else self._store.rate

    def push(self, block: SampleBlock) -> None:
        """Keep a block."""
        if self._store is None:
            self._store = SampleStore(len(self.channels), round(KEPT * block.sample_rate))
        values = block.values[self.rows]
        values[self._turned] *= -1.0
        flags = block.flags
        if not all_believable(values, self._limits):
            values, flags = without_others(values, self._limits), flags | SampleFlag.MISSING
        chosen = SampleBlock(
            values, self.channels, block.sample_rate, block.first_index, block.time_ns,
            block.time_uncertainty, flags, block.rate_uncertainty,
        )  # fmt: skip
        for _ in self._store.push(chosen):
            pass
        # Letting go costs a copy of what stays, so it is not done at every block.
        excess = self._store.end - self._store.first - round(KEPT * block.sample_rate)
        if excess > round(0.5 * block.sample_rate):
            self._store.let_go(self._store.end - round(KEPT * block.sample_rate))
        self.end_ns = block.end_ns

    def covers(self, time_ns: int) -> bool:
        """Tell whether samples up to an instant have come [ns UTC]."""
        return self._store is not None and self.end_ns >= time_ns

    def around(self, start_ns: int) -> "Excerpt":
        """
        Give everything kept, and where an instant is in it.

        Raises
        ------
        NotMeasured
            When the instant, or enough before it, is not kept.
        """
        store = self._store
        if store is None or store.end <= store.first:
            raise NotMeasured("no samples have come")
        start = round(store.position(start_ns)) - store.first
        cycle = round(store.rate / self._nominal)
        if start < (LEAST_BEFORE + 1) * cycle or start >= store.end - store.first:
            kept = (store.end - store.first) / store.rate
            raise NotMeasured(
                f"samples from {LEAST_BEFORE + 1} cycles before the fault on are wanted; there are {kept:.2f} s "
                f"without gap, and the fault began at {start / store.rate:.2f} s of them"
            )
        values = store.samples(store.first, store.end)
        skews = np.array([channel.skew for channel in self.channels]) * store.rate
        steps = np.array([channel.resolution for channel in self.channels])
        scales = np.array([channel.full_scale for channel in self.channels])
        rails = np.where(scales > 0, scales - RAIL * steps, np.inf)
        return Excerpt(values, start, store.rate, cycle, self._nominal / store.rate, skews, steps, rails)


@dataclass(frozen=True, slots=True, eq=False)
class Excerpt:
    """
    Samples around a fault.

    Attributes
    ----------
    values : numpy.ndarray
        Shape (n, k), a view that lasts until the next block [V, A].
    start : int
        Sample the fault began with.
    rate : float
        [samples per second]
    cycle : int
        Samples in a cycle.
    turn : float
        Nominal frequency [cycles per sample].
    skews, steps, rails : numpy.ndarray
        Of the channels, shape (n,) [samples; V, A; V, A].
    """

    values: Floats
    start: int
    rate: float
    cycle: int
    turn: float
    skews: Floats
    steps: Floats
    rails: Floats

    def before(self) -> tuple[Fitted, float, int]:
        """Measure what was before: phasors, frequency [cycles per sample] and the sample they begin at."""
        stop = self.start - max(self.cycle // 16, 2)
        cycles = min(BEFORE, stop // self.cycle)
        begin = stop - cycles * self.cycle
        samples = self.values[:, begin:stop]
        turn = frequency(samples[:3], self.turn)
        return fit(samples, turn, self.skews, rails=self.rails), turn, begin

    def during(self, turn: float, begin: int, stop: int) -> Fitted:
        """Measure samples of the fault, counted from its beginning."""
        samples = self.values[:, self.start + begin : self.start + stop]
        if samples.shape[1] < LEAST_WINDOW * self.cycle:
            length = samples.shape[1] / self.cycle
            raise NotMeasured(f"at least {LEAST_WINDOW:g} cycles of the fault are wanted, found {max(length, 0.0):.2f}")
        decays = tuple(constant * self.rate for constant in TIME_CONSTANTS)
        if samples.shape[1] < 1.2 * self.cycle:
            decays = ()  # a sinusoid and a decay cannot be told apart in so little
        return fit(samples, turn, self.skews, decays, self.rails)


@dataclass(frozen=True, slots=True, eq=False)
class HeadPhasors:
    """
    What the head measured.

    Attributes
    ----------
    measurement : HeadMeasurement
    change : numpy.ndarray
        During minus before, at the same instant, shape (6,) [V, A].
    begin, stop : float
        The stretch of the fault that was measured, from its beginning [s].
    frequency : float
        [Hz]
    """

    measurement: HeadMeasurement
    change: Complexes
    begin: float
    stop: float
    frequency: float


def measure_head(excerpt: Excerpt, channels: Sequence[Channel], longest: float) -> HeadPhasors:
    """
    Measure voltages A, B, C and currents A, B, C of a feeder's head.

    Parameters
    ----------
    longest : float
        Most of the fault that is wanted [cycles].

    Raises
    ------
    NotMeasured
    """
    before, turn, at = excerpt.before()
    after = excerpt.values[:, excerpt.start :]
    begin, stop = window(
        after, excerpt.steps, turn, cycle=excerpt.cycle, decay=DECAY * excerpt.rate,
        longest=round(longest * excerpt.cycle),
    )  # fmt: skip
    during = excerpt.during(turn, begin, stop)
    advance = np.exp(2j * np.pi * turn * (excerpt.start + begin - at))
    measurement = HeadMeasurement(
        before.phasors,
        during.phasors,
        before.noise,
        during.noise,
        np.array([channel.gain_uncertainty for channel in channels]),
        np.array([channel.phase_uncertainty for channel in channels]),
    )
    change = during.phasors - before.phasors * advance
    return HeadPhasors(measurement, change, begin / excerpt.rate, stop / excerpt.rate, turn * excerpt.rate)


@dataclass(frozen=True, slots=True, eq=False)
class MeterVoltages:
    """
    What a meter measured.

    Attributes
    ----------
    before, during : numpy.ndarray
        Magnitudes, shape (n,) [V].
    uncertainty : numpy.ndarray
        Relative standard uncertainty of during over before, shape (n,) [1].
    noise : numpy.ndarray
        Standard uncertainty of during from noise, shape (n,) [V].
    shift : float
        By how much later than asked the meter saw the fault begin [s].
    seen : bool
        Whether it saw it begin at all; otherwise its clock was believed.
    """

    before: Floats
    during: Floats
    uncertainty: Floats
    noise: Floats
    shift: float
    seen: bool


def measure_meter(excerpt: Excerpt, begin: float, stop: float, search: float, nominal: float) -> MeterVoltages:
    """
    Measure voltages at a meter along the feeder.

    Parameters
    ----------
    begin, stop : float
        The stretch of the fault that the head measured, from its beginning [s].
    search : float
        How far from the instant asked for the meter may have seen it begin [s].
    nominal : float
        Phase to neutral, in the meter's own unit [V].

    Raises
    ------
    NotMeasured
    """
    found = _own_start(excerpt, search, nominal)
    seen = found is not None
    own = Excerpt(
        excerpt.values, excerpt.start if found is None else found, excerpt.rate, excerpt.cycle, excerpt.turn,
        excerpt.skews, excerpt.steps, excerpt.rails,
    )  # fmt: skip
    guard = excerpt.cycle // 16 if seen else excerpt.cycle // 2
    first, last = round(begin * excerpt.rate) + guard, round(stop * excerpt.rate) - guard
    before, turn, _ = own.before()
    during = own.during(turn, first, last)
    one, other = np.abs(before.phasors), np.abs(during.phasors)
    uncertainty = np.hypot(before.noise / np.maximum(one, 1e-9), during.noise / np.maximum(other, 1e-9))
    return MeterVoltages(one, other, uncertainty, during.noise, (own.start - excerpt.start) / excerpt.rate, seen)


def _own_start(excerpt: Excerpt, search: float, nominal: float) -> int | None:
    """Find where voltages changed near the instant asked for; None where nothing shows."""
    apart, reach = 2 * excerpt.cycle, round(search * excerpt.rate)
    low = max(excerpt.start - reach, 2 * apart)
    high = min(excerpt.start + reach + excerpt.cycle, excerpt.values.shape[1])
    if high - low < excerpt.cycle:
        return None
    # x(n) = 2 cos(w m) x(n - m) - x(n - 2 m) for a sinusoid of any frequency, so that what is left is the change.
    values = excerpt.values
    turn = frequency(values[:3, max(low - BEFORE * excerpt.cycle, 0) : low], excerpt.turn)
    expected = 2.0 * np.cos(2.0 * np.pi * turn * apart) * values[:, low - apart : high - apart]
    deviation = values[:, low:high] - expected + values[:, low - 2 * apart : high - 2 * apart]
    size = np.abs(deviation)
    quiet = size[:, : excerpt.cycle // 2].max(axis=1)
    limits = np.maximum(np.maximum(1.5 * quiet, 10.0 * excerpt.steps), 0.003 * nominal)
    beyond = (size > limits[:, np.newaxis]).any(axis=0)
    # The first change counts that lasts: a cycle and two later the same samples come back as what was expected.
    width = max(excerpt.cycle // 4, 2)
    lasting = np.convolve(beyond, np.ones(width), "valid") > LASTING * width
    at = np.flatnonzero(lasting & beyond[: lasting.size])
    return low + int(at[0]) if at.size else None

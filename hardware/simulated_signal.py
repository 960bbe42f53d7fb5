"""
The waveforms of a simulated grid connection: three voltages and three currents at any sampling rate.

Pure but for its own noise generator; between `simulated_options`, which says what to simulate, and `simulated_source`,
which hands samples on. Samples are made in cells of 20 ms counted from the first sample, never in blocks, so what a
reader gets does not depend on how much it asks for at a time. Inside a cell in which nothing changes each harmonic is
a fixed table turned to the cell's own phase: one product of two small matrices. The phase is counted in integers from
the UTC epoch, so it is exact after years, and two simulated meters agree.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from algorithms.api.samples import NANOSECONDS, Quantity, SampleFlag
from hardware.simulated_options import Happening, Simulation, quantity_of
from hardware.simulated_settings import CHANNELS

CELL = 0.02
"""Length of a cell [s]."""
_TURN = 1 << 96
_EDGE = 1e-9
"""An event that begins within this time of a sample begins at it [s]."""


class Schedule:
    """
    What happens when: factors, angles and frequency at any time after the first sample.

    Parameters
    ----------
    events : tuple of Happening
    """

    def __init__(self, events: tuple[Happening, ...]) -> None:
        self._events = events
        self.changes_frequency = any(event.rate or event.step for event in events)

    def next_edge(self, after: float) -> float:
        """Return when the next event begins or ends, at `after` or later [s]; infinite for never."""
        edges = [math.inf]
        for event in self._events:
            for edge in (event.start, event.start + event.duration):
                if edge < after and event.period:
                    edge += math.ceil((after - edge) / event.period - _EDGE) * event.period  # noqa: PLW2901
                if edge >= after - _EDGE:
                    edges.append(edge)
        return min(edges)

    def ramping(self, time: float) -> bool:
        """Tell whether the frequency is on its way."""
        return any(event.rate and event.start - _EDGE <= time < event.start + event.duration for event in self._events)

    def factors(self, time: NDArray[np.float64], quantity: Quantity, phase: int) -> NDArray[np.float64]:
        """Return by what a channel is multiplied, of the shape of `time` [1]."""
        result = np.ones_like(time)
        for event in self._events:
            factor = event.voltage if quantity is Quantity.VOLTAGE else event.current
            if event.phases[phase] and factor != 1:
                result[active(event, time)] *= factor
        return result

    def angles(self, time: NDArray[np.float64], phase: int) -> NDArray[np.float64]:
        """Return by what a phase is displaced by jumps, of the shape of `time` [rad]."""
        result = np.zeros_like(time)
        for event in self._events:
            if event.phases[phase] and event.angle:
                result[active(event, time)] += event.angle
        return result

    def frequency(self, time: float) -> float:
        """Return by how much the frequency differs [Hz]."""
        result = 0.0
        for event in self._events:
            if event.rate:
                result += event.rate * min(max(time - event.start, 0.0), event.duration)
            elif event.step and bool(active(event, np.asarray([time]))[0]):
                result += event.step
        return result

    def turned(self, time: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the integral of `frequency` since the first sample, of the shape of `time` [cycles]."""
        result = np.zeros_like(time)
        for event in self._events:
            since = np.maximum(time - event.start, 0.0)
            if event.rate:
                rising = np.minimum(since, event.duration)
                result += event.rate * rising * (since - rising / 2)
            elif event.step and event.period:
                whole = np.floor(since / event.period)
                rest = np.minimum(since - whole * event.period, event.duration)
                result += event.step * (whole * event.duration + rest)
            elif event.step:
                result += event.step * np.minimum(since, event.duration)
        return result


def active(event: Happening, time: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell when an event holds, of the shape of `time` [s after the first sample]."""
    since = time - event.start + _EDGE
    begun = since >= 0
    if event.period:
        since = np.mod(since, event.period)
    holds: NDArray[np.bool_] = begun & (since < event.duration)
    return holds


class Signal:
    """
    Computes cells of samples, in order.

    Parameters
    ----------
    simulation : Simulation
    rows : tuple of int
        Which of `CHANNELS`, one for each row.
    sample_rate : float
        [Hz]
    origin_ns : int
        UTC of sample 0 [ns].
    frequency : float
        Of the grid [Hz].
    voltage : float
        RMS, phase to neutral [V].
    """

    def __init__(
        self,
        simulation: Simulation,
        rows: tuple[int, ...],
        *,
        sample_rate: float,
        origin_ns: int,
        frequency: float,
        voltage: float,
    ) -> None:
        self.cell_samples = max(1, round(sample_rate * CELL))
        self._rate = sample_rate
        self._rows = rows
        self._quantities = [quantity_of(CHANNELS[row]) for row in rows]
        self._schedule = Schedule(simulation.events)
        # A clock that runs fast takes more samples from each cycle, and believes that it does not.
        self._frequency = frequency / (1 + simulation.clock_error)
        # Numbers are taken as they are written: 50.02 means 5002/100, not the nearest double, which is 1e-5 cycles off
        # after fifty years.
        stated = Fraction(str(frequency))
        per_sample = stated / (1 + Fraction(str(simulation.clock_error))) / Fraction(str(sample_rate))
        self._step = round(per_sample * _TURN)
        self._origin = round(stated * origin_ns / NANOSECONDS % 1 * _TURN)
        self._orders, self._phasors = phasors(simulation, rows, voltage)
        self._skews = np.array([simulation.skews[row] for row in rows])
        self._random = np.random.Generator(np.random.PCG64(simulation.seed))
        noise = np.array([simulation.noise[quantity is Quantity.CURRENT] for quantity in self._quantities])
        self._noise = noise.reshape(-1, 1) if noise.any() else None
        self.full_scales = _full_scales(simulation, rows, self._phasors)
        self.steps = [2 * full / 2**simulation.bits if simulation.bits else 0.0 for full in self.full_scales]
        self._lsb = np.array(self.steps).reshape(-1, 1) if simulation.bits else None
        self._codes = (-(2.0 ** (simulation.bits - 1)), 2.0 ** (simulation.bits - 1) - 1)
        self._quiet_until = -math.inf
        self._quiet = self._phasors
        self._table = np.empty((0, 0))

    def cell(self, number: int) -> tuple[NDArray[np.float64], SampleFlag]:
        """
        Compute one cell; each call takes the next noise.

        Returns
        -------
        numpy.ndarray
            Shape (n_channels, cell_samples) [V or A].
        SampleFlag
        """
        first = number * self.cell_samples
        start = first / self._rate
        if start + CELL < self._quiet_until or self._is_quiet(start):
            values = self._steady(first, start)
        else:
            values = self._changing(first, start)
        if self._noise is not None:
            values += self._noise * self._random.standard_normal(values.shape)
        flags = SampleFlag.NONE
        if self._lsb is not None:
            low, high = self._codes
            values /= self._lsb
            np.rint(values, out=values)
            if values.min() <= low or values.max() >= high:
                np.clip(values, low, high, out=values)
                flags = SampleFlag.CLIPPED
            values *= self._lsb
        return values, flags

    def _phase(self, index: int) -> float:
        """Return the fundamental's phase at a sample without what events change [cycles, 0 to 1]."""
        return ((self._origin + index * self._step) % _TURN) / _TURN

    def _is_quiet(self, start: float) -> bool:
        """Tell whether nothing changes inside the cell, and prepare for what holds in it."""
        begin = start + min(float(self._skews.min()), 0.0)
        end = start + (self.cell_samples + 1) / self._rate + max(float(self._skews.max()), 0.0)
        edge = self._schedule.next_edge(begin)
        if edge <= end or self._schedule.ramping(start):
            self._quiet_until = -math.inf
            return False
        self._quiet_until = edge - 2 * (end - start) - CELL
        frequency = self._frequency + self._schedule.frequency(start)
        moment = np.array([start])
        turns = 2j * np.pi * frequency * self._skews
        angles = [self._schedule.angles(moment, row % 3)[0] for row in self._rows]
        factors = [
            self._schedule.factors(moment, quantity, row % 3)[0]
            for row, quantity in zip(self._rows, self._quantities, strict=True)
        ]
        turn = (turns + 1j * np.array(angles))[:, None] * self._orders[None, :]
        self._quiet = self._phasors * np.exp(turn) * np.array(factors)[:, None]
        angle = 2 * np.pi * frequency / self._rate * self._orders[:, None] * np.arange(self.cell_samples)[None, :]
        table = np.empty((2 * len(self._orders), self.cell_samples))
        table[0::2], table[1::2] = np.cos(angle), -np.sin(angle)
        self._table = table
        return True

    def _steady(self, first: int, start: float) -> NDArray[np.float64]:
        phase = self._phase(first)
        if self._schedule.changes_frequency:
            phase += float(self._schedule.turned(np.array([start]))[0])
        turned: NDArray[np.complex128] = self._quiet * np.exp(2j * np.pi * phase * self._orders)
        values: NDArray[np.float64] = turned.view(np.float64) @ self._table
        return values

    def _changing(self, first: int, start: float) -> NDArray[np.float64]:
        ramp = np.arange(self.cell_samples) / self._rate
        result = np.empty((len(self._rows), self.cell_samples))
        for position, (row, quantity) in enumerate(zip(self._rows, self._quantities, strict=True)):
            skew = self._skews[position]
            time = start + ramp + skew
            cycles = self._phase(first) + self._frequency * (ramp + skew) + self._schedule.turned(time)
            angle = 2 * np.pi * cycles + self._schedule.angles(time, row % 3)
            waves = np.exp(1j * self._orders[:, None] * angle[None, :])
            value = (self._phasors[position] @ waves).real
            result[position] = value * self._schedule.factors(time, quantity, row % 3)
        return result


def phasors(
    simulation: Simulation, rows: tuple[int, ...], voltage: float
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """
    Compute what each channel consists of.

    Returns
    -------
    numpy.ndarray
        Shape (n_orders,): the orders that occur, 1 first.
    numpy.ndarray
        Shape (n_channels, n_orders): peak phasors at the fundamental's zero angle [V or A].
    """
    orders = sorted({1, *(harmonic.order for harmonic in simulation.harmonics)})
    volts = [
        voltage * factor * np.exp(1j * (simulation.angle + angle - 2 * np.pi * number / 3))
        for number, (factor, angle) in enumerate(
            zip(simulation.voltage_factors, simulation.voltage_angles, strict=True)
        )
    ]
    amperes = [np.conj(power / volt) if volt else 0j for power, volt in zip(simulation.powers, volts, strict=True)]
    fundamental = np.sqrt(2) * np.array([*volts, *amperes])
    result = np.zeros((len(rows), len(orders)), np.complex128)
    for position, row in enumerate(rows):
        size, angle = abs(fundamental[row]), np.angle(fundamental[row])
        result[position, 0] = fundamental[row]
        for harmonic in simulation.harmonics:
            if CHANNELS[row] in harmonic.channels:
                turn = np.exp(1j * (harmonic.order * angle + harmonic.angle))
                result[position, orders.index(harmonic.order)] += size * harmonic.share * turn
    return np.array(orders, float), result


def _full_scales(simulation: Simulation, rows: tuple[int, ...], contents: NDArray[np.complex128]) -> list[float]:
    """Return what the converter represents at most; twice the peak where it is not stated, 0 without a converter."""
    if not simulation.bits:
        return [0.0] * len(rows)
    result = []
    for row in rows:
        kind = [position for position, other in enumerate(rows) if other // 3 == row // 3]
        stated = simulation.ranges[row // 3]
        result.append(stated or 2 * float(np.abs(contents[kind]).sum(axis=1).max()) or 1.0)
    return result

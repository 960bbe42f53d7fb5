r"""
The feeder a little different: what each uncertain quantity would change, one scenario for each, all walked at once.

Where it stands: `fault_location` takes the covariance of its residuals from here, so that the data's errors weigh as
the network model states them and shared ones are shared by all residuals. Scenario 0 is the feeder as written, every
other one has one quantity off by one standard deviation.

Rules:

- How errors of data go together is known of no data base: every line errs by itself as its data state, and all lines
  together by as much again; R and X half apart, as types of conductors err, and half alike, as lengths do.
- What all lines do together is large enough to bend: it is looked at both ways, and what is not straight counts too.
- Loads err by node, P and Q apart; what they draw together is known from the head, so their sum is kept.
- Head channels err in gain and angle before the fault and in it alike, and by noise anew.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.faults.fault_walk import Looking, look_in
from algorithms.grid.faults.feeder import Feeder
from algorithms.grid.primitives import COMPONENTS, SEQUENCES


@dataclass(frozen=True, slots=True, eq=False)
class HeadMeasurement:
    """
    Phasors at the head, voltages A, B, C then currents A, B, C into the feeder; before and during need no common angle.

    Attributes
    ----------
    before, during : numpy.ndarray
        Shape (6,) [V, A].
    noise_before, noise_during : numpy.ndarray
        Standard uncertainty of either part from noise, shape (6,) [V, A].
    gain, angle : numpy.ndarray
        Relative standard uncertainty of gains [1] and of phase displacements [rad], shape (6,).
    """

    before: Complexes
    during: Complexes
    noise_before: Floats
    noise_during: Floats
    gain: Floats
    angle: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Scenarios:
    """
    What the head measured and the feeder looks like, in s scenarios.

    Attributes
    ----------
    looking : Looking
    before, during : numpy.ndarray
        Phasors of the head, shape (s, 6) [V, A].
    mirrored : tuple of tuple of int
        Pairs of scenarios in which one quantity is off by as much either way, the second of them among the last.
    """

    looking: Looking
    before: Complexes
    during: Complexes
    mirrored: tuple[tuple[int, int], ...]


TINY = 1e-9
"""Less than any voltage that is measured [V]."""
ALIKE = 0.5
"""Correlation of the errors of R and X [1]."""


def fitted_loads(feeder: Feeder, measured: HeadMeasurement, voltages: Complexes | None) -> tuple[Complexes, complex]:
    """
    Scale all loads by one complex factor so that the feeder draws what the head measured before the fault.

    Parameters
    ----------
    voltages : numpy.ndarray or None
        Of the phases at each position before the fault, shape (k, 3) [V]; None for nominal ones.

    Returns
    -------
    load : numpy.ndarray
        Fitted admittances of loads, and those of generators as they are, shape (k, 3, 3) [S].
    factor : complex
    """
    volts, amperes = (COMPONENTS[1] @ measured.before[part] for part in (slice(3), slice(3, 6)))
    load, infeed = feeder.load_admittance(voltages), feeder.infeed.admittance(len(feeder.nodes), voltages)
    if not np.abs(load).max() or not abs(volts) > 0:
        return load + infeed, 1.0 + 0j
    wanted = complex(amperes / volts)

    def seen(*factors: complex) -> list[complex]:
        count = len(factors)
        z, y = (np.broadcast_to(matrix, (count, *matrix.shape)) for matrix in (feeder.z, feeder.y))
        looking = look_in(feeder, z, y, np.array(factors)[:, None, None, None] * load + infeed)
        return [complex(value) for value in (COMPONENTS @ looking.into[:, 1] @ SEQUENCES)[:, 1, 1]]

    empty, full = seen(0.0, 1.0)
    if full == empty:
        return load + infeed, 1.0 + 0j
    # What the feeder draws is nearly proportional to its loads: a line through two points, then through the nearest.
    factor = _bounded((wanted - empty) / (full - empty))
    (drawn,) = seen(factor)
    if factor != 1.0 and drawn != full:
        factor = _bounded(factor + (wanted - drawn) * (factor - 1.0) / (drawn - full))
    return factor * load + infeed, factor


def _bounded(factor: complex) -> complex:
    """Keep a factor where it may be: a load that feeds, or ten times what is known, is another fault of the data."""
    return complex(np.clip(factor.real, 0.02, 10.0), np.clip(factor.imag, -3.0, 3.0))


def scenarios(feeder: Feeder, measured: HeadMeasurement, load: Complexes) -> Scenarios:
    """
    Lay out all scenarios of a feeder with fitted loads.

    Parameters
    ----------
    load : numpy.ndarray
        As `fitted_loads` gives it, perhaps at the voltages of the fault, shape (k, 3, 3) [S].
    """
    lines = np.flatnonzero(feeder.z_uncertainty * feeder.length > 0)
    drawing, spread = _load_spread(feeder, load)
    feeding = np.unique(feeder.infeed.at)
    u, n, m = lines.size, drawing.size, feeding.size
    count = 1 + 2 * u + 3 + 2 * n + 2 * m + 24 + 3 + 2
    z, y = (np.repeat(matrix[None], count, axis=0) for matrix in (feeder.z, feeder.y))
    loads = np.repeat(load[None], count, axis=0)
    row = 1
    own = np.arange(u)
    apart = np.sqrt(1.0 - ALIKE**2)
    scaled = feeder.z_uncertainty[:, None, None] * feeder.z
    both, rest = scaled.real + 1j * ALIKE * scaled.imag, 1j * apart * scaled.imag
    z[row + own, lines] += both[lines]
    z[row + u + own, lines] += rest[lines]
    row += 2 * u
    z[row] += both
    z[row + 1] += rest
    z[count - 2] -= both
    z[count - 1] -= rest
    mirrored = (row, count - 2), (row + 1, count - 1)
    y[row + 2] *= 1.0 + feeder.y_uncertainty[:, None, None]
    row += 3
    total = complex((COMPONENTS @ load.sum(axis=0) @ SEQUENCES)[1, 1])
    for part, turn in enumerate((1.0, -1j)):
        at = row + part * n + np.arange(n)
        size = spread[:, part]
        change = turn * size[:, None, None] * _shape(load[drawing])
        loads[at, drawing] += change
        added = (COMPONENTS @ change @ SEQUENCES)[:, 1, 1]
        # Where generators feed what loads draw there is no sum to keep.
        kept = np.abs(added) < 0.5 * abs(total)
        loads[at] *= np.where(kept, total / np.where(kept, total + added, 1.0), 1.0)[:, None, None, None]
    row += 2 * n
    # A generator may feed anything up to its size in a fault, at any angle, whatever it fed before.
    size = np.zeros(len(feeder.nodes))
    np.add.at(size, feeder.infeed.at, feeder.infeed.size / np.square(feeder.infeed.nominal))
    for turn in (1.0, 1j):
        loads[row + np.arange(m), feeding] += turn * size[feeding, None, None] * (np.eye(3) - 1.0 / 3.0)
        row += m
    before, during = (np.repeat(values[None], count, axis=0) for values in (measured.before, measured.during))
    channel = np.arange(6)
    for factor in (measured.gain, 1j * measured.angle):
        before[row + channel, channel] *= 1.0 + factor
        during[row + channel, channel] *= 1.0 + factor
        row += 6
    for turn in (1.0, 1j):
        during[row + channel, channel] += turn * measured.noise_during
        row += 6
    phases = channel[:3]
    size_before = np.maximum(np.abs(measured.before[:3]), TINY)  # a phase may not be measured at all
    before[row + phases, phases] *= 1.0 + measured.noise_before[:3] / size_before
    return Scenarios(look_in(feeder, z, y, loads), before, during, mirrored)


def _load_spread(feeder: Feeder, load: Complexes) -> tuple[Integers, Floats]:
    """Give positions that draw, and the standard uncertainty of the conductance and susceptance of each [S]."""
    drawing = np.flatnonzero(np.abs(load).max(axis=(1, 2)) > 0)
    variance = np.zeros((len(feeder.nodes), 2))
    known = np.zeros(len(feeder.nodes))
    np.add.at(variance[:, 0], feeder.at, np.square(feeder.power_uncertainty.real))
    np.add.at(variance[:, 1], feeder.at, np.square(feeder.power_uncertainty.imag))
    np.add.at(known, feeder.at, np.abs(feeder.power))
    relative = np.sqrt(variance[drawing]) / np.maximum(known[drawing, None], 1e-9)
    relative[known[drawing] == 0] = 0.2  # behind a transformer
    size = np.abs((COMPONENTS @ load[drawing] @ SEQUENCES)[:, 1, 1])
    return drawing, relative * size[:, None]


def _shape(load: Complexes) -> Floats:
    """Give what loads are between, scaled to a positive sequence of 1."""
    positive = np.abs((COMPONENTS @ load @ SEQUENCES)[:, 1, 1])
    shape: Floats = np.abs(load) * np.sign(load.real) / np.maximum(positive, 1e-30)[:, None, None]
    return shape

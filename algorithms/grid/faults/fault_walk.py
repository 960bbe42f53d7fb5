r"""
Along a feeder with a fault somewhere on it: voltages and currents from what the head measured, section by section.

Where it stands: `fault_location` asks what head and meters would see of a fault at a point; this does the network's
part. Whatever is off the path to the fault, and below it, is a known admittance, so the walk down from the head is
exact and needs neither the source's impedance nor the fault's.

With a section of series impedance Z and shunt admittance Y, sending end s and receiving end r,

.. math:: V_r = (1 + Z Y / 2) V_s - Z I_s, \quad I_r = (1 + Y Z / 2) I_s - (Y + Y Z Y / 4) V_s

Rules:

- Every array has scenarios as its first axis: the same feeder with data a little different, all walked at once.
- A point on a section is a share of its length from the end nearer to the head.
- SI units; phase quantities only.
"""

from dataclasses import dataclass

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Integers, Truths
from algorithms.grid.faults.feeder import Feeder

_eye = np.eye(3)


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """
    How the meters of a feeder lie to its sections; fixed while the topology is.

    Attributes
    ----------
    sections : numpy.ndarray
        Positions below which a section of some length ends, shape (u,).
    positions : numpy.ndarray
        Of the meters, shape (m,).
    fork : numpy.ndarray
        Last position that the ways to a section's beginning and to a meter share, shape (u, m).
    below : numpy.ndarray
        Whether a meter is fed through a section, shape (u, m), bool.
    """

    sections: Integers
    positions: Integers
    fork: Integers
    below: Truths


def find_ways(feeder: Feeder, positions: Integers) -> Ways:
    """Lay meters at `positions` against the sections of a feeder."""
    sections = np.flatnonzero(feeder.length > 0)
    fork = np.zeros((sections.size, len(positions)), dtype=np.intp)
    below = np.zeros((sections.size, len(positions)), dtype=bool)
    for column, position in enumerate(positions):
        way = feeder.path(int(position))
        for row, section in enumerate(sections):
            below[row, column] = section in way
            shared = [0, *(one for one, other in zip(way, feeder.path(int(section)), strict=False) if one == other)]
            fork[row, column] = shared[-2] if below[row, column] and shared[-1] == section else shared[-1]
    return Ways(sections, np.asarray(positions, dtype=np.intp), fork, below)


@dataclass(frozen=True, slots=True, eq=False)
class Looking:
    """
    Admittances of a feeder as seen from above, for s scenarios and k positions.

    Attributes
    ----------
    z, y : numpy.ndarray
        Of the sections, shape (s, k, 3, 3) [ohm, S].
    down : numpy.ndarray
        Everything at and below each position, shape (s, k, 3, 3) [S].
    into : numpy.ndarray
        The same seen through the section above it, shape (s, k, 3, 3) [S].
    transfer : numpy.ndarray
        Voltage at each position over that of its parent, shape (s, k, 3, 3) [1].
    """

    z: Complexes
    y: Complexes
    down: Complexes
    into: Complexes
    transfer: Complexes


def inverse(matrices: Complexes) -> Complexes:
    """
    Invert matrices by their adjugates: for stacks of three by three ten times as fast as elimination.

    Parameters
    ----------
    matrices : numpy.ndarray
        Near to unity, as those here are, shape (..., 3, 3).

    Examples
    --------
    >>> bool(np.allclose(inverse(np.diag([1.0, 2.0, 4.0]) + 0j), np.diag([1.0, 0.5, 0.25])))
    True
    """
    (a, b, c), (d, e, f), (g, h, i) = [[matrices[..., row, column] for column in range(3)] for row in range(3)]
    found = np.empty_like(matrices)
    first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
    scale = 1.0 / (a * first + b * second + c * third)
    found[..., 0, 0], found[..., 1, 0], found[..., 2, 0] = first * scale, second * scale, third * scale
    found[..., 0, 1], found[..., 1, 1], found[..., 2, 1] = (
        (c * h - b * i) * scale, (a * i - c * g) * scale, (b * g - a * h) * scale
    )  # fmt: skip
    found[..., 0, 2], found[..., 1, 2], found[..., 2, 2] = (
        (b * f - c * e) * scale, (c * d - a * f) * scale, (a * e - b * d) * scale
    )  # fmt: skip
    return found


def look_in(feeder: Feeder, z: Complexes, y: Complexes, load: Complexes) -> Looking:
    """
    Gather admittances from the leaves up.

    Parameters
    ----------
    feeder : Feeder
    z, y, load : numpy.ndarray
        Of sections and loads, shape (s, k, 3, 3) [ohm, S, S].
    """
    zy, yz = z @ y, y @ z
    a, d, c = _eye + zy / 2, _eye + yz / 2, y + yz @ y / 4
    down = np.array(np.broadcast_to(load, z.shape))
    into, transfer = np.zeros_like(down), np.zeros_like(down)
    into[:, 0] = transfer[:, 0] = _eye
    for position in range(len(feeder.nodes) - 1, 0, -1):
        below = down[:, position]
        b = z[:, position]
        into[:, position] = inverse(d[:, position] + below @ b) @ (c[:, position] + below @ a[:, position])
        transfer[:, position] = a[:, position] - b @ into[:, position]
        down[:, feeder.parent[position]] += into[:, position]
    return Looking(z, y, down, into, transfer)


@dataclass(frozen=True, slots=True, eq=False)
class Walk:
    """
    A faulted feeder as seen from its head, ready to be asked about any point.

    Attributes
    ----------
    looking : Looking
    ways : Ways
    sending, current : numpy.ndarray
        Voltage and current at the beginning of each section if the fault is on or below it, shape (s, u, 3) [V, A].
    volts : numpy.ndarray
        Voltage at each position if the fault is below it, shape (s, k, 3) [V].
    aside : numpy.ndarray
        Voltages at meters that are not fed through a section, shape (s, u, m, 3) [V].
    onward : numpy.ndarray
        From voltages at positions to those at meters fed through them, shape (s, m, k, 3, 3) [1].
    """

    looking: Looking
    ways: Ways
    sending: Complexes
    current: Complexes
    volts: Complexes
    aside: Complexes
    onward: Complexes


def walk(feeder: Feeder, looking: Looking, ways: Ways, voltage: Complexes, current: Complexes) -> Walk:
    """
    Walk down from what the head measured during the fault.

    Parameters
    ----------
    voltage, current : numpy.ndarray
        Of the head, shape (s, 3) [V, A].
    """
    scenarios, count = looking.z.shape[:2]
    z, y = looking.z, looking.y
    volts, into = np.zeros((2, scenarios, count, 3), dtype=complex)
    sent = np.zeros_like(volts)
    volts[:, 0], into[:, 0] = voltage, current
    for position in range(1, count):
        above = int(feeder.parent[position])
        source = volts[:, above]
        here = into[:, above]
        if above:
            aside = looking.down[:, above] - looking.into[:, position]
            here = here - (aside @ source[..., None])[..., 0]
        sent[:, position] = here
        half = y[:, position] / 2
        series = here - (half @ source[..., None])[..., 0]
        reached = source - (z[:, position] @ series[..., None])[..., 0]
        volts[:, position] = reached
        into[:, position] = series - (half @ reached[..., None])[..., 0]
    fork, sections = ways.fork, ways.sections
    onward = _transfers(feeder, looking, ways)
    aside = np.empty((scenarios, sections.size, ways.positions.size, 3), dtype=complex)
    for number, position in enumerate(ways.positions.tolist()):
        # Only places on the way to the meter can be where the way to a section leaves it.
        places = [0, *feeder.path(position)]
        rank = np.zeros(count, dtype=np.intp)
        rank[places] = np.arange(len(places))
        reached = (onward[:, number, places] @ volts[:, places][..., None])[..., 0]
        aside[:, :, number] = reached[:, rank[fork[:, number]]]
    return Walk(looking, ways, volts[:, feeder.parent[sections]], sent[:, sections], volts, aside, onward)


def _transfers(feeder: Feeder, looking: Looking, ways: Ways) -> Complexes:
    """Give voltages at meters over those at every position on the way to them, shape (s, m, k, 3, 3)."""
    scenarios, count = looking.z.shape[:2]
    found = np.zeros((scenarios, ways.positions.size, count, 3, 3), dtype=complex)
    for number, position in enumerate(ways.positions.tolist()):
        found[:, number, position] = _eye
        for place in feeder.path(position)[::-1]:
            found[:, number, feeder.parent[place]] = found[:, number, place] @ looking.transfer[:, place]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """
    What a fault at n points would show, in s scenarios.

    Attributes
    ----------
    voltage, current : numpy.ndarray
        Of the fault itself, shape (s, n, 3) [V, A].
    end : numpy.ndarray
        Voltage at the end of the section, shape (s, n, 3) [V].
    meters : numpy.ndarray
        Voltages at the meters, shape (s, n, m, 3) [V].
    """

    voltage: Complexes
    current: Complexes
    end: Complexes
    meters: Complexes


def at_points(walked: Walk, rows: Integers, shares: Floats) -> Point:
    """
    Ask about points.

    Parameters
    ----------
    walked : Walk
    rows : numpy.ndarray
        Numbers among `Ways.sections`, shape (n,).
    shares : numpy.ndarray
        Of the section's length from the head's side, 0 to 1, shape (n,).
    """
    looking, sections = walked.looking, walked.ways.sections[rows]
    z, y = looking.z[:, sections], looking.y[:, sections]
    share = shares[:, None]
    # Upper part: half its shunt, its series impedance, half its shunt.
    half = share[..., None] * y / 2
    source = walked.sending[:, rows]
    series = walked.current[:, rows] - (half @ source[..., None])[..., 0]
    voltage = source - share * (z @ series[..., None])[..., 0]
    above = series - (half @ voltage[..., None])[..., 0]
    # Lower part and everything behind it, as an admittance at the fault.
    rest = (1.0 - shares)[:, None, None]
    half = rest * y / 2
    behind = looking.down[:, sections] + half
    through = inverse(_eye + rest * (z @ behind)) @ voltage[..., None]  # voltage at the end of the section
    below = (behind @ through)[..., 0] + (half @ voltage[..., None])[..., 0]
    meters = walked.aside[:, rows]
    places, numbers = np.nonzero(walked.ways.below[rows])
    meters[:, places, numbers] = (walked.onward[:, numbers, sections[places]] @ through[:, places])[..., 0]
    return Point(voltage, above - below, through[..., 0], meters)

r"""
The feeder ahead of a terminal as a tree of three-phase sections, its loads, and the meters along it.

Where it stands: fault detection derives its thresholds from it (`fault_settings`), fault location walks along it
(`fault_walk`); `feeder_ahead` makes it of a network.

Rules:

- Radial, three phases; a section may lack phases. Neutrals at earth at both ends belong to the phases (Kron's
  reduction); one that floats carries nothing here.
- What hangs behind a transformer is drawn together to one admittance at the node above it, its loads taken at nominal
  voltage.
- The head is position 0 and parents come before children; a subtree is one slice.
- Distances count from a section's `from_node`, whichever way the walk goes.
"""

from dataclasses import dataclass, replace

import numpy as np

from algorithms.api.network_tables import Complexes, Floats, Integers, Truths


@dataclass(frozen=True, slots=True, eq=False)
class Meter:
    """A terminal along the feeder with a meter, and the position of its node."""

    device: str
    terminal: str
    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Infeed:
    """
    Generators along the feeder, each phase or pair of phases by itself.

    Attributes
    ----------
    at, across, power, nominal, exponents
        As the loads of `Feeder`; power is negative where it feeds.
    size : numpy.ndarray
        Most that each may feed in a fault, shape (m,) [VA].
    """

    at: Integers
    across: Floats
    power: Complexes
    nominal: Floats
    exponents: Floats
    size: Floats

    def admittance(self, count: int, voltages: Complexes | None = None) -> Complexes:
        """Give their admittance at `count` positions for voltages there, shape (k, 3, 3) [S]; nominal where None."""
        p, q = self.power.real, self.power.imag
        if voltages is not None:
            # Converters hold their current down to low voltages.
            ratio = np.maximum(np.abs((self.across * voltages[self.at]).sum(axis=1)) / self.nominal, 0.2)
            p, q = p * ratio ** (self.exponents[:, 0] - 2.0), q * ratio ** (self.exponents[:, 1] - 2.0)
        each = (p - 1j * q) / self.nominal**2
        total = np.zeros((count, 3, 3), dtype=complex)
        np.add.at(total, self.at, each[:, None, None] * self.across[:, :, None] * self.across[:, None, :])
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Feeder:
    """
    What hangs ahead of a terminal.

    Attributes
    ----------
    network : str
    topology_revision, revision : int
    terminal : str
    frequency : float
        [Hz]
    nominal_voltage : float
        Phase to neutral at the head [V].
    nodes : tuple of str
        Ids by position.
    parent, end : numpy.ndarray
        Position of the parent, and behind the last of the subtree, shape (k,).
    section : tuple of str
        Id of the branch above each position; empty for the head and behind a switch.
    forward : numpy.ndarray
        Whether that branch's `from_node` is the parent, shape (k,), bool.
    z, y : numpy.ndarray
        Series impedance and shunt admittance of the section above, shape (k, 3, 3) [ohm, S].
    length : numpy.ndarray
        Shape (k,) [m].
    phases : numpy.ndarray
        Which phases the section above has, shape (k, 3), bool.
    z_uncertainty, y_uncertainty : numpy.ndarray
        Relative standard uncertainty, shape (k,) [1].
    fixed : numpy.ndarray
        Admittance at each position of what is behind transformers, shape (k, 3, 3) [S].
    at : numpy.ndarray
        Position of each element of load, shape (m,).
    across : numpy.ndarray
        How its voltage follows from those of the phases, shape (m, 3).
    power : numpy.ndarray
        P + jQ at nominal voltage, shape (m,) [VA].
    power_uncertainty : numpy.ndarray
        Standard uncertainty of P + jQ, in real and imaginary part; a fifth of the power where unknown, shape (m,) [VA].
    nominal : numpy.ndarray
        Voltage across it, shape (m,) [V].
    exponents : numpy.ndarray
        Of P and Q, shape (m, 2) [1].
    infeed : Infeed
        Generators that are not behind a transformer.
    generation : float
        Apparent power of all generators ahead [VA].
    meters : tuple of Meter
        Others than the one at the head.
    reverse : bool
        Whether currents at the head are measured against the way ahead, as below a breaker; position 1 is then the
        head's own node.
    """

    network: str
    revision: int
    topology_revision: int
    terminal: str
    frequency: float
    nominal_voltage: float
    nodes: tuple[str, ...]
    parent: Integers
    end: Integers
    section: tuple[str, ...]
    forward: Truths
    z: Complexes
    y: Complexes
    length: Floats
    phases: Truths
    z_uncertainty: Floats
    y_uncertainty: Floats
    fixed: Complexes
    at: Integers
    across: Floats
    power: Complexes
    power_uncertainty: Complexes
    nominal: Floats
    exponents: Floats
    infeed: Infeed
    generation: float
    meters: tuple[Meter, ...]
    reverse: bool

    def path(self, position: int) -> list[int]:
        """Give the positions from below the head down to one."""
        way = []
        while position > 0:
            way.append(position)
            position = int(self.parent[position])
        return way[::-1]

    def load_admittance(self, voltages: Complexes | None = None) -> Complexes:
        """
        Give the admittance of loads at each position.

        Parameters
        ----------
        voltages : numpy.ndarray or None
            Of the phases at each position, shape (k, 3) [V]; None for nominal ones. Below 0.7 of nominal a load is
            taken for an impedance, since no motor or converter goes on drawing its power there.

        Returns
        -------
        numpy.ndarray
            Shape (k, 3, 3) [S].
        """
        p, q = self.power.real, self.power.imag
        if voltages is not None:
            ratio = np.maximum(np.abs((self.across * voltages[self.at]).sum(axis=1)) / self.nominal, 0.7)
            p, q = p * ratio ** (self.exponents[:, 0] - 2.0), q * ratio ** (self.exponents[:, 1] - 2.0)
        each = (p - 1j * q) / self.nominal**2
        total = self.fixed.copy()
        np.add.at(total, self.at, each[:, None, None] * self.across[:, :, None] * self.across[:, None, :])
        return total

    def at_frequency(self, frequency: float) -> "Feeder":
        """
        Give the feeder as it is at another frequency.

        Reactances and susceptances of lines go with the frequency, and so does the reactive power of loads: less of it
        at a higher one where it magnetises, more where it charges. Generators hold theirs.

        Parameters
        ----------
        frequency : float
            [Hz]
        """
        ratio = frequency / self.frequency
        inductive = np.trace(self.fixed, axis1=1, axis2=2).imag < 0.0
        behind = np.where(inductive, 1.0 / ratio, ratio)[:, None, None]
        p, q = self.power.real, self.power.imag
        return replace(
            self,
            frequency=frequency,
            z=self.z.real + 1j * ratio * self.z.imag,
            y=self.y.real + 1j * ratio * self.y.imag,
            fixed=self.fixed.real + 1j * behind * self.fixed.imag,
            power=p + 1j * np.where(q > 0.0, q / ratio, q * ratio),
        )

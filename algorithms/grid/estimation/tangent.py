r"""
How inputs and what meters see change with the state an estimator varies, at one operating point.

Where it stands: `gain` weighs it once for a topology and a metering; `estimate` uses it for uncertainties of what is
reported.

The state x is the emfs of the sources, each as real and imaginary parts of its zero, positive and negative sequence
relative to its own angle, then P of all elements, then Q of all elements:

.. math:: dI = (dS / U)^* - I (dU / U)^*

where U is the voltage across the element: a load keeps its power when its voltage moves.

Rules:

- Where the network is small enough, the derivatives are matrices. Where not, they are applied, and the second term
  above is taken of the first alone: what is left out is of the size of the voltage drop squared.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from algorithms.api.network_tables import Complexes, Floats, Integers
from algorithms.grid.estimation.observation import Observation
from algorithms.grid.estimation.response import Response
from algorithms.grid.primitives import SEQUENCES

ROUNDS = 8
FOLLOWED = 4
ENOUGH = 1e-3
"""Derivatives that are as near are near enough, relative to the largest [1]."""
PER_SOURCE = 6
"""Real numbers for the emfs of a source."""


def emf_directions(emfs: Complexes) -> Complexes:
    """
    Give emfs of phases for the state of their sources.

    Parameters
    ----------
    emfs : numpy.ndarray
        As the model states them, shape (3 s,) [V].

    Returns
    -------
    numpy.ndarray
        Shape (3 s, 6 s) [1].
    """
    count = len(emfs) // 3
    matrix = np.zeros((3 * count, PER_SOURCE * count), dtype=complex)
    for source in range(count):
        own = emfs[3 * source]
        turn = own / abs(own) if own else 1.0
        block = np.empty((3, PER_SOURCE), dtype=complex)
        block[:, 0::2], block[:, 1::2] = SEQUENCES * turn, SEQUENCES * (1j * turn)
        matrix[3 * source : 3 * source + 3, PER_SOURCE * source : PER_SOURCE * (source + 1)] = block
    return matrix


@dataclass(frozen=True, slots=True, eq=False)
class Tangent:
    """
    Derivatives at an operating point.

    Attributes
    ----------
    response : Response
    observation : Observation
    emf : numpy.ndarray
        Emfs of the state of the sources, shape (3 s, 6 s) [1].
    inverse : numpy.ndarray
        1 / U* of the elements, shape (m,) [1/V].
    drawn : numpy.ndarray
        I of the elements, shape (m,) [A].
    point : numpy.ndarray
        The inputs there, shape (n_inputs,) [V, A].
    seen : numpy.ndarray
        What is seen there, shape (u,) [V, A].
    inputs : numpy.ndarray or None
        Of inputs, shape (n_inputs, n); None where it is applied.
    of_seen : numpy.ndarray or None
        Of what is seen, shape (u, n).
    started : numpy.ndarray
        The state there, shape (n,).
    follow : numpy.ndarray or None
        Of voltages across elements, real and imaginary part after another, shape (2 m, n).
    """

    response: Response
    observation: Observation
    emf: Complexes
    inverse: Complexes
    drawn: Complexes
    point: Complexes
    seen: Complexes
    inputs: Complexes | None
    of_seen: Complexes | None
    started: Floats
    follow: Floats | None

    @property
    def size(self) -> int:
        """Number of real numbers in the state."""
        return int(self.emf.shape[1]) + 2 * len(self.inverse)

    def of_inputs(self, change: Floats) -> Complexes:
        """Give changes of inputs for changes of the state, shape (n, j) -> (n_inputs, j)."""
        if self.inputs is not None:
            return self.inputs @ change
        found = self._at_once(change)
        pulled = self._pull * self.observation.across(found).conj()
        found[len(self.response.emfs) :] -= pulled
        return found

    @property
    def _pull(self) -> Complexes:
        """How much less an element draws where its voltage is higher, shape (m, 1) [A/V]."""
        return (self.drawn * self.inverse)[:, np.newaxis]

    def _at_once(self, change: Floats) -> Complexes:
        """Give changes of inputs while voltages across elements stay, shape (n, j) -> (n_inputs, j)."""
        sources, elements = self.emf.shape[1], len(self.inverse)
        power = change[sources : sources + elements] - 1j * change[sources + elements :]
        return np.concatenate([self.emf @ change[:sources], self.inverse[:, np.newaxis] * power])

    def loadings(self, seen: Complexes) -> Complexes:
        """Give how linear combinations change with the state here; as in `loadings_at`."""
        if self.inputs is not None:
            return seen @ self.inputs
        return loadings_at(self, seen, self.inverse, self.drawn)

    def columns(self, entries: Integers, size: Floats) -> tuple[Complexes, Complexes]:
        """
        Give changes of inputs, and of what is seen, for changes of single entries of the state.

        Parameters
        ----------
        entries : numpy.ndarray
            Shape (k,).
        size : numpy.ndarray
            How large each is, shape (k,).

        Returns
        -------
        tuple of numpy.ndarray
            Shapes (n_inputs, k) and (u, k).
        """
        if self.inputs is not None:
            of_inputs = self.inputs[:, entries] * size
        else:
            change = np.zeros((self.size, len(entries)))
            change[entries, np.arange(len(entries))] = size
            of_inputs = self.of_inputs(change)
        return of_inputs, self.observation.see(of_inputs)

    def forward(self, change: Floats) -> Floats:
        """Give changes of what meters tell, shape (n, j) -> (e, j)."""
        of_seen = self.of_seen @ change if self.of_seen is not None else self.observation.see(self.of_inputs(change))
        return self.observation.equations.change(self.seen, of_seen)

    def moves(self, change: Floats) -> Floats:
        """
        Give changes of emfs, powers of elements and voltages across them.

        Parameters
        ----------
        change : numpy.ndarray
            Of the state, shape (n, j).

        Returns
        -------
        numpy.ndarray
            Real and imaginary part of each after another, shape (2 (3 s + 2 m), j).
        """
        elements, sources = len(self.inverse), self.emf.shape[1]
        powers = change[sources : sources + elements] + 1j * change[sources + elements :]
        moved = side_by_side(np.concatenate([self.emf @ change[:sources], powers]))
        if self.follow is not None:
            return np.concatenate([moved, self.follow @ change])
        return np.concatenate([moved, side_by_side(self.observation.across(self.of_inputs(change)))])

    def adjoint(self, weights: Floats) -> Floats:
        """Apply the transpose of `forward`, shape (e, j) -> (n, j)."""
        towards = self.observation.equations.towards(self.seen, weights)
        of_inputs = self.observation.back(towards)
        sources = self.response.emfs.size
        if self.inputs is None:
            of_inputs -= self.observation.back_across(of_inputs[sources:].conj() * self._pull)
        of_emfs = (self.emf.conj().T @ of_inputs[:sources]).real
        of_powers = self.inverse.conj()[:, np.newaxis] * of_inputs[sources:]
        return np.concatenate([of_emfs, of_powers.real, -of_powers.imag])


def loadings_at(tangent: Tangent, seen: Complexes, inverse: Complexes, drawn: Complexes) -> Complexes:
    """
    Give how linear combinations change with the state, at another operating point of the same network.

    Parameters
    ----------
    tangent : Tangent
    seen : numpy.ndarray
        What each answers to inputs, as of `Response.seen`, shape (q, n_inputs).
    inverse, drawn : numpy.ndarray
        1 / U* and I of the elements there, shape (m,) [1/V, A].

    Returns
    -------
    numpy.ndarray
        Shape (q, n).
    """
    response, observation, sources = tangent.response, tangent.observation, len(tangent.response.emfs)
    found = np.zeros((len(seen), tangent.size), dtype=complex)
    part = seen
    for turn in range(FOLLOWED):
        of_powers = part[:, sources:] * inverse
        each = np.concatenate([part[:, :sources] @ tangent.emf, of_powers, -1j * of_powers], axis=1)
        found += -each.conj() if turn % 2 else each
        # What elements draw changes with voltages, which change with what elements draw, ever less.
        pulled = (part[:, sources:] * (drawn * inverse)).conj()
        if observation.dense:
            part = pulled @ observation.matrix[: len(inverse)]
        else:
            part = response.seen(csr_array(csr_array(pulled) @ response.elements.incidence))
    return found


def _following(across: Complexes, emf: Complexes, inverse: Complexes, pull: Complexes) -> Complexes:
    """
    Give changes of the currents of elements, which follow the voltages that they change themselves, shape (m, n).

    Each round adds a power of the voltage drop, relative to the voltage: a few suffice. As each takes the conjugate,
    what Q does is what P does, a right angle behind in even rounds and ahead in odd ones.
    """
    sources, size = emf.shape
    term = np.concatenate([np.zeros((len(inverse), size)), np.diag(inverse)], axis=1)
    even, odd = term.copy(), np.zeros_like(term)
    largest = np.abs(inverse).max(initial=0.0)
    for turn in range(1, ROUNDS + 1):
        seen = across[:, sources:] @ term
        if turn == 1:
            seen[:, :size] += across[:, :sources] @ emf
        term = -pull[:, np.newaxis] * seen.conj()
        (odd if turn % 2 else even)[:] += term
        if np.abs(term).max(initial=0.0) <= ENOUGH * largest:
            break
    return np.concatenate([even + odd, -1j * (even - odd)[:, size:]], axis=1)


def side_by_side(matrix: Complexes) -> Floats:
    """Give real and imaginary part of each row after another, shape (k, j) -> (2 k, j)."""
    return np.ascontiguousarray(np.stack([matrix.real, matrix.imag], axis=1).reshape(2 * len(matrix), matrix.shape[1]))


def tangent_at(
    response: Response, observation: Observation, emf: Complexes, inputs: Complexes, *, dense: bool
) -> Tangent:
    """
    Take the derivatives.

    Parameters
    ----------
    response : Response
    observation : Observation
    emf : numpy.ndarray
        Of `emf_directions`.
    inputs : numpy.ndarray
        The operating point, shape (n_inputs,) [V, A].
    dense : bool
        Whether to keep matrices.
    """
    seen = observation.see(inputs)
    elements, sources = len(response.elements), len(response.emfs)
    inverse = 1.0 / seen[:elements].conj()
    drawn = inputs[sources:]
    powers = seen[:elements] * drawn.conj()
    started = np.concatenate([np.zeros(emf.shape[1]), powers.real, powers.imag])
    of_inputs = of_seen = follow = None
    if dense:
        size = emf.shape[1]
        of_inputs = np.zeros((response.size, size + 2 * elements), dtype=complex)
        of_inputs[:sources, :size] = emf
        of_inputs[sources:] = _following(observation.matrix[:elements], emf, inverse, drawn * inverse)
        of_seen = observation.matrix @ of_inputs
        follow = side_by_side(of_seen[:elements])
    return Tangent(response, observation, emf, inverse, drawn, inputs, seen, of_inputs, of_seen, started, follow)

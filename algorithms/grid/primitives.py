r"""
Nodal admittance of each piece of equipment on its own terminals, before anything is joined.

Where it stands: `admittance` joins these matrices to that of the network; flows are computed with the same matrices
from the voltages found, so what goes in and what comes out can never disagree.

Rules:

- A branch or transformer has eight terminals: A, B, C, N at `from_node`, then at `to_node`. Rows and columns of
  conductors it does not have are zero.
- Currents are positive into the equipment.
- A transformer's own zero-sequence path runs through its star points, which are the terminals N where they are
  brought out (``YN``, ``yn``, ``ZN``, ``zn``).
"""

import cmath
import math
import re

import numpy as np

from algorithms.api.errors import NetworkError, Problem
from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Branches, Complexes, Sources, Transformers, Truths

_turn = cmath.rect(1.0, 2 * math.pi / 3)
SEQUENCES: Complexes = np.array([[1, 1, 1], [1, _turn**2, _turn], [1, _turn, _turn**2]], dtype=complex)
"""From zero, positive and negative sequence (columns) to phases A, B and C (rows)."""
COMPONENTS: Complexes = SEQUENCES.conj() / 3.0
"""From phases to zero, positive and negative sequence."""

VECTOR_GROUP = re.compile(r"(YN|ZN|Y|D|Z)(yn|zn|y|d|z)(\d|1[01])")


def phase_matrices(zero: Complexes, positive: Complexes, negative: Complexes) -> Complexes:
    """
    Turn sequence values into matrices of three phases.

    Parameters
    ----------
    zero, positive, negative : numpy.ndarray
        Shape (n,).

    Returns
    -------
    numpy.ndarray
        Shape (n, 3, 3), in the unit of the parameters.
    """
    diagonal = np.stack(np.broadcast_arrays(zero, positive, negative), axis=-1)
    matrices: Complexes = (SEQUENCES * diagonal[..., np.newaxis, :]) @ COMPONENTS
    return matrices


def branch_primitives(branches: Branches) -> Complexes:
    r"""
    Give the admittance of lines as pi circuits: series admittance, and half of the shunt admittance at each end.

    .. math:: Y = \begin{bmatrix} z^{-1} + y/2 & -z^{-1} \\ -z^{-1} & z^{-1} + y/2 \end{bmatrix}

    The inverse is taken over the conductors present. Where both ends of a neutral are at earth, leaving out its rows
    and columns is Kron's reduction, without any approximation.

    Returns
    -------
    numpy.ndarray
        Shape (n, 8, 8) [S].

    References
    ----------
    W. H. Kersting, *Distribution System Modeling and Analysis*, CRC Press, chapters 4 to 6.
    """
    return pi_primitives(branches.z, branches.y, branches.conductors)


def pi_primitives(z: Complexes, y: Complexes, conductors: Truths) -> Complexes:
    """
    Do as `branch_primitives`, of matrices.

    Parameters
    ----------
    z, y : numpy.ndarray
        Series impedance and shunt admittance, 0 for conductors that are absent, shape (n, 4, 4) [ohm, S].
    conductors : numpy.ndarray
        Which there are, shape (n, 4), bool.
    """
    series = series_admittances(z, conductors)
    primitives = np.zeros((len(z), 8, 8), dtype=complex)
    primitives[:, :4, :4] = primitives[:, 4:, 4:] = series + y / 2
    primitives[:, :4, 4:] = primitives[:, 4:, :4] = -series
    return primitives


def series_admittances(z: Complexes, conductors: Truths) -> Complexes:
    """Invert series impedances over the conductors present, 0 for the others, shape (n, 4, 4) [S]."""
    absent = ~conductors
    series = np.asarray(np.linalg.inv(z + absent[:, :, np.newaxis] * np.eye(4)), dtype=complex)
    series[absent[:, :, np.newaxis] | absent[:, np.newaxis, :]] = 0.0
    return series


def turns(transformers: Transformers) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Give the turns of both windings as their taps stand, relative to those at rated voltage, shape (n, 2) [1]."""
    relative = np.ones((len(transformers), 2))
    for row, tap in enumerate(transformers.tap):
        if tap is not None:
            relative[row, tap.end] += (tap.position - tap.neutral) * tap.step
    return relative


def transformer_primitives(model: NetworkModel) -> Complexes:
    r"""
    Give the admittance of transformers on A, B, C and star point of both sides.

    For the positive sequence, with the complex ratio :math:`t = n e^{j k \pi / 6}` of a group with clock number k,

    .. math:: Y_1 = y \begin{bmatrix} 1 & -t \\ -t^* & |t|^2 \end{bmatrix}, \quad y = 1 / z

    and with :math:`t^*` for t in the negative sequence. The zero sequence passes a ``YNyn`` with the ratio n, or -n for
    clock numbers 2, 6 and 10; it meets the short-circuit impedance alone where the other winding is a delta, or where
    the winding itself is a zigzag; elsewhere only the zero-sequence magnetising impedance. Impedances are as stated at
    rated turns and grow with the square of the turns at `from_node`.

    Returns
    -------
    numpy.ndarray
        Shape (n, 8, 8) [S].

    Raises
    ------
    NetworkError
        When a three-phase vector group stands on other phases than ABC, or a single-phase one on none or all of them.

    References
    ----------
    IEC 60076-1, clause 7 (vector groups); M. S. Chen and W. E. Dillon, Proc. IEEE 62:7 (1974) 901-915,
    doi 10.1109/PROC.1974.9527 (primitive matrices in phase quantities).
    """
    transformers = model.transformers
    primitives = np.zeros((len(transformers), 8, 8), dtype=complex)
    problems = []
    scale = turns(transformers)[:, 0] ** 2
    for row, group in enumerate(transformers.vector_group):
        phases = np.flatnonzero(transformers.conductors[row])
        where = f"transformers[{transformers.ids[row]}].phases"
        series, zero = 1.0 / (transformers.z[row] * scale[row]), 1.0 / (transformers.z0[row] * scale[row])
        shunt, zero_shunt = transformers.y[row] / scale[row], transformers.y0[row] / scale[row]
        ratio = float(transformers.ratio[row])
        match = VECTOR_GROUP.fullmatch(group)
        if match is None:
            if len(phases) not in (1, 2):
                problems.append(Problem(where, f"one phase or a pair of phases for {group}", f"{len(phases)} phases"))
                continue
            primitives[row] = _single_phase(phases.tolist(), series, shunt, -ratio if group.endswith("6") else ratio)
        elif len(phases) != 3:
            problems.append(Problem(where, f"ABC for {group}", f"{len(phases)} phases"))
        else:
            primitives[row] = _three_phase(match, ratio, series=series, zero=zero, shunt=shunt, zero_shunt=zero_shunt)
    if problems:
        raise NetworkError(problems)
    return primitives


def star_points(transformers: Transformers) -> Truths:
    """
    Tell at which ends current can leave or enter by the terminal N, shape (n, 2).

    A star point that is brought out where no zero-sequence current can flow, as ``Yyn0`` on a core that gives its flux
    no way, carries nothing and is none.
    """
    connected = np.zeros((len(transformers), 2), dtype=bool)
    for row, group in enumerate(transformers.vector_group):
        match = VECTOR_GROUP.fullmatch(group)
        if match is None:
            connected[row] = np.count_nonzero(transformers.conductors[row]) == 1
            continue
        windings = match[1], match[2].upper()
        for end, winding in enumerate(windings):
            other = windings[1 - end]
            through = winding == "ZN" or (winding == "YN" and other in ("D", "YN"))
            connected[row, end] = through or (winding == "YN" and transformers.y0[row] != 0)
    return connected


def _single_phase(phases: list[int], series: complex, shunt: complex, ratio: float) -> Complexes:
    """Put one winding pair between a phase and the neutral, or between two phases, at both ends."""
    start, end = phases[0], phases[1] if len(phases) == 2 else 3
    incidence = np.zeros((2, 8))
    incidence[0, [start, end]] = incidence[1, [4 + start, 4 + end]] = 1.0, -1.0
    two_port = series * np.array([[1.0, -ratio], [-ratio, ratio**2]]) + np.diag([shunt, 0.0])
    primitive: Complexes = incidence.T @ two_port @ incidence
    return primitive


def _three_phase(
    group: re.Match[str], ratio: float, *, series: complex, zero: complex, shunt: complex, zero_shunt: complex
) -> Complexes:
    high, low, clock = group[1], group[2], int(group[3])
    turn = ratio * np.exp(1j * math.pi / 6 * clock)
    sequences = np.zeros((2, 2, 3), dtype=complex)
    for sequence, t in ((1, turn), (2, np.conj(turn))):
        sequences[:, :, sequence] = series * np.array([[1.0, -t], [-np.conj(t), abs(t) ** 2]])
        sequences[0, 0, sequence] += shunt
    if high == "YN" and low == "yn":
        through = -ratio if clock in (2, 6, 10) else ratio
        sequences[:, :, 0] = zero * np.array([[1.0, -through], [-through, ratio**2]])
        sequences[0, 0, 0] += zero_shunt
    else:
        sequences[0, 0, 0] = _alone(high, low.upper(), zero, zero_shunt)
        sequences[1, 1, 0] = _alone(low.upper(), high, zero, zero_shunt) * ratio**2
    phases = (SEQUENCES * sequences[:, :, np.newaxis, :]) @ COMPONENTS
    star = np.zeros((2, 3, 4))
    for end, winding in enumerate((high, low.upper())):
        star[end, :, :3] = np.eye(3)
        star[end, :, 3] = -1.0 if winding.endswith("N") else 0.0
    blocks = np.einsum("iac,ijab,jbd->icjd", star, phases, star)
    primitive: Complexes = blocks.reshape(8, 8)
    return primitive


def _alone(winding: str, other: str, zero: complex, zero_shunt: complex) -> complex:
    """Tell what the zero sequence meets at a winding, as seen from `from_node`, when nothing leaves at the other."""
    if not winding.endswith("N"):
        return 0.0
    if winding == "ZN" or other == "D":
        return zero
    return zero_shunt


def source_primitives(sources: Sources) -> Complexes:
    """
    Give the admittance of sources on A, B, C and their star point, which is N where the node has a neutral.

    Returns
    -------
    numpy.ndarray
        Shape (n, 4, 4) [S].
    """
    zero = np.zeros(len(sources), dtype=complex)
    zero[sources.has_zero_sequence] = 1.0 / sources.z0[sources.has_zero_sequence]
    star = np.hstack([np.eye(3), -np.ones((3, 1))])
    primitives: Complexes = star.T @ phase_matrices(zero, 1.0 / sources.z1, 1.0 / sources.z1) @ star
    return primitives


def source_voltages(sources: Sources) -> Complexes:
    """Give the voltages behind the impedances, phase to star point, shape (n, 3) [V]."""
    voltages: Complexes = sources.voltage[:, np.newaxis] * np.array([1.0, _turn**2, _turn])
    return voltages

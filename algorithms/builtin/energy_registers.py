"""
Energy registers: what is counted, in which unit, and how its uncertainty grows.

A register is a whole number of millijoules and a rest that has not filled one yet, so it loses nothing however long it
counts. `Counts` is what one stretch adds; `Registers` holds the sums; both have a row for each phase and one for the
vector sum of the phases. The arithmetic sum, phase by phase in each direction, follows from the rows of the phases. The
error of a sampling rate lengthens every second and is not among the uncertainties: who states the rate answers for it.

Signs are CIM's: import is into the equipment. Quadrants are numbered anticlockwise from import with inductive reactive
power: Q1 imports active and reactive power, Q2 exports active and imports reactive, Q3 exports both, Q4 imports
active and exports reactive power (as IEC 62053-23, annex C, draws them).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from algorithms.api.errors import CheckpointError
from algorithms.waveform.phasor import Floats

COLUMNS = ("active_import", "active_export", "reactive_q1", "reactive_q2", "reactive_q3", "reactive_q4", "apparent")
"""Active [J], reactive by quadrant [var s], apparent [VA s]."""
PHASES = ("A", "B", "C")
VECTORIAL = 3
"""Row of the vector sum."""
ROWS = (*PHASES, "vectorial")
UNITS_PER_JOULE = 1000
STATE_VERSION = 1
CARRY = 10**18
"""What a number of a state stays below [mJ]: 64 bits hold no more than 5 GW bring in six weeks."""

_active, _reactive, _apparent = slice(0, 2), slice(2, 6), 6


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """
    What a stretch adds to every register.

    Attributes
    ----------
    energy : numpy.ndarray
        (4, 7), none negative [J, var s, VA s].
    gain, phase : numpy.ndarray
        Its error for one standard uncertainty of each phase's gain and phase displacement, (4, 7, 3), signed.
    variance : numpy.ndarray
        From noise (4, 7) [J^2].
    """

    energy: Floats
    gain: Floats
    phase: Floats
    variance: Floats

    def share(self, part: float) -> "Counts":
        """Return a part of it, spread evenly over the stretch."""
        return Counts(part * self.energy, part * self.gain, part * self.phase, part * self.variance)


def counts_of(
    *, p: Floats, q: Floats, s: Floats, variance: Floats, gain: Floats, phase: Floats, duration: float
) -> Counts:
    r"""
    Sort the powers of a stretch into registers.

    Parameters
    ----------
    p, q, s : numpy.ndarray
        Of phases A, B and C; 0 where there is none to count (3,) [W, var, VA].
    variance : numpy.ndarray
        Of p and of q from noise (3,) [W^2].
    gain, phase : numpy.ndarray
        Standard uncertainties of the product's gain [1] and of the angle between voltage and current [rad], (3,).
    duration : float
        [s]

    Notes
    -----
    :math:`\partial P / \partial \varphi = -Q`, :math:`\partial Q / \partial \varphi = P`. The vector sum has
    :math:`S^2 = P^2 + Q^2`, so that :math:`\partial S / \partial x = (P\,\partial P + Q\,\partial Q) / S`.
    """
    each = np.eye(3)
    total_p, total_q = float(p.sum()), float(q.sum())
    total_s = math.hypot(total_p, total_q)
    cosine, sine = (total_p / total_s, total_q / total_s) if total_s else (0.0, 0.0)
    # Parts of P, Q and S of each row that are due to each phase, (4, 3), and their change with each phase's angle.
    parts_p, parts_q = np.vstack([each * p, p]), np.vstack([each * q, q])
    parts_s = np.vstack([each * s, cosine * p + sine * q])
    turned_s = np.vstack([np.zeros((3, 3)), sine * p - cosine * q])
    rows_p, rows_q = np.append(p, total_p), np.append(q, total_q)
    imports, inductive = rows_p >= 0, rows_q >= 0
    sign = np.zeros((4, 7))
    sign[:, 0], sign[:, 1] = imports, imports - 1.0
    sign[:, 2], sign[:, 3] = imports & inductive, ~imports & inductive
    sign[:, 4], sign[:, 5] = -1.0 * (~imports & ~inductive), -1.0 * (imports & ~inductive)
    sign[:, _apparent] = 1.0
    sign *= duration
    energy = np.empty((4, 7))
    energy[:, _active], energy[:, _reactive] = rows_p[:, None], rows_q[:, None]
    energy[:, _apparent] = np.append(s, total_s)
    by_gain, by_phase = np.empty((4, 7, 3)), np.empty((4, 7, 3))
    by_gain[:, _active], by_gain[:, _reactive], by_gain[:, _apparent] = parts_p[:, None], parts_q[:, None], parts_s
    by_phase[:, _active], by_phase[:, _reactive], by_phase[:, _apparent] = -parts_q[:, None], parts_p[:, None], turned_s
    noise = np.append(variance, variance.sum())
    return Counts(
        energy=energy * sign,
        gain=by_gain * sign[:, :, None] * gain,
        phase=by_phase * sign[:, :, None] * phase,
        variance=np.square(sign) * noise[:, None],
    )


class RegisterState(msgspec.Struct, frozen=True):
    """
    Registers as they are kept; later versions may add fields and must go on writing these.

    Attributes
    ----------
    version : int
    rows, columns : tuple of str
        What the numbers stand for.
    whole : tuple of tuple of int
        [mJ]
    gain, phase : tuple
        As `Counts` [J].
    variance : tuple
        [J^2]
    carries : tuple of tuple of int
        How often `CARRY` is to be added to `whole`; nothing where it is nowhere.
    """

    version: int
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    whole: tuple[tuple[int, ...], ...]
    gain: tuple[float, ...]
    phase: tuple[float, ...]
    variance: tuple[float, ...]
    carries: tuple[tuple[int, ...], ...] = ()


class Registers:
    """Sums of everything counted; they never go down."""

    def __init__(self) -> None:
        self._whole = [[0] * len(COLUMNS) for _ in ROWS]
        self._rest = np.zeros((len(ROWS), len(COLUMNS)))
        self._gain = np.zeros((len(ROWS), len(COLUMNS), 3))
        self._phase = np.zeros_like(self._gain)
        self._variance = np.zeros_like(self._rest)

    def add(self, counts: Counts) -> None:
        """Count a stretch."""
        self._rest += counts.energy
        self._gain += counts.gain
        self._phase += counts.phase
        self._variance += counts.variance

    def table(self, phases: Sequence[str]) -> dict[str, dict[str, list[float]]]:
        """
        Return the registers of `phases` and of both sums: whole joules, and the standard uncertainty.

        A phase that counted once is told for ever, and in the sums, also where it is wired no longer: else the
        arithmetic sum would go down.

        Errors of gain and phase displacement stay the same from stretch to stretch and add up as they are; those of
        different phases, and noise, add up by their squares.
        """
        self._fold()
        square = np.square(self._gain).sum(axis=2) + np.square(self._phase).sum(axis=2) + self._variance
        told = [row for row, name in enumerate(PHASES) if name in phases or any(self._whole[row])]
        rows = {ROWS[row]: self._whole[row] for row in (*told, VECTORIAL)}
        squares = {name: square[row] for row, name in enumerate(ROWS)}
        rows["arithmetic"] = [sum(column) for column in zip(*(self._whole[row] for row in told), strict=True)]
        squares["arithmetic"] = square[told].sum(axis=0)
        return {name: _row(whole, squares[name].tolist()) for name, whole in rows.items()}

    def state(self) -> RegisterState:
        """Return what goes on in a later instance; the rest below a millijoule is left out."""
        self._fold()
        return RegisterState(
            STATE_VERSION,
            ROWS,
            COLUMNS,
            tuple(tuple(value % CARRY for value in row) for row in self._whole),
            tuple(self._gain.ravel().tolist()),
            tuple(self._phase.ravel().tolist()),
            tuple(self._variance.ravel().tolist()),
            tuple(tuple(value // CARRY for value in row) for row in self._whole) if self._carries() else (),
        )

    @classmethod
    def restored(cls, state: RegisterState) -> "Registers":
        """
        Go on from a state.

        Raises
        ------
        CheckpointError
            When it holds other registers, or what no register can hold.
        """
        registers = cls()
        size = registers._rest.size
        carries = state.carries or [[0] * len(COLUMNS)] * len(ROWS)
        right = (
            state.version >= 1
            and state.rows == ROWS
            and state.columns == COLUMNS
            and [len(row) for row in state.whole] == [len(COLUMNS)] * len(ROWS)
            and [len(row) for row in carries] == [len(COLUMNS)] * len(ROWS)
            and all(value >= 0 for row in (*state.whole, *carries) for value in row)
            and (len(state.gain), len(state.phase), len(state.variance)) == (3 * size, 3 * size, size)
            and all(map(math.isfinite, (*state.gain, *state.phase, *state.variance)))
            and all(value >= 0 for value in state.variance)
        )
        if not right:
            raise CheckpointError(f"registers {', '.join(COLUMNS)} of {', '.join(ROWS)} expected, found others")
        registers._whole = [
            [value + CARRY * carry for value, carry in zip(row, row_carries, strict=True)]
            for row, row_carries in zip(state.whole, carries, strict=True)
        ]
        registers._gain[:] = np.reshape(state.gain, registers._gain.shape)
        registers._phase[:] = np.reshape(state.phase, registers._phase.shape)
        registers._variance[:] = np.reshape(state.variance, registers._variance.shape)
        return registers

    def _carries(self) -> bool:
        return max(map(max, self._whole)) >= CARRY

    def _fold(self) -> None:
        """Move whole millijoules from the rest to the integers."""
        full = np.floor(self._rest * UNITS_PER_JOULE)
        self._rest -= full / UNITS_PER_JOULE
        for row, added in zip(self._whole, full.tolist(), strict=True):
            for column, units in enumerate(added):
                row[column] += int(units)


def _row(whole: Sequence[int], squares: Sequence[float]) -> dict[str, list[float]]:
    values: dict[str, list[float]] = {
        name: [units // UNITS_PER_JOULE, _rounded(math.sqrt(square))]
        for name, units, square in zip(COLUMNS, whole, squares, strict=True)
    }
    return values


def _rounded(uncertainty: float) -> float:
    return float(f"{uncertainty:.3g}")

"""
One scan on its way from what is known beforehand to the state that agrees best: where it stands, and how it moves.

Where it stands: `iteration` walks with it, quickly or carefully. It holds emfs, powers of elements and the voltages
across them in one vector, so that a step is one product.
"""

import numpy as np

from algorithms.api.network_tables import Complexes, Floats
from algorithms.grid.estimation.beforehand import Scan
from algorithms.grid.estimation.gain import Gain
from algorithms.grid.estimation.observation import Observation
from algorithms.grid.estimation.patch import Patch
from algorithms.grid.estimation.response import Response


class Walk:
    """
    A scan on its way.

    Parameters
    ----------
    response, observation
        Of the network.
    scan, gain, patch
        What to solve.
    turn : float
        By how much the readings' angles are ahead of the model's [rad].
    along : numpy.ndarray
        Where to start, along the directions of the gain, shape (r,).

    Attributes
    ----------
    emfs, powers, across : numpy.ndarray
        Where it is: views of one vector, shapes (3 s,), (m,), (m,) [V, VA, V].
    inputs : numpy.ndarray
        Emfs and currents of elements when it last looked, shape (n_inputs,) [V, A].
    along : numpy.ndarray
        Where it is along the directions of gain and patch, shape (r + k,).
    """

    def __init__(  # noqa: PLR0917 - what a scan is solved with
        self,
        response: Response,
        observation: Observation,
        scan: Scan,
        gain: Gain,
        patch: Patch | None,
        turn: float,
        along: Floats,
    ) -> None:
        emfs, count = len(response.emfs), len(response.elements)
        self._observation, self._scan, self._gain, self._patch, self._turn = observation, scan, gain, patch, turn
        self._emfs, self._count = emfs, count
        drawing, start = emfs + count, scan.start
        middle = len(start) - count
        moved = np.empty(drawing + count, dtype=complex)
        moved[:emfs] = response.emfs
        moved.real[emfs:drawing], moved.imag[emfs:drawing] = start[middle - count : middle], start[middle:]
        self.moved: Complexes = moved
        self.parts: Floats = moved.view(float)
        self.emfs, self.powers, self.across = moved[:emfs], moved[emfs:drawing], moved[drawing:]
        self.beforehand: Complexes = moved[:drawing].copy()
        self.inputs: Complexes = np.empty(drawing, dtype=complex)
        self._drawn = self.inputs[emfs:]
        self.along, self._moves = along, gain.moves
        if patch is not None and len(patch.widened):
            self.along = np.concatenate([along, np.zeros(len(patch.widened))])
            self._moves = np.concatenate([gain.moves, patch.moves], axis=1)

    def draw(self) -> None:
        """Have the elements draw their powers at the voltages as they are."""
        self.inputs[: self._emfs] = self.emfs
        np.conjugate(self.powers / self.across, out=self._drawn)

    def look(self) -> Complexes:
        """Give what is seen with the powers and voltages as they are, shape (u,)."""
        self.draw()
        return self._observation.see(self.inputs)

    def residuals(self, seen: Complexes) -> Floats:
        """Give readings less what is seen, shape (e,)."""
        found: Floats = self._scan.readings - self._observation.equations.values(seen)
        angles, missing = self._observation.equations.angle_rows, self._scan.missing
        if len(angles):
            found[angles] = np.angle(np.exp(1j * (found[angles] - self._turn)))
        if len(missing):
            found[missing] = 0.0
        return found

    def step(self, residuals: Floats) -> Floats:
        """Give where residuals pull to, shape (r + k,)."""
        gain, patch = self._gain, self._patch
        if patch is None:
            found: Floats = gain.step @ residuals.astype(gain.step.dtype, copy=False) - gain.shrink * self.along
            return found
        pulled = np.concatenate([gain.strength * (gain.left.T @ residuals), patch.pull.T @ residuals])
        return patch.solve(pulled - self.along)

    def explained(self, step: Floats) -> Floats:
        """Give what a step takes from residuals where equations are straight, shape (e,)."""
        gain, patch = self._gain, self._patch
        known = np.where(np.isfinite(gain.u_readings), gain.u_readings, 0.0)
        directions = len(gain.strength)
        found: Floats = known**2 * (gain.left @ (gain.strength * step[:directions]))
        if patch is not None:
            found = found + known**2 * (patch.pull @ step[directions:])
            found[patch.removed] = 0.0
        return found

    def effect(self, step: Floats) -> Floats:
        """Give the move that a step is, emfs, powers and voltages, real and imaginary parts after another."""
        moves = self._moves
        found: Floats = moves @ step.astype(moves.dtype, copy=False)
        return found

    def towards(self, residuals: Floats) -> Floats:
        """Give the step that residuals ask for: along the directions, then its effect."""
        step = self.step(residuals)
        return np.concatenate([step, self.effect(step)])

    def go(self, step: Floats) -> None:
        """Take a step as `towards` gives it, or a part of one."""
        directions = len(self.along)
        self.along = self.along + step[:directions]
        self.parts += step[directions:]

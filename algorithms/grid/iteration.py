"""
The steps from what is known beforehand to the state that agrees best with the readings.

Where it stands: `least_squares` calls it once a scan with the gain, and the patch if there is one. It keeps the last
scan's correction and voltages, where the next one starts: that saves steps, and changes no result beyond the tolerance.

Rules:

- A step costs a fixed number of numpy calls whatever the network's size; on a small one these are what time goes to.
- Complex vectors that follow from real ones are computed as real and imaginary parts side by side, half the work.
"""

import math

import numpy as np

from algorithms.api.network_tables import Complexes, Floats
from algorithms.grid.beforehand import Scan
from algorithms.grid.gain import Gain
from algorithms.grid.observation import Observation
from algorithms.grid.patch import Patch
from algorithms.grid.response import Response

TOLERANCE = 2e-5
"""The last correction is made when no voltage was off by more than this, relative to nominal [1]."""
LEFT = 0.05
"""Share of a correction that may be left after it: the rate of convergence, some 0.03 for LV, 0.2 for loaded MV [1]."""


class Iteration:
    """
    Steps of one network.

    Parameters
    ----------
    response : Response
    observation : Observation

    Attributes
    ----------
    inputs : numpy.ndarray
        Emfs of the sources and currents of the elements, shape (n_inputs,) [V, A].
    powers : numpy.ndarray
        Of the elements, shape (m,) [VA].
    along : numpy.ndarray
        Correction along each direction of gain and patch, shape (r + k,) [1].
    residuals : numpy.ndarray
        Shape (e,).
    steps : int
    change : float
        Largest change of a voltage in the last step, relative to nominal [1].
    converged : bool
    """

    def __init__(self, response: Response, observation: Observation) -> None:
        self._response, self._observation = response, observation
        self._nominal = float(response.elements.nominal.max(initial=1.0))
        self._emfs, self._count = len(response.emfs), len(response.elements)
        self.inputs: Complexes = np.zeros(0, dtype=complex)
        self.powers: Complexes = np.zeros(0, dtype=complex)
        self.along: Floats = np.zeros(0)
        self.residuals: Floats = np.zeros(0)
        self.steps, self.change, self.converged = 0, math.inf, False

    def restart(self, gain: Gain) -> None:
        """Forget the last scan."""
        self._along: Floats = np.zeros(len(gain.strength))
        self._correction: Complexes = np.zeros(self._emfs + self._count, dtype=complex)
        self._across: Complexes = gain.tangent.seen[: self._count]
        self._started = gain.tangent.started

    def run(self, scan: Scan, gain: Gain, patch: Patch | None, turn: float, limit: int) -> None:
        """Step until voltages stand still; the result is in the attributes."""
        emfs, count, see, values = self._emfs, self._count, self._observation.see, self._observation.values
        drawing = emfs + count
        start = scan.start
        middle = len(start) - count
        moved = np.empty(drawing + count, dtype=complex)
        moved[:emfs] = self._response.emfs
        moved.real[emfs:drawing], moved.imag[emfs:drawing] = start[middle - count : middle], start[middle:]
        before = moved[:drawing].copy()
        moved[:drawing] += self._correction
        moved[drawing:] = self._across
        parts = moved.view(float)
        follow = gain.tangent.follow
        if follow is not None:
            parts[2 * drawing :] += follow @ (start - self._started)
        powers, across = moved[emfs:drawing], moved[drawing:]
        inputs = np.empty(drawing, dtype=complex)
        drawn, readings, shrink = inputs[emfs:], scan.readings, gain.shrink
        along, moves = self._along, gain.moves
        if patch is not None and len(patch.widened):
            along = np.concatenate([along, np.zeros(len(patch.widened))])
            moves = np.concatenate([moves, patch.moves], axis=1)
        angles, missing = self._observation.angle_rows, scan.missing
        done = 0
        with np.errstate(all="ignore"):
            while True:
                done += 1
                inputs[:emfs] = moved[:emfs]
                np.conjugate(powers / across, out=drawn)
                seen = see(inputs)
                off = seen[:count] - across
                residuals = readings - values(seen)
                if len(angles):
                    residuals[angles] = np.angle(np.exp(1j * (residuals[angles] - turn)))
                if len(missing):
                    residuals[missing] = 0.0
                if patch is None:
                    step = gain.step @ residuals
                    step -= shrink * along
                else:
                    pulled = np.concatenate([gain.strength * (gain.left.T @ residuals), patch.pull.T @ residuals])
                    step = patch.solve(pulled - along)
                along = along + step
                # Voltages follow the powers that were corrected just now: seeing that a step late costs steps.
                correction = moves @ step
                change = max(
                    float(np.abs(off).max(initial=0.0)),
                    LEFT * float(np.abs(correction[2 * drawing :]).max(initial=0.0)),
                ) / self._nominal  # fmt: skip
                across += off
                parts += correction
                if change <= TOLERANCE or done >= limit or not math.isfinite(change):
                    break
            inputs[:emfs] = moved[:emfs]
            np.conjugate(powers / across, out=drawn)
        self.inputs, self.powers, self.along, self.residuals = inputs, powers, along, residuals
        self.steps, self.change, self.converged = done, change, change <= TOLERANCE
        if not self.converged:
            self.restart(gain)
        else:
            self._across, self._started = across, start
            if patch is None:
                self._along, self._correction = along, moved[:drawing] - before

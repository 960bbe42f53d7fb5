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
LEFT = 0.01
"""What may be left of the state, in its own standard uncertainties after the scan [1]."""
CONTRACTION = 0.1
"""Share of a step that is left at least until steps have shown how they shrink [1]."""
HALVINGS = 8
FLAT = 0.01
"""A step that lowers the objective by less ends a search in small steps: the state is within a tenth of its sigma [1]."""
SETTLING = 40
STALLED = 0.7
"""Steps that shrink less than this, twice, do not converge on these derivatives [1]."""


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
    stalled : bool
        Whether steps do not shrink: the derivatives are those of another operating point.
    """

    def __init__(self, response: Response, observation: Observation) -> None:
        self._response, self._observation = response, observation
        self._nominal = float(response.elements.nominal.max(initial=1.0))
        self._emfs, self._count = len(response.emfs), len(response.elements)
        self.inputs: Complexes = np.zeros(0, dtype=complex)
        self.powers: Complexes = np.zeros(0, dtype=complex)
        self.along: Floats = np.zeros(0)
        self.residuals: Floats = np.zeros(0)
        self.steps, self.change, self.converged, self.stalled = 0, math.inf, False, False

    def restart(self, gain: Gain) -> None:
        """Forget the last scan; start at the operating point of the gain."""
        self._along: Floats = np.zeros(len(gain.strength))
        self._correction: Complexes = np.zeros(self._emfs + self._count, dtype=complex)
        self._across: Complexes = gain.tangent.seen[: self._count]
        self._started: Floats | None = gain.tangent.started
        self._scale: Floats = 1.0 / np.sqrt(gain.shrink)
        self._aside, self._aside_moves = 0.0, np.zeros(0)

    def resume(self, gain: Gain, away: Floats, u_state: Floats) -> None:
        """
        Go on from a state with a gain made there.

        Parameters
        ----------
        gain : Gain
        away : numpy.ndarray
            The state less what was expected of it, shape (n,).
        u_state : numpy.ndarray
            Shape (n,).
        """
        self.restart(gain)
        whitened = np.divide(away, u_state, out=np.zeros_like(away), where=u_state > 0)
        right = np.divide(gain.right, u_state[:, np.newaxis], out=np.zeros_like(gain.right), where=u_state[:, np.newaxis] > 0)
        self._along = whitened @ right
        # What the readings here do not tell of is given up with the first step, as far as that is good for the objective.
        aside = away - gain.right @ self._along
        self._aside = max(float(whitened @ whitened - self._along @ self._along), 0.0)
        self._aside_moves = gain.tangent.moves(aside[:, np.newaxis])[:, 0]
        moves = gain.moves @ self._along + self._aside_moves
        self._correction = moves[: 2 * (self._emfs + self._count)].copy().view(complex)
        self._started = None

    def run(
        self, scan: Scan, gain: Gain, patch: Patch | None, turn: float, limit: int, *, careful: bool = False
    ) -> None:
        """
        Step until voltages stand still; the result is in the attributes.

        Parameters
        ----------
        scan, gain, patch
            What to solve.
        turn : float
            By how much the readings' angles are ahead of the model's [rad].
        limit : int
            Most steps.
        careful : bool
            Whether to halve steps after which the objective is larger.
        """
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
        if follow is not None and self._started is not None:
            parts[2 * drawing :] += follow @ (start - self._started)
        powers, across = moved[emfs:drawing], moved[drawing:]
        inputs = np.empty(drawing, dtype=complex)
        drawn, readings, shrink = inputs[emfs:], scan.readings, gain.shrink
        along, moves = self._along, gain.moves
        if patch is not None and len(patch.widened):
            along = np.concatenate([along, np.zeros(len(patch.widened))])
            moves = np.concatenate([moves, patch.moves], axis=1)
        angles, missing = self._observation.angle_rows, scan.missing
        scale = self._scale if len(along) == len(self._scale) else np.append(self._scale, np.ones(len(along) - len(self._scale)))
        size, contraction, slow, done, still, stalled = math.inf, CONTRACTION, 0, 0, False, False
        best, halved, flat, step, correction = math.inf, 0, 0, np.zeros(len(along)), np.zeros(len(parts))
        aside, given_up = float(careful and self._aside > 0.0), 0.0
        with np.errstate(all="ignore"):
            while True:
                done += 1
                inputs[:emfs] = moved[:emfs]
                np.conjugate(powers / across, out=drawn)
                seen = see(inputs)
                if careful:
                    for _ in range(SETTLING):  # an objective to compare needs voltages and powers that agree
                        settled = float(np.abs(seen[:count] - across).max(initial=0.0)) <= 1e-9 * self._nominal
                        across[:] = seen[:count]
                        if settled:
                            break
                        np.conjugate(powers / across, out=drawn)
                        seen = see(inputs)
                off = seen[:count] - across
                residuals = readings - values(seen)
                if len(angles):
                    residuals[angles] = np.angle(np.exp(1j * (residuals[angles] - turn)))
                if len(missing):
                    residuals[missing] = 0.0
                if careful:
                    objective = float(along @ along + ((residuals / scan.u_readings) ** 2).sum() + aside**2 * self._aside)
                    if not math.isfinite(objective):
                        objective = math.inf
                    if objective > (1.0 + 1e-9) * best and halved < HALVINGS:
                        halved += 1
                        correction, step, given_up = 0.5 * correction, 0.5 * step, 0.5 * given_up
                        along, aside, parts[:] = along - step, aside + given_up, parts - correction
                        continue
                    flat = flat + 1 if best - objective < FLAT else 0
                    best, halved = objective, 0
                if patch is None:
                    step = gain.step @ residuals
                    step -= shrink * along
                else:
                    pulled = np.concatenate([gain.strength * (gain.left.T @ residuals), patch.pull.T @ residuals])
                    step = patch.solve(pulled - along)
                last, size = size, float(np.abs(step * scale).max(initial=0.0))
                change = float(np.abs(off).max(initial=0.0)) / self._nominal
                if not math.isfinite(size + change):
                    stalled = True
                    break
                if done > 1 and last > 0.0:
                    contraction = max(CONTRACTION, size / last)
                    slow = slow + 1 if contraction > STALLED and size > LEFT else 0
                along = along + step
                across += off
                # Voltages follow the powers that were corrected just now: seeing that a step late costs steps.
                correction = moves @ step
                if aside:
                    correction -= aside * self._aside_moves
                    aside, given_up = 0.0, aside
                else:
                    given_up = 0.0
                parts += correction
                still = (change <= TOLERANCE and size * contraction <= LEFT) or flat >= 2
                stalled = slow >= 2 and not careful
                if still or stalled or done >= limit:
                    break
            inputs[:emfs] = moved[:emfs]
            np.conjugate(powers / across, out=drawn)
        self.inputs, self.powers, self.along, self.residuals = inputs, powers, along, residuals
        self.steps, self.change, self.converged, self.stalled = done, max(change, 1e-3 * size), still and not stalled, stalled
        if not self.converged:
            self.restart(gain)
        else:
            self._across, self._started = across, start
            if patch is None:
                self._along, self._correction = along, moved[:drawing] - before

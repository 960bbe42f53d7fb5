"""
The steps from what is known beforehand to the state that agrees best with the readings.

Where it stands: `least_squares` calls it with the gain, and the patch if there is one. It keeps the last scan's
correction and voltages, where the next one starts: that saves steps, and changes no result beyond the tolerance.

Rules:

- `run` is for every scan: a step costs a fixed number of numpy calls whatever the network's size; on a small one these
  are what time goes to. `run_carefully` is for readings that ask for a state far from the operating point.
- The end is where what is left is small against what the scan can tell, judged by how steps have shrunk so far.
"""

import math

import numpy as np

from algorithms.api.network_tables import Complexes, Floats
from algorithms.grid.estimation.beforehand import Scan
from algorithms.grid.estimation.gain import Gain
from algorithms.grid.estimation.observation import Observation
from algorithms.grid.estimation.patch import Patch
from algorithms.grid.estimation.response import Response
from algorithms.grid.estimation.walk import Walk

TOLERANCE = 2e-5
"""The last correction is made when no voltage was off by more than this, relative to nominal [1]."""
LEFT = 0.01
"""What may be left of the state, in its own standard uncertainties after the scan [1]."""
CONTRACTION = 0.1
"""Share of a step that is left at least until steps have shown how they shrink [1]."""
STALLED = 0.7
"""Steps that shrink less than this, twice, do not converge on these derivatives [1]."""
HALVINGS = 8
BEND = 0.7
"""A step is bent further as long as each time less than this of the objective is left [1]."""
SHORTEST, LONGEST = 0.3, 3.0
"""Bounds of what a step is lengthened by [1]."""
ASTRAY = 3
"""Halvings after which derivatives are taken anew where the step has led."""
FLAT = 0.05
"""Two steps that lower the objective by less end a careful search: the state is within a fraction of its sigma [1]."""
SETTLING = 40
LOWEST, HIGHEST = 0.5, 1.5
"""Voltages beyond these are no state of a network at work, relative to nominal [1]."""
SETTLED = 1e-9
"""Voltages agree with powers when none changes by more than this, relative to nominal [1]."""


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
    beside : numpy.ndarray
        What the state is away from what was expected besides, where a careful search ended early, shape (n,).
    converged : bool
    lowest, highest : float
        Voltages across elements, relative to nominal [1].
    reached : float
        Least objective of the last careful search [1].
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
        self.lowest = self.highest = 1.0
        self.reached = math.inf
        self._per_unit = 1.0 / response.elements.nominal
        self._per_emf = 1.0 / response.emfs

    def restart(self, gain: Gain) -> None:
        """Forget the last scan; start at the operating point of the gain."""
        self._along: Floats = np.zeros(len(gain.strength))
        self._correction: Complexes = np.zeros(self._emfs + self._count, dtype=complex)
        self._across: Complexes = gain.tangent.seen[: self._count]
        self._started: Floats | None = gain.tangent.started
        self._scale: Floats = 1.0 / np.sqrt(gain.shrink)
        self._aside, self._aside_state, self._aside_moves = 0.0, np.zeros(0), np.zeros(0)
        self.beside: Floats = np.zeros(len(gain.right))

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
        fixed = u_state <= 0
        sigma = np.where(fixed, 1.0, u_state)
        whitened = np.where(fixed, 0.0, away / sigma)
        self._along = whitened @ np.where(fixed[:, np.newaxis], 0.0, gain.right / sigma[:, np.newaxis])
        # What the readings here tell nothing of is given up with the first step, as far as that lowers the objective.
        self._aside_state = aside = away - gain.right @ self._along
        self._aside = max(float(whitened @ whitened - self._along @ self._along), 0.0)
        self._aside_moves = gain.tangent.moves(aside[:, np.newaxis])[:, 0]
        moves = gain.moves @ self._along + self._aside_moves
        self._correction = moves[: 2 * (self._emfs + self._count)].copy().view(complex)
        self._started = None

    def moved_from(self, gain: Gain) -> float:
        """Tell how far sources and voltages across elements are from where a gain was made, at most, relative [1]."""
        before = gain.tangent
        across = np.abs(self._across - before.seen[: self._count]) * self._per_unit
        emfs = (self.inputs[: self._emfs] - before.point[: self._emfs]) * self._per_emf
        positive = np.abs(emfs.reshape(-1, 3).sum(axis=1)) / 3.0  # their unbalance is uncertain, and matters little
        return float(max(across.max(initial=0.0), positive.max(initial=0.0)))

    def run(self, scan: Scan, gain: Gain, patch: Patch | None, turn: float, limit: int) -> None:
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
        """
        walk = self._walk(scan, gain, patch, turn)
        follow = gain.tangent.follow
        if follow is not None and self._started is not None:
            walk.across.view(float)[:] += follow @ (scan.start - self._started)
        scale = self._scale
        if len(walk.along) > len(scale):
            scale = np.append(scale, np.ones(len(walk.along) - len(scale)))
        size, contraction, slow, done = math.inf, CONTRACTION, 0, 0
        still = False
        with np.errstate(all="ignore"):
            while not still and slow < 2 and done < limit:
                done += 1
                seen = walk.look()
                off = seen[: self._count] - walk.across
                residuals = walk.residuals(seen)
                step = walk.step(residuals)
                last, size = size, float(np.abs(step * scale).max(initial=0.0))
                change = float(np.abs(off).max(initial=0.0)) / self._nominal
                if not math.isfinite(size + change):
                    break
                if done > 1 and last > 0.0:
                    contraction = max(CONTRACTION, size / last)
                    slow = slow + 1 if contraction > STALLED and size > LEFT else 0
                walk.along = walk.along + step
                walk.across += off
                # Voltages follow the powers that were corrected just now: seeing that a step late costs steps.
                walk.parts += walk.effect(step)
                still = change <= TOLERANCE and size * contraction <= LEFT
            walk.draw()
        if limit == 1:  # the linear estimate: what is left of residuals if equations were straight
            residuals = residuals - walk.explained(step)
        self._keep(walk, residuals, done, max(change, 1e-3 * size), converged=still)
        if not still:
            self.restart(gain)
            return
        if patch is None:
            self._started_from(walk, scan)
        else:  # what is away along the patch's own directions is not for a scan without it
            self._across, self._started = walk.across, scan.start

    def run_carefully(self, scan: Scan, gain: Gain, turn: float, limit: int) -> None:
        """
        Step as `run` does, but bend, then halve, steps after which the objective is larger.

        Where a valley is narrow and curved, a straight step leaves it: what readings say at its end brings it back,
        by the square of how far it goes. Where even short steps are of no use, derivatives elsewhere are needed.
        """
        walk = self._walk(scan, gain, None, turn)
        best, halved, flat, done = math.inf, 0, 0, 0
        straight = bend = np.zeros(len(walk.along) + len(walk.parts))
        aside, given_up, directions, asked, taken = (
            float(self._aside > 0.0),
            0.0,
            len(walk.along),
            np.zeros(0),
            np.zeros(0),
        )
        still, bent, change, size = False, math.inf, math.inf, math.inf
        with np.errstate(all="ignore"):
            while not still and done < limit + halved:
                done += 1
                seen, change = self._settle(walk)
                residuals = walk.residuals(seen)
                objective = _objective(walk, scan, residuals) + aside**2 * self._aside
                if not objective <= (1.0 + 1e-9) * best and halved < HALVINGS:
                    if not halved and objective < BEND * bent:
                        bent, back = objective, walk.towards(residuals)
                        asked, taken = self._lengthened(back, asked, taken)
                        bend = bend + taken
                        walk.go(taken)
                        continue
                    walk.go(-0.5 * straight - 0.75 * bend)
                    straight, bend = 0.5 * straight, 0.25 * bend
                    halved, aside, given_up = halved + 1, aside + 0.5 * given_up, 0.5 * given_up
                    asked = taken = np.zeros(0)
                    continue
                flat = flat + 1 if not halved and best - objective < FLAT else 0
                if halved >= ASTRAY:
                    best = objective
                    break
                best, halved, bent = objective, 0, math.inf
                straight, bend = walk.towards(residuals), np.zeros(len(straight))
                size = float(np.abs(straight[:directions] * self._scale).max(initial=0.0))
                asked, straight = self._lengthened(straight, asked, taken)
                taken = straight
                if aside:
                    straight[directions:] -= aside * self._aside_moves
                aside, given_up = 0.0, aside
                walk.go(straight)
                still = size * CONTRACTION <= LEFT or flat >= 2
            else:
                if not still and math.isfinite(best):  # where the last step leads nobody has looked
                    walk.go(-straight - bend)
                    aside += given_up
            walk.draw()
        converged = still and math.isfinite(best)
        self._keep(walk, residuals, done, max(change, 1e-3 * size), best, converged=converged)
        left = aside * self._aside_state if aside else np.zeros(len(gain.right))
        if converged:
            self._started_from(walk, scan)
        else:
            self.restart(gain)
        self.beside = left

    def _started_from(self, walk: Walk, scan: Scan) -> None:
        """Have the next scan start where this one ended."""
        self._across, self._started = walk.across, scan.start
        self._along, self._correction = walk.along, walk.moved[: self._emfs + self._count] - walk.beforehand

    def _lengthened(self, step: Floats, before: Floats, taken: Floats) -> tuple[Floats, Floats]:
        """
        Give a step, and as long as it should be, judged by what the step taken last left of what was asked for then.

        Where steps shrink by the same share each time, that leads to their sum at once.
        """
        if not len(taken):
            return step, step
        directions = len(self._scale)
        last = taken[:directions] * self._scale
        gained = float(((before - step)[:directions] * self._scale) @ last)
        factor = float(last @ last) / gained if gained > 0.0 else 1.0
        return step, min(max(factor, SHORTEST), LONGEST) * step

    def _walk(self, scan: Scan, gain: Gain, patch: Patch | None, turn: float) -> Walk:
        """Start where the last scan ended."""
        walk = Walk(self._response, self._observation, scan, gain, patch, turn, self._along)
        walk.moved[: self._emfs + self._count] += self._correction
        walk.across[:] = self._across
        return walk

    def _settle(self, walk: Walk) -> tuple[Complexes, float]:
        """Have voltages agree with powers, as objectives to compare need; give what is seen, and the last change."""
        change, seen = math.inf, walk.look()
        for _ in range(SETTLING):
            change = float(np.abs(seen[: self._count] - walk.across).max(initial=0.0)) / self._nominal
            walk.across[:] = seen[: self._count]
            if change <= SETTLED:
                break
            seen = walk.look()
        return seen, change

    def _keep(
        self, walk: Walk, residuals: Floats, steps: int, change: float, reached: float = math.inf, *, converged: bool
    ) -> None:
        self.inputs, self.powers, self.along, self.residuals = walk.inputs, walk.powers, walk.along, residuals
        self.steps, self.change, self.converged, self.reached = steps, change, converged, reached
        if self._count:
            size = np.abs(walk.across) * self._per_unit
            self.lowest, self.highest = float(size.min()), float(size.max())


def _objective(walk: Walk, scan: Scan, residuals: Floats) -> float:
    weighted = residuals / scan.u_readings
    return float(walk.along @ walk.along + weighted @ weighted)

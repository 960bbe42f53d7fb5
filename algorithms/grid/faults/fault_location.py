r"""
Where a fault is: the point of the feeder that explains what the head and the voltage meters saw of it.

Where it stands: the plug-in of this name gives it phasors and the meters' answers; `fault_walk` tells what a fault
at a point would show, `fault_impedance` that it must be a resistance, `fault_scenarios` how far data may err. At
every point of every section the residuals are

.. math:: r_1 = \rho(x), \qquad r_k = |V_k(x)| - m_k \frac{|V_{k,pre}|}{m_{k,0}}

with a meter's readings :math:`m_{k,0}` before and :math:`m_k` during the fault, which calibrate themselves: gains and
ratios cancel and clocks need no agreement. The cost is :math:`J = r^T C^{-1} r` with C from all uncertainties stated.

Rules:

- Every section is searched from several points: near a metallic fault a magnitude fits at two places.
- What is within its likelihood of the best is an alternative and is told.
- A meter that contradicts all others is left out and named. Where the head itself had no voltage of a phase before the
  fault, as with a fuse out, no meter can be blamed, and that is the doubt.
- The answer says itself whether it is to be trusted, and why not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri

from algorithms.api.network_tables import Complexes, Floats, Integers, Truths
from algorithms.grid.faults.fault_fit import LIKELY, Fit, PlaceFit
from algorithms.grid.faults.fault_impedance import Hypothesis, reactive_voltage
from algorithms.grid.faults.fault_scenarios import TINY, HeadMeasurement, fitted_loads, scenarios
from algorithms.grid.faults.fault_walk import Walk, at_points, find_ways, look_in, walk
from algorithms.grid.faults.feeder import Feeder

CONFIDENCE = 0.001
"""Chance of a cost so high that readings are taken to contradict each other [1]."""
MISFIT = 0.1
"""A meter whose voltage before the fault is off the model's by more is no meter of this node [1]."""
INFEED = 0.02
"""Share of the fault's current that generators may feed without spoiling the distance [1]."""
ALIKE = 1.0
"""Places whose costs are no further apart are as likely as each other, by one standard deviation."""
UNSEEN = 0.2
"""Share of nominal voltage below which a phase was not measured before the fault [1]."""
PHASES = ("A", "B", "C")
LEAKAGE = 0.1
"""Share of the fault's current that may be found in healthy phases [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """
    What meters along the feeder saw.

    Attributes
    ----------
    names : tuple of str
    positions : numpy.ndarray
        Of their nodes, shape (m,).
    before, during : numpy.ndarray
        Magnitudes of A, B, C; NaN where not measured, shape (m, 3) [V].
    uncertainty : numpy.ndarray
        Relative standard uncertainty of during over before, shape (m, 3) [1].
    """

    names: tuple[str, ...]
    positions: Integers
    before: Floats
    during: Floats
    uncertainty: Floats


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A place where the fault may be.

    Attributes
    ----------
    section : str
    from_node, to_node : str
        Its ends, in the order of the network model.
    distance, uncertainty : float
        From `from_node`, and its standard uncertainty [m].
    from_head : float
        Way from the head to the fault [m].
    resistance : float
        [ohm]
    cost : float
        J [1].
    current : float
        Of the fault, largest phase [A].
    """

    section: str
    from_node: str
    to_node: str
    distance: float
    uncertainty: float
    from_head: float
    resistance: float
    cost: float
    current: float


@dataclass(frozen=True, slots=True)
class Location:
    """
    Where the fault is.

    Attributes
    ----------
    hypothesis : Hypothesis
    candidates : tuple of Candidate
        The likeliest first, then all within its likelihood.
    degrees_of_freedom : int
    suspects : tuple of str
        Meters left out because they contradict the rest.
    load_factor : complex
        By which the model's loads were scaled.
    doubts : tuple of str
        Why the distance is not to be trusted; none where it is.
    """

    hypothesis: Hypothesis
    candidates: tuple[Candidate, ...]
    degrees_of_freedom: int
    suspects: tuple[str, ...]
    load_factor: complex
    doubts: tuple[str, ...]

    @property
    def trusted(self) -> bool:
        """Whether the distance is as good as its uncertainty says."""
        return not self.doubts


def locate(feeder: Feeder, measured: HeadMeasurement, readings: Readings, hypotheses: Sequence[Hypothesis]) -> Location:
    """
    Find a fault.

    Parameters
    ----------
    feeder : Feeder
    measured : HeadMeasurement
    readings : Readings
        Of any number of meters, none included: then every place at the right electrical distance is told.
    hypotheses : sequence of Hypothesis
        Types it may be; the one with the smallest cost is taken.

    Returns
    -------
    Location
    """
    search = _Search(feeder, measured, readings)
    found = [search.best(hypothesis) for hypothesis in hypotheses]
    return min(found, key=lambda location: location.candidates[0].cost)


class _Search:
    """One fault, whatever its type."""

    def __init__(self, feeder: Feeder, measured: HeadMeasurement, readings: Readings) -> None:
        self.feeder, self.measured = feeder, measured
        self.answered = bool(readings.names)
        unseen = np.abs(measured.before[:3]) < UNSEEN * feeder.nominal_voltage
        self.unseen = tuple(phase for phase, missing in zip(PHASES, unseen, strict=True) if missing)
        if self.unseen:
            readings = _without_phases(readings, unseen)
        load, self.factor = fitted_loads(feeder, measured, None)
        self.flexible = bool((feeder.exponents != 2.0).any() or (feeder.infeed.exponents != 2.0).any())
        if self.flexible:
            # What they draw follows the voltage: once more at the voltages found.
            load, self.factor = fitted_loads(feeder, measured, _voltages_before(feeder, measured, load))
        usual = _voltages_before(feeder, measured, load)
        self.usual = usual
        expected = np.maximum(np.abs(usual[readings.positions]), TINY)
        off = np.abs(readings.before / expected - 1.0)
        apart = np.nanmax(off, axis=1, initial=0.0) > MISFIT if self._may_blame else np.zeros(len(off), dtype=bool)
        self.misfits = tuple(name for name, wrong in zip(readings.names, apart, strict=True) if wrong)
        self.readings = _kept(readings, ~apart)
        self.ways = find_ways(feeder, self.readings.positions)
        self.load = load
        if not self.flexible:
            self._prepare(load)

    @property
    def _may_blame(self) -> bool:
        """Whether a meter can be wrong because it disagrees with the head."""
        return self.answered and not self.unseen

    def _prepare(self, load: Complexes) -> None:
        """Walk all scenarios with loads as they are during the fault."""
        every = scenarios(self.feeder, self.measured, load)
        walked = walk(self.feeder, every.looking, self.ways, every.during[:, :3], every.during[:, 3:])
        self._expect(walked, every.before[:, :3], every.mirrored)

    def _expect(self, walked: Walk, before: Complexes, mirrored: Sequence[tuple[int, int]] = ()) -> None:
        """Calibrate the meters in every scenario by what they read before, and make ready to fit places."""
        readings = self.readings
        voltages = (walked.onward[:, :, 0] @ before[:, None, :, None])[..., 0]
        shift = np.abs(voltages) / np.maximum(np.abs(voltages[:1]), TINY)
        usual = np.abs(self.usual[readings.positions])
        expected = shift * (readings.during * usual / readings.before)[None]
        self.measured_at = np.isfinite(expected[0])
        self.places = PlaceFit(walked, expected, readings.uncertainty, self.feeder.nominal_voltage, mirrored)

    def best(self, hypothesis: Hypothesis) -> Location:
        """Find the likeliest places for a type of fault."""
        if self.flexible:
            # Loads draw something else at the voltages of the fault: roughly where it is, these are known.
            feeder, measured = self.feeder, self.measured
            looking = look_in(feeder, feeder.z[None], feeder.y[None], self.load[None])
            walked = walk(feeder, looking, self.ways, measured.during[None, :3], measured.during[None, 3:])
            self._expect(walked, measured.before[None, :3])
            voltages = _voltages_during(feeder, walked, *self.places.rough(hypothesis, self.measured_at))
            infeed = feeder.infeed.admittance(len(feeder.nodes), voltages)
            self._prepare(self.factor * feeder.load_admittance(voltages) + infeed)
        return self._without_liars(hypothesis)

    def _without_liars(self, hypothesis: Hypothesis) -> Location:
        use = self.measured_at.copy()
        fit = self.places.fit(hypothesis, use)
        suspects: list[str] = list(self.misfits)
        while True:
            freedom = int(use.sum())
            if not (freedom and self._may_blame) or fit.cost.min() <= chdtri(freedom, CONFIDENCE):
                break
            meters = np.flatnonzero(use.any(axis=1))
            if meters.size < 2:
                break
            trials = []
            for number in meters.tolist():
                rest = use.copy()
                rest[number] = False
                trials.append((self.places.fit(hypothesis, rest, quick=True), rest, number))
            other, rest, number = min(trials, key=lambda trial: float(trial[0].cost.min()))
            if float(fit.cost.min()) - float(other.cost.min()) < chdtri(3, 1e-3):
                break
            suspects.append(self.readings.names[number])
            fit, use = self.places.fit(hypothesis, rest), rest
        return self._told(hypothesis, fit, use, tuple(suspects))

    def _told(self, hypothesis: Hypothesis, fit: Fit, use: Truths, suspects: tuple[str, ...]) -> Location:
        likely = self._ranked(fit)
        point = at_points(self.places.plain, np.array(likely), fit.shares[likely])
        _, resistance = reactive_voltage(hypothesis, point.voltage, point.current)
        candidates = []
        for number, row in enumerate(likely):
            candidates.append(self._candidate(row, fit, float(resistance[0, number]), point.current[0, number]))
        doubts = self._doubts(hypothesis, fit, int(use.sum()), point.current[0, 0], candidates[0])
        return Location(hypothesis, tuple(candidates), int(use.sum()), suspects, self.factor, doubts)

    def _ranked(self, fit: Fit) -> list[int]:
        """
        Give the rows of sections where the fault may be, the likeliest first.

        At a node two sections fit alike. Where a meter there allows nothing on one side of it and much on the other,
        the fault is rather on the side that allows more.
        """
        best = float(fit.weighed.min())
        near = np.flatnonzero(fit.weighed <= best + LIKELY)
        spread = self.feeder.length[self.ways.sections[near]] / np.sqrt(fit.slope[near])
        alike = fit.weighed[near] <= best + ALIKE
        order = np.lexsort((np.where(alike, -spread, fit.weighed[near]), ~alike))
        return [int(row) for row in near[order]]

    def _name(self, row: int) -> str:
        return self.feeder.section[int(self.ways.sections[row])]

    def _candidate(self, row: int, fit: Fit, resistance: float, current: Complexes) -> Candidate:
        feeder, position = self.feeder, int(self.ways.sections[row])
        length, share = float(feeder.length[position]), float(fit.shares[row])
        ends = feeder.nodes[feeder.parent[position]], feeder.nodes[position]
        above = sum(float(feeder.length[place]) for place in feeder.path(position)) - length
        forward = bool(feeder.forward[position])
        return Candidate(
            section=self._name(row),
            from_node=ends[0] if forward else ends[1],
            to_node=ends[1] if forward else ends[0],
            distance=length * (share if forward else 1.0 - share),
            uncertainty=min(length / float(np.sqrt(fit.slope[row])), float(feeder.length.sum())),
            from_head=above + length * share,
            resistance=resistance,
            cost=float(fit.cost[row]),
            current=float(np.abs(current).max()),
        )

    def _doubts(
        self, hypothesis: Hypothesis, fit: Fit, freedom: int, current: Complexes, best: Candidate
    ) -> tuple[str, ...]:
        doubts = []
        if self.unseen:
            doubts.append(f"no voltage of {', '.join(self.unseen)} before the fault")
        fed = self.feeder.generation / (3.0 * self.feeder.nominal_voltage)
        if fed > INFEED * best.current:
            doubts.append(f"generators ahead may feed {fed:.0f} A of {best.current:.0f} A")
        if freedom and fit.cost.min() > chdtri(freedom, CONFIDENCE):
            doubts.append(f"no place explains all readings (J = {fit.cost.min():.0f} for {freedom} degrees of freedom)")
        healthy = np.abs(current[hypothesis.healthy()]).max(initial=0.0)
        if healthy > LEAKAGE * best.current:
            doubts.append(f"{healthy:.0f} A of fault current in a healthy phase")
        if best.resistance < -0.5:
            doubts.append(f"a fault resistance of {best.resistance:.1f} ohm")
        if not self.answered:
            doubts.append("no meter along the feeder answered")
        elif not freedom and not self.unseen:
            doubts.append("no answer of a meter fits what the head measured before the fault")
        return tuple(doubts)


def _voltages_during(feeder: Feeder, walked: Walk, row: int, share: float) -> Complexes:
    """Give the voltages of all positions with the fault at a point of a section, shape (k, 3) [V]."""
    section = int(walked.ways.sections[row])
    point = at_points(walked, np.array([row]), np.array([share]))
    above = {0, *feeder.path(section)[:-1]}
    voltages = np.array(walked.volts[0])
    voltages[section] = point.end[0, 0]
    for position in range(1, len(feeder.nodes)):
        if position not in above and position != section:
            voltages[position] = walked.looking.transfer[0, position] @ voltages[feeder.parent[position]]
    return voltages


def _voltages_before(feeder: Feeder, measured: HeadMeasurement, load: Complexes) -> Complexes:
    """Give the voltages of all positions before the fault, shape (k, 3) [V]."""
    transfer = look_in(feeder, feeder.z[None], feeder.y[None], load[None]).transfer[0]
    voltages = np.zeros((len(feeder.nodes), 3), dtype=complex)
    voltages[0] = measured.before[:3]
    for position in range(1, len(feeder.nodes)):
        voltages[position] = transfer[position] @ voltages[feeder.parent[position]]
    return voltages


def _without_phases(readings: Readings, missing: Truths) -> Readings:
    """Leave out some phases of all meters, shape (3,), bool."""
    before, during = (np.where(missing, np.nan, values) for values in (readings.before, readings.during))
    return Readings(readings.names, readings.positions, before, during, readings.uncertainty)


def _kept(readings: Readings, keep: Truths) -> Readings:
    names = tuple(name for name, stays in zip(readings.names, keep, strict=True) if stays)
    return Readings(
        names, readings.positions[keep], readings.before[keep], readings.during[keep], readings.uncertainty[keep]
    )

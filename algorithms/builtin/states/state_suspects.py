"""
Readings that contradict each other, judged by who told them: a meter or an area below is right or wrong as a whole.

Where it stands: `area_estimator` calls `Suspicion.judge` for each interval, and `state_results` writes what it found.
`algorithms.grid.estimation.bad_data` blames single readings; here is what a plug-in knows besides: which of them come
from one source.

Rules:

- One reading that is blamed alone, and whose removal is enough, is left out alone.
- Where several readings of one source are blamed, or several readings at all, whole sources are left out for a trial,
  each in turn. A wrong ratio, unit or phase order spoils all that a source tells, so one source that explains all of
  it is likelier than several readings that went wrong at once. Its loads fall back to their forecasts.
- Where several sources would explain it, the one goes that is furthest from what was expected of its loads. The others
  are named; unless that one is `FAR` off, nobody can tell them apart, and the state is in doubt. One reading blamed,
  with others that would explain it as well, needs no such choice: all of these are as unsure as they would be wrong.
- A source counts as one of the readings that may be left out at most.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_tables import Complexes, Floats
from algorithms.builtin.states.state_metering import Metering, Source
from algorithms.grid.estimation.bad_data import Contradiction, Examined, examine
from algorithms.grid.estimation.least_squares import Estimator
from algorithms.grid.estimation.measurement import ALL, PHASES, Quantity

TRIED = 8
"""Sources left out for a trial at most, each costing one estimate."""
FAR = 10.0
"""Ratio to what was expected of its loads from which a source is taken to be the wrong one of several [1]."""
VACANT = 0.02
"""Share of what was expected below which less is no further off; an empty house is no fault [1]."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """
    An estimate, and what was left out to get it.

    Attributes
    ----------
    examined : Examined
        Of what was not left out with a whole source.
    suspects : tuple of Contradiction
        Whole sources by their names, then single readings.
    doubt : tuple of str
        Sources of which any one may be the wrong one; empty where that is plain.
    """

    examined: Examined
    suspects: tuple[Contradiction, ...]
    doubt: tuple[str, ...]


class Suspicion:
    """
    Whom to blame in one area.

    Parameters
    ----------
    model : NetworkModel
    metering : Metering
    confidence : float
        Share of good intervals in which nothing is suspected [1].
    most : int
        Most sources, or single readings, left out of one estimate.
    """

    def __init__(self, model: NetworkModel, metering: Metering, confidence: float, most: int) -> None:
        self._metering, self._confidence, self._most = metering, confidence, most
        self._source_of = {
            metering.measurements[column.measurement].id: number
            for number, source in enumerate(metering.sources)
            for column in source.columns
        }
        names = (*model.loads.ids, *model.generators.ids)
        self._rows = {name: row for row, name in enumerate(names)}

    def judge(
        self, estimator: Estimator, values: Floats, uncertainty: Floats, prior: Complexes, u_prior: Complexes
    ) -> Judged:
        """
        Estimate the state, leaving out what contradicts the rest.

        Parameters
        ----------
        estimator : Estimator
            Of the measurements of `metering`.
        values, uncertainty, prior, u_prior
            As in `Estimator.estimate`.
        """
        trial = _Trial(estimator, uncertainty, prior, u_prior, self._confidence)
        values = values.copy()
        left: list[Contradiction] = []
        while True:
            examined = trial.examine(values, self._most - len(left))
            blamed, strongest = self._blamed(examined)
            plain = len(examined.suspects) <= 1 and max(blamed.values(), default=0) <= 1
            if len(left) >= self._most or (examined.consistent and plain):
                return Judged(examined, (*left, *examined.suspects), ())
            offences = {number: self._offence(self._metering.sources[number], values, prior) for number in blamed}
            if not examined.consistent or not examined.estimate.converged:  # who is to blame may not be among them
                for number, source in enumerate(self._metering.sources):
                    offences.setdefault(number, self._offence(source, values, prior))
            order = sorted(offences, key=lambda one: (-blamed[one], -offences[one], one))
            outcomes = self._outcomes(trial, values, self._shortlist(order, offences))
            enough = sorted((one for one in outcomes if outcomes[one].consistent), key=lambda one: -offences[one])
            if enough:
                judged = self._settled(enough, outcomes[enough[0]], offences, left, strongest)
                one_blamed = examined.consistent and len(examined.suspects) <= 1
                return Judged(examined, (*left, *examined.suspects), ()) if judged.doubt and one_blamed else judged
            worst = next((one for one in order if one in outcomes and blamed[one] > 1), None)
            if worst is None:
                return Judged(examined, (*left, *examined.suspects), ())
            left.append(Contradiction(self._metering.sources[worst].name, strongest.get(worst, 0.0), ()))
            values[self._metering.sources[worst].places] = np.nan

    def _shortlist(self, order: Sequence[int], offences: Mapping[int, float]) -> list[int]:
        """Give those to be tried: the ones most blamed, and the ones furthest from what was expected."""
        furthest = sorted(offences, key=lambda one: -offences[one])
        return list(dict.fromkeys((*order[: TRIED // 2], *furthest[: TRIED // 2])))

    def _outcomes(self, trial: "_Trial", values: Floats, numbers: Sequence[int]) -> dict[int, Examined]:
        found = {}
        for number in numbers:
            places = self._metering.sources[number].places
            if np.isfinite(values[places]).any():
                without = values.copy()
                without[places] = np.nan
                found[number] = trial.examine(without, 0)
        return found

    def _settled(
        self, enough: Sequence[int], examined: Examined, offences: Mapping[int, float], left: Sequence[Contradiction],
        strongest: Mapping[int, float],
    ) -> Judged:  # fmt: skip
        names = [self._metering.sources[number].name for number in enough]
        suspect = Contradiction(names[0], strongest.get(enough[0], 0.0), tuple(names[1:]))
        first, second = (offences[number] for number in (enough[0], enough[min(1, len(enough) - 1)]))
        plain = len(enough) == 1 or (first >= math.log(FAR) and first >= 2.0 * second)
        return Judged(examined, (*left, suspect), () if plain else tuple(names))

    def _blamed(self, examined: Examined) -> tuple[Counter[int], dict[int, float]]:
        """Count the readings of each source that are suspected or would explain as much; give the largest residual."""
        readings: set[str] = set()
        strongest: dict[int, float] = {}
        for one in examined.suspects:
            readings |= {one.measurement, *one.alternatives, *getattr(one, "also", ())}
            number = self._source_of[one.measurement]
            if abs(one.normalised_residual) > abs(strongest.get(number, 0.0)):
                strongest[number] = one.normalised_residual
        return Counter(self._source_of[name] for name in readings), strongest

    def _offence(self, source: Source, values: Floats, prior: Complexes) -> float:
        """Tell how far from what was expected of its loads a source is: logarithm of the ratio; 0 where not known."""
        told = expected = 0.0
        for column in source.columns:
            measurement = self._metering.measurements[column.measurement]
            row = self._rows.get(measurement.place)
            if row is None or column.quantity is not Quantity.P:
                continue
            p, q = float(values[column.measurement]), float(values[source.columns[column.partner].measurement])
            phases = range(3) if measurement.phases == ALL else [PHASES.index(measurement.phases[0])]
            usual = abs(sum(complex(prior[row, phase]) for phase in phases))
            if math.isfinite(p) and math.isfinite(usual):
                told += math.hypot(p, q if math.isfinite(q) else 0.0)
                expected += usual
        if not expected > 0.0 or not told > 0.0:
            return 0.0
        return abs(math.log(max(told / expected, VACANT)))


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What the estimates of one interval have in common."""

    estimator: Estimator
    uncertainty: Floats
    prior: Complexes
    u_prior: Complexes
    confidence: float

    def examine(self, values: Floats, most: int) -> Examined:
        beforehand = {"prior": self.prior, "u_prior": self.u_prior}
        return examine(
            self.estimator, values, self.uncertainty, **beforehand, confidence=self.confidence, most=max(most, 0)
        )

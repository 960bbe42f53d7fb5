r"""
Thresholds of fault detection, worked out from the feeder ahead and what is behind it.

Where it stands: the plug-in `fault_detection` asks for them where its settings leave them open. Between what
load can do and what the weakest fault must show, the threshold stands midway, with 30 % in hand of the fault; where the
two overlap, the load wins, because a detector that trips without a fault is soon switched off.

Rules:

- Loads: the largest may start as a motor does (six times its current, with 30 % in hand), and all of them may come at
  once. Magnetising inrush is told by its second harmonic, as long as all transformers ahead together can draw so much.
- Faults: through 50 ohm at the far end of the feeder.
"""

import math
from dataclasses import dataclass

import numpy as np

from algorithms.api.network import NetworkModel
from algorithms.api.network_equipment import GroundingKind
from algorithms.grid.faults.feeder import Feeder
from algorithms.grid.faults.feeder_ahead import feeder_ahead
from algorithms.grid.primitives import COMPONENTS, SEQUENCES

WEAKEST = 50.0
"""Resistance of the weakest fault that must be found [ohm]."""
STARTING = 6.0 * 1.3
ALL_LOADS = 1.5
INRUSH = 12.0
"""Most that a transformer draws when it is made alive, over its rated current [1]."""
SPARE = 4.0
"""Rating of a transformer that the model leaves out, over what is drawn through it [1]."""
NEVER_BELOW = 4.0
"""Least change of the zero-sequence current that is taken for a fault [A]."""


@dataclass(frozen=True, slots=True)
class FeederFacts:
    """
    What thresholds follow from.

    Attributes
    ----------
    nominal_voltage : float
        Phase to neutral [V].
    grounding : GroundingKind
        Of the neutral behind.
    load_current, largest_load : float
        Of all loads ahead, and of the node with most [A].
    charging : float
        Zero-sequence susceptance of the feeder, per phase [S].
    weakest_phase, weakest_ground : float
        Positive-sequence current of the weakest fault between two or three phases, zero-sequence current of the weakest
        earth fault where the neutral is earthed [A]; 0 where it is not.
    neutral_conductance : float
        Of the earthing behind, for a compensated neutral [S].
    reverse : bool
        Whether currents are measured against the way ahead; see `Feeder`.
    transformer_current : float
        Rated current of all transformers ahead, those that the model leaves out guessed from their loads [A].
    """

    nominal_voltage: float
    grounding: GroundingKind
    load_current: float
    largest_load: float
    charging: float
    weakest_phase: float
    weakest_ground: float
    neutral_conductance: float
    reverse: bool = False
    transformer_current: float = math.inf

    @property
    def inrush_current(self) -> float:
        """Most that magnetisation of what is ahead can draw in a phase [A]."""
        return INRUSH * self.transformer_current

    @property
    def earthed(self) -> bool:
        """Whether an earth fault draws a current that can be located."""
        return self.grounding not in (GroundingKind.ISOLATED, GroundingKind.COMPENSATED)

    @property
    def phase_current(self) -> float:
        """Least change of the positive sequence that is a fault [A]."""
        load = max(STARTING * self.largest_load, ALL_LOADS * self.load_current)
        return max(load, min((load + self.weakest_phase) / 2.0, 0.7 * self.weakest_phase), NEVER_BELOW)

    @property
    def negative_current(self) -> float:
        """Least change of the negative sequence that is a fault [A]."""
        return max(0.4 * self.phase_current, NEVER_BELOW)

    def ground_current(self, noise: float) -> float:
        """Return the least change of the zero sequence that is a fault [A], above five times a standard deviation."""
        return max(5.0 * noise, min(NEVER_BELOW, 0.5 * self.weakest_ground) if self.earthed else 0.0)


def feeder_facts(model: NetworkModel, terminal: str) -> FeederFacts:
    """
    Work out the facts of the feeder ahead of a terminal.

    Raises
    ------
    NetworkError
        When there is no feeder to follow; see `feeder_ahead`.
    """
    feeder = feeder_ahead(model, terminal)
    z0, z1 = _to_the_end(feeder)
    drawn = _load_currents(feeder)
    grounding, source1, source0 = GroundingKind.SOLID, 0j, 0j
    if len(model.sources):
        row = 0
        grounding, source1 = model.sources.grounding[row], complex(model.sources.z1[row])
        source0 = complex(model.sources.z0[row])
    positive, zero = abs(z1 + source1), z0 + source0
    voltage = feeder.nominal_voltage
    charging = float((COMPONENTS @ feeder.y @ SEQUENCES)[:, 0, 0].imag.sum())
    conductance = (3.0 / source0).real if grounding is GroundingKind.COMPENSATED and source0 != 0 else 0.0
    earthed = grounding not in (GroundingKind.ISOLATED, GroundingKind.COMPENSATED)
    weakest_ground = voltage / abs(zero + 2 * (z1 + source1) + 3 * WEAKEST) if earthed else 0.0
    return FeederFacts(
        nominal_voltage=voltage,
        grounding=grounding,
        load_current=float(drawn.sum()),
        largest_load=float(drawn.max(initial=0.0)),
        charging=charging,
        weakest_phase=voltage / (positive + WEAKEST),
        weakest_ground=weakest_ground,
        neutral_conductance=float(conductance),
        reverse=feeder.reverse,
        transformer_current=_transformer_current(model, feeder),
    )


def _transformer_current(model: NetworkModel, feeder: Feeder) -> float:
    """Give the rated current of all transformers ahead [A]; infinite where nothing is known of any."""
    ahead = {model.nodes.rows[name] for name in feeder.nodes[1:]}
    table = model.transformers
    rated = sum(float(table.rated_power[row]) for row in range(len(table)) if int(table.from_node[row]) in ahead)
    drawn = float(np.abs(feeder.power).sum())  # by loads of which no transformer is known
    known = (rated + SPARE * drawn) / (3.0 * feeder.nominal_voltage)
    return known if known > 0 and math.isfinite(known) else math.inf


def _to_the_end(feeder: Feeder) -> tuple[complex, complex]:
    """Give zero- and positive-sequence impedance to the node that is farthest [ohm]."""
    sequences = COMPONENTS @ feeder.z @ SEQUENCES
    reach = np.zeros((len(feeder.nodes), 2), dtype=complex)
    for position in range(1, len(feeder.nodes)):
        reach[position] = reach[feeder.parent[position]] + sequences[position, [0, 1], [0, 1]]
    farthest = reach[int(np.abs(reach[:, 1]).argmax())]
    return complex(farthest[0]), complex(farthest[1])


def _load_currents(feeder: Feeder) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Give the currents of loads by position, in a phase [A]."""
    admittance = feeder.load_admittance()
    positive = (COMPONENTS @ admittance @ SEQUENCES)[:, 1, 1]
    currents: np.ndarray[tuple[int], np.dtype[np.float64]] = np.abs(positive) * feeder.nominal_voltage
    return currents

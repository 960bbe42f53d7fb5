"""
The state of an area: readings of its meters and of the areas below in, a `GridState` each interval out.

Where it stands: what `concentrator_state`, `lv_state` and `mv_state` have in common; they differ in what they are
called, whom they listen to and a few defaults. Here is what makes them algorithms; `area_estimator` does the work.

Rules:

- Everything about a grid comes from its network document; moving to another one is another document.
- As soon as everything expected has come it estimates; otherwise at the deadline with what is there.
- Whatever comes in, nothing is raised after the start.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError, Problem, SettingsError, shortened
from algorithms.api.grid_records import GridState
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.network import NetworkModel
from algorithms.api.network_operation import Area, Level
from algorithms.api.records import Kind, MeasurementFrame, Record
from algorithms.api.samples import SampleBlock
from algorithms.builtin.states.area_estimator import AreaEstimator, Kept
from algorithms.builtin.states.state_settings import Defaults, read_state_settings, settings_of

VERSION = "1.0.0"


def describe(name: str, summary: str, consumes: tuple[Kind, ...], defaults: Defaults) -> AlgorithmInfo:
    """Say what a host must know of the estimator of one level."""
    return AlgorithmInfo(
        name=name,
        version=VERSION,
        summary=summary,
        consumes=consumes,
        produces=(Kind.GRID_STATE, Kind.EVENT),
        settings=settings_of(defaults),
        needs_network=True,
        time_budget=0.5,
        tick_interval=0.2,
        checkpoint_interval=600.0,
    )


class AreaState(Algorithm):
    """
    Weighted-least-squares estimation of one area, once an interval.

    Attributes
    ----------
    level : Level
        Of the areas it estimates.
    """

    level: ClassVar[Level]

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self._estimator: AreaEstimator | None = None

    def start(self, context: Context, restored: bytes | None) -> None:
        """Read the settings and make ready; see `Algorithm.start`."""
        settings = read_state_settings(self.info.settings, self.settings)
        if context.network is None:
            raise SettingsError([Problem("network", "a network model", "none", "assign the device to an area")])
        area = _own_area(context.network, settings.area, self.level)
        estimator = AreaEstimator(context.network, area, settings)
        if restored:
            estimator.restore(_read(restored))
        self._estimator = estimator

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Take a frame of a meter or the state of an area below; return the states it completes."""
        estimator = self._running()
        if not isinstance(record, MeasurementFrame | GridState):
            return ()
        estimator.take(record)
        return estimator.due()

    def tick(self, now_ns: int) -> Sequence[Record]:
        """Return the states whose deadline has passed."""
        estimator = self._running()
        estimator.collector.tick(now_ns)
        return estimator.due()

    def checkpoint(self) -> bytes:
        """Return how often sources tell, who is silent, what is held."""
        return msgspec.json.encode(self._running().kept())

    def _running(self) -> AreaEstimator:
        if self._estimator is None:
            raise RuntimeError("start comes first")
        return self._estimator


def _own_area(model: NetworkModel, wanted: str, level: Level) -> Area:
    """Find the area to estimate."""
    areas = {area.id: area for area in model.areas if area.nodes}
    if not areas:
        raise SettingsError([Problem("network.areas", f"an area of level {level}", "none", "cut the network by areas")])
    area = areas.get(wanted) if wanted else next(iter(areas.values()))
    if area is None:
        raise SettingsError([Problem("settings.area", f"one of {', '.join(areas)}", shortened(wanted))])
    if area.level is not level:
        remedy = f"assign {area.level}_state"
        raise SettingsError([Problem("settings.area", f"an area of level {level}", f"{area.id}, {area.level}", remedy)])
    if area.head not in model.nodes.rows:
        raise SettingsError([Problem("network.areas", "the head among the nodes", f"{area.head}, which is not there")])
    return area


def _read(restored: bytes) -> Kept:
    try:
        kept = msgspec.json.decode(restored, type=Kept)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, too deep
        raise CheckpointError(f"expected a checkpoint of a state estimator, found {shortened(str(error))}") from error
    if kept.version != 1:
        raise CheckpointError(f"expected version 1, found {kept.version}; the state starts anew")
    return kept

"""Two algorithms for tests of an agent with a network: one says what it hears in its part, one needs no network."""

from collections.abc import Sequence
from pathlib import Path

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.grid_records import GridState
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, MeasurementFrame, Record, Result
from algorithms.api.samples import SampleBlock


class AreaListener(Algorithm):
    """Tells at each tick its part of the network, and whom it has heard since it started."""

    info = AlgorithmInfo(
        name="area-listener",
        version="1.0.0",
        summary="Says what it hears.",
        consumes=(Kind.FRAME, Kind.GRID_STATE),
        produces=(Kind.RESULT,),
        contents=("heard/1",),
        needs_network=True,
        tick_interval=0.1,
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        assert context.network is not None
        self.network = context.network
        self.states: dict[str, int] = {}
        self.frames: dict[str, int] = {}

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        if isinstance(record, GridState):
            self.states[record.area] = self.states.get(record.area, 0) + 1
        elif isinstance(record, MeasurementFrame):
            self.frames[record.terminal] = self.frames.get(record.terminal, 0) + 1
        return []

    def tick(self, now_ns: int) -> Sequence[Record]:
        payload = {
            "area": self.network.areas[0].id,
            "nodes": sorted(self.network.nodes.ids),
            "revision": self.network.revision,
            "topology_revision": self.network.topology_revision,
            "states": dict(self.states),
            "frames": dict(self.frames),
        }
        return [Result("heard/1", "t", now_ns, payload)]


class Ticker(Algorithm):
    """Counts its ticks, and needs no network."""

    info = AlgorithmInfo(
        name="ticker",
        version="1.0.0",
        summary="Counts.",
        consumes=(),
        produces=(Kind.RESULT,),
        contents=("ticks/1",),
        tick_interval=0.1,
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        self.count = 0

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:  # noqa: ARG002
        return []

    def tick(self, now_ns: int) -> Sequence[Record]:
        self.count += 1
        return [Result("ticks/1", "t", now_ns, {"ticks": self.count})]


def installed_in(folder: Path) -> tuple[str, ...]:
    """Install both in a folder; return what is to be put before an agent's command for it to find them."""
    info = folder / "test_area_listener-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-area-listener\nVersion: 1.0\n")
    lines = (f"area-listener = {__name__}:AreaListener", f"ticker = {__name__}:Ticker")
    (info / "entry_points.txt").write_text("\n".join(["[tresma.algorithms]", *lines, ""]))
    return "env", f"PYTHONPATH={folder}"

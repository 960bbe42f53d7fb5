"""A meter whose events are recorded: an algorithm that tells of dips as they begin and end, and how to install it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, Record, Severity
from algorithms.api.samples import SampleBlock
from algorithms.api.settings import Setting, read_settings

DIPS = {"algorithm": "test-dips", "settings": {}}


class Dips(Algorithm):
    """Tells of a dip of phase A when it begins, and again when it is over (RMS of one cycle a block)."""

    info = AlgorithmInfo(
        name="test-dips",
        version="1.0.0",
        summary="For tests.",
        consumes=(Kind.SAMPLES,),
        produces=(Kind.EVENT,),
        settings=(Setting("severity", "text", "Of its events.", default="notice", choices=tuple(Severity)),),
    )

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        self.severity = Severity(read_settings(self.info.settings, self.settings)["severity"])
        self.terminal = context.terminal
        self.limit = 0.8 * context.nominal_voltage
        self.since: int | None = None

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        if not isinstance(record, SampleBlock):
            return ()
        low = float(np.sqrt(np.mean(np.square(record.values[0])))) < self.limit
        if low is (self.since is not None):
            return ()
        if low:
            self.since = record.time_ns
            return [self.event(None)]
        events = [self.event(record.time_ns)]
        self.since = None
        return events

    def event(self, end_ns: int | None) -> Event:
        return Event("voltage-dip", self.terminal, self.since or 0, end_ns, self.severity, ("A",))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let agents started from now on find the algorithm as an installed package's."""
    info = folder / "test_dips-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-dips\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tresma.algorithms]\ntest-dips = tests.support.recorder_meter:Dips\n")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def sag(start: float, duration: float = 0.3, period: float = 0.0, depth: float = 0.5) -> dict[str, Any]:
    """Write a dip of the simulated source; times after its first sample [s]."""
    return {"kind": "sag", "start": start, "duration": duration, "period": period, "depth": depth, "phases": ["A"]}


def recording(*events: dict[str, Any], history: float = 5.0, rate: float = 6400.0, **recorder: Any) -> dict[str, Any]:
    """Write the parts of a configuration that make a meter record."""
    acquisition = {"driver": "simulated", "sample_rate": rate, "history": history, "options": {"events": list(events)}}
    return {"acquisition": acquisition, "algorithms": [DIPS], "recorder": recorder}

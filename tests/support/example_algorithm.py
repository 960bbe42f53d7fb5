"""An algorithm as short as one can be: tells of voltage dips, phase by phase, from measurement frames."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.errors import CheckpointError
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Event, Kind, MeasurementFrame, Record, Severity
from algorithms.api.samples import SampleBlock
from algorithms.api.settings import Setting, read_settings


class VoltageDips(Algorithm):
    """Makes an event of each dip when it ends (IEC 61000-4-30, 5.4, on the RMS of each frame)."""

    info = AlgorithmInfo(
        name="voltage-dips",
        version="1.0.0",
        summary="Tells of voltage dips, phase by phase.",
        consumes=(Kind.FRAME,),
        produces=(Kind.EVENT,),
        settings=(
            Setting("threshold", "number", "Below this share of nominal.", default=0.9, minimum=0.1, maximum=0.98),
            Setting("hysteresis", "number", "Above threshold by this to end.", default=0.02, minimum=0.0, maximum=0.1),
        ),
        checkpoint_interval=60.0,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        self.open: dict[str, tuple[int, float]] = {}  # phase: since when [ns UTC], lowest voltage [V]

    def start(self, context: Context, restored: bytes | None) -> None:
        values = read_settings(self.info.settings, self.settings)
        self.begin = values["threshold"] * context.nominal_voltage
        self.end = self.begin + values["hysteresis"] * context.nominal_voltage
        if restored:
            try:
                self.open = msgspec.json.decode(restored, type=dict[str, tuple[int, float]])
            except msgspec.DecodeError as error:
                raise CheckpointError(f"expected dips by phase, found {error}") from error

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        if not isinstance(record, MeasurementFrame):
            return ()
        events = []
        for phase, reading in record.voltage.items():
            since, lowest = self.open.get(phase, (record.time_ns, reading.rms))
            if reading.rms < (self.end if phase in self.open else self.begin):
                self.open[phase] = since, min(lowest, reading.rms)
            elif self.open.pop(phase, None):
                evidence = {"lowest_voltage": lowest}
                events.append(
                    Event("voltage-dip", record.terminal, since, record.time_ns, Severity.NOTICE, (phase,), evidence)
                )
        return events

    def checkpoint(self) -> bytes:
        return msgspec.json.encode(self.open)

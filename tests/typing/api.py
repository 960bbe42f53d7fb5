"""
The public signatures a plugin author uses; never run, only checked by mypy.

A change that breaks a line here breaks algorithms that others have written, and raises `API_VERSION`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.conformance import check_algorithm
from algorithms.api.conformance_report import Finding, Report
from algorithms.api.errors import CheckpointError, NetworkError, Problem, SettingsError
from algorithms.api.manifest import AlgorithmInfo, Manifest, manifest_from_toml, problems_of_info
from algorithms.api.network import Island, NetworkModel
from algorithms.api.network_document import NetworkDocument, SwitchStates
from algorithms.api.network_problems import problems
from algorithms.api.network_reader import parse, parse_states
from algorithms.api.readings import Estimate, Phasor
from algorithms.api.records import Event, Kind, MeasurementFrame, Record, Result, Severity, kind_of
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag
from algorithms.api.settings import Setting, problems_of, read_settings
from algorithms.api.wire import Header, decode, encode, time_from_text, time_text


class Plugin(Algorithm):
    info = AlgorithmInfo(
        name="plugin",
        version="1.0.0",
        summary="Everything an algorithm may override.",
        consumes=(Kind.SAMPLES, Kind.FRAME),
        produces=(Kind.EVENT, Kind.RESULT),
        contents=("plugin/1",),
        settings=(Setting("a", "number", "A.", unit="V", default=1.0, minimum=0.0, maximum=2.0),),
        needs_network=True,
        history=1.0,
        time_budget=0.01,
        tick_interval=1.0,
        checkpoint_interval=60.0,
    )

    def __init__(self, settings: Mapping[str, Any]) -> None:
        super().__init__(settings)
        assert_type(self.settings, Mapping[str, Any])

    def start(self, context: Context, restored: bytes | None) -> None:
        values = read_settings(self.info.settings, self.settings)
        assert_type(values, dict[str, Any])
        assert_type(context.network, NetworkModel | None)
        assert_type(context.channels, tuple[Channel, ...])
        assert_type(context.nominal_voltage, float)
        if restored == b"":
            raise CheckpointError("expected something")
        raise SettingsError(problems_of(self.info.settings, self.settings) or [Problem("a", "b", "c")])

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        if isinstance(record, SampleBlock):
            assert_type(record.values, NDArray[np.floating[Any]])
            assert_type(record.first_index, int)
            assert_type(record.flags, SampleFlag)
            assert_type((record.channels[0].quantity, record.channels[0].phase), tuple[Quantity, Phase])
            return ()
        if isinstance(record, MeasurementFrame):
            assert_type(record.frequency, Estimate | None)
            assert_type(record.voltage["A"].phasor, complex)
        assert_type(kind_of(record), Kind)
        return [
            Event("dip", "t-1", 1, None, Severity.NOTICE, phases=("A",), evidence={"lowest_voltage": 1.0}),
            Result("plugin/1", "t-1", 1, {"energy": 1.0}, urgent=True),
        ]

    def tick(self, now_ns: int) -> Sequence[Record]:
        return super().tick(now_ns)

    def checkpoint(self) -> bytes:
        return b""

    def stop(self) -> None:
        super().stop()


def tested(records: Iterable[SampleBlock | Record], context: Context) -> None:
    report = check_algorithm(Plugin, settings={}, context=context, records=records, bad_settings=[{"a": -1}])
    assert_type(report, Report)
    assert_type(report.failed, tuple[Finding, ...])
    report.raise_if_failed()


def read(data: bytes) -> None:
    assert_type(problems(data), list[Problem])
    model = parse(data)
    assert_type(parse({"schema": "network/1"}), NetworkModel)
    assert_type(parse(NetworkDocument(network="n", revision=1)), NetworkModel)
    states = parse_states(data)
    assert_type(states, SwitchStates)
    assert_type(model.with_switches(states), NetworkModel)
    assert_type(model.islands(), tuple[Island, ...])
    assert_type(model.branches.z, NDArray[np.complex128])
    assert_type(model.nodes.rows["n"], int)
    assert_type(NetworkError([Problem("a", "b", "c")]).problems, tuple[Problem, ...])
    manifest = manifest_from_toml(data)
    assert_type(manifest, Manifest)
    assert_type(problems_of_info(manifest.info), list[Problem])


def said(record: Record, header: Header) -> None:
    data = encode(record, header)
    assert_type(data, bytes)
    assert_type(decode(data), tuple[Header, Record])
    assert_type(time_from_text(time_text(header.time_ns)), int)
    assert_type(Phasor(1.0, None, 0.1, None).angle, float | None)

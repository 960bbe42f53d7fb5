"""One-minute sums against numpy, and their being put together."""

import msgspec
import numpy as np
import pytest

from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.readings import Estimate, Phasor
from algorithms.api.wire import Header, encode
from device_catalog.history.arrival import document_of
from device_catalog.history.codec import Kept
from device_catalog.history.fields import chosen, fields_of
from device_catalog.history.rollups import document_of as sums_document
from device_catalog.history.rollups import step_from, steps_of, widened
from tests.support.history import SECOND, frames

START = 1_700_000_040 * SECOND


def kept(records):
    rows = []
    for number, one in enumerate(records, 1):
        message = encode(one, Header("m-1", 1, 1, number, one.time_ns))
        rows.append(Kept(one.time_ns, 1, number, document_of(message)))
    return rows


def test_a_minute_is_mean_least_greatest_and_count_of_its_readings_and_the_mean_of_their_uncertainties():
    said = frames(START, 150)
    steps = steps_of(kept(said), 60)
    assert [(step.start_ns, step.records) for step in steps] == [
        (START + k * 60 * SECOND, n) for k, n in ((0, 60), (1, 60), (2, 30))
    ]
    for number, step in enumerate(steps):
        part = said[60 * number : 60 * number + 60]
        values = np.array([one.voltage["A"].rms for one in part])
        total = step.values["voltage.A.rms"]
        assert total.count == len(part)
        assert total.mean == pytest.approx(np.mean(values), rel=1e-8)
        assert (total.least, total.greatest) == (pytest.approx(values.min()), pytest.approx(values.max()))
        assert total.uncertainty == pytest.approx(np.mean([one.voltage["A"].u_rms for one in part]))
    assert not [name for name in steps[0].values if name.endswith("angle")]


def test_minutes_put_together_are_what_the_records_themselves_give():
    rows = kept(frames(START, 900, 0.7))
    direct = steps_of(rows, 300)
    kept_minutes = [step_from(step.start_ns, sums_document(step)) for step in steps_of(rows, 60)]
    wide = widened(kept_minutes, 300)
    assert [(step.start_ns, step.records) for step in wide] == [(step.start_ns, step.records) for step in direct]
    for one, other in zip(wide, direct, strict=True):
        assert one.values.keys() == other.values.keys()
        for name, total in one.values.items():
            assert total.mean == pytest.approx(other.values[name].mean, rel=1e-6, abs=1e-9)
            assert total.count == other.values[name].count


def test_what_was_not_measured_counts_nowhere():
    said = frames(START, 4)
    said[1] = msgspec.structs.replace(said[1], frequency=None, voltage={})
    step = steps_of(kept(said), 60)[0]
    assert step.records == 4
    assert step.values["frequency"].count == 3
    assert step.values["voltage.A.magnitude"].count == 3


def test_the_nodes_of_a_state_keep_their_names_also_where_they_change():
    def state(time_ns, names):
        nodes = tuple(
            NodeState(name, {"A": Phasor(value, 0.1, 0.5, 0.01)}, {"A": Estimate(5.0, 1.0)}) for name, value in names
        )
        return GridState("lv-1", "lv", time_ns, 1, 1, nodes)

    rows = kept([state(START, [("n1", 230.0), ("n2", 228.0)]), state(START + SECOND, [("n2", 226.0), ("n3", 220.0)])])
    values = steps_of(rows, 60)[0].values
    assert values["nodes.n1.voltage.A.magnitude"].count == 1
    assert values["nodes.n2.voltage.A.magnitude"].mean == pytest.approx(227.0)
    assert values["nodes.n3.p.A"].uncertainty == pytest.approx(1.0)


def test_fields_are_chosen_by_name_or_by_what_they_begin_with():
    names = [field.name for field in fields_of(kept(frames(START, 1))[0].document)]
    assert {"frequency", "rocof", "voltage.A.rms", "voltage_sequence.positive.magnitude", "power.total.p"} <= set(names)
    assert chosen(names, ["power.total"]) == {f"power.total.{one}" for one in ("p", "q", "s", "pf")}
    assert chosen(names, ["volt"]) == set()

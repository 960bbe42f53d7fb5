"""Whatever meters say, an estimator of an area goes on, and tells only what others can read."""

import math

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from algorithms.api import wire
from algorithms.api.algorithm import Context
from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.api.readings import ChannelReading, Estimate, Phasor, PowerReading
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.builtin.states.lv_state import LvState
from algorithms.builtin.states.mv_state import MvState
from tests.support.state_chain import MINUTE, START_NS, document_of, frame_of
from tests.support.state_grid import three_level_document

MANY = settings(max_examples=30, phases=[Phase.generate], deadline=None)  # what fails is plain enough without shrinking
HEADER = wire.Header("d", 1, 1, 1, START_NS)

numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([0.0, -0.0, 230.0, 1e300, -1e300, 5e-324])
MEDIUM = (MvState, "mv", "lv", ("lv-1", "lv-2"), ("m1", "m2"))
LOW = (LvState, "lv-1", "concentrator", ("c-s1-1", "c-s1-2"), ("s1-1", "s1-2"))
moments = st.integers(-(10**12), 10**12) | st.sampled_from([0, -(2**62), 2**62])


@pytest.fixture(scope="module")
def document():
    return document_of(three_level_document(stations=1, concentrators=2, customers=3))


def started(plugin_class, document, area):
    plugin = plugin_class({"hold": 600})
    model = parse(area_of(document, area))
    plugin.start(Context(device="d", network=model), None)
    return plugin, model


def drive(plugin, records):
    """Run records through a plug-in over two minutes; what it returns must be readable."""
    told = [*plugin.tick(START_NS)]
    for number, record in enumerate(records):
        told += plugin.process(record)
        told += plugin.tick(START_NS + (number + 1) * 2 * MINUTE // (len(records) + 1))
    told += plugin.tick(START_NS + 3 * MINUTE)
    for record in told:
        wire.decode(wire.encode(record, HEADER))
    plugin.checkpoint()
    return told


@MANY
@given(data=st.data())
def test_no_frame_ends_an_estimator(document, data):
    plugin, model = started(ConcentratorState, document, "c-s1-1")
    terminals = [*(terminal.id for terminal in model.terminals), "nobody"]
    frames = []
    for _ in range(data.draw(st.integers(1, 6))):
        frame = frame_of(data.draw(st.sampled_from(terminals)), {}, START_NS + data.draw(moments))
        voltage = {
            phase: ChannelReading(*(data.draw(numbers) for _ in range(6)))
            for phase in data.draw(st.sets(st.sampled_from("ABCN")))
        }
        power = {
            phase: PowerReading(*(data.draw(numbers) for _ in range(8)))
            for phase in data.draw(st.sets(st.sampled_from([*"ABC", "total"])))
        }
        window = data.draw(numbers)
        frames.append(msgspec.structs.replace(frame, voltage=voltage, power=power, window=window))
    drive(plugin, frames)


@MANY
@given(data=st.data())
@pytest.mark.parametrize("level", [LOW, MEDIUM], ids=["lv", "mv"])
def test_no_state_from_below_ends_an_estimator(document, level, data):
    plugin_class, own, below, areas, heads = level
    plugin, _ = started(plugin_class, document, own)
    states = []
    for _ in range(data.draw(st.integers(1, 5))):
        phases = data.draw(st.sets(st.sampled_from([*"ABC", "AB", "ABC"])))
        voltage = {phase: Phasor(data.draw(numbers), None, data.draw(numbers), None) for phase in phases}
        p, q = ({phase: Estimate(data.draw(numbers), data.draw(numbers)) for phase in phases} for _ in "pq")
        area = data.draw(st.sampled_from([*areas, "nowhere"]))
        head = NodeState(data.draw(st.sampled_from(heads)), voltage, p, q)
        time_ns, interval = START_NS + data.draw(moments), data.draw(numbers)
        state = GridState(area, below, time_ns, 1, 0, (), interval=interval, equivalent=head)
        objective, freedom = data.draw(numbers), data.draw(st.sampled_from([-1, 0, 7, 10**400]))
        states.append(msgspec.structs.replace(state, objective=objective, degrees_of_freedom=freedom))
    told = drive(plugin, states)
    assert all(math.isfinite(one.objective or 0.0) for one in told if isinstance(one, GridState))

"""An estimator of an area under bad input: partial results, clearly marked, and never an exception."""

import math

import msgspec
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.errors import CheckpointError, SettingsError
from algorithms.api.grid_records import GridState, NodeState
from algorithms.api.network_area import area_of
from algorithms.api.network_reader import parse
from algorithms.api.readings import Estimate, Phasor
from algorithms.api.records import Event, Quality
from algorithms.builtin.states.concentrator_state import ConcentratorState
from algorithms.builtin.states.lv_state import LvState
from algorithms.builtin.states.mv_state import MvState
from algorithms.grid.estimation.measurement import Quantity
from tests.support.metering import find_truth
from tests.support.state_chain import MINUTE, START_NS, Meters, document_of, frame_of
from tests.support.state_grid import three_level_document

SECOND = 1_000_000_000
AREA = "c-s1-1"


@pytest.fixture(scope="module")
def grid():
    """A whole network, and true readings of one concentrator of it."""
    document = document_of(three_level_document(stations=1, concentrators=2, customers=4))
    model = parse(document)
    frames = Meters(model).read(find_truth(model), START_NS + MINUTE // 2)
    own = {terminal.id for terminal in area_of(document, AREA).terminals}
    return document, model, {name: frame for name, frame in frames.items() if name in own}


class Stage:
    """One plug-in, told of minutes."""

    def __init__(self, grid, plugin=ConcentratorState, of=AREA, restored=None, **settings):
        document, _, self.frames = grid
        self.model = parse(area_of(document, of))
        self.plugin = plugin(settings)
        self.plugin.start(Context(device="d", network=self.model), restored)
        self.records = []

    def minute(self, number, frames=None, more=()):
        """Hand over frames in the middle of a minute and wait for its end; return the state."""
        start = START_NS + number * MINUTE
        self.records = []
        self.records += self.plugin.tick(start + MINUTE // 2)
        for record in more:
            self.records += self.plugin.process(record)
        for frame in (self.frames if frames is None else frames).values():
            self.records += self.plugin.process(at(frame, start + MINUTE // 2))
        self.records += self.plugin.tick(start + MINUTE + 7 * SECOND)
        return next((one for one in self.records if isinstance(one, GridState)), None)

    def events(self):
        return [one for one in self.records if isinstance(one, Event)]


def plain(document):
    return msgspec.json.decode(msgspec.json.encode(document))


def at(frame, time_ns):
    return msgspec.structs.replace(frame, time_ns=time_ns)


def changed(frame, **powers):
    """A frame with other powers or voltages of each phase, as ``p``, ``u_p`` or ``magnitude`` state."""
    power = {
        phase: msgspec.structs.replace(one, **{k: v for k, v in powers.items() if k in {"p", "q", "u_p"}})
        for phase, one in frame.power.items()
    }
    voltage = {
        phase: msgspec.structs.replace(one, **{k: v for k, v in powers.items() if k in {"magnitude", "u_magnitude"}})
        for phase, one in frame.voltage.items()
    }
    return msgspec.structs.replace(frame, power=power, voltage=voltage)


def drawn(state):
    return sum(one.value for one in state.equivalent.p.values())


def test_a_right_minute_gives_the_whole_state(grid):
    state = Stage(grid).minute(0)
    assert state.converged
    assert (state.missing, state.unobservable, state.suspects) == ((), (), ())
    assert {node.node for node in state.nodes} == set(parse(area_of(grid[0], AREA)).nodes.ids)
    assert state.counts["readings"] == state.counts["heard"] == state.counts["expected"] == 4
    assert state.time_ns == START_NS + MINUTE // 2
    assert state.interval == 60.0


def test_a_silent_meter_is_named_and_its_load_is_as_unsure_as_its_forecast_at_once(grid):
    stage = Stage(grid)
    whole = stage.minute(0)
    name = next(iter(stage.frames))
    state = stage.minute(1, {k: v for k, v in stage.frames.items() if k != name})
    assert state.missing == (name,)
    assert state.counts["assumed"] > 0
    phase = next(iter(stage.frames[name].power))
    assert state.equivalent.p[phase].uncertainty > 5 * whole.equivalent.p[phase].uncertainty
    load = next(t.equipment for t in stage.model.terminals if t.id == name)
    forecast = stage.model.loads.u_p[stage.model.loads.rows[load]]
    assert state.equivalent.p[phase].uncertainty == pytest.approx(forecast["ABC".index(phase)], rel=0.1)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_counts_as_not_measured(grid, bad):
    stage = Stage(grid)
    name, frame = next(iter(stage.frames.items()))
    state = stage.minute(0, {**stage.frames, name: changed(frame, p=bad, magnitude=bad)})
    assert state.converged
    assert state.counts["invalid"] >= 2
    assert state.counts["assumed"] > 0


def test_kilowatts_in_place_of_watts_are_suspected_where_another_meter_tells(grid):
    document, _, frames = grid
    fields = plain(document)
    branch = {"id": "b-feed", "from_node": "s1-1", "to_node": "s1-1x", "length": 5.0, "line_type": "cable-lv"}
    fields["nodes"].append({"id": "s1-1x", "phases": "ABC", "base_voltage": 400.0})
    fields["branches"].append(branch)
    for one in fields["branches"]:
        if one["to_node"].startswith("s1-1-"):
            one["from_node"] = "s1-1x"
    for area in fields["areas"]:
        if area["id"] == AREA:
            area["nodes"] = [*area["nodes"], "s1-1x"]
    terminal = {"id": "at-feed", "node": "s1-1", "phases": "ABC", "equipment": "b-feed", "device": "meter-feed"}
    fields["terminals"].append(terminal)
    document = document_of(fields)
    model = parse(document)
    meters = Meters(model).read(find_truth(model), START_NS)
    own = {name: meters[name] for name in (*frames, "at-feed")}
    name = max(frames, key=lambda one: sum(power.p for power in own[one].power.values()))
    wrong = {phase: msgspec.structs.replace(one, p=one.p / 1e3, u_p=one.u_p) for phase, one in own[name].power.items()}
    own[name] = msgspec.structs.replace(own[name], power=wrong)
    phase = next(iter(wrong))
    state = Stage((document, model, own)).minute(0, own)
    assert f"{name}.p.{phase}" in {found for one in state.suspects for found in (one.measurement, *one.alternatives)}


def test_strangers_are_counted_and_named_once(grid):
    stage = Stage(grid)
    frame = next(iter(stage.frames.values()))
    stranger = msgspec.structs.replace(frame, terminal="nobody")
    for minute in range(3):
        state = stage.minute(minute, more=[stranger])
        assert state.counts["unknown"] == 1
        told = [event.evidence["names"] for event in stage.events() if event.kind == "sources-unknown"]
        assert told == ([["nobody"]] if minute == 0 else [])


def test_a_meter_told_twice_or_by_its_own_name_is_the_same_meter(grid):
    stage = Stage(grid)
    name, frame = next(iter(stage.frames.items()))
    again = msgspec.structs.replace(frame, terminal=f"meter-{name}")
    state = stage.minute(0, {"other": again, **stage.frames})
    assert state.counts["duplicate"] == 1
    assert "unknown" not in state.counts
    assert not state.missing


def test_who_says_two_things_of_one_instant_is_not_believed(grid):
    stage = Stage(grid)
    frame = next(iter(stage.frames.values()))
    other = changed(frame, p=9000.0)
    state = stage.minute(0, {"other": other, **stage.frames})
    assert state.counts["contradictory"] == 2
    assert state.counts["assumed"] > 0


def test_a_meter_whose_clock_is_far_off_is_told_and_not_believed(grid):
    stage = Stage(grid)
    name = next(iter(stage.frames))
    told = []
    for minute in range(4):
        ahead = at(stage.frames[name], START_NS + minute * MINUTE + 20 * MINUTE)
        rest = {k: v for k, v in stage.frames.items() if k != name}
        state = stage.minute(minute, rest, more=[ahead])
        assert state.missing == (name,)
        assert minute == 3 or state.counts["future"] == 1
        told += [event for event in stage.events() if event.kind == "sources-astray"]
    assert len(told) == 1
    assert told[0].evidence["names"] == [name]
    assert told[0].evidence["lag"][name] < -1000
    stage.minute(4)
    ended = [event for event in stage.events() if event.kind == "sources-astray"]
    assert len(ended) == 1
    assert ended[0].end_ns


def test_clipped_readings_have_come_and_say_nothing(grid):
    stage = Stage(grid)
    name, frame = next(iter(stage.frames.items()))
    clipped = msgspec.structs.replace(frame, quality=(Quality.CLIPPED,))
    state = stage.minute(0, {**stage.frames, name: clipped})
    assert not state.missing
    assert state.counts["assumed"] > 0


def test_an_interval_nobody_told_anything_of_has_no_state(grid):
    stage = Stage(grid)
    stage.minute(0)
    kinds = []
    for minute in range(1, 6):
        assert stage.minute(minute, {}) is None
        kinds += [event.kind for event in stage.events()]
    assert sorted(kinds) == ["area-unobservable", "sources-silent"]
    state = stage.minute(6)
    assert state is not None
    assert all(event.end_ns for event in stage.events())


def test_without_any_voltage_no_voltage_is_told(grid):
    stage = Stage(grid)
    blind = {name: msgspec.structs.replace(frame, voltage={}) for name, frame in stage.frames.items()}
    state = stage.minute(0, blind)
    assert set(state.unobservable) == set(stage.model.nodes.ids)
    assert state.nodes == ()
    assert state.equivalent is None


def test_an_area_that_is_dark_is_told_and_not_raised(grid):
    document, model, _ = grid
    fields = plain(document)
    fields["switches"] = [
        {"id": "cb", "from_node": "s1-0", "to_node": "s1-0x", "kind": "breaker", "normal": "open", "phases": "ABC"}
    ]
    fields["nodes"].append({"id": "s1-0x", "phases": "ABC", "base_voltage": 400.0})
    for line in fields["branches"]:
        if line["from_node"] == "s1-0":
            line["from_node"] = "s1-0x"
    for area in fields["areas"]:
        if area["id"] == "lv-1":
            area["nodes"] = [*area["nodes"], "s1-0x"]
    stage = Stage((document_of(fields), model, {}), LvState, "lv-1")
    for minute in range(4):
        stage.minute(minute, {}, more=[below("c-s1-1", "s1-1", START_NS + minute * MINUTE + MINUTE // 2)])
    stage.minute(5, {})


def below(area, head, time_ns, **fields):
    """The state of a concentrator with 1 kW by phase."""
    voltage = {phase: Phasor(231.0, 0.0, 1.0, 0.001) for phase in "ABC"}
    powers = {phase: Estimate(1000.0, 10.0) for phase in "ABC"}
    state = GridState(area, "concentrator", time_ns, 1, 0, (), interval=60.0)
    return msgspec.structs.replace(state, equivalent=NodeState(head, voltage, powers, powers), **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"converged": False},
        {"equivalent": None},
        {"equivalent": NodeState("s1-1", {}, {"A": Estimate(math.nan, 1.0)}, {})},
        {"level": "mv"},
        {"equivalent": NodeState("elsewhere", {}, {}, {})},
        {"interval": math.nan},
        {"interval": -5.0},
    ],
)
def test_a_useless_state_from_below_is_as_good_as_none(grid, fields):
    stage = Stage(grid, LvState, "lv-1")
    time_ns = START_NS + MINUTE // 2
    useless = msgspec.structs.replace(below("c-s1-1", "s1-1", time_ns), **fields)
    state = stage.minute(0, {}, more=[useless, below("c-s1-2", "s1-2", time_ns)])
    assert state.converged
    assert state.counts["assumed"] == 3


def test_the_state_of_an_area_below_stands_for_its_own_interval_wherever_its_readings_were_taken(grid):
    stage = Stage(grid, LvState, "lv-1")
    stage.plugin.tick(START_NS + 2 * SECOND)
    records = [*stage.plugin.process(below("c-s1-1", "s1-1", START_NS + SECOND))]
    assert not records
    records += stage.plugin.process(below("c-s1-2", "s1-2", START_NS + SECOND))
    assert [type(one) for one in records] == [GridState]  # at once, long before the minute is over


def test_a_restarted_instance_does_not_tell_an_interval_again(grid):
    first = Stage(grid)
    first.minute(0)
    second = Stage(grid, restored=first.plugin.checkpoint())
    second.plugin.tick(START_NS + MINUTE - SECOND)
    for frame in second.frames.values():
        assert not second.plugin.process(frame)
    assert second.minute(1) is not None


def test_a_checkpoint_of_another_kind_is_refused_and_of_another_area_passed_over(grid):
    for damaged in (b"[1, 2]", b'{"version": 1, "area": "\xff"}'):
        with pytest.raises(CheckpointError, match="state estimator"):
            Stage(grid, restored=damaged)
    damaged = Stage(grid).plugin.checkpoint().replace(b'"area":"', b'"area":"\xff')
    with pytest.raises(CheckpointError, match="state estimator"):
        Stage(grid, restored=damaged)
    other = Stage(grid, of="c-s1-2")
    assert Stage(grid, restored=other.plugin.checkpoint()).minute(0) is not None


@pytest.mark.parametrize(
    ("plugin", "area", "settings", "where"),
    [
        (MvState, AREA, {}, "settings.area"),
        (ConcentratorState, AREA, {"area": "c-s1-2"}, "settings.area"),
        (ConcentratorState, AREA, {"interval": 10, "offset": 10}, "settings.offset"),
        (ConcentratorState, AREA, {"profiles": {"H0": {"p": [1]}}}, "settings.profiles.H0.uncertainty"),
        (ConcentratorState, AREA, {"interval": {"value": 1, "unit": "min"}}, "settings.interval"),
    ],
)
def test_settings_that_do_not_fit_are_refused(grid, plugin, area, settings, where):
    with pytest.raises(SettingsError) as refused:
        Stage(grid, plugin, area, **settings)
    assert [problem.where for problem in refused.value.problems] == [where]


def test_a_single_phase_meter_belongs_on_the_phase_of_its_terminal(grid):
    stage = Stage(grid)
    name, frame = next((k, v) for k, v in stage.frames.items() if set(v.voltage) == {"B"})
    renamed = msgspec.structs.replace(frame, voltage={"A": frame.voltage["B"]}, power={"A": frame.power["B"]})
    one, other = stage.minute(0), Stage(grid).minute(0, {**stage.frames, name: renamed})
    assert drawn(one) == pytest.approx(drawn(other))
    assert other.counts["assumed"] == 0


def test_only_the_nodes_asked_for_are_told(grid):
    head = Stage(grid, nodes="head").minute(0)
    assert [node.node for node in head.nodes] == ["s1-1"]
    assert head.omitted == 4
    few = Stage(grid, most_nodes=3, branches="all").minute(0)
    assert len(few.nodes) == 3
    assert len(few.branches) == 4


def test_a_second_long_interval_is_estimated_every_second(grid):
    stage = Stage(grid, interval=1, deadline=0.2, tolerance=0.2)
    states = []
    for tenth in range(35):
        now = START_NS + tenth * SECOND // 10
        states += stage.plugin.tick(now)
        for frame in stage.frames.values():
            states += stage.plugin.process(msgspec.structs.replace(at(frame, now), window=0.1))
    assert len(states) == 3


def test_a_feeder_breaker_is_measured_at_what_is_behind_it(grid):
    document = plain(grid[0])
    document["nodes"].append({"id": "m0x", "phases": "ABC", "base_voltage": 15e3})
    document["switches"] = [{"id": "cb", "from_node": "m0", "to_node": "m0x", "kind": "breaker", "phases": "ABC"}]
    for line in document["branches"]:
        if line["from_node"] == "m0":
            line["from_node"] = "m0x"
    for area in document["areas"]:
        if area["id"] == "mv":
            area["nodes"] = [*area["nodes"], "m0x"]
    document["terminals"] = [{"id": "at-cb", "node": "m0", "phases": "ABC", "equipment": "cb", "device": "meter-cb"}]
    stage = Stage((document_of(document), grid[1], {}), MvState, "mv")
    expected = stage.model.loads.p[stage.model.loads.rows["below-lv-1"]]
    values = {(Quantity.VOLTAGE, phase): (8830.0, 88.0) for phase in "ABC"}
    for phase, power in zip("ABC", expected, strict=True):
        values |= {(Quantity.P, phase): (1.05 * power, 10.0), (Quantity.Q, phase): (0.0, 2e4)}
    state = stage.minute(0, {"at-cb": frame_of("at-cb", values, START_NS)})
    feeder = next(one for one in state.branches if one.branch == "b-m1")
    assert [one.value for one in feeder.p.values()] == pytest.approx(1.05 * expected, rel=0.02)
    assert [one.uncertainty for one in feeder.p.values()] == pytest.approx([10.0] * 3, rel=0.2)

"""What the commissioning page says of wiring, judged from phasors written down from the definition of each fault."""

import cmath
import math

import pytest

from agent.commissioning.diagnosis import Observation, judge
from agent.commissioning.wiring import ChannelStatistics, Verdict
from algorithms.api.readings import ChannelReading, Estimate, Phasor, SequenceReading
from algorithms.api.records import AngleReference, MeasurementFrame
from device_catalog.contract.documents import Direction

PHASES = ("A", "B", "C")
A = cmath.exp(2j * math.pi / 3)
VOLTAGES = {"A": 230 + 0j, "B": 230 * A**2, "C": 230 * A}


def loads(voltages=VOLTAGES, amperes=10.0, lag=20.0):
    """Currents of a load that is as good as balanced, each lagging its own voltage."""
    return {
        phase: amperes * (1 + 0.1 * k) * voltage / abs(voltage) * cmath.exp(-1j * math.radians(lag + 4 * k))
        for k, (phase, voltage) in enumerate(voltages.items())
        if abs(voltage) > 1
    }


def reading(value, share=1e-4):
    angle = cmath.phase(value) if abs(value) > 1e-3 else None
    return ChannelReading(abs(value), angle, max(share * abs(value), 1e-4), 1e-4, abs(value), 1e-3)


def seen(voltages=VOLTAGES, currents=None, *, nominal=230.0, direction=Direction.LOAD, **statistics):
    """What a meter sees whose inputs carry these phasors."""
    currents = loads() if currents is None else currents
    v = [voltages[phase] for phase in PHASES]
    parts = [sum(v) / 3, (v[0] + A * v[1] + A**2 * v[2]) / 3, (v[0] + A**2 * v[1] + A * v[2]) / 3]
    sequence = SequenceReading(*(Phasor(abs(part), 0.0, 1e-3, 1e-4) for part in parts))
    frame = MeasurementFrame(
        "t",
        0,
        0.0,
        0.2,
        AngleReference.OWN,
        Estimate(50.0, 1e-3) if any(abs(one) > 23 for one in v) else None,
        None,
        {phase: reading(value) for phase, value in voltages.items()},
        {phase: reading(value) for phase, value in currents.items()},
        {},
        sequence,
    )
    channels = {
        f"{letter}{phase.lower()}": ChannelStatistics(quantity, phase, abs(values.get(phase, 0)), 0.0, 0.0, 1e-3, full)
        for letter, quantity, values, full in (("u", "voltage", voltages, 500), ("i", "current", currents, 100))
        for phase in PHASES
    }
    channels.update(statistics)
    return Observation(channels, frame, nominal, 50.0, direction)


def told(observation, verdict=Verdict.FAILED):
    """What is told with this verdict, by item."""
    return {one.item: f"{one.found}; {one.remedy}" for one in judge(observation) if one.verdict is verdict}


def verdicts(observation):
    return {one.verdict for one in judge(observation)}


def test_a_meter_that_is_wired_right_is_all_in_order():
    assert verdicts(seen()) == {Verdict.OK}
    assert verdicts(seen(direction=Direction.EITHER)) == {Verdict.OK}


def test_exchanged_phases_are_named_when_voltages_and_currents_moved_together():
    swapped = {"A": VOLTAGES["A"], "B": VOLTAGES["C"], "C": VOLTAGES["B"]}
    said = told(seen(swapped, loads(swapped)))
    assert said["Phase sequence"].startswith("L2 and L3 are exchanged: the phases turn the wrong way")
    assert "voltage leads and current transformers together" in said["Phase sequence"]


@pytest.mark.parametrize(("pair", "names"), [("AB", "L1 and L2"), ("BC", "L2 and L3"), ("AC", "L1 and L3")])
def test_exchanged_voltage_leads_are_named_by_what_the_currents_know(pair, names):
    swapped = dict(VOLTAGES)
    swapped[pair[0]], swapped[pair[1]] = VOLTAGES[pair[1]], VOLTAGES[pair[0]]
    said = told(seen(swapped, loads()))
    assert said["Phase sequence"].startswith(f"The voltages of {names} are exchanged")


@pytest.mark.parametrize(("phase", "name"), [("A", "L1"), ("B", "L2"), ("C", "L3")])
def test_a_reversed_current_transformer_is_named_or_not_judged_where_something_may_generate(phase, name):
    turned = {one: -value if one == phase else value for one, value in loads().items()}
    assert told(seen(currents=turned))["Current transformers"].startswith(
        f"The current transformer of {name} is the wrong way round; turn the current transformer of {name}"
    )
    maybe = told(seen(currents=turned, direction=Direction.EITHER), Verdict.NOT_JUDGED)
    assert "or power is fed back there" in maybe["Current transformers"]


def test_all_currents_reversed_is_never_green_unless_the_terminal_generates():
    turned = {phase: -value for phase, value in loads().items()}
    assert "Current transformers" in told(seen(currents=turned))
    assert "Current transformers" in told(seen(currents=turned, direction=Direction.EITHER), Verdict.NOT_JUDGED)
    assert verdicts(seen(currents=turned, direction=Direction.GENERATION)) == {Verdict.OK}


def test_current_transformers_on_the_wrong_phases_are_named():
    right = loads()
    two = {"A": right["B"], "B": right["A"], "C": right["C"]}
    assert told(seen(currents=two))["Current transformers"].startswith(
        "The current transformers of L1 and L2 are exchanged"
    )
    three = {"A": right["B"], "B": right["C"], "C": right["A"]}
    said = told(seen(currents=three))["Current transformers"]
    assert said.startswith("The current transformers are on the wrong phases: L1 is on L2, L2 is on L3, L3 is on L1")


def test_a_missing_phase_is_a_fuse_and_nothing_else_is_judged_by_it():
    without = {**VOLTAGES, "C": 0j}
    said = told(seen(without, loads(without)))
    assert list(said) == ["Voltage L3"]
    assert said["Voltage L3"].startswith("No voltage on L3 (0.0 V): fuse?")
    assert {"Phase sequence", "Current transformers"} <= set(told(seen(without, loads(without)), Verdict.NOT_JUDGED))


def test_a_missing_neutral_shows_as_a_displaced_star_point():
    """Phase voltages without a neutral are those of a star whose middle has moved by one and the same phasor."""
    moved = {phase: value - 60 * cmath.exp(0.7j) for phase, value in VOLTAGES.items()}
    assert told(seen(moved, loads(moved)))["Neutral"].startswith(
        "The neutral (N) is missing or loose: its potential is off by 60 V"
    )
    unbalanced = {**VOLTAGES, "C": 0.9 * VOLTAGES["C"]}
    assert "Neutral" not in told(seen(unbalanced, loads(unbalanced)))


@pytest.mark.parametrize(
    ("nominal", "share", "words"),
    [(240.0, 0.5, "half"), (120.0, 2.0, "twice"), (230.0, 1 / math.sqrt(3), "1/√3 of"), (230.0, 0.1, "0.1 times")],
)
def test_a_scale_that_is_wrong_in_all_phases_is_told_from_a_network_out_of_order(nominal, share, words):
    scaled = {phase: value / 230 * nominal * share for phase, value in VOLTAGES.items()}
    said = told(seen(scaled, loads(scaled), nominal=nominal))
    assert {"Voltage L1", "Voltage L2", "Voltage L3"} <= set(said)
    if share >= 0.11:
        assert f"{words} the {nominal:g} V expected" in said["Voltage L1"]
        assert "ratio of the voltage channels or the nominal voltage" in said["Voltage L1"]


def test_no_load_is_not_judged_rather_than_green():
    idle = {phase: value * 1e-5 for phase, value in loads().items()}
    found = seen(currents=idle)
    assert not told(found)
    said = told(found, Verdict.NOT_JUDGED)
    assert {"Current L1", "Current L2", "Current L3", "Current transformers"} <= set(said)
    assert "switch loads on in all three phases" in said["Current transformers"]


def test_a_load_in_one_phase_only_says_which_are_idle():
    one = {phase: value if phase == "A" else value * 1e-5 for phase, value in loads().items()}
    assert "Too little current in L2 and L3" in told(seen(currents=one), Verdict.NOT_JUDGED)["Current transformers"]


def test_inputs_that_clip_or_are_shifted_are_told_with_what_to_do():
    clipped = ChannelStatistics("current", "A", 70.0, 0.0, 0.02, 1e-3, 100.0)
    shifted = ChannelStatistics("voltage", "B", 230.0, 12.0, 0.0, 1e-3, 500.0)
    said = told(seen(ia=clipped, ub=shifted))
    assert "beyond the input's range for 2 %" in said["Current L1"]
    assert "shifted by 12 V" in said["Voltage L2"]


def test_two_inputs_on_one_phase_are_told():
    same = {**VOLTAGES, "B": VOLTAGES["A"]}
    assert told(seen(same, loads(same)))["Phase sequence"].startswith("L1 and L2 are connected to the same phase")

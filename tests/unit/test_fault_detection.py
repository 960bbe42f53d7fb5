"""Faults are found with type, phases and times; what is no fault never trips. Waveforms come from `support.emt`."""

from dataclasses import replace

import numpy as np
import pytest

from algorithms.api.algorithm import Context
from algorithms.api.errors import SettingsError
from algorithms.api.network_reader import parse
from algorithms.api.samples import SampleFlag
from algorithms.builtin.faults.fault_detection import FaultDetection
from algorithms.waveform.superimposed import Despiker, SlidingPhasors, inception
from tests.support.fault_disturbances import DISTURBANCES
from tests.support.fault_grids import COMPENSATED, ISOLATED, SOLID, rural, urban
from tests.support.fault_trials import (
    EPOCH_NS,
    SIXTEEN,
    TWELVE,
    Blocks,
    Fault,
    fault_conductance,
    recorded,
)

RATE = 6400.0


def detected(feeder, samples, converter=SIXTEEN, *, block=64, settings=None, spoil=None):
    """Return the events of samples, times in seconds after the first."""
    channels = converter.channels(RATE)
    algorithm = FaultDetection(settings or {})
    context = Context("m", "head", 50.0, 12.7e3, channels, RATE, network=parse(feeder.document()))
    algorithm.start(context, None)
    blocks = Blocks(channels, RATE, block).cut(samples)
    blocks = spoil(blocks) if spoil else blocks
    return [event for one in blocks for event in algorithm.process(one)]


def after(time_ns):
    return (time_ns - EPOCH_NS) * 1e-9


def trial(feeder, kind, phases, resistance, *, section=3, converter=SIXTEEN, seed=1, block=64, **more):
    fault = Fault(section, 100.0, kind, phases, resistance, duration=0.12, angle=0.7 + 0.9 * seed)
    recording = recorded(feeder, fault, cells=1, after=0.15, **more)
    samples = converter.sampled(recording.head, np.random.default_rng(seed))
    return recording, detected(feeder, samples, converter, block=block)


@pytest.mark.parametrize("converter", [SIXTEEN, TWELVE], ids=["16 bit", "12 bit"])
@pytest.mark.parametrize(
    ("kind", "phases", "resistance"),
    [("LG", (0,), 0.01), ("LG", (2,), 50.0), ("LL", (0, 2), 50.0), ("LLG", (0, 1), 1.0), ("LLL", (0, 1, 2), 20.0)],
)
def test_every_type_of_fault_is_found_within_30_ms_and_named(kind, phases, resistance, converter):
    recording, events = trial(urban(), kind, phases, resistance, converter=converter)
    begin, end = events
    inception_time = recording.inception / RATE
    assert (begin.kind, end.kind) == ("fault", "fault")
    assert after(begin.start_ns) == pytest.approx(inception_time, abs=0.003)
    assert after(begin.start_ns) + begin.evidence["detection_time"] < inception_time + 0.03
    assert begin.end_ns is None
    assert after(end.end_ns) == pytest.approx(recording.opened / RATE, abs=0.02)
    assert end.evidence["ending"] == "opened"
    assert end.phases == tuple("ABC"[phase] for phase in phases)
    assert end.evidence["type"] == kind


@pytest.mark.parametrize("neutral", [ISOLATED, COMPENSATED], ids=["isolated", "compensated"])
@pytest.mark.parametrize(("phase", "resistance"), [(0, 0.5), (1, 100.0), (2, 300.0)])
def test_an_earth_fault_without_earthed_neutral_tells_feeder_phase_and_resistance(neutral, phase, resistance):
    _, events = trial(urban(neutral), "LG", (phase,), resistance, converter=TWELVE)
    assert [event.kind for event in events] == ["earth-fault", "earth-fault"]
    assert events[0].phases == ("ABC"[phase],)
    assert events[1].evidence["fault_resistance"] == pytest.approx(resistance, abs=0.2 * resistance + 20.0)
    assert not any("distance" in event.evidence for event in events)


@pytest.mark.parametrize("neutral", [ISOLATED, COMPENSATED], ids=["isolated", "compensated"])
def test_an_earth_fault_of_another_feeder_is_not_this_one_s(neutral):
    feeder = urban(neutral)
    fault = Fault(0, 100.0, "LG", (1,), 1.0, angle=0.4)
    recording = recorded(feeder, fault, node="bus", cells=1, after=0.2)
    assert detected(feeder, SIXTEEN.sampled(recording.head, np.random.default_rng(3))) == []


@pytest.mark.parametrize("name", DISTURBANCES)
@pytest.mark.parametrize("feeder", [urban(), urban(SOLID), rural(COMPENSATED)], ids=["resistance", "solid", "coil"])
def test_a_disturbance_is_no_fault(name, feeder):
    generator = np.random.default_rng(101)
    samples = TWELVE.sampled(DISTURBANCES[name](feeder, generator), generator)
    assert detected(feeder, samples, TWELVE) == []


def test_a_fault_that_spreads_is_one_fault_whose_end_tells_what_it_became():
    conductance = fault_conductance("LLG", (0, 1), 1.0)
    _, events = trial(urban(), "LG", (0,), 1.0, evolves=(0.06, conductance))
    assert len(events) == 2
    assert events[0].evidence["type"] == "LG"
    assert events[1].evidence["evolved"] == ["LG", "LLG"]
    assert events[1].phases == ("A", "B")


LENGTHS = (*range(1, 34), 47, 64, 65, 80, 101, 128, 129, 191, 257, 320, 389, 512, 640, 751, 877, 1000)


def told(events):
    """Return all that must not depend on blocks, times to the microsecond below."""
    return [
        (event.kind, event.phases, event.evidence["type"], event.evidence.get("evolved"), event.evidence.get("ending"),
         event.end_ns is None)
        for event in events
    ], [
        time
        for event in events
        for time in (after(event.start_ns), after(event.end_ns or 0), event.evidence["detection_time"])
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "phases", "neutral"),
    [("LLL", (0, 1, 2), SOLID), ("LLG", (0, 2), SOLID), ("LG", (1,), ISOLATED)],
    ids=["LLL", "LLG", "earth fault"],
)
def test_the_length_of_blocks_changes_nothing(kind, phases, neutral):
    feeder = urban(neutral)
    recording = recorded(feeder, Fault(2, 100.0, kind, phases, 5.0, duration=0.13, angle=0.3), cells=1, after=0.1)
    samples = SIXTEEN.sampled(recording.head, np.random.default_rng(7))[:, 640:]
    words, times = told(detected(feeder, samples, block=640))
    assert [word[2] for word in words] == [kind, kind]
    for block in LENGTHS:
        found, when = told(detected(feeder, samples, block=block))
        assert found == words, block
        assert when == pytest.approx(times, abs=1e-6), block


def test_samples_that_are_missing_end_a_fault_and_are_no_fault_themselves():
    feeder = urban()
    fault = Fault(3, 100.0, "LL", (0, 1), 1.0, duration=0.3)
    samples = SIXTEEN.sampled(recorded(feeder, fault, cells=1).head, np.random.default_rng(2))

    def without(blocks):
        lost = round(0.36 * RATE) // 64
        return [one for number, one in enumerate(blocks) if number not in (12, lost)]

    events = detected(feeder, samples, spoil=without)
    assert [event.evidence.get("ending") for event in events[:2]] == [None, "samples-missing"]

    def marked(blocks):
        values = blocks[14].values.copy()
        values[:, 3] = np.nan
        blocks[14] = type(blocks[14])(
            values, blocks[14].channels, RATE, blocks[14].first_index, blocks[14].time_ns, flags=SampleFlag.MISSING
        )
        return blocks

    assert len(detected(feeder, samples[:, : round(0.24 * RATE)], spoil=marked)) == 0


def saturated(currents, limit):
    """Let current transformers pass what their flux allows: its integral stays within a limit [A s]."""
    passed = np.zeros_like(currents)
    flux = np.zeros(3)
    for number in range(currents.shape[1]):
        flux = flux + currents[:, number] / RATE
        beyond = np.abs(flux) > limit
        flux = np.clip(flux, -limit, limit)
        passed[:, number] = np.where(beyond, 0.05, 1.0) * currents[:, number]
    return passed


@pytest.mark.parametrize(("kind", "phases"), [("LLL", (0, 1, 2)), ("LL", (0, 1))])
@pytest.mark.parametrize("spoilt", ["converter at its limit", "saturated transformers"])
def test_the_largest_faults_are_found_in_spite_of_the_harmonics_that_limits_and_saturation_make(kind, phases, spoilt):
    feeder, fault = urban(), Fault(0, 50.0, kind, phases, 0.01, duration=0.15, angle=0.3)
    recording = recorded(feeder, fault, cells=1, after=0.1)
    head, converter = recording.head.copy(), SIXTEEN
    steady = np.abs(head[3:, recording.inception + 600 : recording.opened - 100]).max()
    if spoilt == "converter at its limit":
        converter = replace(SIXTEEN, amperes=0.4 * float(steady))
    else:
        head[3:] = saturated(head[3:], 1.75 * steady / (2 * np.pi * 50.0))
    events = detected(feeder, converter.sampled(head, np.random.default_rng(7)), converter)
    assert [event.end_ns is None for event in events] == [True, False]
    assert events[0].evidence["detection_time"] < 0.02
    assert events[1].phases == tuple("ABC"[phase] for phase in phases)


@pytest.mark.parametrize(("kind", "phases"), [("LLL", (0, 1, 2)), ("LL", (0, 1))])
def test_a_fault_that_looks_like_inrush_for_longer_than_the_memory_is_found_when_it_ceases_to(kind, phases):
    feeder = urban()
    recording = recorded(feeder, Fault(3, 100.0, kind, phases, 20.0, duration=0.3, angle=0.3), cells=1, after=0.1)
    head, start = recording.head.copy(), recording.inception
    since = np.arange(head.shape[1] - start) / RATE
    size = 0.5 * np.abs(head[3:, start + 600 : recording.opened - 100]).max()
    for phase in range(3):
        wave = np.cos(2 * np.pi * 100 * since - 2 * np.pi / 3 * phase)
        head[3 + phase, start:] += size * np.exp(-since / 0.06) * wave
    begin, end = detected(feeder, SIXTEEN.sampled(head, np.random.default_rng(7)))
    assert after(begin.start_ns) == pytest.approx(start / RATE, abs=0.003)
    assert 0.05 < begin.evidence["detection_time"] < 0.1
    assert (end.evidence["ending"], end.evidence["type"], end.phases) == ("opened", kind, begin.phases)
    assert begin.phases == tuple("ABC"[phase] for phase in phases)


def test_no_harmonics_hold_back_a_current_that_no_transformers_ahead_can_draw():
    feeder = urban()
    recording = recorded(feeder, Fault(0, 50.0, "LL", (0, 1), 20.0, duration=0.3, angle=0.3), cells=1, after=0.1)
    head, start = recording.head.copy(), recording.inception
    since = np.arange(head.shape[1] - start) / RATE
    size = 0.5 * np.abs(head[3:, start + 600 : recording.opened - 100]).max()
    for phase in range(2):
        head[3 + phase, start:] += (-1) ** phase * size * np.cos(2 * np.pi * 100 * since)
    samples = SIXTEEN.sampled(head, np.random.default_rng(7))
    begin, end = detected(feeder, samples, settings={"inrush_current": 800.0})
    assert begin.evidence["detection_time"] < 0.03
    assert (end.evidence["ending"], end.evidence["type"]) == ("opened", "LL")
    assert detected(feeder, samples) == []  # 1 kA may be inrush here: 12 times what transformers are rated


@pytest.mark.parametrize("neutral", [SOLID, ISOLATED, COMPENSATED], ids=["solid", "isolated", "compensated"])
def test_the_end_of_an_earth_fault_that_was_there_before_the_meter_is_no_fault(neutral):
    feeder = urban(neutral)
    recording = recorded(feeder, Fault(2, 100.0, "LG", (0,), 5.0, duration=0.3), cells=1, after=0.2)
    samples = SIXTEEN.sampled(recording.head, np.random.default_rng(7))
    assert detected(feeder, samples[:, recording.inception + 960 :]) == []


def test_the_end_of_an_earth_fault_in_which_samples_were_lost_is_no_second_fault():
    feeder = urban()
    recording = recorded(feeder, Fault(2, 100.0, "LG", (0,), 5.0, duration=0.4), cells=1, after=0.2)
    samples = SIXTEEN.sampled(recording.head, np.random.default_rng(7))
    lost = (recording.inception + 640) // 64
    events = detected(feeder, samples, spoil=lambda blocks: [*blocks[:lost], *blocks[lost + 1 :]])
    assert [event.kind for event in events] == ["fault", "fault", "fault-detection-blind"]
    assert [event.evidence.get("ending") for event in events[:2]] == [None, "samples-missing"]


@pytest.mark.parametrize("gap", [-128, -64, 0, 64])
def test_a_fault_that_begins_near_lost_samples_is_found(gap):
    feeder = urban()
    fault = Fault(2, 100.0, "LLL", (0, 1, 2), 1.0, duration=0.15, angle=0.3, frequency=49.6)
    recording = recorded(feeder, fault, cells=1, after=0.1)
    samples = SIXTEEN.sampled(recording.head, np.random.default_rng(7))
    lost = (recording.inception + gap) // 64

    def without(blocks):
        return [*blocks[:lost], *blocks[lost + 1 :]]

    def spoilt(blocks):
        one = blocks[lost]
        values = np.full_like(one.values, np.nan)
        missing = type(one)(values, one.channels, RATE, one.first_index, one.time_ns, flags=SampleFlag.MISSING)
        return [*blocks[:lost], missing, *blocks[lost + 1 :]]

    for spoil in (without, spoilt):
        events = detected(feeder, samples, spoil=spoil)
        assert [event.evidence.get("ending") for event in events] == [None, "opened"]
        assert events[1].evidence["type"] == "LLL"
        found = after(events[0].start_ns) + events[0].evidence["detection_time"]
        assert found < recording.inception / RATE + 0.05


@pytest.mark.parametrize("name", DISTURBANCES)
def test_a_disturbance_with_samples_lost_is_no_fault(name):
    feeder, generator = urban(), np.random.default_rng(102)
    samples = TWELVE.sampled(DISTURBANCES[name](feeder, generator), generator)
    for lost in (14, 20, 21, 22):

        def without(blocks, lost=lost):
            return [*blocks[:lost], *blocks[lost + 2 :]]

        assert detected(feeder, samples, TWELVE, spoil=without) == []


def test_settings_override_what_follows_from_the_network():
    feeder = urban()
    fault = Fault(3, 100.0, "LL", (0, 1), 50.0, duration=0.1)
    samples = SIXTEEN.sampled(recorded(feeder, fault, cells=1).head, np.random.default_rng(2))
    assert detected(feeder, samples)
    deaf = {"phase_current": 5000.0, "negative_current": 5000.0, "ground_current": 5000.0}
    assert detected(feeder, samples, settings=deaf) == []


def test_what_cannot_work_is_refused_with_all_reasons():
    channels = SIXTEEN.channels(RATE)
    context = Context("m", "nowhere", 50.0, 12.7e3, channels[:4], 400.0, network=parse(urban().document()))
    with pytest.raises(SettingsError) as caught:
        FaultDetection({"phase_current": -1}).start(context, None)
    paths = [problem.where for problem in caught.value.problems]
    assert paths == ["settings.phase_current", "channels", "acquisition.sample_rate", "terminal"]


def test_spikes_of_two_samples_do_not_pass():
    wave = np.sin(np.arange(64.0) / 9)[np.newaxis]
    spoilt = wave.copy()
    spoilt[0, 20:22] = 50.0
    assert np.abs(Despiker(1).push(spoilt) - wave[:, 2:-2]).max() < 0.4


def test_sliding_phasors_are_those_of_a_transform_of_each_cycle():
    generator = np.random.default_rng(4)
    values, cycle = generator.standard_normal((2, 300)), 64
    skews = np.array([0.0, 1.5])
    sliding = SlidingPhasors(cycle, 1 / cycle, skews)
    found = np.hstack([sliding.push(values[:, :77]), sliding.push(values[:, 77:])])
    for end in (100, 299):
        window = np.arange(end - cycle + 1, end + 1)
        for row in range(2):
            kernel = np.exp(-2j * np.pi * (window + skews[row]) / cycle)
            assert found[row, end] == pytest.approx(np.sqrt(2) / cycle * values[row, window] @ kernel)


def test_a_fault_begins_where_its_samples_leave_the_noise():
    generator = np.random.default_rng(5)
    deviation = 0.1 * generator.standard_normal((6, 300))
    deviation[3, 200:] += 50 * np.sin(2 * np.pi * np.arange(100) / 64)
    deviation[1, 40:43] = 9.0  # something small, long before
    assert inception(deviation, np.full(6, 0.6), 64) in (200, 201)

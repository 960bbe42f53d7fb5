"""The energy meter as an algorithm: what it counts, what it tells, and what it does after cuts, gaps and commands."""

import itertools
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from algorithms.api.conformance import check_algorithm
from algorithms.api.errors import CheckpointError, SettingsError
from algorithms.api.records import Command
from algorithms.api.samples import NANOSECONDS, SampleFlag
from algorithms.builtin.energy import RESET, Energy, EnergyState
from tests.support.loads import CURRENT, START_NS, VOLTAGE, Converter, Load, meter

IDEAL = Converter()


def fed(algorithm, blocks):
    return [result for block in blocks for result in algorithm.process(block)]


def state_of(algorithm):
    return msgspec.msgpack.decode(algorithm.checkpoint(), type=EnergyState)


def power(algorithm, row=3, column=0):
    """Return the mean power that a register stands for."""
    state = state_of(algorithm)
    return state.registers.whole[row][column] * 1e-3 / state.seconds["measured"]


def again(converter, algorithm, settings=None):
    """Start a new instance from the state of another."""
    successor = Energy(settings or {})
    successor.start(converter.context(), algorithm.checkpoint())
    return successor


def command(**changes):
    return Command(**{"id": "c-1", "recipient": "m-1", "verb": RESET, "issued_ns": START_NS,
                      "expires_ns": START_NS + 3600 * NANOSECONDS, **changes})  # fmt: skip


def test_it_conforms():
    converter = Converter(12, 3200.0)
    check_algorithm(
        Energy,
        settings={"interval": 1},
        context=converter.context(),
        records=converter.blocks(converter.sample(Load(), 3.0), size=64),
        bad_settings=[{"interval": 0}, {"rated_current": -1.0}, {"starting_share": 0.5}],
    ).raise_if_failed()


@pytest.mark.parametrize("sample_rate", [1600.0, 3200.7316, 6403.2199, 10_000.0])
@pytest.mark.parametrize("frequency", [45.0, 49.3, 50.0, 52.7, 55.0])
def test_energy_is_right_at_every_frequency(frequency, sample_rate):
    """With harmonics and skewed channels to 1e-5, from the first stretch on."""
    load = Load(angle=1.0, frequency=frequency, harmonics=((3, 0.02, 0.1, 0.4), (5, 0.03, 0.15, 2.0)))
    converter = Converter(sample_rate=sample_rate)
    algorithm = meter(converter)
    fed(algorithm, converter.blocks(converter.sample(load, 4.0)))
    assert power(algorithm) == pytest.approx(load.p().sum(), rel=1e-5)
    assert power(algorithm, column=2) == pytest.approx(load.q().sum(), rel=1e-5)


@pytest.mark.parametrize("frequency", [51.5, 60.0, 68.0])
def test_energy_is_right_on_a_grid_of_60_hz(frequency):
    load = Load(angle=-0.5, frequency=frequency)
    algorithm = meter(IDEAL, nominal_frequency=60.0)
    fed(algorithm, IDEAL.blocks(IDEAL.sample(load, 3.0)))
    assert power(algorithm) == pytest.approx(load.p().sum(), rel=1e-5)
    assert power(algorithm, column=5) == pytest.approx(-load.q().sum(), rel=1e-5)


def test_a_phase_without_voltage_counts_nothing_and_the_others_go_on():
    load = Load(voltages=(VOLTAGE, 0.0, VOLTAGE))
    algorithm = meter(IDEAL)
    fed(algorithm, IDEAL.blocks(IDEAL.sample(load, 2.0)))
    whole = state_of(algorithm).registers.whole
    assert whole[1] == (0,) * 7
    assert power(algorithm) == pytest.approx(load.p().sum(), rel=1e-6)


def test_unbalance_and_reverse_power_count_phase_by_phase():
    load = Load(currents=(5.0, 1.0, 0.2), angle=math.pi - 0.3)
    algorithm = meter(IDEAL)
    fed(algorithm, IDEAL.blocks(IDEAL.sample(load, 2.0)))
    for row in range(3):
        assert power(algorithm, row, column=1) == pytest.approx(-load.p()[row], rel=1e-6, abs=1e-3)
        assert power(algorithm, row, column=3) == pytest.approx(load.q()[row], rel=1e-6, abs=1e-3)
        assert power(algorithm, row, column=0) == 0


def test_every_sample_is_counted_once():
    """A load that changes all the time: the register is the integral of v i over the samples taken up, to 2e-4."""
    random = np.random.default_rng(4)
    levels = np.repeat(random.uniform(0.1, 1.0, 200), 640)
    converter = replace(IDEAL, skewed=False)
    algorithm = meter(converter)
    values = converter.sample(Load(), 20.0)
    values[3:] *= levels
    fed(algorithm, converter.blocks(values, size=97))
    state = state_of(algorithm)
    taken = round(state.seconds["measured"] * IDEAL.sample_rate)
    integral = (values[:3, :taken] * values[3:, :taken]).sum() / IDEAL.sample_rate
    assert state.registers.whole[3][0] * 1e-3 == pytest.approx(integral, rel=2e-4)
    assert taken == state.end_index > 20 * IDEAL.sample_rate - 1280


def test_results_come_at_whole_intervals_of_utc_with_the_registers_of_that_instant():
    """Between two results lies exactly the energy of the interval, though no stretch ends at either."""
    algorithm = meter(IDEAL, {"interval": 2})
    load = Load(angle=0.4)
    results = fed(algorithm, IDEAL.blocks(IDEAL.sample(load, 9.1), first=4321))
    instants = [result.time_ns for result in results]
    assert [instant % (2 * NANOSECONDS) for instant in instants] == [0] * 4
    assert {round((b - a) / NANOSECONDS, 9) for a, b in itertools.pairwise(instants)} == {2.0}
    assert all(result.urgent and result.content == "energy/1" for result in results)
    read = [result.payload["registers"]["vectorial"]["active_import"][0] for result in results]
    assert np.diff(read) == pytest.approx(2 * load.p().sum(), abs=1.5)
    assert results[-1].payload["interval"]["measured"] == pytest.approx(2.0, abs=0.2)
    assert results[-1].payload["quality"] == []


def test_lost_samples_are_missing_time_and_never_filled():
    algorithm = meter(IDEAL, {"interval": 4})
    blocks = IDEAL.blocks(IDEAL.sample(Load(), 10.0))
    results = fed(algorithm, blocks[:35] + blocks[55:])  # from 3.5 to 5.5 s
    state = state_of(algorithm)
    assert state.seconds["missing"] == pytest.approx(2.0, abs=0.02)
    assert power(algorithm) == pytest.approx(Load().p().sum(), rel=1e-6)
    assert [result.payload["quality"] for result in results] == [["gap"], ["gap"]]
    assert results[0].payload["interval"]["missing"] == pytest.approx(0.5, abs=0.02)
    assert results[1].payload["interval"]["missing"] == pytest.approx(1.5, abs=0.02)
    total = sum(state.seconds[name] for name in ("measured", "missing", "dead", "out_of_range"))
    assert total == pytest.approx((state.end_ns - START_NS) / NANOSECONDS, abs=1e-6)


def test_time_without_voltage_is_told_and_counts_nothing():
    algorithm = meter(IDEAL)
    values = IDEAL.sample(Load(), 4.0)
    values[:, 12_800:] = 0.0
    fed(algorithm, IDEAL.blocks(values))
    state = state_of(algorithm)
    assert state.seconds["dead"] == pytest.approx(2.0, abs=0.2)
    assert state.registers.whole[3][0] * 1e-3 == pytest.approx(2 * Load().p().sum(), rel=1e-3)


@pytest.mark.parametrize("full_scale", [True, False])
@pytest.mark.parametrize("rubbish", [1e9, 1e30, -1e300, math.inf, math.nan])
def test_samples_that_no_converter_delivers_are_missing_time_and_spoil_no_register(rubbish, full_scale):
    """Also without a full scale to go by; the state can be written and taken up, and counting goes on."""
    algorithm = meter(IDEAL, {"interval": 1})
    blocks = IDEAL.blocks(IDEAL.sample(Load(), 4.0))
    values = blocks[20].values.copy()
    values[4, 77] = rubbish
    blocks[20] = replace(blocks[20], values=values)
    if not full_scale:
        channels = tuple(replace(channel, full_scale=0.0) for channel in IDEAL.channels)
        blocks = [replace(block, channels=channels) for block in blocks]
    fed(algorithm, blocks)
    state = state_of(again(IDEAL, algorithm))
    assert state.seconds["missing"] == pytest.approx(0.2, abs=1e-3)
    assert state.seconds["measured"] == pytest.approx(3.8, abs=0.21)
    assert power(algorithm) == pytest.approx(Load().p().sum(), rel=1e-6)


def test_a_phase_wired_no_longer_takes_nothing_out_of_the_sums():
    first = meter(IDEAL, {"interval": 1})
    *_, before = fed(first, IDEAL.blocks(IDEAL.sample(Load(), 3.0)))
    rows = [0, 1, 3, 4]
    channels = tuple(IDEAL.channels[row] for row in rows)
    second = Energy({"interval": 1})
    second.start(IDEAL.context(channels=channels), first.checkpoint())
    later = [replace(block, values=block.values[rows], channels=channels) for block in
             IDEAL.blocks(IDEAL.sample(Load(), 3.0), first=4 * 6400)]  # fmt: skip
    for result in fed(second, later):
        found, told = result.payload["registers"], before.payload["registers"]
        assert set(found) == set(told)
        for row in told:
            assert all(found[row][name][0] >= told[row][name][0] for name in told[row])


def test_a_frequency_outside_the_range_is_told_and_counts_nothing():
    algorithm = meter(IDEAL)
    fed(algorithm, IDEAL.blocks(IDEAL.sample(Load(frequency=59.0), 2.0)))
    state = state_of(algorithm)
    assert state.seconds["out_of_range"] == pytest.approx(2.0, abs=0.2)
    assert state.registers.whole[3] == (0,) * 7


def test_clipped_time_is_counted_and_told():
    algorithm = meter(IDEAL, {"interval": 1})
    results = fed(algorithm, IDEAL.blocks(IDEAL.sample(Load(), 3.0), flags=SampleFlag.CLIPPED))
    assert results[-1].payload["quality"] == ["clipped"]
    assert state_of(algorithm).seconds["clipped"] == state_of(algorithm).seconds["measured"] > 2.5


def test_reactive_load_does_not_creep_in_the_active_registers():
    """A purely inductive load for 60 s with 12 bits: neither direction gathers 2e-5 of the reactive energy."""
    converter = Converter(12)
    algorithm = meter(converter)
    load = Load(angle=math.pi / 2)
    fed(algorithm, converter.blocks(converter.sample(load, 60.0)))
    whole = state_of(algorithm).registers.whole[3]
    assert max(whole[:2]) <= 2e-5 * sum(whole[2:6])


def test_an_update_takes_up_the_samples_where_its_predecessor_ended():
    """The ring still holds the last seconds: a successor that sees them again counts none twice and leaves none out."""
    blocks = IDEAL.blocks(IDEAL.sample(Load(), 8.0), size=320)
    whole = meter(IDEAL)
    fed(whole, blocks)
    first = meter(IDEAL)
    fed(first, blocks[:81])
    second = again(IDEAL, first)
    fed(second, blocks[60:])
    found, expected = state_of(second), state_of(whole)
    assert found.end_index == expected.end_index
    assert found.seconds == pytest.approx(expected.seconds)
    for row, row_expected in zip(found.registers.whole, expected.registers.whole, strict=True):
        assert row == pytest.approx(row_expected, abs=2)
    assert found.starts == 2


def test_after_a_power_cut_registers_go_on_and_the_time_between_is_missing():
    first = meter(IDEAL)
    fed(first, IDEAL.blocks(IDEAL.sample(Load(), 5.0)))
    second = again(IDEAL, first)
    later = [replace(block, first_index=block.first_index - 10 * 6400) for block in
             IDEAL.blocks(IDEAL.sample(Load(), 2.0), first=10 * 6400)]  # fmt: skip
    fed(second, later)
    state = state_of(second)
    assert state.seconds["missing"] == pytest.approx(5.0, abs=0.25)
    assert state.registers.whole[3][0] * 1e-3 == pytest.approx(7 * Load().p().sum(), rel=0.05)
    assert state.registers.whole[3][0] >= state_of(first).registers.whole[3][0]


def test_a_state_of_a_newer_version_is_read_as_far_as_it_is_known():
    first = meter(IDEAL)
    fed(first, IDEAL.blocks(IDEAL.sample(Load(), 2.0)))
    document = msgspec.msgpack.decode(first.checkpoint())
    document["tariff"] = {"now": 2}
    document["registers"]["version"] = 2
    second = Energy({})
    second.start(IDEAL.context(), msgspec.msgpack.encode(document))
    assert state_of(second).registers.whole == state_of(first).registers.whole


@pytest.mark.parametrize(
    "changes", [{"end_ns": -1}, {"starts": -1}, {"seconds": {"measured": math.nan}}, {"registers": 5}]
)
def test_a_state_that_cannot_be_is_refused(changes):
    document = {**msgspec.msgpack.decode(meter(IDEAL).checkpoint()), **changes}
    with pytest.raises(CheckpointError, match="expected"):
        Energy({}).start(IDEAL.context(), msgspec.msgpack.encode(document))


def test_a_command_tells_the_last_values_and_sets_everything_to_zero_once():
    algorithm = meter(IDEAL)
    fed(algorithm, IDEAL.blocks(IDEAL.sample(Load(), 2.0)))
    last, first = algorithm.process(command())
    assert last.payload["registers"]["A"]["active_import"][0] > 0
    assert first.payload["registers"]["A"]["active_import"] == [0, 0.0]
    assert (first.payload["resets"], first.payload["reset_command"]) == (1, "c-1")
    fed(algorithm, IDEAL.blocks(IDEAL.sample(Load(), 1.0), first=2 * 6400))
    assert algorithm.process(command()) == ()
    assert again(IDEAL, algorithm).process(command()) == ()
    assert state_of(algorithm).registers.whole[0][0] > 0


@pytest.mark.parametrize(
    "changes", [{"recipient": "m-2"}, {"verb": "reset"}, {"expires_ns": START_NS + NANOSECONDS}],
)  # fmt: skip
def test_commands_for_others_unknown_or_too_late_change_nothing(changes):
    algorithm = meter(IDEAL)
    fed(algorithm, IDEAL.blocks(IDEAL.sample(Load(), 2.0)))
    before = algorithm.checkpoint()
    assert algorithm.process(command(**changes)) == ()
    assert algorithm.checkpoint() == before


def test_uncertainties_follow_from_what_is_known_of_the_channels():
    """Gain 0.1 % in voltage and current, displacement 1 mrad each, at a power factor of 0.5."""
    converter = Converter(facts={"gain_uncertainty": 1e-3, "phase_uncertainty": 1e-3})
    algorithm = meter(converter, {"interval": 1})
    load = Load(angle=math.acos(0.5))
    results = fed(algorithm, converter.blocks(converter.sample(load, 3.1)))
    energy, uncertainty = results[-1].payload["registers"]["A"]["active_import"]
    assert uncertainty / energy == pytest.approx(1e-3 * math.sqrt(2 + 2 * math.tan(load.angle) ** 2), rel=0.01)
    total, of_total = results[-1].payload["registers"]["vectorial"]["active_import"]
    assert of_total / total == pytest.approx(uncertainty / energy / math.sqrt(3), rel=0.01)


def test_only_what_is_known_of_noise_remains_where_channels_tell_no_uncertainty():
    converter = Converter(12)
    algorithm = meter(converter, {"interval": 1})
    results = fed(algorithm, converter.blocks(converter.sample(Load((0.05 * CURRENT,) * 3), 4.1)))
    energy, uncertainty = results[-1].payload["registers"]["vectorial"]["active_import"]
    assert 1e-5 < uncertainty / energy < 1e-3


def test_a_change_of_the_rate_loses_less_than_two_cycles():
    slow, fast = Converter(sample_rate=3200.0), Converter(sample_rate=6400.0)
    algorithm = meter(slow)
    fed(algorithm, slow.blocks(slow.sample(Load(), 1.05), size=48))
    first = [
        replace(block, first_index=block.first_index - 3360)
        for block in fast.blocks(fast.sample(Load(), 1.0), first=6720)
    ]
    fed(algorithm, first)
    state = state_of(algorithm)
    assert state.seconds["missing"] <= 0.04
    assert power(algorithm) == pytest.approx(Load().p().sum(), rel=1e-5)


@pytest.mark.parametrize(
    ("facts", "where"),
    [({"sample_rate": 400.0}, "acquisition.sample_rate"), ({"channels": IDEAL.channels[:3]}, "channels")],
)
def test_what_cannot_be_metered_is_refused(facts, where):
    with pytest.raises(SettingsError, match=where):
        Energy({}).start(IDEAL.context(**facts), None)


def test_a_single_phase_is_told_alone():
    context = IDEAL.context(channels=(IDEAL.channels[0], IDEAL.channels[3]))
    algorithm = Energy({"interval": 1})
    algorithm.start(context, None)
    blocks = [replace(block, values=block.values[[0, 3]], channels=context.channels) for block in
              IDEAL.blocks(IDEAL.sample(Load(), 2.5))]  # fmt: skip
    registers = fed(algorithm, blocks)[-1].payload["registers"]
    assert list(registers) == ["A", "vectorial", "arithmetic"]
    assert registers["A"] == registers["arithmetic"]
    assert registers["A"]["active_import"] == registers["vectorial"]["active_import"]

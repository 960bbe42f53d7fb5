"""What energy registers promise: nothing lost, nothing taken back, uncertainties that grow as errors do."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.api.errors import CheckpointError
from algorithms.builtin.energy_registers import CARRY, COLUMNS, PHASES, ROWS, Registers, RegisterState, counts_of

NONE = np.zeros(3)


def counted(p=NONE, q=NONE, s=NONE, duration=1.0, **uncertainties):
    given = {"variance": NONE, "gain": NONE, "phase": NONE, **uncertainties}
    return counts_of(
        p=np.array(p, float), q=np.array(q, float), s=np.array(s, float),
        duration=duration, **{name: np.array(value, float) for name, value in given.items()},
    )  # fmt: skip


def values(registers, row="vectorial", phases="ABC"):
    return {name: pair[0] for name, pair in registers.table(phases)[row].items()}


@pytest.mark.parametrize(
    ("p", "q", "active", "quadrant"),
    [
        (30.0, 40.0, "active_import", "reactive_q1"),
        (-30.0, 40.0, "active_export", "reactive_q2"),
        (-30.0, -40.0, "active_export", "reactive_q3"),
        (30.0, -40.0, "active_import", "reactive_q4"),
    ],
)
def test_power_counts_in_its_direction_and_quadrant(p, q, active, quadrant):
    registers = Registers()
    registers.add(counted([p, 0, 0], [q, 0, 0], [50.0, 0, 0], duration=10.0))
    expected = {**dict.fromkeys(COLUMNS, 0), active: 300, quadrant: 400, "apparent": 500}
    for row in ("A", "vectorial", "arithmetic"):
        assert values(registers, row) == expected
    assert values(registers, "B") == dict.fromkeys(COLUMNS, 0)


def test_the_sums_differ_where_one_phase_feeds_what_another_draws():
    """The vector sum nets the phases, the arithmetic one keeps both directions."""
    registers = Registers()
    registers.add(counted([100, -40, 0], [0, 0, 0], [100, 40, 0]))
    assert values(registers, "vectorial")["active_import"] == 60
    assert values(registers, "vectorial")["active_export"] == 0
    assert values(registers, "arithmetic")["active_import"] == 100
    assert values(registers, "arithmetic")["active_export"] == 40
    assert values(registers, "vectorial")["apparent"] == 60
    assert values(registers, "arithmetic")["apparent"] == 140


def test_a_year_of_seconds_loses_nothing():
    """31,536,000 steps of 0.1 W s and a little make exactly as many as integers say, to a millijoule."""
    registers = Registers()
    step = counted([0.1 + 1 / 4096, 0, 0])  # binary fractions are what tells rounding from loss
    exact = 0.1 + 1 / 4096
    steps = 365 * 86_400
    for _ in range(2):  # a first stretch one by one, and folded as often as a meter does
        for _ in range(5_000):
            registers.add(step)
        registers.state()
    day = step.share((steps - 10_000) / 1000)
    for _ in range(1000):
        registers.add(day)
        registers.state()
    assert abs(registers.state().whole[0][0] - math.floor(exact * steps * 1000)) <= 1


def test_small_steps_count_beside_a_large_register():
    """A microjoule is not lost in a register of a terajoule, where a double would lose it."""
    registers = Registers()
    registers.add(counted([1e12, 0, 0]))
    before = registers.state().whole[0][0]
    for _ in range(10_000):
        registers.add(counted([1e-6, 0, 0]))
        registers.state()
    assert registers.state().whole[0][0] - before == 10


@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 6), min_size=1, max_size=20))
def test_registers_never_go_down_and_net_to_the_energy_that_flowed(flows):
    registers = Registers()
    before = registers.state().whole
    for flow in flows:
        p, q = np.array(flow[:3]), np.array(flow[3:])
        registers.add(counted(p, q, np.hypot(p, q)))
        after = registers.state().whole
        assert all(
            new >= old
            for row, old_row in zip(after, before, strict=True)
            for new, old in zip(row, old_row, strict=True)
        )
        before = after
    net = sum(sum(flow[:3]) for flow in flows)
    reactive = sum(sum(flow[3:]) for flow in flows)
    whole = dict(zip(ROWS, before, strict=True))
    assert (whole["vectorial"][0] - whole["vectorial"][1]) * 1e-3 == pytest.approx(net, abs=0.01)
    assert sum(whole["vectorial"][2:4]) * 1e-3 - sum(whole["vectorial"][4:6]) * 1e-3 == pytest.approx(
        reactive, abs=0.01
    )


def test_gain_and_phase_errors_add_up_while_noise_averages():
    """Ten thousand stretches: gain stays a share of the energy, noise grows with the square root only."""
    registers = Registers()
    for _ in range(10_000):
        registers.add(counted([100, 0, 0], [50, 0, 0], gain=[0.001, 0, 0], phase=[0.002, 0, 0], variance=[4.0, 0, 0]))
    energy, uncertainty = registers.table("A")["A"]["active_import"]
    assert energy == 1_000_000
    assert uncertainty == pytest.approx(math.sqrt((0.001 * 1e6) ** 2 + (0.002 * 5e5) ** 2 + 4.0 * 1e4), rel=0.01)


def test_a_phase_error_cancels_where_reactive_power_changes_sign():
    registers = Registers()
    for sign in (1, -1):
        registers.add(counted([100, 0, 0], [sign * 50, 0, 0], phase=[0.01, 0, 0]))
    assert registers.table("A")["A"]["active_import"][1] == 0.0


def test_the_uncertainty_of_the_vector_sum_is_that_of_simulated_errors():
    """Monte Carlo over gains and angles of three phases; tolerance 5 % from 4,000 draws."""
    random = np.random.default_rng(3)
    p, q = np.array([900.0, -200.0, 400.0]), np.array([300.0, 100.0, -50.0])
    gain, phase = np.array([0.002, 0.003, 0.001]), np.array([0.004, 0.002, 0.003])
    registers = Registers()
    registers.add(counted(p, q, np.hypot(p, q), gain=gain, phase=phase))
    draws = []
    for _ in range(4000):
        power = (p + 1j * q) * (1 + gain * random.standard_normal(3)) * np.exp(1j * phase * random.standard_normal(3))
        total = power.sum()
        draws.append((total.real, total.imag, abs(total)))
    spread = np.std(draws, axis=0)
    row = registers.table("ABC")["vectorial"]
    found = [row[name][1] for name in ("active_import", "reactive_q1", "apparent")]
    assert found == pytest.approx(spread, rel=0.05)


def test_only_the_phases_that_are_measured_are_told():
    registers = Registers()
    registers.add(counted([1, 0, 3]))
    assert list(registers.table(("A", "C"))) == ["A", "C", "vectorial", "arithmetic"]


def test_a_phase_that_counted_stays_in_the_sums_when_it_is_wired_no_longer():
    registers = Registers()
    registers.add(counted([1, 2, 3], s=[1, 2, 3]))
    before = registers.table(PHASES)
    after = registers.table(("A", "B"))
    assert after == before
    fresh = Registers()
    fresh.add(counted([1, 0, 0]))
    assert list(fresh.table(("B",))) == ["A", "B", "vectorial", "arithmetic"]


def test_what_64_bits_cannot_hold_goes_on_too():
    """A state is written and read beyond 2^64 mJ, and every millijoule of it is still there."""
    registers = Registers()
    for _ in range(3):
        registers.add(counted([2.0**64, 0, 0]))
        registers.state()
    registers.add(counted([0.25, 0, 0]))
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(registers.state()), type=RegisterState)
    again = Registers.restored(kept)
    assert again.table(PHASES) == registers.table(PHASES)
    assert again.state().carries[0][0] * CARRY + again.state().whole[0][0] == 3000 * 2**64 + 250


def test_a_state_goes_on_where_it_stood():
    registers = Registers()
    registers.add(counted([1, 2, 3], [4, 5, 6], [7, 8, 9], gain=[0.1] * 3, phase=[0.2] * 3, variance=[1] * 3))
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(registers.state()), type=RegisterState)
    assert Registers.restored(kept).table("ABC") == registers.table("ABC")


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 0},
        {"rows": ("A", "B", "C", "total")},
        {"columns": COLUMNS[:-1]},
        {"whole": ((0,) * 7,) * 3},
        {"whole": ((0,) * 6,) * 4},
        {"whole": ((-1,) * 7,) * 4},
        {"carries": ((-1,) * 7,) * 4},
        {"carries": ((1,) * 7,) * 3},
        {"gain": (0.0,)},
        {"phase": (math.inf,) * 84},
        {"variance": (-1.0,) * 28},
    ],
)
def test_what_no_register_can_hold_is_refused(changes):
    with pytest.raises(CheckpointError, match="expected, found others"):
        Registers.restored(msgspec.structs.replace(Registers().state(), **changes))

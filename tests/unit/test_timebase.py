"""A board's true rate and the UTC of its samples are found from late readings, and what is doubtful is said."""

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api.samples import SampleFlag
from hardware.timebase import RATE_SLEW, STEP, TIME_SLEW, TimeBase
from hardware.timebase_model import TimeModel
from tests.support.daq_readings import EPOCH, Board, Reading, Readings

CLAIMED = 3201.4635
"""What libuldaq says of 3200.7316 Hz on a USB-20x: 229 ppm too much."""

Kernel = Callable[[float], tuple[float | None, float | None]]


class Watched:
    """A time base fed from a simulated board, beside the truth."""

    def __init__(self, board: Board, seed: int, base: TimeBase | None = None, *, steady: bool = True) -> None:
        self.board = board
        self.base = TimeBase(CLAIMED) if base is None else base
        self.readings = Readings(board, seed)
        self.steady = steady
        self.model: TimeModel | None = None
        self.last: Reading | None = None

    def run(
        self,
        until: float,
        kernel: Kernel | None = None,
        pulse: Callable[[int], tuple[float, float] | None] | None = None,
    ) -> Iterator[tuple[float, TimeModel]]:
        asked, second = 0.0, 1
        for reading in self.readings.until(until):
            self.base.observe(reading.count, reading.host_ns, reading.steady_ns if self.steady else None)
            if kernel is not None and reading.time >= asked:
                self.base.host_clock(*kernel(reading.time))
                asked = reading.time + 2.0
            while pulse is not None and second < reading.time - 0.05:
                told = pulse(second)
                if told is not None:
                    place = self.board.taken(second, self.readings.phase) - 1.0
                    self.base.observe_reference(place, EPOCH + round(told[0] * 1e9), told[1])
                second += 1
            self.model, self.last = self.base.model(), reading
            yield reading.time, self.model

    def end(self, until: float, kernel: Kernel | None = None) -> TimeModel:
        for _ in self.run(until, kernel):
            pass
        assert self.model is not None
        return self.model

    def rate_error(self) -> float:
        assert self.model is not None
        assert self.last is not None
        return self.model.sample_rate / self.board.true_rate(self.last.time) - 1.0

    def time_error(self) -> float:
        """How late the newest sample is stamped [s]."""
        assert self.model is not None
        assert self.last is not None
        index = self.last.count - 1
        return (self.model.time_ns(index) - EPOCH) * 1e-9 - self.readings.instant(index)


@pytest.mark.parametrize("seed", range(12))
def test_a_rate_that_is_claimed_229_ppm_too_high_is_right_to_2_ppm_within_a_minute(seed: int) -> None:
    watched = Watched(Board(), seed)
    model = watched.end(60.0)
    assert abs(watched.rate_error()) < 2e-6
    assert abs(watched.rate_error()) < 3.0 * model.rate_uncertainty
    assert model.rate_uncertainty < 2e-6
    assert 0.0 < watched.time_error() < 1e-3, "late by the latency that nobody told, 0.3 ms"
    assert model.time_uncertainty < 1e-3
    assert model.flags is SampleFlag.NONE


@pytest.mark.parametrize(("looks", "loaded"), list(itertools.product(("dithered", "slept"), (False, True))))
def test_looks_that_do_not_aim_at_transfers_take_somewhat_longer(looks: str, loaded: bool) -> None:
    for seed in range(3):
        watched = Watched(Board(looks=looks, loaded=loaded), seed)
        model = watched.end(60.0)
        assert abs(watched.rate_error()) < 5e-6
        assert abs(watched.rate_error()) < 4.0 * model.rate_uncertainty


@pytest.mark.parametrize("seed", range(4))
def test_a_driver_that_looks_once_a_block_and_watches_each_eighth_is_exact_enough(seed: int) -> None:
    watched = Watched(Board(looks="seldom"), seed)
    for time, model in watched.run(150.0):
        if time > 60.0:
            assert abs(watched.rate_error()) < 3e-6
            assert abs(watched.rate_error()) < 3.5 * model.rate_uncertainty
            assert model.rate_uncertainty < 5e-6


def test_samples_that_come_one_by_one_need_no_aim() -> None:
    watched = Watched(Board(transfer=1, looks="slept", interval=0.02), 1, TimeBase(CLAIMED, transfer=1))
    model = watched.end(60.0)
    assert abs(watched.rate_error()) < 2e-6
    assert model.rate_uncertainty < 5e-6


@pytest.mark.parametrize("seed", range(4))
def test_looks_that_keep_step_with_transfers_are_not_believed(seed: int) -> None:
    watched = Watched(Board(looks="grid", loaded=False), seed)
    model = watched.end(30.0)
    assert model.rate_uncertainty > 50e-6
    assert abs(watched.rate_error()) < 4.0 * model.rate_uncertainty


@pytest.mark.parametrize("drift", [1e-6 / 60, -5e-6 / 60])
def test_a_crystal_that_drifts_with_temperature_is_followed(drift: float) -> None:
    watched = Watched(Board(drift=drift), 5)
    for time, _ in watched.run(180.0):
        if time > 60.0:
            assert abs(watched.rate_error()) < 2e-6 + 30.0 * abs(drift)


def test_a_rate_that_was_known_well_before_does_not_hold_a_drifting_crystal() -> None:
    board = Board(drift=1e-6 / 60)
    watched = Watched(board, 6, TimeBase(board.rate, rate_tolerance=5e-7))
    for time, _ in watched.run(400.0):
        if time > 60.0:
            assert abs(watched.rate_error()) < 2e-6


def test_the_steady_clocks_own_error_is_taken_from_utc() -> None:
    watched = Watched(Board(crystal_error=40e-6), 1)
    watched.end(60.0)
    assert abs(watched.rate_error()) < 2e-6


def stepped_at(time: float, by: float) -> Callable[[float], float]:
    return lambda now: by if now > time else 0.0


@pytest.mark.parametrize("by", [0.8, -0.03, 3600.0])
def test_a_step_of_the_clock_is_flagged_doubted_for_a_minute_and_leaves_the_rate_alone(by: float) -> None:
    watched = Watched(Board(crystal_error=20e-6, host_error=stepped_at(65.0, by)), 2)
    rates, steps = [], []
    for time, model in watched.run(140.0):
        rates.append((time, model.sample_rate))
        if model.stepped:
            steps.append(time)
        if 66.0 < time < 124.0:
            assert model.time_uncertainty > 0.99 * min(abs(by), 1.0)
            assert abs(watched.time_error() - by) < 1e-3
    assert len(steps) == 1
    assert 65.0 < steps[0] < 65.5
    assert watched.model is not None
    assert watched.model.time_uncertainty < 1e-3
    assert all(abs(rate / watched.board.rate - 1) < 2e-6 for time, rate in rates if time > 60.0)


def test_a_slew_of_500_ppm_moves_stamps_and_not_the_rate() -> None:
    watched = Watched(Board(host_error=lambda now: -0.03 + 5e-4 * min(max(now - 60.0, 0.0), 60.0)), 3)
    for time, model in watched.run(130.0):
        assert not model.stepped
        if time > 60.0:
            assert abs(watched.rate_error()) < 2e-6
            assert abs(watched.time_error() - watched.board.host_error(time)) < 2e-3
        if time > 70.0:
            assert model.time_uncertainty > 2e-3, "the clock was wrong by what it is working off"


def test_a_slew_from_the_very_start_is_never_taken_for_the_crystals_error() -> None:
    watched = Watched(Board(crystal_error=20e-6, host_error=lambda now: 5e-4 * now), 4)
    model = watched.end(90.0)
    assert abs(watched.rate_error()) < 22e-6, "the crystal's own error stays"
    assert model.rate_uncertainty > 20e-6, "and is said"


def worked_off(now: float) -> float:
    """An offset of 50 ms that a daemon's loop works off with a time constant of 300 s."""
    return -0.05 * math.exp(-now / 300.0)


def test_a_daemons_slow_loop_is_told_apart_by_the_kernel() -> None:
    watched = Watched(Board(crystal_error=20e-6, host_error=worked_off), 5)
    model = watched.end(90.0, lambda _: (1e-3, -20e-6))
    assert abs(watched.rate_error()) < 2e-6
    assert model.rate_uncertainty < 2e-6


def test_without_the_kernels_word_a_gain_that_changes_is_doubted() -> None:
    watched = Watched(Board(crystal_error=20e-6, host_error=worked_off), 5)
    for time, model in watched.run(240.0):
        if time > 30.0:
            assert abs(watched.rate_error()) < 2.5 * model.rate_uncertainty


def test_lost_synchronisation_shows_in_the_uncertainty_and_returns() -> None:
    watched = Watched(Board(crystal_error=20e-6, host_error=lambda now: 3e-6 * max(0.0, min(now, 200.0) - 60.0)), 6)
    seen = {}
    for time, model in watched.run(300.0, lambda now: (5e-4 if now < 60.0 or now > 200.0 else None, -20e-6)):
        seen[int(time)] = model
        if time > 60.0:
            assert abs(watched.time_error()) < 2.5 * model.time_uncertainty
    assert [seen[time].synchronised for time in (59, 70, 190, 210)] == [True, False, False, True]
    assert SampleFlag.UNSYNCHRONISED in seen[190].flags
    assert seen[59].time_uncertainty < seen[100].time_uncertainty < seen[190].time_uncertainty
    assert seen[299].time_uncertainty == pytest.approx(seen[59].time_uncertainty, rel=0.2)


def test_a_clock_that_never_followed_utc_says_so() -> None:
    watched = Watched(Board(crystal_error=20e-6, host_error=lambda now: 3.0 + 20e-6 * now), 7)
    model = watched.end(30.0, lambda _: (None, None))
    assert not model.synchronised
    assert model.time_uncertainty >= 1.0
    assert model.rate_uncertainty > 20e-6


def test_a_pulse_per_second_gives_utc_to_its_own_uncertainty() -> None:
    watched = Watched(Board(host_error=lambda _: 2e-3), 8)
    for time, model in watched.run(40.0, pulse=lambda second: (second, 1e-6)):
        if time > 10.0:
            assert model.referenced
            assert abs(watched.time_error()) < 3e-6
            assert model.time_uncertainty < 5e-6
            assert abs(watched.rate_error()) < 0.2e-6


def test_pulses_that_cease_are_held_over_with_growing_uncertainty() -> None:
    watched = Watched(Board(host_error=lambda _: 2e-3, drift=1e-6 / 60), 9)
    seen = {}
    for time, model in watched.run(420.0, pulse=lambda second: (second, 1e-6) if second < 60 else None):
        seen[int(time)] = model
        assert not (time > 60.0 and model.referenced and abs(watched.time_error()) > 2.5 * model.time_uncertainty)
        assert not (time > 3.0 and model.stepped)
    assert seen[59].time_uncertainty < seen[120].time_uncertainty < seen[200].time_uncertainty
    assert seen[200].referenced
    assert not seen[419].referenced, "by then the host's clock knows better"


def test_one_bad_pulse_is_set_aside_and_a_lasting_change_is_taken() -> None:
    def pulse(second: int) -> tuple[float, float]:
        return second + (5e-3 if 20 <= second <= 21 else 10e-3 if second >= 30 else 0.0), 1e-6

    steps = []
    watched = Watched(Board(), 10)
    for time, model in watched.run(45.0, pulse=pulse):
        if 10.0 < time < 29.0:
            assert abs(watched.time_error()) < 2e-6
        if time > 10.0 and model.stepped:
            steps.append(time)
    assert len(steps) == 1
    assert 32.0 < steps[0] < 32.5
    assert watched.time_error() == pytest.approx(10e-3, abs=5e-6)


def test_a_disciplined_sample_clock_and_one_trigger_keep_utc() -> None:
    base = TimeBase(3200.0, rate_tolerance=1e-9)
    watched = Watched(Board(rate=3200.0, host_error=lambda _: 2e-3), 11, base)
    for _ in watched.run(300.0, pulse=lambda second: (second, 1e-6) if second == 1 else None):
        pass
    assert watched.model is not None
    assert abs(watched.time_error()) < 2e-6
    assert watched.model.time_uncertainty < 5e-6
    assert watched.model.referenced


@pytest.mark.parametrize("by", [1.0, -1.0])
def test_without_a_steady_clock_a_step_is_still_told_from_the_rate(by: float) -> None:
    watched = Watched(Board(host_error=stepped_at(65.0, by)), 12, steady=False)
    stepped = False
    for time, model in watched.run(120.0):
        stepped = stepped or (time > 60.0 and model.stepped)
        if time > 60.0:
            assert abs(watched.rate_error()) < 2e-6
    assert stepped
    assert watched.model is not None
    assert watched.model.time_uncertainty > 0.9
    assert abs(watched.time_error() - by) < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rate=st.floats(500.0, 50_000.0),
    wrong=st.floats(-6e-4, 6e-4),
    transfer=st.integers(1, 64),
    by=st.floats(-2.0, 2.0),
)
def test_no_rate_jumps_and_no_stamp_jumps_unsaid(
    seed: int, rate: float, wrong: float, transfer: int, by: float
) -> None:
    """Whatever the board and however the clock is stepped."""
    board = Board(rate=rate, transfer=transfer, host_error=stepped_at(4.0, by), looks="slept")
    watched = Watched(board, seed, TimeBase(rate * (1.0 + wrong)))
    before: tuple[float, TimeModel, int] | None = None
    for time, model in watched.run(8.0):
        assert watched.last is not None
        count = watched.last.count
        if before is not None:
            elapsed = (count - before[2]) / rate
            moved = model.sample_rate / before[1].sample_rate - 1.0
            assert abs(moved) <= RATE_SLEW * elapsed * 1.01 + 1e-12
            if not model.stepped:
                passed = (model.time_ns(count) - before[1].time_ns(before[2])) * 1e-9
                assert abs(passed - elapsed) <= (2.0 * TIME_SLEW + 6e-4) * elapsed + 1e-8
        assert model.time_ns(count + 100) > model.time_ns(count)
        assert model.rate_uncertainty > 0.0
        before = (time, model, count)


def test_a_board_that_pauses_unsaid_begins_a_new_line_with_the_rate_it_had() -> None:
    base = TimeBase(1000.0)
    rates = []
    for k in range(12_000):
        time = 0.01 * k + (7.0 if k > 8_000 else 0.0)
        base.observe(10 * k, EPOCH + round(time * 1e9) + (k * 7919) % 9_000, round(time * 1e9) + (k * 7919) % 9_000)
        model = base.model()
        if k > 6_000:
            rates.append(model.sample_rate)
    assert all(abs(rate / 1000.0 - 1.0) < 2e-6 for rate in rates)
    assert (model.time_ns(119_999) - EPOCH) * 1e-9 == pytest.approx(0.01 * 12_000 + 7.0, abs=STEP + 0.01)


def test_wrong_use_is_said() -> None:
    with pytest.raises(ValueError, match="nominal_rate above 0 expected, found 0"):
        TimeBase(0.0)
    with pytest.raises(ValueError, match="latency of 0 or more"):
        TimeBase(1000.0, latency=-1.0)
    base = TimeBase(1000.0)
    with pytest.raises(RuntimeError, match="observe comes before model"):
        base.model()
    with pytest.raises(RuntimeError, match="observe comes before observe_reference"):
        base.observe_reference(0.0, EPOCH, 1e-6)
    base.observe(10, EPOCH, 0)
    with pytest.raises(ValueError, match="a count of at least 10 expected, as it was before, found 9"):
        base.observe(9, EPOCH + 1, 1)
    with pytest.raises(ValueError, match="uncertainty above 0 expected"):
        base.observe_reference(0.0, EPOCH, 0.0)

"""What boards can do, and what is asked of them: granted as it will be, or refused with what would fit."""

import math
from dataclasses import replace
from typing import Any

import pytest

from hardware.checks import OptionsError
from hardware.errors import SourceRefused
from hardware.mcc_boards import MODELS, BoardModel, Pacer, Wiring, fitting, model_named, model_of
from hardware.mcc_options import read_board_options
from hardware.mcc_scan import Scan, plan_scan
from hardware.mcc_spans import Span, bipolar
from hardware.source import SourceRequest
from tests.support.uldaq_boards import wired


def plan(model: str, request: SourceRequest | None = None, **options: Any) -> Scan:
    asked = SourceRequest(6400.0, wired()) if request is None else request
    return plan_scan("uldaq", model_named(model), read_board_options("uldaq", options), asked)


def refusal(model: str, request: SourceRequest | None = None, **options: Any) -> str:
    with pytest.raises(SourceRefused) as caught:
        plan(model, request, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "asked", "returned", "true"),
    [
        ("USB-202", 3200.0, 3201.4635, 3200.7316),
        ("USB-202", 6400.0, 6406.1499, 6403.2199),
        ("USB-1208FS-Plus", 3200.0, 3200.8536, 3200.0),
        ("USB-1208FS-Plus", 6400.0, 6405.4660, 6402.0487),
        ("USB-1608FS-Plus", 3200.0, 3200.0, 3200.0),
        ("USB-1808", 6400.0, 6400.0, 6400.0),
    ],
)
def test_the_true_rate_follows_from_the_base_clock_and_not_from_what_the_library_returns(
    model: str, asked: float, returned: float, true: float
) -> None:
    board = model_named(model)
    assert board.true_rate(asked, 6) == pytest.approx(true, abs=5e-5)
    assert board.returned_rate(asked, 6) == pytest.approx(returned, abs=5e-5)


def test_a_true_rate_is_never_below_what_was_asked_and_at_most_one_clock_period_above() -> None:
    for board in MODELS:
        for rate in (50.0, 1234.5, 3200.0, 6400.0):
            found = board.true_rate(rate, 6, burst=board.burst_interval > 0)
            assert rate <= found * (1 + 1e-12)
            assert found <= rate * (1 + 7 * rate / board.clock)


def test_every_model_is_found_by_every_product_number_and_none_is_used_twice() -> None:
    numbers = [number for board in MODELS for number in board.product_ids]
    assert len(set(numbers)) == len(numbers)
    assert all(model_of(number) is board for board in MODELS for number in board.product_ids)
    assert model_of(0x132) is None


def test_channels_of_a_multiplexed_board_are_skewed_by_a_conversion_each() -> None:
    scan = plan("USB-202")
    step = 1 / (scan.rate * 6)
    assert [channel.skew for channel in scan.channels] == pytest.approx([k * step for k in range(6)])
    assert scan.channels[0].resolution == pytest.approx(100 * 20 / 4096)
    assert scan.channels[3].full_scale == pytest.approx(2 * 10)


def test_wiring_voltage_and_current_of_a_phase_side_by_side_brings_them_within_one_step() -> None:
    scan = plan("USB-202", SourceRequest(6400.0, wired("UIUIUI")))
    skews = {channel.name: channel.skew for channel in scan.channels}
    assert [skews["ia"] - skews["ua"], skews["ib"] - skews["ub"]] == pytest.approx([1 / (scan.rate * 6)] * 2)


def test_simultaneous_boards_have_no_skew_and_bursts_a_few_microseconds() -> None:
    assert {channel.skew for channel in plan("USB-1608FS-Plus").channels} == {0.0}
    assert plan("USB-1608G").channels[5].skew == pytest.approx(10e-6)
    slow = plan("USB-1608G", burst=False)
    assert slow.channels[5].skew == pytest.approx(5 / (6 * slow.rate))
    assert slow.model.pacer is Pacer.BURST


def test_channels_in_any_order_are_scanned_in_ascending_order_and_led_back() -> None:
    channels = tuple(reversed(wired()))
    scan = plan("USB-202", SourceRequest(3200.0, channels))
    assert scan.inputs == (0, 1, 2, 3, 4, 5)
    assert scan.rows == (5, 4, 3, 2, 1, 0)
    assert not scan.needs_queue
    assert scan.channels[0].name == "ic"
    assert scan.channels[0].skew == pytest.approx(5 / (6 * scan.rate))


def test_inputs_that_are_left_out_cost_no_time_where_the_board_can_skip_them() -> None:
    channels = tuple(
        replace(channel, input=number) for channel, number in zip(wired(), (0, 1, 2, 4, 5, 7), strict=True)
    )
    assert plan("USB-202", SourceRequest(3200.0, channels)).needs_queue
    whole = plan("USB-1608HS", SourceRequest(3200.0, channels))
    assert whole.inputs == tuple(range(8))
    assert whole.rows == (0, 1, 2, 4, 5, 7)


def test_each_channel_has_its_own_range_where_the_board_can() -> None:
    scan = plan("USB-1608FS-Plus", ranges={"ia": "+-1", "ib": "+-1", "ic": "±1 V"})
    assert scan.spans == (bipolar(10),) * 3 + (bipolar(1),) * 3
    assert scan.needs_queue
    assert scan.channels[0].resolution / 100 == pytest.approx(10 * scan.channels[3].resolution / 2)
    message = refusal("USB-202", ranges={"ia": "+-5"})
    assert "options.ranges.ia: expected +-10 V (single-ended on a USB-202), found +-5 V; +-10 V takes it" in message
    assert "one range for all channels" in message


def test_a_unipolar_signal_on_a_bipolar_board_is_refused_with_what_it_costs_and_who_could() -> None:
    message = refusal("USB-202", range="0..10")
    assert "found 0..10 V; +-10 V takes it, with 0.5 of its codes used" in message
    assert "what is asked would fit USB-1208HS, USB-1808, USB-1808X" in message
    assert plan("USB-1808", range="0..10").spans == (Span(0.0, 10.0),) * 6


def test_six_differential_inputs_are_refused_by_a_board_with_four_naming_those_that_have_them() -> None:
    message = refusal("USB-1408FS-Plus", input_mode="differential")
    assert "channel ib: expected an input from 0 to 3 (differential on a USB-1408FS-Plus), found 4" in message
    assert "what is asked would fit USB-1608G, USB-1608GX, USB-1608HS, USB-1808, USB-1808X" in message


def test_a_rate_beyond_the_board_is_refused_with_the_highest_that_fits_so_many_channels() -> None:
    message = refusal("USB-1208FS-Plus", SourceRequest(10e3, wired()))
    assert "up to 8666.67 [Hz], found 10000" in message
    assert "USB-201" in message.partition("would fit")[2]
    assert "no board in the table could do it" in refusal("USB-1808X", SourceRequest(5e6, wired()))


def test_everything_that_is_wrong_is_told_together() -> None:
    channels = (*wired()[:4], replace(wired()[4], input=3), replace(wired()[5], input="ai5"))
    message = refusal("USB-202", SourceRequest(-1.0, channels), range="+-1", burst=True)
    for expected in (
        "sample_rate: expected a rate above 0",
        "channel ib: expected an input of its own, found 3, which is ia's",
        "channel ic: expected an input from 0 to 7 (single-ended on a USB-202), found ai5",
        "options.range: expected +-10 V (single-ended on a USB-202), found +-1 V; +-10 V takes it, with 0.1",
        "options.burst: expected a board that converts in bursts, found a USB-202, which cannot; leave it out",
    ):
        assert expected in message
    assert "expected the channels that are wired" in refusal("USB-202", SourceRequest(3200.0))
    assert "options.input_mode: expected single-ended" in refusal("USB-202", input_mode="differential")


def test_options_that_cannot_be_read_are_told_together() -> None:
    with pytest.raises(OptionsError) as caught:
        read_board_options(
            "uldaq", {"range": 10, "ranges": {"ia": "wide"}, "trigger_on_second": True, "seriell": "1", "buffer": 1e9}
        )
    for expected in (
        "options.seriell: expected serial",
        "did you mean serial?",
        "options.buffer: expected a number",
        "options.range: expected a range such as +-10 or 0..10 [V], found 10",
        "options.ranges.ia: expected a range",
        "options.trigger_on_second: expected a trigger",
    ):
        assert expected in str(caught.value)


@pytest.mark.parametrize("text", ["", "+-", "10", "5..-5", "0..inf", "+-nan", "a..b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(OptionsError, match="expected a range such as"):
        read_board_options("uldaq", {"range": text})


def test_models_that_fit_are_those_that_would_grant_the_request() -> None:
    requests = [(wiring, span, count, rate) for wiring in Wiring for span in (bipolar(10), bipolar(2), Span(0.0, 10.0))
                for count in (1, 4, 6, 8) for rate in (3200.0, 12800.0, 60e3)]  # fmt: skip
    for wiring, span, count, rate in requests:
        able = fitting(wiring, [span], range(count), rate)
        channels = tuple(replace(wired()[0], name=f"u{k}", input=k) for k in range(count))
        for board in MODELS:
            assert (board.name in able) == grants(board, wiring, span, SourceRequest(rate, channels))


def grants(board: BoardModel, wiring: Wiring, span: Span, request: SourceRequest) -> bool:
    options = read_board_options("uldaq", {"input_mode": wiring.value, "range": f"{span.low:g}..{span.high:g}"})
    try:
        plan_scan("uldaq", board, options, request)
    except SourceRefused:
        return False
    return True


def test_the_ring_is_whole_packets_and_holds_what_was_asked_for() -> None:
    for board in MODELS:
        scan = plan(board.name, SourceRequest(3200.0, wired()))
        assert scan.ring % board.packet == 0
        assert scan.ring >= 2.0 * scan.rate
        assert scan.stage >= 1
        assert scan.ring > 8 * scan.stage
        assert math.isclose(scan.stage / scan.rate, 0.01, rel_tol=1.5)

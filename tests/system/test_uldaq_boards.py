"""Boards in real time through the unmodified wheel: what they measure, and what happens when something goes wrong."""

import cmath
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from algorithms.api.samples import SampleBlock, SampleFlag
from hardware.errors import SourceAway, SourceError, SourceLost, SourceRefused
from hardware.source import SourcePlan, SourceRequest
from hardware.uldaq_source import UldaqSource
from tests.support.uldaq_boards import AMPLITUDES, Boards, angle, loaded_boards, wired

REQUEST = SourceRequest(6400.0, wired())


@pytest.fixture
def boards() -> Boards:
    boards = loaded_boards()
    boards.reset()
    return boards


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[UldaqSource, SourcePlan]]]:
    """Start sources; all are stopped afterwards."""
    sources: list[UldaqSource] = []

    def start(
        options: dict[str, Any] | None = None, request: SourceRequest = REQUEST
    ) -> tuple[UldaqSource, SourcePlan]:
        sources.append(UldaqSource(options or {}))
        return sources[-1], sources[-1].start(request)

    yield start
    for source in sources:
        source.stop()


def read(source: UldaqSource, count: int, within: float = 10.0) -> list[SampleBlock]:
    """Read so many blocks."""
    deadline = time.monotonic() + within
    blocks: list[SampleBlock] = []
    while len(blocks) < count:
        assert time.monotonic() < deadline, f"expected {count} blocks within {within} s, found {len(blocks)}"
        block = source.read(0.1)
        if block is not None:
            blocks.append(block)
    return blocks


def until(source: UldaqSource, wanted: Callable[[SampleBlock], bool], within: float = 10.0) -> list[SampleBlock]:
    """Read on to a block; return it last, behind all that came before."""
    deadline = time.monotonic() + within
    blocks: list[SampleBlock] = []
    while not blocks or not wanted(blocks[-1]):
        assert time.monotonic() < deadline, "the block that was waited for did not come"
        block = source.read(0.1)
        blocks += [] if block is None else [block]
    return blocks


def never(_block: SampleBlock) -> bool:
    return False


def lost(block: SampleBlock) -> bool:
    return SampleFlag.LOST in block.flags


def phasors(blocks: list[SampleBlock], frequency: float = 50.0) -> NDArray[np.complex128]:
    """Least squares over the blocks: each channel's peak and angle referred to the UTC second, skew taken out."""
    first = blocks[0]
    values = np.concatenate([block.values for block in blocks], axis=1)
    # By numbers and the rate rather than by stamps, whose noise is judged apart.
    elapsed = np.arange(values.shape[1]) / first.sample_rate
    second = (first.time_ns % 10**9) * 1e-9 + (first.time_ns // 10**9) * frequency % 1.0 / frequency
    found = []
    for row, channel in zip(values, first.channels, strict=True):
        turn = 2 * np.pi * frequency * (second + elapsed + channel.skew)
        terms = np.stack([np.cos(turn), -np.sin(turn), np.ones_like(turn)], axis=1)
        real, imaginary, _ = np.linalg.lstsq(terms, row, rcond=None)[0]
        found.append(complex(real, imaginary))
    return np.array(found)


@pytest.mark.parametrize(
    ("product", "options", "order"),
    [
        (0x12B, {}, "UUUIII"),
        (0x12B, {}, "UIUIUI"),
        (0xE9, {}, "UUUIII"),
        (0xEA, {"range": "+-5"}, "UUUIII"),
        (0x111, {"input_mode": "differential", "ranges": {"ia": "+-5"}}, "UUUIII"),
        (0x13D, {"range": "0..10"}, "UUUIII"),
    ],
    ids=["USB-202", "USB-202 in pairs", "USB-1408FS-Plus", "USB-1608FS-Plus", "USB-1608GX", "USB-1808"],
)
def test_a_measured_phasor_is_the_one_at_the_terminals(
    boards: Boards, started: Callable[..., Any], product: int, options: dict[str, Any], order: str
) -> None:
    """Amplitude within the converter's resolution, angles between channels corrected for skew to 0.02 degrees."""
    serial = boards.plug_in(product=product, ppm=30)
    offset = 5.0 if options.get("range") == "0..10" else 0.0
    channels = wired(order, offset=offset)
    names = [channel.name for channel in wired()]
    for channel in channels:
        k = names.index(channel.name)
        boards.tell(f"input {serial} {channel.input} {AMPLITUDES[k]} {angle(k)} {offset}")
    source, plan = started(options, replace(REQUEST, channels=channels))
    blocks = read(source, 50)
    assert all(block.flags in (SampleFlag.NONE, SampleFlag.UNSYNCHRONISED) for block in blocks)
    found = dict(zip((channel.name for channel in plan.channels), phasors(blocks), strict=True))
    turn = found["ua"] / abs(found["ua"])
    for k, (name, amplitude) in enumerate(zip(names, AMPLITUDES, strict=True)):
        expected = cmath.rect(amplitude * (100.0 if k < 3 else 2.0), angle(k))
        assert abs(found[name] / turn / expected - 1) < 4e-4, name
    # The stamp itself, to a few milliseconds of delay: 2 ms are 36 degrees.
    assert abs(cmath.phase(turn)) < 2 * math.pi * 50 * 0.005


def test_the_granted_rate_is_the_pacers_and_not_the_librarys(boards: Boards, started: Callable[..., Any]) -> None:
    boards.plug_in()
    _, plan = started()
    assert plan.sample_rate == pytest.approx(6403.2199, abs=1e-3)


def test_a_board_that_samples_at_another_rate_than_it_should_is_found_out(
    boards: Boards, started: Callable[..., Any]
) -> None:
    """400 ppm off its own clock: a few seconds bring the rate near."""
    true = 6403.2199 * (1 + 4e-4)
    boards.plug_in(true_rate=true, returned_rate=6406.15)
    source, _ = started()
    block = until(source, lambda block: abs(block.sample_rate / true - 1) < 1e-4, within=30)[-1]
    assert block.first_index < 20 * true


def test_every_code_arrives_once_and_in_order_over_many_turns_of_the_ring(
    boards: Boards, started: Callable[..., Any]
) -> None:
    """Transfers of 32 samples end in the middle of a scan of six; the ring of half a second turns four times."""
    boards.plug_in()
    source, plan = started({"buffer": 0.5}, SourceRequest(3200.0, wired()))
    blocks = read(source, 100)
    first = blocks[0].first_index
    assert [block.first_index for block in blocks] == [first + k * plan.block_samples for k in range(100)]
    values = np.concatenate([block.values for block in blocks], axis=1) / np.array([[100.0]] * 3 + [[2.0]] * 3)
    index = np.arange(values.shape[1])
    for k, channel in enumerate(plan.channels):
        turn = 2 * np.pi * 50.0 * (index / plan.sample_rate + channel.skew)
        terms = np.stack([np.cos(turn), -np.sin(turn)], axis=1)
        solution = np.linalg.lstsq(terms, values[k], rcond=None)[0]
        assert np.abs(terms @ solution - values[k]).max() <= 0.55 * 20 / 4096


def test_blocks_come_within_milliseconds_of_their_last_sample(boards: Boards, started: Callable[..., Any]) -> None:
    boards.plug_in()
    source, plan = started()
    ages = [(time.time_ns() - read(source, 1)[0].end_ns) * 1e-9 for _ in range(60)]
    assert plan.block_samples / plan.sample_rate == pytest.approx(0.02, rel=1e-3)
    assert sorted(ages)[30] < 0.008


def test_clipped_samples_are_flagged(boards: Boards, started: Callable[..., Any]) -> None:
    serial = boards.plug_in(gain=0.985)
    source, _ = started()
    assert SampleFlag.CLIPPED not in read(source, 5)[-1].flags
    boards.tell(f"input {serial} 4 14 0")
    block = until(source, lambda block: SampleFlag.CLIPPED in block.flags)[-1]
    assert np.abs(block.values[4]).max() == pytest.approx(2 * 9.85, rel=2e-3)


def test_inputs_may_be_left_out_and_taken_in_any_order(boards: Boards, started: Callable[..., Any]) -> None:
    serial = boards.plug_in()
    boards.tell(*(f"input {serial} {number} 0 0 {number}" for number in range(8)))
    inputs = (7, 0, 5, 1, 4, 3)
    channels = tuple(replace(channel, input=number, ratio=1.0) for channel, number in zip(wired(), inputs, strict=True))
    source, _ = started({}, SourceRequest(3200.0, channels))
    assert read(source, 3)[-1].values.mean(axis=1) == pytest.approx(inputs, abs=20 / 4096)


def test_after_an_overrun_samples_go_on_with_a_flagged_gap(boards: Boards, started: Callable[..., Any]) -> None:
    serial = boards.plug_in()
    source, plan = started()
    blocks = read(source, 5)
    boards.set(serial, overrun=1)
    blocks += until(source, lost)
    before, after = blocks[-2:]
    gap = (after.first_index - before.end_index) / plan.sample_rate
    assert 0.1 <= gap < 1.0, "the library says it 100 ms after the last transfer"
    assert (after.time_ns - before.end_ns) * 1e-9 == pytest.approx(gap, abs=0.02)
    assert not any(lost(block) for block in read(source, 5))


@pytest.mark.parametrize("silent", ["", " silent"])
def test_an_unplugged_board_is_found_again_by_its_serial_number_behind_another(
    boards: Boards, started: Callable[..., Any], silent: str
) -> None:
    """Also when the library notices nothing, and when the board comes back at another place of the inventory."""
    serial = boards.plug_in("01AB")
    boards.plug_in("02CD")
    source, plan = started({"serial": serial})
    read(source, 5)
    boards.tell(f"unplug {serial}{silent}")
    deadline = time.monotonic() + 5
    while source.read(0.1) is not None:
        assert time.monotonic() < deadline
    boards.tell(f"plug {serial}")
    block = until(source, lost)[-1]
    assert block.sample_rate == pytest.approx(plan.sample_rate, rel=1e-3)
    assert source.info.description == "USB-202 01AB"
    assert not any(lost(block) for block in read(source, 5))
    assert np.abs(block.values[0]).max() <= 400.5


def test_a_stall_is_taken_for_a_fault_and_the_board_is_opened_anew(boards: Boards, started: Callable[..., Any]) -> None:
    serial = boards.plug_in()
    source, plan = started()
    last = read(source, 5)[-1]
    boards.set(serial, stall=1)
    begun = time.monotonic()
    while source.read(0.05) is not None or time.monotonic() - begun < 0.7:
        assert time.monotonic() - begun < 5
    boards.set(serial, stall=0)
    block = until(source, lost)[-1]
    assert block.first_index - last.end_index > 0.5 * plan.sample_rate


def test_a_board_that_does_not_come_back_is_given_up_with_what_was_seen(
    boards: Boards, started: Callable[..., Any]
) -> None:
    serial = boards.plug_in()
    source, _ = started({"recovery": 0.3})
    read(source, 3)
    boards.tell(f"unplug {serial}")
    with pytest.raises(SourceLost, match=r"USB-202 01AB was lost: .*expected the board 01AB, found none.*within 0.3 s"):
        until(source, never)
    source.stop()
    boards.tell(f"plug {serial}")
    source.start(REQUEST)
    read(source, 3)


def test_two_boards_are_refused_without_a_serial_number_and_told(boards: Boards) -> None:
    boards.plug_in("01AB")
    boards.plug_in("02CD", product=0xEA)
    with pytest.raises(
        SourceRefused, match=r"one board or options.serial, found 2: USB-202 01AB, USB-1608FS-Plus 02CD"
    ):
        UldaqSource({}).start(REQUEST)


def test_two_sources_on_two_boards_run_side_by_side(boards: Boards, started: Callable[..., Any]) -> None:
    for serial, level in (("01AB", 1.0), ("02CD", 2.0)):
        boards.plug_in(serial)
        boards.tell(f"input {serial} 0 0 0 {level}")
    sources = [started({"serial": serial})[0] for serial in ("01AB", "02CD")]
    assert [read(source, 3)[-1].values[0].mean() for source in sources] == pytest.approx([100, 200], abs=1)


@pytest.mark.parametrize(
    ("happening", "options", "error", "message"),
    [
        ("", {}, SourceAway, r"expected a board, found none; plug it in \(lsusb"),
        ("board 09EF 12b", {"serial": "01AB"}, SourceAway, r"expected the board 01AB, found USB-202 09EF; plug it in"),
        ("board 01AB 12b\nset 01AB permission 0", {}, SourceAway, r"found no permission; install packaging/udev"),
        ("board 01AB 12b\nset 01AB permission 0", {"serial": "01AB"}, SourceAway, r"not readable\); install pack"),
        ("board 01AB 12b\nset 01AB claimed 1", {}, SourceAway, r"another process uses it; end that one"),
        ("board 01AB 12b\nset 01AB firmware 0", {}, SourceRefused, r"firmware that this libuldaq cannot drive"),
        ("board 01AB 132", {}, SourceRefused, r"abilities are known .*found USB-TC-32 01AB \(product 0x132\)"),
        ("board 01AB 12b\nset 01AB scan_code 22", {}, SourceRefused, r"libuldaq refuses \(22: Invalid sampling rate"),
        ("board 01AB 12b\nset 01AB scan_code 200", {}, SourceLost, r"library failed: 200 is not a valid ULError; unpl"),
    ],
)  # fmt: skip
def test_a_board_that_cannot_be_had_says_why_and_what_to_do(
    boards: Boards, happening: str, options: dict[str, Any], error: type[SourceError], message: str
) -> None:
    boards.tell(*happening.splitlines())
    source = UldaqSource(options)
    with pytest.raises(error, match=message):
        source.start(REQUEST)
    source.stop()
    boards.set("01AB", permission=1, claimed=0, firmware=1)
    if "board 01AB 12b" in happening:
        source.start(REQUEST)
        read(source, 2)
        source.stop()


def test_another_thermometer_on_the_bus_does_not_hide_the_only_board(
    boards: Boards, started: Callable[..., Any]
) -> None:
    boards.tell("board 0T 132")
    boards.plug_in()
    source, _ = started()
    assert source.info.description == "USB-202 01AB"


def test_a_pulse_at_the_trigger_fixes_every_sample_to_the_second(boards: Boards, started: Callable[..., Any]) -> None:
    """With the GPS pulse at the trigger input an angle is right to the 15 us that one conversion leaves open."""
    serial = boards.plug_in()
    boards.set(serial, pulse=1)
    source, _ = started({"trigger": "rising", "trigger_on_second": True, "clock_tolerance": 1e-6})
    blocks = read(source, 25)
    begun = blocks[0].time_ns - round(blocks[0].first_index / blocks[0].sample_rate * 1e9)
    assert abs((begun + 5 * 10**8) % 10**9 - 5 * 10**8) < 100_000
    assert blocks[0].time_uncertainty < 50e-6
    assert abs(cmath.phase(phasors(blocks)[0])) < 2 * math.pi * 50 * 60e-6


def test_an_external_clock_paces_the_scan_and_its_own_rate_is_granted(
    boards: Boards, started: Callable[..., Any]
) -> None:
    boards.plug_in(external_rate=6400.0)
    source, plan = started({"external_clock": True, "clock_tolerance": 1e-9})
    assert plan.sample_rate == 6400.0
    assert read(source, 25)[-1].sample_rate == pytest.approx(6400.0, rel=1e-6)


def test_gaps_never_repeat_a_number(boards: Boards, started: Callable[..., Any]) -> None:
    serial = boards.plug_in()
    source, _ = started()
    blocks: list[SampleBlock] = []
    for _ in range(3):
        blocks += read(source, 3)
        boards.set(serial, overrun=1)
        blocks += until(source, lost)
    for before, after in pairwise(blocks):
        assert after.first_index >= before.end_index
        assert (after.first_index > before.end_index) == lost(after)
        assert after.time_ns > before.time_ns

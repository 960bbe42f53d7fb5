"""A week of messages becomes verdicts, tables and a page that needs nothing else."""

import json
import re

import pytest

from device_catalog.operator.__main__ import main
from device_catalog.operator.report_data import WEEK, Happening, collect, newest_week, within
from device_catalog.operator.report_limits import (
    HARMONIC_LIMITS,
    coverage,
    dip_table,
    judge,
    percentile,
    swell_table,
)
from tests.support.quality_week import MONDAY_NS, TEN_MINUTES_NS, interval, message, text, week


def verdict_of(lines, name):
    found, _ = collect(lines)
    (collected,) = found.values()
    return next(one for one in judge(collected) if one.name == name)


def ten(number, payload):
    end_ns = MONDAY_NS + (number + 1) * TEN_MINUTES_NS
    return message(number + 1, "m-1", schema="result/1", time=text(end_ns), content="quality/1", payload=payload)


def dip(voltage, duration, **facts):
    kind = facts.pop("kind", "voltage-dip")
    return Happening(kind, 0, duration, voltage, ("A",), facts.pop("cut", False), facts.pop("interrupted", False))


def test_repetitions_order_and_other_messages_change_nothing():
    lines = list(week(count=30))
    noise = [b"", b"no json", b'{"schema":"frame/1"}', b'{"schema":"event/1","kind":"fault"}']
    once, _ = collect(lines)
    again, unreadable = collect([*reversed(lines), *noise, *lines])
    assert once == again
    assert unreadable == 0


def test_lines_that_are_cut_are_counted():
    (line,) = [ten(0, interval(0))]
    found, unreadable = collect([line, line[:-100], b'{"content":"quality/1","time":"yesterday","payload":{}}'])
    assert unreadable == 2
    assert len(found["m-1"].ten) == 1


def test_the_fuller_of_two_intervals_with_the_same_end_counts():
    found, _ = collect([ten(0, interval(0, windows=100)), ten(0, interval(0)), ten(0, interval(0, windows=7))])
    (only,) = found["m-1"].ten.values()
    assert only.windows == 3000


def test_flagged_and_incomplete_intervals_are_counted_and_left_out():
    low = {"voltage": {"A": {"rms": 100.0, "harmonics": []}}}
    lines = [ten(0, interval(0)), ten(1, interval(1) | low | {"not_counted": 3, "flagged": {"dip": 3}})]
    lines.append(ten(2, interval(2) | low | {"missing": 30.0}))
    found, _ = collect(lines)
    collected = found["m-1"]
    assert coverage(collected, MONDAY_NS, MONDAY_NS + 5 * TEN_MINUTES_NS) == (1, 2, 2)
    voltage = next(one for one in judge(collected) if one.name == "Voltage, 10 min")
    assert voltage.met
    assert voltage.counted == 1


@pytest.mark.parametrize(("low_ones", "met"), [(5, True), (6, False)])
def test_ninety_five_percent_of_a_hundred_values_are_ninety_five(low_ones, met):
    lines = [ten(k, interval(k, level=0.85 if k < low_ones else 1.0)) for k in range(100)]
    found, _ = collect(lines)
    first = next(one for one in judge(found["m-1"]) if one.name == "Voltage, 10 min")
    assert first.met is met


def test_one_value_far_out_breaks_what_always_holds():
    lines = [ten(k, interval(k, level=0.7 if k == 0 else 1.0)) for k in range(100)]
    found, _ = collect(lines)
    always = [one for one in judge(found["m-1"]) if one.name == "Voltage, 10 min"][1]
    assert always.met is False


def test_a_harmonic_over_its_limit_is_missed_and_the_others_are_met():
    lines = [ten(k, interval(k, third=0.056)) for k in range(20)]
    assert verdict_of(lines, "Harmonic 3").met is False
    assert verdict_of(lines, "Harmonic 5").met is True


def test_what_is_not_measured_is_neither_met_nor_missed():
    poor = {"A": {"rms": 230.0, "distortion": None, "harmonics": [230.0, 0.1, 0.2], "pst": None}}
    lines = [ten(k, interval(k) | {"voltage": poor, "unbalance": None, "frequency_10s": []}) for k in range(3)]
    found, _ = collect(lines)
    verdicts = {one.name: one.met for one in judge(found["m-1"])}
    assert verdicts["Distortion to order 40 (THD)"] is None
    assert verdicts["Harmonic 5"] is None
    assert verdicts["Unbalance, negative sequence"] is None
    assert verdicts["Flicker, Plt"] is None
    assert verdicts["Frequency, 10 s"] is None
    assert verdicts["Harmonic 3"] is True


def test_limits_of_harmonics_are_those_of_the_table():
    assert {h: HARMONIC_LIMITS[h] for h in (2, 3, 4, 5, 6, 9, 15, 24, 25)} == {
        2: 0.02, 3: 0.05, 4: 0.01, 5: 0.06, 6: 0.005, 9: 0.015, 15: 0.005, 24: 0.005, 25: 0.015
    }  # fmt: skip
    assert 23 in HARMONIC_LIMITS
    assert 26 not in HARMONIC_LIMITS


def test_dips_and_swells_fall_into_the_classes_of_the_standard():
    table = dip_table(
        [dip(0.85, 0.1), dip(0.8, 0.2), dip(0.79, 0.21), dip(0.4, 0.9), dip(0.05, 4.0), dip(0.01, 90.0),
         dip(0.01, 2.0, interrupted=True), dip(1.15, 0.2, kind="voltage-swell")]
    )  # fmt: skip
    assert table == [
        [2, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
    ]
    swells = swell_table([dip(1.25, 0.2, kind="voltage-swell"), dip(1.15, 30.0, kind="voltage-swell"), dip(0.5, 1.0)])
    assert swells == [[1, 0, 0, 0], [0, 0, 1, 0]]


def test_a_percentile_is_one_of_the_values():
    assert percentile(list(range(1, 101)), 0.95) == 95
    assert percentile([3.0], 0.95) == 3.0


def test_the_newest_week_is_reported_unless_another_is_asked_for():
    lines = [ten(k, interval(k)) for k in (0, 1, 1500)]
    found, _ = collect(lines)
    begin_ns, end_ns = newest_week(found["m-1"])
    assert end_ns - begin_ns == WEEK
    assert len(within(found["m-1"], begin_ns, end_ns).ten) == 1


@pytest.fixture
def messages(tmp_path):
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b"\n".join(week()) + b"\n")
    return path


def test_the_page_stands_alone_and_shows_everything(messages, tmp_path, capsys):
    page = tmp_path / "week.html"
    assert main(["report", str(messages), "-o", str(page)]) == 0
    assert "nothing missed" in capsys.readouterr().err
    content = page.read_text()
    assert content.count("<svg") == 6
    assert not re.search(r'(?:src|href)="(?!#)', content)
    assert "98.7 %" in content
    assert "voltage dip" in content
    identifiers = re.findall(r' id="([^"]+)"', content)
    assert len(identifiers) == len(set(identifiers))
    assert all(f'id="{used}"' in content for used in re.findall(r'(?:url\(|href=")#([^)"]+)', content))


def test_what_a_device_calls_itself_is_text_and_nothing_else(tmp_path):
    path, page = tmp_path / "messages.jsonl", tmp_path / "page.html"
    path.write_bytes(b"\n".join(week("<script>alert(1)</script>", count=30)))
    assert main(["report", str(path), "-o", str(page)]) == 0
    assert "<script" not in page.read_text()


def test_verdicts_are_written_for_programs(messages, capsys):
    assert main(["report", str(messages), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["intervals"] == {"whole": 995, "flagged": 3, "absent": 10}
    assert all(one["met"] for one in told["criteria"])


def test_messages_of_several_devices_need_a_choice(tmp_path, capsys):
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b"\n".join([*week("m-1", count=5), *week("m-2", count=5)]))
    assert main(["report", str(path), "-o", str(tmp_path / "x.html")]) == 2
    assert "--device m-1 | m-2" in capsys.readouterr().err
    assert main(["report", str(path), "-o", str(tmp_path / "x.html"), "--device", "m-2"]) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nowhere.jsonl"], 2, "cannot be read"),
        (["{messages}", "--device", "m-9"], 1, "no ten minutes of m-9"),
        (["{messages}", "--begin", "2020-01-01"], 1, "in the week asked for"),
        (["{messages}", "-o", "{folder}/none/x.html"], 1, "cannot be written"),
    ],
)
def test_what_cannot_be_reported_is_said(arguments, status, said, tmp_path, capsys):
    few = tmp_path / "few.jsonl"
    few.write_bytes(b"\n".join(week(count=13)))
    given = [word.format(messages=few, folder=tmp_path) for word in arguments]
    assert main(["report", *given]) == status
    assert said in capsys.readouterr().err


def test_what_a_meter_writes_is_what_a_report_reads():
    from algorithms.api.wire import Header, encode
    from algorithms.builtin.quality.power_quality import PowerQuality
    from tests.support.three_phase import Board, steady

    board = Board(6400.0, block=320)
    algorithm = PowerQuality({})
    algorithm.start(board.context(), None)
    wave = steady(50.0, harmonics=[(5, 0.03, 1.0)])

    def signal(times, k):
        return wave(times, k) * (1.0 - 0.5 * ((times > 1.0) & (times < 1.3)))

    records = [record for block in board.blocks(signal, 3.0) for record in algorithm.process(block)]
    records += algorithm._meter.finish()
    lines = [encode(record, Header("m-1", 1, 1, number, 0, 0)) for number, record in enumerate(records, 1)]
    found, unreadable = collect(lines)
    assert unreadable == 0
    (ten,) = found["m-1"].ten.values()
    assert ten.voltage["A"].harmonics[4] / ten.voltage["A"].harmonics[0] == pytest.approx(0.03, rel=1e-3)
    assert ten.flagged["dip"] in (2, 3)
    assert ten.unbalance["u2"] < 1e-4
    assert not ten.whole
    assert len(found["m-1"].two) == 1
    (dip,) = found["m-1"].happenings.values()
    assert dip.voltage == pytest.approx(0.5, rel=1e-3)
    assert dip.duration == pytest.approx(0.3, abs=0.02)

"""What a watcher knows of a fleet, from messages alone."""

import io

import msgspec
import pytest
from rich.console import Console

from algorithms.api.records import Quality
from algorithms.api.wire import Header, encode
from device_catalog.contract import topics
from device_catalog.contract.presence import Availability, CatalogState, Session
from device_catalog.operator.fleet import Arrival, FleetView
from device_catalog.operator.table import fleet_screen, lines, occurrence_line
from tests.support.frames import frame

SECOND = 1_000_000_000
TENANT = "default"


def frame_arrival(number, device="m-1", boot=1, time_ns=None, delay_ns=40_000_000, **values):
    time_ns = number * SECOND // 50 if time_ns is None else time_ns
    payload = encode(frame(time_ns, **values), Header(device, boot, 1, number, time_ns))
    return Arrival(topics.frames(TENANT, device), payload, False, time_ns + delay_ns)


def session_arrival(state, boot=1, session=1, time_ns=0, retained=False, **fields):
    payload = encode(Session(state, **fields), Header("m-1", boot, session, 0, time_ns))
    return Arrival(topics.session(TENANT, "m-1"), payload, retained, time_ns)


def availability_arrival(available, reason="polled", time_ns=0, retained=False):
    payload = msgspec.json.encode(Availability("m-1", available, reason, time_ns))
    return Arrival(topics.availability(TENANT, "m-1"), payload, retained, time_ns)


def test_frames_are_counted_once_and_gaps_and_duplicates_told():
    view = FleetView(first=1)
    new = [view.arrived(frame_arrival(number)) is not None for number in (1, 2, 2, 5)]
    meter = view.meters["m-1"]
    assert new == [True, True, False, True]
    assert (meter.frames, meter.missing, meter.duplicates) == (3, 2, 1)


def test_messages_of_other_kinds_and_brokers_count_for_the_same_row_of_numbers():
    """A number that went to an event is no lost frame."""
    view = FleetView(first=1)
    view.arrived(frame_arrival(1))
    other = msgspec.json.encode({"schema": "something/9", "device": "m-1", "boot": 1, "number": 2})
    view.arrived(Arrival(topics.replies(TENANT, "m-7"), other, False, 0))
    view.arrived(frame_arrival(3))
    assert view.meters["m-1"].missing == 0
    assert view.meters["m-1"].frames == 2


def test_a_watcher_of_one_broker_does_not_miss_what_went_to_the_other():
    """Each message names the one before it on its topic; only a broken chain is a gap."""
    view = FleetView(whole=False)
    for number, previous in ((7, 4), (9, 7), (12, 11)):
        header = Header("m-1", 1, 1, number, 0, previous)
        payload = encode(frame(number), header)
        view.arrived(Arrival(topics.frames(TENANT, "m-1"), payload, False, 0))
    meter = view.meters["m-1"]
    assert (meter.frames, meter.duplicates) == (3, 0)
    assert meter.missing == 2, "10 and 11, of which at least 11 was a frame"
    late = encode(frame(11), Header("m-1", 1, 1, 11, 0, 9))
    view.arrived(Arrival(topics.frames(TENANT, "m-1"), late, False, 0))
    assert (meter.missing, meter.duplicates) == (0, 0)


def test_each_boot_has_its_own_row_of_numbers():
    view = FleetView(first=1)
    for boot, number in ((1, 1), (1, 2), (2, 1), (2, 2), (1, 3)):
        view.arrived(frame_arrival(number, boot=boot))
    meter = view.meters["m-1"]
    assert (meter.frames, meter.missing, meter.duplicates) == (5, 0, 0)
    assert meter.header.boot == 2


def test_what_survived_the_last_boot_and_has_not_come_is_missing():
    view = FleetView(first=1)
    view.arrived(frame_arrival(1))
    view.arrived(session_arrival("online", boot=2, previous_boot=1, previous_number=3))
    assert view.meters["m-1"].missing == 2


def test_latency_is_arrival_less_the_frames_own_time():
    view = FleetView()
    for number in range(1, 101):
        view.arrived(frame_arrival(number, delay_ns=number * 1_000_000))
    latency = view.meters["m-1"].latency()
    assert latency.median == pytest.approx(0.051)
    assert latency.p99 == pytest.approx(0.100)
    assert latency.highest == pytest.approx(0.100)


def test_a_late_frame_counts_but_is_not_shown_as_the_newest():
    view = FleetView()
    view.arrived(frame_arrival(2, voltage=(231.0, 231.0, 231.0)))
    view.arrived(frame_arrival(1, voltage=(100.0, 100.0, 100.0)))
    assert view.meters["m-1"].frame.voltage["A"].magnitude == 231.0


def test_the_last_will_of_a_session_that_was_replaced_does_not_end_the_newer_one():
    view = FleetView()
    view.arrived(session_arrival("online", session=2))
    view.arrived(session_arrival("offline", session=1))
    assert view.meters["m-1"].online is True
    view.arrived(session_arrival("offline", session=2))
    assert view.meters["m-1"].online is False


def test_presence_changes_keep_both_voices_and_when_they_were_heard():
    view = FleetView()
    view.arrived(session_arrival("online", retained=True))
    view.arrived(availability_arrival(True, retained=True))
    view.arrived(session_arrival("offline", time_ns=5 * SECOND))
    view.arrived(availability_arrival(False, "lease-expired", time_ns=9 * SECOND))
    changes = [(change.voice, change.present, change.time_ns // SECOND) for change in view.presence_changes]
    assert changes == [("device", False, 5), ("catalog", False, 9)]
    assert view.meters["m-1"].available is False


def test_the_catalogs_own_state_is_kept():
    view = FleetView()
    payload = msgspec.json.encode(CatalogState("waiting", 1))
    view.arrived(Arrival(topics.catalog_state(TENANT), payload, True, 1))
    assert view.catalog_state == "waiting"


def test_only_the_devices_asked_for_are_looked_at():
    view = FleetView(devices=frozenset({"m-2"}))
    view.arrived(frame_arrival(1))
    view.arrived(frame_arrival(1, device="m-2"))
    assert list(view.meters) == ["m-2"]


@pytest.mark.parametrize("payload", [b"", b"nonsense", b"[1]", b'{"schema":"frame/1"}', b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("content", ["frames", "session", "availability", "events"])
def test_nonsense_is_counted_and_stops_nothing(content, payload):
    view = FleetView(first=1)
    view.arrived(Arrival(f"v1/default/meters/m-1/{content}", payload, False, 0))
    view.arrived(frame_arrival(1))
    assert view.meters["m-1"].frames == 1
    cleared = payload == b"" and content != "frames"
    nobodys = payload.startswith(b"{") and content == "events"
    assert view.unreadable == (0 if cleared or nobodys else 1)


def test_a_dip_seen_in_the_frames_is_told_at_its_place_in_the_recording():
    view = FleetView(nominal_voltage={"m-1": 230.0})
    for number in range(1, 40):
        depth = 0.6 if 10 <= number < 15 else 1.0
        view.arrived(frame_arrival(number, voltage=(230.0 * depth, 230.0, 230.0)))
    (occurrence,) = view.occurrences
    line = occurrence_line(occurrence, origin_ns=0, period=0.5)
    assert "0.190 s in the recording, round 1: voltage dip of A" in line
    assert ", rounds 1 to 4: " in occurrence_line(occurrence, origin_ns=0, period=0.5, rounds=4)


def test_the_table_and_the_plain_lines_show_every_meter():
    view = FleetView()
    view.arrived(frame_arrival(1))
    view.arrived(session_arrival("online"))
    view.arrived(availability_arrival(False, "lease-expired"))
    view.arrived(frame_arrival(1, device="m-2"))
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(fleet_screen(view, {}, SECOND, title="fleet", happened=["something"], width=200))
    drawn = console.export_text()
    assert "m-1" in drawn
    assert "230.0 230.0 230.0" in drawn
    assert "lease-expired" in drawn
    first, second = lines(view, SECOND)
    assert first.startswith("m-1: U 230.0 230.0 230.0 V")
    assert "online, lease-expired" in first
    assert second.endswith("no word yet")


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_table_fits_the_terminal_with_every_unit_and_word_whole(width):
    view = FleetView()
    view.arrived(frame_arrival(1, device="interrupted", voltage=(6350.5, 6350.4, 6351.2)))
    view.arrived(session_arrival("online"))
    view.arrived(availability_arrival(False, "lease-expired"))
    flagged = msgspec.structs.replace(frame(SECOND), quality=(Quality.UNSYNCHRONISED, Quality.PHASE_MISSING))
    view.arrived(Arrival(topics.frames(TENANT, "m-1"), encode(flagged, Header("m-1", 1, 1, 1, SECOND)), False, SECOND))
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(fleet_screen(view, {}, 20 * SECOND, title="fleet", happened=["something"], width=width))
    silent = console.export_text()
    console.print(fleet_screen(view, {}, SECOND, title="fleet", happened=["something"], width=width))
    drawn = console.export_text()
    assert "…" not in drawn + silent
    for word in ("[V]", "[A]", "[kW]", "[kvar]", "[Hz]", "[°]", "[ms]", "unsynchronised", "lease-expired", "6350.5"):
        assert word in drawn, word
    assert "silent for 19 s" in silent

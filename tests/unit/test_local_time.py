"""Local time by a POSIX rule: as zoneinfo has it for the zones it comes from, and at both changes to the second."""

from datetime import UTC, datetime
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from algorithms.api.errors import SettingsError
from algorithms.builtin.states.local_time import read_local_time
from algorithms.builtin.states.lv_state import LvState
from algorithms.builtin.states.state_forecast import DAY, Forecast, Profile
from algorithms.builtin.states.state_settings import read_state_settings
from tests.support.state_grid import three_level_document

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
ZONES = (
    "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Athens", "America/New_York", "America/Santiago",
    "America/Nuuk", "America/Havana", "Australia/Lord_Howe", "Australia/Sydney", "Pacific/Auckland", "Asia/Kolkata",
    "Asia/Jerusalem", "Africa/Cairo", "Pacific/Chatham", "America/Asuncion", "Asia/Tehran", "UTC",
)  # fmt: skip


def zone_file(zone):
    """Give the file of a zone, of the same release on every machine."""
    return files("tzdata").joinpath("zoneinfo", *zone.split("/"))


def rule_of(zone):
    """Give the last line of a zone's file, as ``tail -n 1`` does."""
    return zone_file(zone).read_bytes().rsplit(b"\n", 2)[1].decode()


def at(*moment):
    return datetime(*moment, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("zone", ZONES)
def test_the_rule_of_a_zone_gives_what_zoneinfo_gives(zone):
    rule = read_local_time(rule_of(zone))
    with zone_file(zone).open("rb") as file:
        known = ZoneInfo.from_file(file)
    first, last = int(at(2031, 1, 1)), int(at(2037, 1, 3))  # beyond what single years were given
    for instant in range(first, last, 5 * 3600 + 1234):
        offset = datetime.fromtimestamp(instant, known).utcoffset()
        assert rule.offset(instant) == offset.total_seconds(), datetime.fromtimestamp(instant, UTC)


@pytest.mark.parametrize(
    ("change", "before", "after"), [(at(2027, 3, 28, 1), 3600, 7200), (at(2027, 10, 31, 1), 7200, 3600)]
)
def test_both_changes_are_right_to_the_second(change, before, after):
    rule = read_local_time(BERLIN)
    assert rule.offset(change - 1) == before
    assert rule.offset(change - 1e-3) == before
    assert rule.offset(change) == after


@pytest.mark.parametrize(
    ("rule", "moment", "offset"),
    [
        ("EST5EDT,0/0,J365/25", at(2028, 12, 31, 12), -4 * 3600),  # summer time all the year round (RFC 8536, 3.3.1)
        ("EST5EDT,0/0,J365/25", at(2029, 1, 1, 5), -4 * 3600),
        ("<+0330>-3:30", at(2027, 7, 1), 12_600),
        ("XXX0YYY,J60,J300", at(2028, 3, 1, 2), 3600),  # 1 March, also in a leap year
        ("XXX0YYY,J60,J300", at(2028, 3, 1, 1, 59), 0),
        ("XXX0YYY,59,299", at(2028, 2, 29, 2), 3600),  # the day after 28 February
    ],
)
def test_rules_by_days_of_the_year_are_read(rule, moment, offset):
    assert read_local_time(rule).offset(moment) == offset


@pytest.mark.parametrize(
    "text",
    ["", "CET", "CET-1CEST", "CET-1CEST,M13.5.0,M10.5.0/3", "CET-1CEST,M3.0.0,M10.5.0", "CET-99", "CET-1CEST,J0,J3",
     "CET-1CEST,M3.5.0/168,M10.5.0", "CET-1" * 30, "CET-1CEST,M3.5.0", "\x00"],
)  # fmt: skip
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match="expected a rule such as CET-1CEST"):
        read_local_time(text)


def test_the_name_of_a_zone_is_answered_with_where_its_rule_stands():
    declared = LvState.info.settings
    with pytest.raises(SettingsError) as refused:
        read_state_settings(declared, {"time_zone": "Europe/Berlin", "utc_offset": 3600})
    told = str(refused.value)
    assert "settings.time_zone: expected a rule such as CET-1CEST,M3.5.0,M10.5.0/3, found Europe/Berlin" in told
    assert "tail -n 1 /usr/share/zoneinfo/Europe/Berlin" in told
    assert "settings.utc_offset: expected 0 s, found 3600 s beside a time_zone; state one of them" in told


def test_a_profile_follows_the_clock_on_the_wall_over_both_changes():
    from algorithms.api.network_reader import parse

    document = three_level_document(stations=1, concentrators=1, customers=2, three_phase_share=0.0)
    document["loads"][0] |= {"profile": "H0"}
    model = parse(document)
    settings = read_state_settings(LvState.info.settings, {"time_zone": BERLIN})
    hours = Profile(p=tuple(1 + hour / 100 for hour in range(24)), q=(1,), uncertainty=0.5, period=DAY)
    forecast = Forecast(model, {"H0": hours}, settings.local_time, 0.0, 0.3, 1.0)

    def wall_clock(*moment):
        power, _ = forecast.at(int(at(*moment)) * 1_000_000_000)
        return round(100 * (power[0].real.sum() / model.loads.p[0].sum() - 1))

    assert [wall_clock(2027, 3, 28, hour, 30) for hour in range(3)] == [1, 3, 4]
    assert [wall_clock(2027, 10, 31, hour, 30) for hour in range(3)] == [2, 2, 3]
    assert wall_clock(2027, 10, 30, 23, 30) == 1

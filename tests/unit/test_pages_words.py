"""What pages say and draw: nothing of a device's own reaches the browser as anything but text."""

import math
import re
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.api.readings import ChannelReading
from device_catalog.contract.documents import Assignment, Configuration, Desired, Shadow
from device_catalog.contract.register import DeviceDetail, DeviceKind, DeviceSummary
from device_catalog.contract.reports import AlgorithmReport, ImageReport, Reported, TimeReport, UpdateReport
from device_catalog.contract.rollout_progress import Counts, RolloutSummary
from device_catalog.contract.rollouts import RolloutState, Selector, Stage
from device_catalog.pages import sessions
from device_catalog.pages.charts import Line, Reading, Span, chart
from device_catalog.pages.fleet_page import row_of
from device_catalog.pages.image_view import image_facts
from device_catalog.pages.meter_page import algorithm_rows, facts_of, states_of
from device_catalog.pages.phasor_diagram import phasor_diagram, relative_degrees
from device_catalog.pages.rendering import Renderer
from device_catalog.pages.rollout_pages import summary_row
from tests.support.frames import frame

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(2)>' onload=x"


def detail(algorithms=(), reported=None, **summary):
    configuration = Configuration(algorithms=tuple(algorithms))
    desired = Desired("m-1", "default", 7, NOW, configuration)
    about = {"device": "m-1", "kind": DeviceKind.METER, "tenant": "default", "description": "", "available": True}
    about |= {"last_seen": NOW, "revision": 7, "applied_revision": 7, **summary}
    return DeviceDetail(DeviceSummary(**about), desired, reported)


def test_a_line_says_presence_versions_clock_isolation_and_problems():
    algorithms = {
        "phasors": AlgorithmReport("1.2.0", "running"),
        "energy": AlgorithmReport("1.0.0", "quarantined", last_error="it stopped"),
        "old": AlgorithmReport("0.9.0", "running"),
        "forecast": AlgorithmReport("2.0.0", "running", update=UpdateReport("2.1.0", "failed", "too slow")),
    }
    wanted = [Assignment("phasors", version="1.3.0"), Assignment("energy"), Assignment("state"), Assignment("forecast")]
    report = Reported(
        "m-1", algorithms=algorithms, time=TimeReport(True, 2.1e-5), isolation={"seccomp": True, "landlock": False}
    )
    row = row_of(detail(wanted, report, applied_revision=6), NOW.timestamp() + 90)
    assert (row.presence.text, row.seen) == ("available", "1 min ago")
    assert row.revision == ("6 of revision 7", "warn")
    assert [tuple(one) for one in row.algorithms] == [
        ("phasors 1.2.0 → 1.3.0", "warn"),
        ("energy 1.0.0 (quarantined)", "bad"),
        ("state not running", "warn"),
        ("forecast 2.0.0, failed 2.1.0", "bad"),
        ("old 0.9.0 (not wanted)", "warn"),
    ]
    assert row.time == ("UTC ± 21 µs", "good")
    assert row.isolation == ("1 of 2; not landlock", "warn")
    assert any("stays at 2.0.0: version 2.1.0 failed: too slow" in one for one in row.problems)


def test_what_was_not_reported_is_said_and_not_made_up():
    row = row_of(detail([Assignment("phasors")], None, available=None, last_seen=None, applied_revision=0), 0.0)
    assert (row.presence.text, row.seen) == ("never seen", "")
    assert row.time.text == row.isolation.text == "not reported"
    assert row.revision.text == "none of revision 7"


def test_a_shadow_that_was_asked_for_is_told_before_it_runs():
    rows = algorithm_rows(detail([Assignment("phasors", version="1.0.0", shadow=Shadow("1.1.0"))]))
    assert [(row.state, row.wanted) for row in rows] == [("not running", "1.0.0, shadow 1.1.0")]


def test_arrows_point_where_the_angles_say():
    drawn = phasor_diagram(frame(0, voltage=(230.0, 115.0, 230.0), angle=0.3))
    tips = {
        phase: re.search(
            rf'class="{phase}" x1="150.0" y1="150.0" x2="([0-9.]+)" y2="([0-9.]+)" stroke-width="3"', drawn
        )
        for phase in "ABC"
    }
    arrows = {phase: [float(value) - 150.0 for value in tip.groups()] for phase, tip in tips.items()}
    for phase, turn in (("A", 0.0), ("B", -math.tau / 3), ("C", math.tau / 3)):
        x, y = arrows[phase]
        assert math.remainder(math.atan2(-y, x) - turn, math.tau) == pytest.approx(0.0, abs=0.01)
    assert math.hypot(*arrows["B"]) + 9.0 == pytest.approx(0.5 * (math.hypot(*arrows["A"]) + 9.0), abs=0.2)
    assert relative_degrees(frame(0, angle=3.0).voltage["B"], frame(0, angle=3.0)) == pytest.approx(-120.0)


@settings(max_examples=40)
@given(
    st.dictionaries(st.text(max_size=8), st.tuples(st.floats(0.0, 1e6), st.none() | st.floats(-4.0, 4.0)), max_size=5)
)
def test_a_diagram_of_whatever_phases_is_a_drawing_and_nothing_else(phases):
    readings = {name: ChannelReading(size, angle, 0.1, 0.1, size, 0.1) for name, (size, angle) in phases.items()}
    drawn = phasor_diagram(msgspec.structs.replace(frame(0), voltage=readings, current=readings))
    tags = set(re.findall(r"<\s*/?([a-zA-Z]+)", drawn))
    assert tags <= {"svg", "circle", "line", "polygon", "text"}
    assert "nan" not in drawn
    assert re.fullmatch(r'<svg viewBox="[\d ]+" role="img" aria-label="[^"<>]*">.*</svg>', drawn, re.DOTALL)


def test_a_line_breaks_where_steps_are_missing():
    readings = [Reading(60.0 * number, 230.0, 229.0, 231.0) for number in (0, 1, 2, 7, 8, 20)]
    drawn = chart([Line("A", "A", readings)], Span(0.0, 3600.0, 60.0), "V", HOSTILE)
    assert drawn.count("<polyline") == 2
    assert drawn.count("<polygon") == 3
    assert "<script" not in drawn


def test_every_text_of_a_device_is_escaped_and_nothing_may_run():
    update = UpdateReport(HOSTILE, "failed", HOSTILE, (HOSTILE,))
    algorithms = {HOSTILE: AlgorithmReport(HOSTILE, HOSTILE, last_error=HOSTILE, update=update)}
    image = ImageReport(HOSTILE, HOSTILE, 1, HOSTILE, "running", HOSTILE, update=update, last_error=HOSTILE)
    report = Reported(
        "m-1",
        agent_version=HOSTILE,
        algorithms=algorithms,
        problems=(HOSTILE,),
        isolation={HOSTILE: False},
        image=image,
    )
    one = detail([], report, description=HOSTILE, terminal=HOSTILE, services={HOSTILE: HOSTILE})
    row = row_of(one, NOW.timestamp())
    common = {"who": None, "refresh": 0, "now": 0}
    written = ("made", "answer", "place", "installer", "number")
    values = {
        "summary": one.summary,
        "presence": row.presence,
        "problems": row.problems,
        "frame": None,
        "history": True,
        "charts": [],
        "algorithms": algorithm_rows(one),
        "facts": facts_of(one),
        "states": states_of(one, NOW.timestamp()),
        "image": image_facts(one),
        "recordings": [],
        "commissionings": [dict.fromkeys(written, HOSTILE) | {"tone": "bad", "address": "/fleet/m-1"}],
        "support": None,
        "kept": [],
        "changes": [],
    }
    answer = Renderer().page("meter.html", {**common, **values})
    text = answer.content.decode()
    assert HOSTILE not in text
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 8
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert " style=" not in text
    assert "unsafe" not in policy


elsewhere = ("//evil.example", "https://evil.example", "/\\evil", "/fleet/../x", "/v1/devices", "", "/fleet/a\r\nX: y")


@pytest.mark.parametrize("where", [*elsewhere, "/" * 2000])
def test_a_login_leads_to_pages_of_ours_only(where):
    assert sessions.place(where) == "/"


def test_a_cookie_is_out_of_reach_of_scripts_and_other_sites():
    assert sessions.cookie("abc", secure=True) == (
        "tresma-operator=abc; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure"
    )
    assert "Max-Age=0" in sessions.cookie("", secure=False)
    assert sessions.token_in("x=1; tresma-operator=abc-_; y=2") == b"abc-_"
    assert sessions.token_in('tresma-operator="a b"') == sessions.token_in("") == sessions.token_in("\x00=;;") == b""


def rollout(state, members, **counts):
    told = {"members": members, **counts}
    return RolloutSummary(
        *("r-1", "phasors", "2.0.0", state, "", False, 0, (Stage(10.0), Stage(100.0)), None),
        *(Counts(**told), 1, Selector(groups=("pilot",), tenant="north"), NOW, NOW, "anna"),
    )


def test_a_rollout_says_its_stage_its_progress_and_its_failures():
    row = summary_row(rollout(RolloutState.RUNNING, 40, done=3, chosen=1, failed=1, overdue=1))
    assert (row["stage"], row["done"], row["bad"].text) == ("stage 1 of 2: 10 %", "3 of 40", "2 of 1 allowed")
    assert dict(row["shares"]) == {"done": 3 / 40, "under": 1 / 40, "failed": 2 / 40}
    assert row["to"] == "group pilot, tenant north"
    taken_over = summary_row(rollout(RolloutState.FINISHED, 0, done=11))
    assert (taken_over["stage"], taken_over["done"]) == ("all stages", "11")
    assert sum(share for _, share in taken_over["shares"]) <= 1.0

"""What pages say of the image of a meter's root slots: what runs where, a trial, a way back, and why it was taken."""

from datetime import UTC, datetime

import msgspec
import pytest

from device_catalog.contract.documents import Configuration, Desired, ImageSetting, PackageReference
from device_catalog.contract.register import DeviceDetail, DeviceKind, DeviceSummary
from device_catalog.contract.reports import ImageReport, Reported, UpdateReport
from device_catalog.contract.troubles import problems_of
from device_catalog.pages.fleet_page import row_of
from device_catalog.pages.image_view import image_facts, image_of

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUNS = ImageReport("tresma-rpi", "1.0.0", 6, "A", before="0.9.0")
ASKED = ImageSetting("tresma-rpi", "1.1.0", PackageReference(7, 1000, 64 * "a"), "r-3", windows=("01:00-04:00",))


def detail(image=None, wanted=None):
    desired = Desired("m-1", "default", 7, NOW, Configuration(image=wanted))
    facts = {"available": True, "last_seen": NOW, "revision": 7, "applied_revision": 7}
    summary = DeviceSummary("m-1", DeviceKind.METER, "default", "", **facts)
    return DeviceDetail(summary, desired, Reported("m-1", applied_revision=7, image=image))


def changing(step, reason="", **fields):
    return msgspec.structs.replace(RUNS, update=UpdateReport("1.1.0", step, reason), **fields)


@pytest.mark.parametrize(
    ("report", "wanted", "said"),
    [
        (None, None, None),
        (None, ASKED, ("1.1.0 wanted, none reported", "warn")),
        (RUNS, None, ("1.0.0 in slot A", "good")),
        (RUNS, ASKED, ("1.0.0 in slot A → 1.1.0", "warn")),
        (changing("downloading", downloaded=0.4), ASKED, ("1.0.0 in slot A, 1.1.0 is being loaded, 40%", "warn")),
        (changing("deferred", "01:00-04:00 UTC"), ASKED, ("1.0.0 in slot A, 1.1.0 waits to be tried", "warn")),
        (changing("failed", "probation: it does not sample"), ASKED, ("1.0.0 in slot A, back from 1.1.0", "bad")),
        (changing("failed", "not signed"), ASKED, ("1.0.0 in slot A, 1.1.0 was not taken", "bad")),
        (changing("probation", version="1.1.0", state="trying"), ASKED, ("1.1.0 in slot A, on trial", "warn")),
        (changing("active", version="1.1.0", slot="B"), ASKED, ("1.1.0 in slot B", "good")),
        (changing("failed", version="", slot=""), ASKED, ("no root slots, 1.1.0 was not taken", "bad")),
    ],
)
def test_the_list_says_which_image_runs_and_what_becomes_of_another(report, wanted, said):
    found = image_of(detail(report, wanted))
    assert (None if found is None else tuple(found)) == said
    assert row_of(detail(report, wanted), 0.0).image == found


def test_a_meters_page_says_the_way_back_and_why_it_was_taken():
    facts = dict(image_facts(detail(changing("failed", "probation: it does not sample"), ASKED)))
    assert facts["Runs"].text == "tresma-rpi 1.0.0, release 6"
    assert (facts["Slot"].text, facts["State"]) == ("A", ("confirmed", "good"))
    assert facts["Way back"].text == "0.9.0, in the other slot"
    assert facts["Wanted"] == ("1.1.0 (r-3)", "warn")
    assert facts["Restarts"].text == "01:00-04:00 UTC"
    assert facts["Change"] == ("back from 1.1.0", "bad")
    assert facts["Because"].text == "probation: it does not sample"
    assert image_facts(detail()) == []


def test_an_image_that_failed_is_a_problem_of_the_meter():
    problems = problems_of(detail(changing("failed", "probation: it does not sample"), ASKED))
    assert problems == ["its image stays at 1.0.0: version 1.1.0 failed: probation: it does not sample"]
    (problem,) = problems_of(detail(msgspec.structs.replace(RUNS, last_error="expected to be let in")))
    assert problem == "its image cannot be looked after: expected to be let in"

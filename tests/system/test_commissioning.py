"""A meter is commissioned: an installer's browser in front of its page, a real agent behind it, and the catalog."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import msgspec
import pytest
import requests

from device_catalog.contract.commissioning import VerdictLine
from device_catalog.operator.__main__ import main
from tests.support.agent import configuration
from tests.support.catalog import CatalogProcess
from tests.support.chromium import Chromium
from tests.support.commissioning import enrolled, record_of, sign
from tests.support.commissioning_page import LOADED, PIN, PageProcess, enrolled_agent
from tests.support.enrolment import authority_certificate, new_key, pem
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

SCRIPT = "<img src=x onerror=\"document.title='taken'\">"


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A catalog, an enrolled meter and its page."""
    folder = tmp_path_factory.mktemp("page")
    with Mosquitto() as broker, CatalogProcess(tls=True) as catalog:
        agent = enrolled_agent(catalog, "m-0042", broker.url)
        with agent, PageProcess(agent, folder) as page:
            yield catalog, agent, page


def log_in(browser, page):
    browser.open(f"{page.url}/")
    browser.fill("#pin", PIN)
    browser.press_enter()


def tresma(catalog, *arguments):
    """Do what ``tresma`` does with these words; return its exit status."""
    who = ["--token-file", str(catalog.state / "operator.token"), "--ca", str(catalog.anchors)]
    return main([*arguments, "--catalog", catalog.url, *who])


def answer(browser):
    return browser.tell("document.querySelector('.answer').className")


CONTRAST = """(wanted => {
    const parse = text => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const clear = element => (parse(getComputedStyle(element).backgroundColor)[3] ?? 1) === 0;
    return [...document.querySelectorAll(wanted)].map(element => {
        let behind = element;
        while (behind && clear(behind)) behind = behind.parentElement;
        const back = getComputedStyle(behind).backgroundColor;
        const pair = [getComputedStyle(element).color, back].map(parse).map(light);
        return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    });
})"""
"""The contrast of elements' words against what is behind them (WCAG 2.1, 1.4.3)."""


def contrast(browser, selector):
    return browser.tell(f"{CONTRAST}({selector!r})")


def test_a_meter_is_commissioned_on_a_phone_and_its_report_is_kept_and_verified(plant, tmp_path, capsys):
    catalog, agent, page = plant
    with Chromium(360, 740, scripts=True) as browser:
        log_in(browser, page)
        wait_until(lambda: answer(browser) == "answer passed", "the answer being green", timeout=30)
        text = browser.text()
        for words in ("This meter works", "L1", "Phase sequence", "6400 samples a second", "Identity", "Data broker"):
            assert words in text
        assert browser.too_wide() == []
        for selector in ("h1", ".answer p", "td", "th", "li b", "li .found", ".button", "button", "header span"):
            assert min(contrast(browser, selector)) >= 4.5, selector
        waves = "document.querySelector('polyline').getAttribute('points')"
        before, mark = browser.tell(waves), browser.tell("window.marked = true")
        wait_until(lambda: browser.tell(waves) != before, "the waveforms being renewed", timeout=10)
        assert browser.tell("window.marked") is mark is True  # the page itself was not loaded again
        assert browser.tell("[...document.querySelectorAll('svg')].every(s => s.ariaLabel || s.ariaHidden)")
        assert len(browser.picture(tmp_path / "phone.png")) > 20_000

        browser.open(f"{page.url}/finish")
        assert browser.tell("[...document.querySelectorAll('input[type=text]')].every(i => i.labels.length === 1)")
        for field, words in (("installer", "Zoë Čapek"), ("place", SCRIPT), ("note", "seal 4711")):
            browser.fill(f"#{field}", words)
        browser.press_enter()
        wait_until(lambda: "Done" in browser.text(), "the catalog having the report", timeout=30)
        assert "report 1 of this meter" in browser.text()
        assert browser.complaints == []
    assert "accepted as number 1" in agent.said()

    listed = catalog.operator("GET", "/v1/devices/m-0042/commissionings").json()["items"]
    assert [(one["number"], one["record"]["answer"], one["record"]["place"]) for one in listed] == [
        (1, "passed", SCRIPT)
    ]
    assert abs(listed[0]["record"]["voltage"]["B"][0] - 230) < 0.1
    acts = catalog.operator("GET", "/v1/audit").json()["items"]
    assert any(act["path"].endswith("/m-0042/commissionings") and act["actor"] == "m-0042" for act in acts)
    assert tresma(catalog, "devices", "report", "m-0042", "-o", str(tmp_path / "report.pdf")) == 0
    assert tresma(catalog, "devices", "report", "m-0042", "--list") == 0
    assert tresma(catalog, "devices", "report", "--verify", str(tmp_path / "report.pdf")) == 0
    said = capsys.readouterr().out
    assert "signed by m-0042" in said
    assert "answer     passed" in said
    (tmp_path / "forged.pdf").write_bytes(b"%PDF-1.4 nothing")
    assert tresma(catalog, "devices", "report", "--verify", str(tmp_path / "forged.pdf")) == 1


def test_the_report_is_on_the_meters_page_for_operators(plant):
    catalog, _, _ = plant
    with requests.Session() as session:
        session.trust_env, session.verify = False, catalog.verify
        session.post(f"{catalog.url}/login", data={"token": catalog.token, "next": "/"}, timeout=10)
        shown = session.get(f"{catalog.url}/fleet/m-0042", timeout=10).text
        assert 'href="/fleet/m-0042/commissionings/1"' in shown
        assert "<img" not in shown
        paper = session.get(f"{catalog.url}/fleet/m-0042/commissionings/1", timeout=20)
        assert paper.headers["Content-Type"] == "application/pdf"
        assert paper.content.startswith(b"%PDF")
        assert session.get(f"{catalog.url}/fleet/m-0042/commissionings/2", timeout=10).status_code == 404


def test_a_page_that_is_over_opens_again_when_the_settings_want_it_and_then_shows_a_fault(plant):
    catalog, agent, page = plant
    page.stop()
    again = page.begin()
    assert again.wait(20) == 0
    assert "this meter is commissioned" in page.log.read_text()

    dead = {**LOADED, "options": {**LOADED["options"], "voltage_factors": [1.0, 1.0, 0.0]}}
    reopened = (datetime.now(UTC)).isoformat()
    changed = {**configuration("", "", acquisition=dead), "commissioning": {"reopened": reopened}}
    known = catalog.operator("GET", "/v1/devices/m-0042").json()["desired"]["configuration"]
    answer_ = catalog.operator(
        "PUT",
        "/v1/devices/m-0042/configuration",
        json={**known, "acquisition": changed["acquisition"], "commissioning": changed["commissioning"]},
        headers={"If-Match": "*"},
    )
    assert answer_.status_code == 200, answer_.text
    wait_until((agent.state / "commissioning.reopened").exists, "the agent opening the page again", timeout=15)
    page.start()
    with Chromium(360, 740) as browser:  # scripts may not run here
        log_in(browser, page)

        def shown():
            browser.open(f"{page.url}/")
            return "No voltage on L3" in browser.text()

        wait_until(shown, "the fault being told", timeout=20, interval=0.3)
        assert answer(browser) == "answer failed"
        assert "fuse" in browser.text()
        assert browser.too_wide() == []
        assert browser.complaints == []


def test_the_catalog_keeps_what_a_meter_signed_and_nothing_else(plant):
    catalog, _, _ = plant
    key, certificate = enrolled(catalog, "m-1")
    other_key, other_certificate = enrolled(catalog, "m-2")
    address = "/v1/devices/m-1/commissionings"

    def hand_in(signed):
        return catalog.operator("POST", address, json=msgspec.to_builtins(signed))

    good = sign(record_of("m-1"), key, certificate)
    first, second = hand_in(good), hand_in(good)
    assert (first.status_code, first.json()["number"], second.json()) == (201, 1, first.json())
    changed = msgspec.structs.replace(good, record=good.record.replace("Canal", "Other"))
    for wrong, words in (
        (changed, "one that was changed"),
        (sign(record_of("m-1"), other_key, certificate), "one that was changed"),
        (sign(record_of("m-1"), other_key, other_certificate), "whom the certificate names"),
        (sign(record_of("m-2"), other_key, other_certificate), "record.device"),
        (sign(record_of("m-1"), *_stranger()), "found another's"),
        (sign(record_of("m-1", installer=" "), key, certificate), "record.installer"),
        (sign(record_of("m-1", verdicts=(VerdictLine("Clock", "failed", "1970"),)), key, certificate), "record.answer"),
        (msgspec.structs.replace(good, certificate="nonsense"), "the meter's certificate"),
    ):
        refused = hand_in(wrong)
        assert refused.status_code == 422, words
        assert words in refused.text
    assert catalog.operator("POST", address, data=b"{").status_code == 422
    assert catalog.operator("POST", address, data=b"x" * 200_000).status_code == 413
    assert len(catalog.operator("GET", address).json()["items"]) == 1
    assert catalog.operator("GET", f"{address}/2").status_code == 404
    kept = catalog.operator("GET", f"{address}/newest").json()
    assert kept == msgspec.to_builtins(good)
    catalog.operator("POST", "/v1/devices/m-1/revocation", json={})
    assert "in force" in hand_in(sign(record_of("m-1", note="later"), key, certificate)).text
    catalog.operator("DELETE", "/v1/devices/m-1")
    catalog.register("m-1", tenant="somebody-else")
    assert catalog.operator("GET", address).json()["items"] == []
    assert catalog.operator("GET", f"{address}/1").status_code == 404
    with closing(sqlite3.connect(catalog.state / "catalog.db")) as database:
        for change in ("DELETE FROM commissionings", "UPDATE commissionings SET document = ''"):
            with pytest.raises(sqlite3.DatabaseError, match="never changed"):
                database.execute(change)


def _stranger():
    """A key, and a certificate for m-1 of somebody else's authority."""
    authority, key = new_key(), new_key()
    above = authority_certificate("somebody", authority)
    made = authority_certificate("m-1", key, above, authority, ca=False)
    return key, pem(made, above).decode()

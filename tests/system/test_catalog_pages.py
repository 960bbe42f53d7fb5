"""The catalog's pages as people use them: over HTTP as any client, and in a real Chromium without scripts."""

import struct
import time
from pathlib import Path

import pytest
import requests

from tests.support.catalog import CatalogProcess
from tests.support.chromium import Chromium
from tests.support.history import SECOND, HistoryProcess, Speaker, frames
from tests.support.mosquitto import Mosquitto
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

DESCRIPTION = "<script>document.title='taken'</script> school"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    """A catalog with three meters, one of which said ten minutes of frames."""
    state = tmp_path_factory.mktemp("state")
    with (
        Mosquitto() as broker,
        CatalogProcess(state=state) as running,
        HistoryProcess(broker.url, state=state) as history,
    ):
        for name, tenant in (("m-1", "north"), ("m-2", "north"), ("s-9", "south")):
            configuration = {"algorithms": [{"algorithm": "phasors"}], "poll": {"interval": 600, "lease": 2000}}
            credential = running.register(name, tenant=tenant, description=DESCRIPTION, configuration=configuration)
            if name != "m-2":
                running.poll(name, credential, **{"Agent-Applied-Revision": "1"})
        report = {
            "schema": "reported/1",
            "device": "m-1",
            "applied_revision": 1,
            "algorithms": {"phasors": {"version": "0.1.0", "state": "running"}},
            "time": {"synchronised": True, "uncertainty": 2e-5},
            "isolation": {"seccomp": True, "landlock": False},
            "problems": ["its board grows warm"],
            "image": {
                "name": "tresma-rpi",
                "version": "1.1.0",
                "release": 7,
                "slot": "B",
                "state": "trying",
                "before": "1.0.0",
                "update": {"version": "1.1.0", "step": "probation", "rollout": "r-3"},
            },
        }
        assert running.operator("PUT", "/v1/devices/m-1/reported", json=report).status_code == 204
        with Speaker(broker.port, "m-1", tenant="north") as meter:
            meter.say(frames(time.time_ns() - 600 * SECOND, 600))
        wait_until(lambda: history.count("kept") == 600, "everything being kept")
        yield running


class Browser(requests.Session):
    """Follows no redirects, keeps cookies."""

    def __init__(self, catalog, token=None):
        super().__init__()
        self.base = catalog.url
        if token is not None:
            answer = self.page("/login", data={"token": token, "next": "/"})
            assert answer.status_code == 303, answer.text

    def page(self, path, **options):
        method = "POST" if "data" in options else "GET"
        return self.request(method, self.base + path, allow_redirects=False, timeout=10, **options)


def operator(catalog, name, role, tenant=""):
    answer = catalog.operator("POST", "/v1/operators", json={"operator": name, "role": role, "tenant": tenant})
    return answer.json()["token"]


def test_whoever_is_not_logged_in_is_sent_to_the_login_and_back(catalog):
    visitor = Browser(catalog)
    answer = visitor.page("/fleet/m-1?refresh=10")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login?next=%2Ffleet%2Fm-1%3Frefresh%3D10")
    assert "m-1" not in answer.text
    assert visitor.page("/login").status_code == 200
    wrong = visitor.page("/login", data={"token": "guessed" * 5, "next": "/fleet/m-1"})
    assert (wrong.status_code, "Set-Cookie" in wrong.headers) == (401, False)
    assert visitor.page("/login", data={"token": "x" * 10_000}).status_code == 413
    right = visitor.page("/login", data={"token": catalog.token, "next": "/fleet/m-1"})
    assert (right.status_code, right.headers["Location"]) == (303, "/fleet/m-1")
    assert "HttpOnly; SameSite=Strict" in right.headers["Set-Cookie"]
    assert visitor.page("/fleet/m-1").status_code == 200
    assert visitor.page("/login", data={"token": catalog.token, "next": "//evil.example"}).headers["Location"] == "/"
    visitor.page("/logout", data={})
    assert visitor.page("/").status_code == 303


def test_a_token_that_is_void_ends_the_login_with_it(catalog):
    browser = Browser(catalog, operator(catalog, "leaving", "viewer"))
    assert browser.page("/").status_code == 200
    assert catalog.operator("DELETE", "/v1/operators/leaving").status_code < 300
    assert browser.page("/").status_code == 303


def test_the_list_is_filtered_searched_and_paged_as_the_interface_is(catalog):
    browser = Browser(catalog, catalog.token)

    def shown(query=""):
        text = browser.page(f"/{query}").text
        return [name for name in ("m-1", "m-2", "s-9") if f'href="/fleet/{name}"' in text]

    assert shown() == ["m-1", "m-2", "s-9"]
    assert shown("?available=true") == ["m-1", "s-9"]
    assert shown("?tenant=north") == ["m-1", "m-2"]
    assert shown("?algorithm=phasors&tenant=south") == ["s-9"]
    assert shown("?find=M-&available=true") == ["m-1"]
    assert shown("?cursor=m-1") == ["m-2", "s-9"]
    assert shown("?network=nowhere") == []
    assert browser.page("/?network=%3Cb%3E").status_code == 422
    assert browser.page("/fleet/nobody").status_code == 404


def test_pages_are_of_the_operators_tenant_and_role(catalog):
    browser = Browser(catalog, operator(catalog, "south-viewer", "viewer", "south"))
    text = browser.page("/").text
    assert 'href="/fleet/s-9"' in text
    assert "m-1" not in text
    assert browser.page("/fleet/m-1").status_code == 404
    assert browser.page("/audit").status_code == 403
    assert "/audit" not in text
    engineer = Browser(catalog, operator(catalog, "engineer", "engineer"))
    trail = engineer.page("/audit")
    assert trail.status_code == 200
    assert "POST /v1/operators" in trail.text
    assert engineer.page("/rollouts").status_code == 200
    assert engineer.page("/rollouts/r-99").status_code == 404


def test_pages_let_nothing_run_and_are_kept_nowhere(catalog):
    browser = Browser(catalog, catalog.token)
    for path in ("/", "/fleet/m-1", "/rollouts", "/audit", "/login", "/fleet/nobody"):
        answer = browser.page(path)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "<script" not in answer.text
        assert catalog.token not in answer.text


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_a_browser_without_scripts_logs_in_and_reads_everything(catalog, tmp_path, width, height):
    with Chromium(width, height) as browser:
        browser.open(f"{catalog.url}/fleet/m-1")
        assert "Operator" in browser.text()
        browser.fill("#token", catalog.token)
        browser.press_enter()
        assert browser.tell("location.pathname") == "/fleet/m-1"
        assert str(browser.tell("document.title")).startswith("m-1 ")
        text = browser.text()
        for word in ("m-1", DESCRIPTION, "its board grows warm", "Newest frame", "Voltage, last hour", "landlock"):
            assert word in text
        for word in ("Image", "tresma-rpi 1.1.0, release 7", "on trial", "1.0.0, in the other slot"):
            assert word in text
        assert browser.tell("document.documentElement.scrollWidth") <= width
        assert browser.tell("document.querySelectorAll('svg polygon').length") >= 6
        assert browser.tell("getComputedStyle(document.querySelector('.card')).borderRadius") == "10px"
        picture_has_colours(browser.picture(tmp_path / "meter.png"), width)
        browser.open(catalog.url)
        assert "1.1.0 in slot B, on trial" in browser.text()
        for path, word in (("/", "s-9"), ("/rollouts", "Rollouts"), ("/audit", "PUT /v1/devices/m-1/reported")):
            browser.open(catalog.url + path)
            assert word in browser.text()
            assert browser.too_wide() == []
            assert browser.tell("document.documentElement.scrollWidth") <= width
        assert browser.complaints == []


def picture_has_colours(data: bytes, width: int) -> None:
    """See that a picture is one, and no empty page."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", data[16:20])[0] in range(width - 20, width + 1)
    assert len(data) > 20_000


def test_the_style_is_the_one_that_its_hash_allows():
    style = Path("device_catalog/pages/templates/style.css").read_text(encoding="utf-8")
    assert "url(" not in style
    assert "@import" not in style

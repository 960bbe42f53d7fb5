"""Who gets to see the commissioning page: the PIN, sessions, forms, the host asked for, and guessing."""

import asyncio
from urllib.parse import urlencode

import pytest

from agent.commissioning.access import (
    FREE_FOR_ALL,
    FREE_TRIES,
    LONGEST_WAIT,
    Pin,
    Sessions,
    is_own_host,
    is_same_origin,
)
from agent.commissioning.listening import is_served, local_interfaces
from agent.commissioning.messages import Handed
from agent.commissioning.page import View
from agent.commissioning.settings import read_settings
from agent.commissioning.site import Site
from agent.commissioning.state import PageState
from agent.commissioning.verdicts import Judgement, put_together
from agent.commissioning.web import Asked
from agent.errors import ConfigError
from device_catalog.contract.commissioning import Answer

HOST = "tresma-0042.local"


class Hands:
    """A clock that goes when told."""

    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


class Watch:
    """A meter about which nothing is known yet."""

    def __init__(self):
        self.view = View("", put_together([], None, None, now=1.8e9), handed=Handed())
        self.is_over = False
        self.handed_in = []

    def wanted(self):
        pass

    async def hand_in(self, *words):
        self.handed_in.append(words)
        return ""


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def site(hands):
    return Site("tresma-0042", Pin("48151623", hands), Sessions(hands), Watch())


def ask(site, method, path, *, form=None, cookie="", **headers):
    """Ask as a browser that is on the page."""
    sent = {"host": HOST, "cookie": cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = urlencode(form).encode() if form else b""
    if method == "POST":
        sent = {"origin": f"http://{HOST}", "content-type": "application/x-www-form-urlencoded", **sent}
    return asyncio.run(site.answer(Asked(method, path, sent, body, "169.254.7.7", 80)))


def header(answered, name):
    return next((value for key, value in answered.headers if key == name), "")


def log_in(site):
    return header(ask(site, "POST", "/login", form={"pin": "4815 1623"}), "Set-Cookie").partition(";")[0]


def token(site, cookie):
    page = ask(site, "GET", "/finish", cookie=cookie).body.decode()
    return page.partition('name="form" value="')[2].partition('"')[0]


def test_nothing_is_shown_without_the_pin(site):
    for path, status in (("/", 200), ("/live", 401), ("/finish", 401)):
        answered = ask(site, "GET", path)
        assert answered.status == status
        assert b"PIN" in answered.body
        assert b"Voltage" not in answered.body
    assert ask(site, "POST", "/finish", form={"installer": "x"}).status == 303
    assert ask(site, "POST", "/login", form={"pin": "48151624"}).status == 401
    cookie = log_in(site)
    assert b"Not right yet" in ask(site, "GET", "/", cookie=cookie).body
    assert ask(site, "GET", "/live", cookie=cookie).status == 200


def test_guessing_takes_ever_longer_and_a_right_pin_is_never_locked_out_for_long(site, hands):
    for guess in range(FREE_TRIES):
        assert ask(site, "POST", "/login", form={"pin": f"{guess:08d}"}).status == 401
    refused = ask(site, "POST", "/login", form={"pin": "48151623"})
    assert refused.status == 429
    assert 0 < int(header(refused, "Retry-After")) <= LONGEST_WAIT
    tried = 0
    for _ in range(600):  # ten minutes, a try a second
        hands.time += 1.0
        tried += ask(site, "POST", "/login", form={"pin": "00000000"}).status == 401
    assert tried <= 25
    hands.time += LONGEST_WAIT
    assert log_in(site)


def test_a_session_ends_by_itself_by_logging_out_and_with_too_many_others(site, hands):
    cookie = log_in(site)
    assert "HttpOnly; SameSite=Strict" in header(ask(site, "POST", "/login", form={"pin": "48151623"}), "Set-Cookie")
    form = token(site, cookie)
    assert ask(site, "POST", "/logout", form={"form": form}, cookie=cookie).status == 303
    assert ask(site, "GET", "/live", cookie=cookie).status == 401
    second = log_in(site)
    hands.time += 5 * 3600
    assert ask(site, "GET", "/live", cookie=second).status == 401
    first = log_in(site)
    for _ in range(8):
        log_in(site)
    assert ask(site, "GET", "/live", cookie=first).status == 401


def test_a_form_of_another_site_or_another_session_does_nothing(site):
    cookie = log_in(site)
    said = {"installer": "A", "place": "B", "seen": "failed", "known": "failed"}
    good = token(site, cookie)
    for origin in ("http://evil.example", "null", f"https://{HOST}", "http://tresma-0042.local.evil.example"):
        assert ask(site, "POST", "/finish", form={**said, "form": good}, cookie=cookie, origin=origin).status == 403
    assert ask(site, "POST", "/finish", form={**said, "form": "0" * 64}, cookie=cookie).status == 403
    other = token(site, log_in(site))
    assert ask(site, "POST", "/finish", form={**said, "form": other}, cookie=cookie).status == 403
    assert ask(site, "POST", "/finish", form={**said, "form": good}, cookie=cookie).status == 303
    assert not is_same_origin({"host": HOST, "sec-fetch-site": "cross-site"})
    assert is_same_origin({"host": HOST, "sec-fetch-site": "same-origin"})


def test_a_name_that_was_made_to_point_here_gets_nothing(site):
    for host in ("evil.example", "evil.example:80", "", "tresma-0042.local.evil.example", "169.254.7.8", f"{HOST}:81"):
        assert ask(site, "GET", "/", host=host).status == 421
    for host in (HOST, f"{HOST}:80", "169.254.7.7", "TRESMA-0042.local", "tresma-0042"):
        assert ask(site, "GET", "/", host=host).status == 200
    assert is_own_host("10.0.0.1", "m", "::ffff:10.0.0.1", 80)


def test_a_report_needs_a_name_a_place_and_that_a_red_answer_was_seen(site):
    cookie = log_in(site)
    good = {"form": token(site, cookie), "installer": " Zoë  Čapek ", "place": "cabinet <7>", "seen": "failed"}
    for missing in ("installer", "place"):
        answered = ask(site, "POST", "/finish", form={**good, "known": "failed", missing: " "}, cookie=cookie)
        assert answered.status == 422
        assert b"cabinet &lt;7&gt;" in answered.body or missing == "place"
    assert ask(site, "POST", "/finish", form=good, cookie=cookie).status == 422
    changed = {**good, "seen": "passed", "known": "failed"}
    assert b"changed meanwhile" in ask(site, "POST", "/finish", form=changed, cookie=cookie).body
    assert ask(site, "POST", "/finish", form={**good, "note": "x" * 201}, cookie=cookie).status == 422
    red, site._watch.view = site._watch.view, View("m-1", Judgement({}, Answer.PASSED))
    assert b"changed meanwhile" in ask(site, "POST", "/finish", form=good, cookie=cookie).body
    site._watch.view = red
    assert ask(site, "POST", "/finish", form={**good, "known": "failed"}, cookie=cookie).status == 303
    assert site._watch.handed_in == [("Zoë Čapek", "cabinet <7>", "")]


def test_every_answer_forbids_what_a_page_does_not_need(site):
    for path in ("/", "/page.css", "/page.js", "/nowhere"):
        answered = ask(site, "GET", path)
        policy = header(answered, "Content-Security-Policy")
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert header(answered, "X-Frame-Options") == "DENY"
    assert ask(site, "DELETE", "/", cookie=log_in(site)).status == 405


def test_only_the_installers_cables_and_links_without_a_router_are_served():
    assert is_served("eth0", (), "169.254.1.1", "169.254.2.2")
    assert is_served("eth0", (), "::ffff:169.254.1.1", "::ffff:169.254.2.2")
    assert not is_served("eth0", (), "192.168.1.2", "192.168.1.3")
    assert not is_served("eth0", (), "fe80::1%eth0", "2001:db8::1")
    assert is_served("ap0", ("ap0",), "192.168.1.2", "192.168.1.3")
    assert not is_served("eth0", ("ap0",), "192.168.1.2", "192.168.1.3")


def test_modems_and_what_is_down_are_no_installers_cable(tmp_path):
    for name, kind, flags in (
        ("eth0", 1, "0x1003"),
        ("wwan0", 65534, "0x1003"),
        ("eth1", 1, "0x1002"),
        ("lo", 772, "0x9"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
        (tmp_path / name / "flags").write_text(f"{flags}\n")
    assert local_interfaces(tmp_path) == ["eth0"]


def test_settings_name_everything_that_is_wrong(tmp_path):
    file = tmp_path / "commissioning.yaml"
    file.write_text('pin: "48151623"\nname: tresma-0042\ninterfaces: [eth1]\n')
    assert read_settings(file) == ("48151623", "tresma-0042", ("eth1",), 80)
    file.write_text("pin: 12\nname: a.b\ninterfaces: eth1\nport: true\ncolour: red\n")
    with pytest.raises(ConfigError) as refusal:
        read_settings(file)
    said = str(refusal.value)
    assert all(word in said for word in ("pin", "name", "interfaces", "port", "colour"))
    assert "12" not in said.partition("found")[2].partition(";")[0]


def test_a_page_that_is_over_stays_so_until_somebody_reopens_it(tmp_path):
    wanted = tmp_path / "commissioning.reopened"
    state = PageState(tmp_path, wanted)
    assert not state.is_over
    state.close(100.0)
    assert PageState(tmp_path, wanted).is_over
    wanted.write_text("150.0")
    assert not state.is_over
    state.close(200.0)
    assert state.is_over
    state.reopen(50.0)  # a clock that was set back
    assert not state.is_over
    (tmp_path / "page.json").write_text("{")
    assert not state.is_over


# ---- strangers on the same cable


def enter(site, visitor, pin):
    """Try a PIN from an address; return the status."""
    body = urlencode({"pin": pin}).encode()
    sent = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/x-www-form-urlencoded"}
    return asyncio.run(site.answer(Asked("POST", "/login", sent, body, "169.254.7.7", 80, visitor))).status


def test_a_stranger_who_guesses_does_not_lock_out_the_installer(site):
    for _ in range(20):
        enter(site, "fe80::bad%eth0", "00000000")
    assert enter(site, "fe80::bad%eth0", "48151623") == 429
    assert enter(site, "fe80::1%eth0", "48151623") == 303


def test_a_stranger_who_guesses_as_often_as_he_may_for_hours_does_not_lock_out_the_installer(site, hands):
    guessed = 0
    for _ in range(7200):
        hands.time += 1.0
        guessed += enter(site, "fe80::bad%eth0", "00000000") == 401
    assert guessed > 2 * FREE_FOR_ALL
    assert enter(site, "fe80::1%eth0", "48151623") == 303


def test_a_stranger_of_many_addresses_guesses_no_faster_and_locks_nobody_out_who_was_let_in(site, hands):
    assert enter(site, "fe80::1%eth0", "48151623") == 303
    tried = 0
    for number in range(1200):  # twenty minutes, a new address a second
        hands.time += 1.0
        tried += enter(site, f"fe80::{number + 2:x}%eth0", "00000000") == 401
    assert FREE_FOR_ALL < tried <= FREE_FOR_ALL + 45
    assert enter(site, "fe80::ffff:1%eth0", "48151623") == 429
    assert enter(site, "fe80::1%eth0", "48151624") == 401  # their own tries count, as ever
    assert enter(site, "fe80::1%eth0", "48151623") == 303

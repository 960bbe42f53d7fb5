"""What network.yaml becomes on a meter, and what an installer is told where the catalog cannot be reached."""

import contextlib
import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.provisioning import diagnosis
from agent.provisioning.diagnosis import Wanted, look
from agent.provisioning.network_files import ALL, ETHERNET, LTE, MODEM, SUPPLICANT, TIME, WIFI, files
from agent.trust.decisions import RELEASED
from device_catalog.contract.card import Ethernet, Lte, Method, NetworkSettings, WiFi
from device_catalog.contract.enrolment import digest
from tests.support.enrolment import authority_certificate, new_key, pem, write_identity
from tests.support.ports import free_port

CABLE = NetworkSettings()


def sections(text):
    """A file of systemd's as a table: section and name to values."""
    found, section = {}, ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault((section, name), []).append(value)
    return found


def test_a_cable_asks_for_addresses_and_a_static_one_has_its_own():
    dhcp = sections(files(CABLE)[ETHERNET].content)
    assert dhcp["Network", "DHCP"] == ["yes"]
    assert dhcp["Match", "Type"] == ["ether"]
    way = Ethernet(Method.STATIC, "192.0.2.10/24", "192.0.2.1", ("192.0.2.53", "2001:db8::53"))
    static = sections(files(NetworkSettings(way))[ETHERNET].content)
    assert ("Network", "DHCP") not in static
    assert static["Network", "Address"] == ["192.0.2.10/24"]
    assert static["Network", "DNS"] == ["192.0.2.53", "2001:db8::53"]
    assert static["Route", "Gateway"] == ["192.0.2.1"]


def test_a_cable_comes_before_wifi_and_wifi_before_a_mobile_network():
    made = files(NetworkSettings(wifi=WiFi("Cabinet", "correct horse", "DE"), lte=Lte("web.example")))
    metrics = [int(sections(made[place].content)["DHCPv4", "RouteMetric"][0]) for place in (ETHERNET, WIFI, LTE)]
    assert metrics == sorted(metrics)
    assert set(made) == set(ALL) - {TIME}
    # Where no link is required for being online, systemd-networkd-wait-online waits for all its time.
    assert not [place for place in made if "RequiredForOnline" in made[place].content]


def test_no_name_and_no_pass_phrase_can_say_anything_else_in_a_file():
    wifi = WiFi('Ca"b\n}#in', 'quote" and # hash', "DE", hidden=True)
    made = files(NetworkSettings(None, wifi))[SUPPLICANT]
    lines = made.content.splitlines()
    assert f"  ssid={wifi.ssid.encode().hex()}" in lines
    assert f"  sae_password={wifi.psk.encode().hex()}" in lines
    assert "  scan_ssid=1" in lines
    assert not set(made.content.partition("country")[2]) & {'"', "#"}
    assert made.mode == 0o600


def test_the_key_of_a_pass_phrase_is_the_standards():
    """IEEE Std 802.11-2020, J.4.2, test vectors 1 and 2; a key that was given stands as it is."""
    for ssid, phrase, key in (
        ("IEEE", "password", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"),
        ("ThisIsASSID", "ThisIsAPassword", "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af"),
        ("any", "AB" * 32, "ab" * 32),
    ):
        made = files(NetworkSettings(None, WiFi(ssid, phrase, "DE")))[SUPPLICANT].content
        assert f"  psk={key}" in made.splitlines()
        assert ("SAE" in made) == (len(phrase) < 64)


def test_a_pin_of_a_sim_card_is_roots_alone_and_time_servers_are_chronys():
    made = files(NetworkSettings(lte=Lte("web.example", pin="0123"), time_servers=("ntp.example.org",)))
    assert json.loads(made[MODEM].content)["pin"] == "0123"
    assert made[MODEM].mode == 0o600
    assert made[TIME].content.splitlines()[-1] == "server ntp.example.org iburst"


# ---- what is in the way


class Answers(BaseHTTPRequestHandler):
    """Whoever answers in the place of a catalog."""

    def do_GET(self):
        status, kind, content = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Location", "http://login.example.org")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_words):
        pass


@contextlib.contextmanager
def server(answer, context=None):
    """Serve an answer on loopback; give its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        running.answer = answer
        if context is not None:
            running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running.server_port
        finally:
            running.shutdown()
            thread.join()


def authority(anchors):
    return (200, "application/json", json.dumps({"anchors": anchors}).encode())


PAGE = b"<html>Welcome to our network. Please log in."


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "text/html", PAGE), "a log-in page (captive network)"),
        ((302, "text/html", b""), "a log-in page (captive network)"),
        ((511, "text/html", PAGE), "a log-in page (captive network)"),
        ((200, "application/json", b'{"hello": 1}'), "a log-in page (captive network)"),
        ((503, "application/json", b"{}"), "is there and does not serve (503)"),
        (authority("others"), "is not the one that gave this card's token"),
    ],
)
def test_whoever_answers_in_the_place_of_the_catalog_is_recognised(answer, said):
    with server(answer) as port:
        trouble = look(Wanted(f"http://127.0.0.1:{port}", digest(b"ours")), CABLE)
    assert said in trouble.problem
    assert trouble.step == "catalog"
    assert trouble.remedy


def test_nothing_is_in_the_way_of_a_catalog_that_answers():
    with server(authority("ours")) as port:
        assert look(Wanted(f"http://127.0.0.1:{port}", digest(b"ours")), CABLE) is None
        assert look(Wanted(f"http://127.0.0.1:{port}"), CABLE) is None


def test_a_catalog_whose_certificate_is_for_another_name_is_told_by_that(tmp_path):
    root_key, key = new_key(), new_key()
    root = authority_certificate("root", root_key)
    own = authority_certificate("elsewhere.example.org", key, root, root_key, ca=False)
    anchors = pem(root).decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_identity(tmp_path / "server.pem", key, pem(own).decode()))
    with server(authority(anchors), context) as port:
        trouble = look(Wanted(f"https://127.0.0.1:{port}", digest(anchors.encode())), CABLE)
    assert trouble.problem.startswith("the certificate of the catalog at 127.0.0.1 is not believed:")
    assert trouble.step == "catalog"


def test_a_page_behind_tls_is_no_catalog_either(tmp_path):
    key = new_key()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_identity(tmp_path / "server.pem", key, pem(authority_certificate("x", key)).decode()))
    with server((200, "text/html", PAGE), context) as port:
        assert "captive" in look(Wanted(f"https://127.0.0.1:{port}", digest(b"ours")), CABLE).problem


@pytest.mark.parametrize("broken", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_a_file_of_authorities_that_cannot_be_used_is_told_as_that_and_blames_no_network(tmp_path, broken):
    key = new_key()
    anchors = pem(authority_certificate("x", key)).decode()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(write_identity(tmp_path / "server.pem", key, anchors))
    own = tmp_path / "catalog-ca.pem"
    own.write_bytes(broken)
    with server(authority(anchors), context) as port:
        trouble = look(Wanted(f"https://127.0.0.1:{port}", digest(anchors.encode()), str(own)), CABLE)
    assert "the file of authorities (catalog-ca.pem) on this card cannot be used: " in trouble.problem
    assert "put catalog-ca.pem onto the card anew" in trouble.remedy
    assert trouble.needs_somebody


def test_a_catalog_that_does_not_run_and_a_name_that_nobody_knows_are_told(monkeypatch):
    port = free_port()
    trouble = look(Wanted(f"http://127.0.0.1:{port}"), CABLE)
    assert f"the catalog at 127.0.0.1, port {port}, cannot be reached" in trouble.problem

    def unknown(*_words, **_more):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(diagnosis.socket, "getaddrinfo", unknown)
    trouble = look(Wanted("http://catalog.example.org"), CABLE)
    assert (trouble.step, "name servers" in trouble.remedy) == ("network", True)
    assert trouble.problem == "the name catalog.example.org cannot be looked up: Name or service not known"


def test_a_clock_in_1970_is_told_before_a_certificate_is_judged_by_it():
    trouble = look(Wanted("https://127.0.0.1:1"), CABLE, wall=lambda: 86_400.0)
    assert trouble.problem == "the clock says 1970-01-02: no time server has answered yet"
    assert trouble.step == "clock"
    assert look(Wanted("https://127.0.0.1:1"), CABLE, wall=lambda: RELEASED).step == "network"


def test_a_cable_that_is_not_plugged_in_is_told_first(tmp_path):
    for name in ("lo", "eth0", "wlan0"):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
    (tmp_path / "sys/class/net/lo/carrier").write_text("1\n")
    carrier = tmp_path / "sys/class/net/eth0/carrier"
    carrier.write_text("0\n")
    wifi = NetworkSettings(wifi=WiFi("Cabinet", "correct horse", "DE"))
    assert look(Wanted("https://c.example.org"), CABLE, tmp_path).problem == "no network cable is plugged in"
    trouble = look(Wanted("https://c.example.org"), wifi, tmp_path)
    assert trouble.problem == "no network cable is plugged in, and the Wi-Fi network Cabinet is not joined"
    carrier.write_text("1\n")
    assert look(Wanted("https://c.example.org"), CABLE, tmp_path, lambda: 0.0).step == "clock"

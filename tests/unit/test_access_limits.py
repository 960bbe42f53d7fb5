"""How often somebody may ask, and who it is that asks."""

import asyncio
import base64
import hashlib
from urllib.parse import quote_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from device_catalog.access.certificates import Certificates
from device_catalog.access.operators import Operator
from device_catalog.api.callers import STATE, Reception
from device_catalog.api.gateway import Gateway
from device_catalog.api.limits import REMEMBERED, Buckets
from device_catalog.contract.operators import Role

DER = b"a certificate as TLS has it"
PEM = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(DER) + b"\n-----END CERTIFICATE-----\n"


class OneOperator:
    """Knows the token `secret`."""

    def find(self, token):
        return Operator("anna", Role.VIEWER) if token == b"secret" else None


def reception(proxies=()):
    certificates = Certificates()
    certificates.load([(hashlib.sha256(DER).digest(), "m-1", 1000)])
    return Reception(OneOperator(), certificates, proxies, wall=lambda: 500)


def scope(client="192.0.2.7", **headers):
    pairs = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    return {
        "type": "http",
        "method": "GET",
        "path": "/v1/devices",
        "headers": pairs,
        "client": (client, 1),
        "state": {},
    }


@given(st.lists(st.floats(0, 100), max_size=200), st.floats(0.1, 10), st.integers(1, 20))
def test_whatever_the_pattern_no_more_passes_than_rate_and_burst_allow(times, rate, burst):
    buckets, passed = Buckets(rate, burst), 0
    times.sort()
    for now in times:
        passed += buckets.wait("a", now) == 0.0
    span = times[-1] - times[0] if times else 0.0
    assert passed <= burst + span * rate + 1e-6


def test_who_waits_as_long_as_told_is_served():
    buckets = Buckets(rate=2.0, burst=3)
    now = 0.0
    for _ in range(50):
        wait = buckets.wait("a", now)
        if wait:
            now += wait
            assert buckets.wait("a", now) == 0.0
    assert buckets.wait("b", now) == 0.0, "another one is served at once"


def test_however_many_ask_memory_is_bounded():
    buckets = Buckets(rate=1.0, burst=1)
    for number in range(REMEMBERED + 100):
        buckets.wait(number, 0.0)
    assert buckets.wait(0, 0.0) == 0.0, "who asked longest ago is forgotten"
    assert buckets.wait(REMEMBERED + 99, 0.0) > 0.0


def test_an_operator_who_asks_too_much_is_answered_429_and_when_to_come_back():
    answers = []

    async def application(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message):
        if message["type"] == "http.response.start":
            answers.append((message["status"], dict(message["headers"])))

    async def ask():
        limits = (Buckets(0.1, 2), Buckets(0.1, 9), Buckets(0.1, 1))
        gateway = Gateway(None, None, reception(), None, limits, lambda: None, application)
        for headers in (*[{"authorization": b"Bearer secret"}] * 3, {}, {}):
            await gateway(scope(**headers), None, send)

    asyncio.run(ask())
    assert [status for status, _ in answers] == [200, 200, 429, 200, 429]
    assert int(answers[2][1][b"retry-after"]) == 10


def test_a_certificate_counts_until_its_end_and_as_long_as_it_was_not_taken_back():
    gate = reception()
    known = scope()
    known["state"][STATE] = hashlib.sha256(DER).digest()
    assert gate.device(known) == ("m-1", True)
    known["state"][STATE] = hashlib.sha256(b"another").digest()
    assert gate.device(known) == ("", True)
    assert gate.device(scope()) == ("", False)
    certificates = Certificates()
    certificates.load([(b"f", "m-1", 1000)])
    assert (certificates.holder(b"f", 999), certificates.holder(b"f", 1000)) == ("m-1", "")
    certificates.replace("m-1", [])
    assert (certificates.holder(b"f", 0), certificates.enrolled("m-1")) == ("", False)


def test_the_word_of_a_trusted_proxy_is_taken_and_of_nobody_else():
    structured = b":" + base64.b64encode(DER) + b":"
    for header in (structured, quote_from_bytes(PEM).encode()):
        assert reception(["192.0.2.7"]).device(scope(client_cert=header)) == ("m-1", True)
        assert reception().device(scope(client_cert=header)) == ("", False)
        assert reception(["192.0.2.8"]).device(scope(client_cert=header)) == ("", False)
    for nonsense in (b":%%%:", b"-----BEGIN CERTIFICATE-----", b"x" * 100_000, b""):
        assert reception(["192.0.2.7"]).device(scope(client_cert=nonsense))[0] == ""


def test_the_address_in_the_trail_is_the_proxys_clients_and_cannot_be_made_up():
    forwarded = {"x_forwarded_for": b"203.0.113.9, 198.51.100.4"}
    assert reception(["192.0.2.7"]).visit(scope(**forwarded)).address == "198.51.100.4"
    assert reception().visit(scope(**forwarded)).address == "192.0.2.7"

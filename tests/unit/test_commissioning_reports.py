"""A meter's reports on their way: signed by another process, kept, handed in once the catalog is there; on paper."""

import asyncio
import http.server
import io
import json
import os
import stat
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from pypdf import PdfReader

from agent.clock import SystemClock
from agent.commissioning import reports as reports_room
from agent.commissioning.agent_link import AgentLink
from agent.commissioning.desk import MOST, Desk, is_let_in
from agent.commissioning.messages import SOCKET, AgentState, HandIn, Look, Observed, Taken
from agent.commissioning.reports import FILE, Facts, Reports
from agent.config import AgentConfig
from agent.identity.files import Facts as IdentityFacts
from agent.identity.files import Identity
from device_catalog.authority.signed_record import verify
from device_catalog.contract.commissioning import (
    Answer,
    CommissioningEntry,
    SignedRecord,
    digest_of,
)
from device_catalog.pages.commissioning_report import ATTACHMENT, report
from tests.support.commissioning import VERDICTS, record_of, sign
from tests.support.enrolment import authority_certificate, new_key, pem

FACTS = Facts("t", True, 1e-3, 230.0, 50.0, "uldaq, 6400 Hz", ("ua: voltage A, input 0",), {"agent": "0.1.0"}, 3, 7)
OBSERVED = Observed("Zoë", "cabinet 7", "", Answer.PASSED, VERDICTS)


class Catalog(http.server.BaseHTTPRequestHandler):
    """Is away as often as told, then takes what it gets."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_away = type(self).away > 0
        type(self).away -= 1
        if not is_away:
            type(self).taken.append(body)
        answer = b'{"detail": "a moment"}' if is_away else json.dumps({"number": 4, "sha256": "x"}).encode()
        self.send_response(503 if is_away else 201)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_words):
        pass


@pytest.fixture
def catalog():
    handler = type("Handler", (Catalog,), {"away": 1, "taken": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
        server.shutdown()
        thread.join()


def enrolled(state):
    """Give a meter its identity; return the authority that vouches for it."""
    authority, key = new_key(), new_key()
    above = authority_certificate("authority", authority)
    own = authority_certificate("m-1", key, above, authority, ca=False)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    identity = Identity(state)
    identity.make_folder()
    now = datetime.now(UTC)
    identity.keep(IdentityFacts("m-1", 0.0, (now + timedelta(days=1)).timestamp(), 2e9), secret, pem(own))
    return pem(above).decode()


def reports_of(catalog, state):
    return Reports(AgentConfig("m-1", catalog, "secret", state), SystemClock(), lambda: FACTS)


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for knows no event
            await asyncio.sleep(0.02)


def test_a_report_is_signed_kept_and_handed_in_once_the_catalog_is_there_also_after_a_restart(
    catalog, tmp_path, monkeypatch
):
    monkeypatch.setattr(reports_room, "FIRST_WAIT", 0.1)
    address, server = catalog
    anchors = enrolled(tmp_path)

    async def first():
        reports = reports_of("http://127.0.0.1:9", tmp_path)
        assert await reports.make(OBSERVED) == ""
        await until(lambda: reports.handed.problem)
        assert reports.handed.state == "waiting"
        await reports.close()

    async def second():
        reports = reports_of(address, tmp_path)
        reports.load()
        await until(lambda: reports.handed.state == "accepted")
        assert (reports.handed.number, reports.handed.answer) == (4, "passed")
        await reports.close()

    asyncio.run(first())
    asyncio.run(second())
    signed = msgspec.json.decode(server.taken[0], type=SignedRecord)
    verified = verify(signed, anchors)
    assert (verified.device, verified.record.installer, verified.record.software) == ("m-1", "Zoë", {"agent": "0.1.0"})
    assert len(server.taken) == 1
    third = reports_of(address, tmp_path)
    asyncio.run(_load(third))
    assert third.handed.state == "accepted"
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600


async def _load(reports):
    reports.load()
    await reports.close()


def test_what_cannot_be_signed_or_is_no_report_is_said_and_a_damaged_file_is_left_out(tmp_path):
    (tmp_path / FILE).write_text("{")

    async def main():
        reports = reports_of("http://127.0.0.1:9", tmp_path)
        reports.load()
        assert reports.handed.state == "none"
        assert "no certificate yet" in await reports.make(OBSERVED)
        nobody = msgspec.structs.replace(OBSERVED, installer=" ")
        assert "record.installer" in await reports.make(nobody)
        long = msgspec.structs.replace(OBSERVED, verdicts=VERDICTS * 40)
        assert "record.verdicts" in await reports.make(long)
        await reports.close()

    asyncio.run(main())


def test_the_page_is_answered_over_a_socket_and_strangers_users_and_words_end_the_talk(tmp_path):
    reading, writing = os.pipe()
    with closing(os.fdopen(reading, "rb")), closing(os.fdopen(writing, "wb")):

        async def main():
            async def hand_in(observed):
                return f"not {observed.installer}"

            loop = asyncio.get_running_loop()
            desk = Desk(
                tmp_path,
                lambda has_ring: AgentState("m-1", "0.1.0", has_ring=has_ring),
                lambda: [os.dup(reading)],
                lambda observed: loop.create_task(hand_in(observed)),
            )
            desk.open()
            assert [is_let_in(user) for user in (0, os.geteuid(), 54_321)] == [True, True, False]
            link = AgentLink(tmp_path / SOCKET)
            state, fds = await link.ask(Look(ring=True))
            assert (state.device, state.has_ring, len(fds)) == ("m-1", True, 1)
            os.close(fds[0])
            assert (await link.ask(Look()))[1] == []
            assert (await link.ask(HandIn(OBSERVED)))[0] == Taken("not Zoë")
            strange, writer = await asyncio.open_unix_connection(tmp_path / SOCKET)
            writer.write(b"\xff" * 64)
            assert await strange.read(10) == b""
            writer.close()
            others = [await asyncio.open_unix_connection(tmp_path / SOCKET) for _ in range(MOST)]
            assert await others[-1][0].read(10) == b""  # one too many
            for _, one in others:
                one.close()
            assert (await link.ask(Look())) is not None
            desk.close()
            assert await link.ask(Look()) is None
            link.close()

        asyncio.run(main())


def test_paper_carries_the_record_and_says_what_it_says():
    key, authority = new_key(), new_key()
    above = authority_certificate("authority", authority)
    own = authority_certificate("m-1", key, above, authority, ca=False)
    signed = sign(record_of("m-1", place="Łódź, cabinet <7>"), key, pem(own).decode())
    record = verify(signed, pem(above).decode()).record
    received = datetime(2026, 11, 21, 10, 0, 5, tzinfo=UTC)
    fingerprint = x509.load_pem_x509_certificate(pem(own)).fingerprint(hashes.SHA256()).hex()
    entry = CommissioningEntry("m-1", 3, received, digest_of(signed.record), fingerprint, record)
    paper = report(signed, entry)
    assert paper == report(signed, entry)
    read = PdfReader(io.BytesIO(paper))
    assert msgspec.json.decode(read.attachments[ATTACHMENT][0], type=SignedRecord) == signed
    text = " ".join(page.extract_text() for page in read.pages)
    for words in ("This meter works", "cabinet <7>", "230.10", "± 0.1", "not compared", digest_of(signed.record)):
        assert words in text or (words == "not compared" and "follows UTC" in text)


@pytest.mark.parametrize("change", ["record", "signature", "certificate", "anchors", "key"])
def test_a_record_that_was_changed_in_any_part_is_not_verified(change):
    key, authority = new_key(), new_key()
    above = authority_certificate("authority", authority)
    own = authority_certificate("m-1", key, above, authority, ca=False)
    signed, anchors = sign(record_of("m-1"), key, pem(own).decode()), pem(above).decode()
    assert verify(signed, anchors).device == "m-1"
    other = authority_certificate("authority", new_key())
    if change == "record":
        signed = msgspec.structs.replace(signed, record=signed.record.replace("passed", "failed"))
    elif change == "signature":
        signed = msgspec.structs.replace(signed, signature="!" + signed.signature[1:])
    elif change == "certificate":
        changed = authority_certificate("m-1", new_key(), above, authority, ca=False)
        signed = msgspec.structs.replace(signed, certificate=pem(changed).decode())
    elif change == "anchors":
        anchors = pem(other).decode()
    else:
        signed = sign(record_of("m-2"), key, pem(own).decode())
    with pytest.raises(ValueError, match="expected"):
        verify(signed, anchors)

"""The helper that writes root slots: what it believes, what it refuses, and what a kill leaves of a slot."""

import hashlib
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from agent.errors import SlotError, TrustError
from agent.trust.decisions import Reading
from agent.trust.image_fetching import documents_of, fetch_image, root_from
from agent.updates import image_payload
from agent.updates.image_messages import MANIFEST, PayloadQuestion
from agent.updates.image_payload import download
from agent.updates.slots.messages import GOOD, STATUS, TRY, WRITE, Offer, SlotRequest
from agent.updates.slots.offered import judged
from device_catalog.contract.images import payload_path
from tests.support.images import NAME, content_of, image_of, served_names
from tests.support.slot_files import FileSlots
from tests.support.slot_helper import helper
from tests.support.trust import NOW, Dso, ask_fork, endless, saying, serving

CLOCK = Reading(NOW.timestamp(), True)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """A DSO's repository with one image, and one more that nobody signed."""
    folder = tmp_path_factory.mktemp("shelf")
    dso = Dso(folder / "trust")
    manifest, data, payload = image_of(folder)
    dso.at(NOW).add_image(data, payload)
    dso.confirm()
    return dso, manifest, data, payload


def offer_of(dso, data, name=NAME, version="1.1.0", *, now=NOW, state=None):
    """Make what a meter's agent makes of a repository."""
    with serving(dso.folder) as server:
        fetched = fetch_image(
            name,
            version,
            state=state,
            root=dso.root,
            repository=server.url,
            clock=Reading(now.timestamp(), True),
            ask=ask_fork,
        )
        assert fetched.data == data
        return Offer(data.decode(), documents_of(fetched.folder, root_from(server.url, "")))


def judge(offer, dso, state, *, least=0, now=NOW, version="1.1.0"):
    clock = Reading(now.timestamp(), True)
    return judged(offer, NAME, version, state=state, root=dso.root, clock=clock, least=least)


def test_what_the_dso_signed_is_believed_by_meter_and_helper_each_by_itself(shelf, tmp_path):
    dso, manifest, data, _ = shelf
    offer = offer_of(dso, data, state=tmp_path / "agent")
    assert judge(offer, dso, tmp_path / "helper").manifest == manifest


def test_a_subverted_agent_has_nothing_written_that_was_not_signed(shelf, tmp_path):
    dso, _, data, _ = shelf
    offer = offer_of(dso, data, state=tmp_path / "agent")
    evil, forged, _ = image_of(tmp_path / "evil", "1.1.0", 2, kind="other")
    with pytest.raises(TrustError, match="length and hash that are signed"):
        judge(msgspec.structs.replace(offer, manifest=forged.decode()), dso, tmp_path / "one")
    other = Dso(tmp_path / "mallory")
    other.at(NOW).add_image(forged, tmp_path / "evil" / f"{evil.name}-{evil.version}.image")
    other.confirm()
    theirs = offer_of(other, forged, state=tmp_path / "two")
    with pytest.raises(TrustError):
        judge(theirs, dso, tmp_path / "three")
    with pytest.raises(TrustError, match="expected release 3"):
        judge(offer, dso, tmp_path / "four", least=3)
    with pytest.raises(TrustError, match="expired"):
        judge(offer, dso, tmp_path / "five", now=NOW + timedelta(days=3))
    without = {name: text for name, text in offer.documents.items() if "snapshot" not in name}
    with pytest.raises(TrustError):
        judge(msgspec.structs.replace(offer, documents=without), dso, tmp_path / "six")


def test_after_root_keys_were_replaced_a_helper_that_knows_only_the_first_root_follows(tmp_path):
    dso = Dso(tmp_path / "trust")
    dso.at(NOW).change_keys("root", add=[dso.public("carl")])
    dso.confirm()
    dso.at(NOW).change_keys("root", remove=[dso.public("bert").keyid])
    dso.confirm(by="anna bert carl")
    manifest, data, payload = image_of(tmp_path)
    dso.at(NOW).add_image(data, payload)
    dso.confirm()
    offer = offer_of(dso, data, state=tmp_path / "agent")
    assert judge(offer, dso, tmp_path / "helper").manifest == manifest


# ---- downloading


def question(url, folder, rate=1e9):
    return PayloadQuestion(url, str(folder / MANIFEST), str(folder / "payload"), rate)


def test_a_download_goes_on_where_it_was_cut_off_and_keeps_only_pieces_that_are_right(shelf, tmp_path):
    dso, manifest, data, payload = shelf
    (tmp_path / MANIFEST).write_bytes(data)
    content = payload.read_bytes()
    torn = bytearray(content[: len(content) // 2])
    torn[-1] ^= 1
    (tmp_path / "payload").write_bytes(torn)
    with serving(dso.folder) as server:
        download(question(server.url, tmp_path))
        assert server.asked == [f"/targets/{payload_path(manifest)}"]
        assert (tmp_path / "payload").read_bytes() == content
        download(question(server.url, tmp_path))
        assert len(server.asked) == 1  # all of it is there


@pytest.mark.parametrize("how", [endless, saying(b"something else"), saying(b"")])
def test_a_server_that_sends_something_else_is_found_out_after_one_piece(shelf, tmp_path, how):
    dso, manifest, data, _ = shelf
    (tmp_path / MANIFEST).write_bytes(data)
    with serving(dso.folder) as server:
        server.instead[served_names(manifest, data)[1]] = how
        with pytest.raises(TrustError, match=r"other bytes|ended early") as refusal:
            download(question(server.url, tmp_path))
    assert refusal.value.passing
    assert (tmp_path / "payload").stat().st_size == 0


def test_a_download_is_no_faster_than_it_may(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(image_payload, "PART", 4096)
    dso, manifest, data, _ = shelf
    (tmp_path / MANIFEST).write_bytes(data)
    with serving(dso.folder) as server:
        begin = time.monotonic()
        download(question(server.url, tmp_path, rate=4.0 * manifest.payload_length))
    assert time.monotonic() - begin >= 0.2


# ---- the helper as a process


def write(client, folder, payload, tell=lambda _: None):
    """Have an image written."""
    with (folder / "offer").open("rb") as offer, payload.open("rb") as pieces:
        return client.ask(SlotRequest(WRITE, NAME, "1.1.0"), (offer, pieces), tell)


@pytest.fixture
def machine(tmp_path):
    slots = FileSlots(tmp_path / "slots")
    slots.begin(content_of("1.0.0", 1))
    (tmp_path / "about.json").write_bytes(content_of("1.0.0", 1).partition(b"\n")[0])
    return slots


def signed_today(folder):
    """Sign an image by the clock of this machine, which the helper's process has, too; leave an offer of it."""
    today = datetime.now(UTC)
    dso = Dso(folder / "trust", today)
    _, data, payload = image_of(folder / "images")
    dso.at(today).add_image(data, payload)
    dso.confirm(today)
    offer = offer_of(dso, data, now=today, state=folder / "agent")
    (folder / "offer").write_bytes(msgspec.json.encode(offer))
    return dso, payload


def test_the_helper_writes_what_is_signed_restarts_into_it_and_keeps_it(machine, tmp_path):
    dso, payload = signed_today(tmp_path)
    with helper(tmp_path, dso.root) as (client, process):
        with pytest.raises(SlotError, match="expected in slot B an image that was written whole, found nothing"):
            client.ask(SlotRequest(TRY))
        shares = []
        status = write(client, tmp_path, payload, shares.append)
        assert status.other.state == "written"
        assert machine.content("B").startswith(content_of("1.1.0", 2))
        assert shares == sorted(shares)
        assert (machine.record.default, machine.record.armed) == ("A", "")
        client.ask(SlotRequest(TRY))
        assert (tmp_path / "restarted").exists()
        assert machine.boot() == "B"
        (tmp_path / "about.json").write_bytes(machine.content("B").partition(b"\n")[0])
        (tmp_path / "health.json").write_bytes(b'{"schema": "health/1", "healthy": false}')
        assert client.ask(SlotRequest(STATUS)).on_trial
        with pytest.raises(SlotError, match="expected a healthy system"):
            client.ask(SlotRequest(GOOD))
        (tmp_path / "health.json").unlink()
        status = client.ask(SlotRequest(GOOD))
        assert (status.default, status.floor, status.running.state) == ("B", 2, "good")
        # The slot that runs now cannot be written, and what is no longer the default may be.
        evil = tmp_path / "evil"
        evil.write_bytes(payload.read_bytes()[::-1])
        with pytest.raises(SlotError, match="expected piece 0"):
            write(client, tmp_path, evil)
        assert machine.record.states["A"] == "bad"  # half written at most: it is not booted by any path
        assert machine.boot() == "B"
        assert process.poll() is None


def test_a_helper_that_is_killed_while_it_writes_leaves_a_slot_that_is_not_booted(machine, tmp_path):
    dso, payload = signed_today(tmp_path)
    with helper(tmp_path, dso.root) as (client, process), pytest.raises(SlotError):
        write(client, tmp_path, payload, lambda _: process.kill())
    assert machine.record.states["B"] == "bad"
    assert machine.boot() == "A"
    with helper(tmp_path, dso.root) as (client, _):
        with pytest.raises(SlotError, match="written whole, found writing"):
            client.ask(SlotRequest(TRY))
        assert write(client, tmp_path, payload).other.state == "written"
    assert hashlib.sha256(machine.content("B")[:50_000]).digest() == hashlib.sha256(content_of("1.1.0", 2)).digest()


def test_the_agent_itself_never_loads_what_only_its_short_lived_processes_need():
    command = "import sys, agent.service; print(*{'tuf', 'numpy', 'cryptography'}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""

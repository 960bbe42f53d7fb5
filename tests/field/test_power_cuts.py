"""
Power cuts of the image in an emulated machine: at random moments of a start, of running, of an algorithm's update, and
of an image's download, writing and trial. After each the meter comes back from a slot that is whole, and nothing urgent
is lost; and after all of them it can still be given another image.

Needs root and a built image (`make image`), and takes minutes for each cut: ``make test-power-cuts CUTS=50``. What is
true is read from the card itself: its slots are hashed, its data partition is checked by e2fsck after the journal was
replayed, as the kernel does, and every urgent message that was durable at a cut must have come to the broker in the
end. CUTS_SEED repeats the same moments. A line for each cut goes to standard error, and a summary in JSON at the end.
"""

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
import zlib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from agent.delivery.messages import Message
from device_catalog.contract.card import Card, Page
from device_catalog.contract.card_files import write
from device_catalog.contract.packages import read_package
from tests.support.agent import PHASORS
from tests.support.emulated import BUILT, HOST, PROJECT, Emulated, new_card
from tests.support.enrolment import catalog_command, invite
from tests.support.next_image import Images
from tests.support.packages import NAME, package_of
from tests.support.secure_brokers import Peer, SecureBrokers
from tests.support.trust import Dso
from tests.support.waiting import wait_until

CUTS = int(os.environ.get("CUTS", "6"))
SEED = int(os.environ.get("CUTS_SEED", "1"))
SLOWER = float(os.environ.get("TRESMA_SLOWER", "1"))
"""How much slower than an idle machine with two cores this one is."""
BACK = 300.0
"""A start, to the first frame, takes no longer [s]."""
SPANS = {"start": 60.0, "running": 30.0, "algorithm": 40.0, "download": 40.0, "writing": 60.0, "trial": 120.0}
"""A cut comes within this after what it interrupts began [s]."""
REACHED = 1800.0
"""What a meter does by itself, such as writing what it downloaded, begins within this [s]."""

DEVICE = "m-cut"
MIB = 1 << 20
SLOTS = {"A": 136 * MIB, "B": 1672 * MIB}
DATA = 3208 * MIB
"""Where they begin on the card [bytes]."""
SLOT = PROJECT / "packaging/image/files/usr/lib/tresma/slot"

pytestmark = pytest.mark.timeout(int(3600 + CUTS * 1200 * SLOWER))


def say(text):
    sys.stderr.write(f"cuts: {text}\n")
    sys.stderr.flush()


class Plant:
    """A catalog, two brokers, the DSO's repository in the catalog's folder, and what is heard."""

    def __init__(self, folder, brokers):
        self.brokers, self.catalog = brokers, brokers.catalog
        self.dso = Dso(self.catalog.state / "trust", datetime.now(UTC))
        self.images = Images(BUILT / "root.ext4", folder)
        identity = folder / "anna.pem"
        catalog_command(self.catalog, "authority", "client", "anna", f"--output={identity}")
        self.data = Peer(self.catalog, brokers.data, identity)
        self.data.listen(f"v1/default/meters/{DEVICE}/#")
        self.grid = Peer(self.catalog, brokers.grid, identity)
        self.grid.listen("v1/default/#")
        self.release = 0
        self.image = {"name": self.images.about.name, "probation": 20.0, "rate": 100e6}
        self.band = None

    def configuration(self):
        grid, data = (f"mqtts://{HOST}:{url.rpartition(':')[2]}" for url in (self.brokers.grid, self.brokers.data))
        energy = {"algorithm": "energy", "settings": {"interval": 1}}
        return {
            "brokers": {"grid": [grid], "data": [data]},
            "acquisition": {"driver": "simulated", "sample_rate": 6400},
            "algorithms": [{**PHASORS, "publish": 2}, energy, *([self.band] if self.band else [])],
            "poll": {"interval": 5.0, "lease": 30.0},
            "image": self.image,
        }

    def tell(self):
        path = f"/v1/devices/{DEVICE}/configuration"
        answer = self.catalog.operator("PUT", path, json=self.configuration(), headers={"If-Match": "*"})
        assert answer.status_code == 200, answer.text

    def ask_for_an_algorithm(self):
        self.release += 1
        version, now = f"0.1.{self.release}", datetime.now(UTC)
        name, package = package_of(version, self.release)
        self.dso.at(now).add(read_package(name, package), package)
        self.dso.confirm(now)
        reference = {"release": self.release, "length": len(package), "sha256": hashlib.sha256(package).hexdigest()}
        self.band = {"algorithm": NAME, "version": version, "package": reference, "probation": 5.0}
        self.tell()

    def ask_for_an_image(self):
        manifest, data, payload = self.images.next()
        now = datetime.now(UTC)
        self.dso.at(now).add_image(data, payload)
        self.dso.confirm(now)
        payload.unlink()
        reference = {"release": manifest.release, "length": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.image = {**self.image, "version": manifest.version, "package": reference}
        self.tell()

    def image_stands(self):
        """Where the change to the image that was asked for last stands: a step and its reason."""
        image, wanted = self.reported().get("image") or {}, self.image.get("version", "")
        update = image.get("update") or {}
        if not wanted:
            return "none asked for", ""
        if image.get("version") == wanted:
            return "in force", ""
        return (update["step"], update.get("reason", "")) if update.get("version") == wanted else ("not heard of", "")

    def image_settled(self):
        """Whether there is nothing left to do for the image that was asked for last."""
        return self.image_stands()[0] in ("none asked for", "in force", "failed")

    def frames(self):
        return sum(topic.endswith("/frames") for topic, _ in self.data.heard)

    def keys(self):
        """Boot and number of every message that came."""
        heard = [payload for peer in (self.data, self.grid) for _, payload in list(peer.heard)]
        found = (msgspec.json.decode(payload) for payload in heard if payload.startswith(b"{"))
        return {(one["boot"], one["number"]) for one in found if "number" in one and one.get("device") == DEVICE}

    def reported(self):
        return self.catalog.operator("GET", f"/v1/devices/{DEVICE}").json()["reported"]


@pytest.fixture
def plant(tmp_path):
    folder = tmp_path / "plant"
    folder.mkdir()
    with SecureBrokers(folder, names=(HOST,)) as brokers:
        yield Plant(tmp_path, brokers)


@pytest.fixture
def card(plant, tmp_path):
    """A card as an installer makes it."""
    path = new_card(tmp_path / "card.img", BUILT / "card.img", 6 << 30)
    plant.catalog.register(DEVICE, configuration=plant.configuration())
    told = Card(
        DEVICE, f"https://{HOST}:{plant.catalog.port}", invite(plant.catalog, DEVICE).text(), page=Page("48151623")
    )
    written = tmp_path / "card.yaml"
    written.write_bytes(write(told))
    subprocess.run(["mcopy", "-i", f"{path}@@8M", written, "::tresma/card.yaml"], check=True)
    return path


def slots(card):
    done = subprocess.run([sys.executable, SLOT, "--disk", card, "status"], capture_output=True, check=True)
    return json.loads(done.stdout)


def image_in(card, slot, digests):
    """Name the version whose bytes stand in a slot; empty where that is none of them, whole."""
    for length in {length for length, _ in digests.values()}:
        digest = hashlib.sha256()
        with card.open("rb") as file:
            file.seek(SLOTS[slot])
            left = length
            while left:
                part = file.read(min(left, 4 * MIB))
                digest.update(part)
                left -= len(part)
        found = (version for version, known in digests.items() if known == (length, digest.hexdigest()))
        version = next(found, "")
        if version:
            return version
    return ""


def examined(card, folder):
    """Check the data partition as it would be after a start; give what is urgent in it and was durable at the cut."""
    copy = folder / "data.ext4"
    copy.unlink(missing_ok=True)
    size = (card.stat().st_size - DATA) // MIB - 1
    subprocess.run(
        ["dd", f"if={card}", f"of={copy}", "bs=1M", f"skip={DATA // MIB}", f"count={size}", "conv=sparse",
         "status=none"], check=True,
    )  # fmt: skip
    with copy.open("rb") as file:
        if file.read(2048)[1080:1082] != b"\x53\xef":
            return "empty", set()
    subprocess.run(["e2fsck", "-p", copy], capture_output=True, check=False)
    done = subprocess.run(["e2fsck", "-f", "-n", copy], capture_output=True, text=True, check=False)
    for name in ("outbox.db", "outbox.db-wal"):
        (folder / name).unlink(missing_ok=True)
        subprocess.run(["debugfs", "-R", f"dump /tresma/{name} {folder / name}", copy], capture_output=True, check=True)
    copy.unlink()
    return "clean" if done.returncode == 0 else done.stdout[-500:], urgent_of(folder / "outbox.db")


def urgent_of(path):
    if not path.exists() or not path.stat().st_size:
        return set()
    decode = msgspec.msgpack.Decoder(list[Message]).decode
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT content FROM urgent").fetchall()
    database.close()
    return {(one.boot, one.number) for (content,) in rows for one in decode(zlib.decompress(content))}


def wait_for_frames(plant, machine, timeout):
    before = plant.frames()

    def come():
        assert machine.runs, f"the emulator itself was ended: {machine.said()[-1000:]}"
        return plant.frames() > before + 2

    wait_until(come, "frames", timeout=timeout, interval=0.2)


def reach(kind, plant, machine, card):
    """Have the meter begin with what a cut is to interrupt; give what was seen of its beginning."""

    def until(seen, what):
        def come():
            assert machine.runs, f"the emulator itself was ended: {machine.said()[-1000:]}"
            return seen()

        return wait_until(come, what, timeout=REACHED * SLOWER, interval=1.0)

    if kind == "start":
        machine.kill()
        machine.start()
    elif kind == "algorithm":
        plant.ask_for_an_algorithm()
    elif kind == "download":
        until(plant.image_settled, "the last image in force, or given up")
        plant.ask_for_an_image()
        until(lambda: plant.image_stands()[0] == "downloading", "a download")
    elif kind == "writing":
        until(lambda: "being written" in plant.image_stands()[1] or slots(card)["trying"], "an image being written")
    elif kind == "trial":
        until(lambda: slots(card)["trying"] or plant.image_settled(), "the trial of an image")
    step, reason = plant.image_stands()
    return f"{step}: {reason}" if reason else step


def test_a_meter_comes_back_from_every_power_cut(plant, card, tmp_path):
    chance = random.Random(SEED)
    kinds = list(SPANS)
    results, urgent = [], set()
    with Emulated(card, folder=tmp_path) as machine:
        wait_for_frames(plant, machine, BACK * SLOWER)
        say(f"{CUTS} cuts, seed {SEED}; the first image is {plant.images.about.version}")
        for number in range(1, CUTS + 1):
            kind = kinds[(number - 1) % len(kinds)]
            stands = reach(kind, plant, machine, card)
            delay = chance.uniform(0.0, SPANS[kind] * SLOWER)
            time.sleep(delay)
            machine.kill()
            state, durable = examined(card, tmp_path)
            urgent |= durable
            record = slots(card)
            slot = record["default"]
            whole = image_in(card, slot, plant.images.digests)
            began = time.monotonic()
            machine.start()
            try:
                wait_for_frames(plant, machine, BACK * SLOWER)
                taken = time.monotonic() - began
            except AssertionError:
                taken = None
            result = {"cut": number, "during": kind, "after_s": round(delay, 1), "back_s": taken and round(taken, 1)}
            result |= {"image_stood": stands, "trying": record["trying"]}
            result |= {"default": slot, "image": whole or "torn", "data": state, "durable_urgent": len(durable)}
            results.append(result)
            say(", ".join(f"{name} {value}" for name, value in result.items()))
            if taken is None:
                say(machine.said()[-3000:])
                break
        if results[-1]["back_s"] is not None and "version" in plant.image:
            wait_until(
                plant.image_settled, "the last image in force, or given up", timeout=REACHED * SLOWER, interval=2.0
            )
            if plant.image_stands()[0] == "failed":  # its trials were all cut, and it says so
                say(f"given up: {plant.image_stands()[1]}; another image is asked for")
                plant.ask_for_an_image()
            wait_until(
                lambda: plant.image_stands()[0] == "in force", "an image", timeout=REACHED * SLOWER, interval=2.0
            )
            say(f"in force at the end: {plant.image['version']}")
        keys = wait_until(lambda: urgent <= (found := plant.keys()) and found, "all urgent messages", timeout=120.0)
    summary = {
        "cuts": len(results),
        "came_back": sum(one["back_s"] is not None for one in results),
        "default_slot_whole": sum(one["image"] != "torn" for one in results),
        "data_clean": sum(one["data"] in ("clean", "empty") for one in results),
        "slowest_s": max((one["back_s"] or 0.0) for one in results),
        "urgent_durable_at_cuts": len(urgent),
        "urgent_lost": len(urgent - keys),
        "during": Counter(one["during"] for one in results),
    }
    say(json.dumps(summary))
    Path(os.environ.get("CUTS_JSON", tmp_path / "cuts.json")).write_text(json.dumps([summary, *results], indent=1))
    assert summary["came_back"] == summary["default_slot_whole"] == summary["data_clean"] == CUTS, results
    assert summary["urgent_lost"] == 0

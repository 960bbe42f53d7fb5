"""
The image of a meter's card in an emulated arm64 machine: started as on a Pi, by the boot loader, from one of two roots.

The catalog and both brokers run on the host. Needs root and a built image (`make image`; it is built where there is
none), and takes minutes, so it is not part of the ordinary suite: ``make test-image``. Figures go to standard error.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from device_catalog.contract.card import Card, NetworkSettings, Page
from device_catalog.contract.card_files import write
from tests.support.agent import PHASORS
from tests.support.emulated import BUILT, HOST, PROJECT, RASPBERRY, Emulated, add_arguments, new_card
from tests.support.enrolment import catalog_command, invite
from tests.support.secure_brokers import Peer, SecureBrokers
from tests.support.time_server import TimeServer
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(1500)

SLOT = PROJECT / "packaging/image/files/usr/lib/tresma/slot"
MIB = 1 << 20
ROOT_B, DATA = 1672 * MIB, 3208 * MIB
"""Where they begin on the card [bytes]."""
START = 90.0
"""From power on to the first frame [s]; what a slower machine may take is TRESMA_SLOWER times that."""
MEMORY = 250 * MIB
WATCHED = float(os.environ.get("TRESMA_WATCHED", "180"))
"""How long writes are counted [s]."""


def say(text):
    sys.stderr.write(f"image: {text}\n")


@pytest.fixture(scope="session")
def image():
    """The raw card that the build leaves."""
    if not (BUILT / "card.img").exists():
        subprocess.run([PROJECT / "packaging/image/build", PROJECT / "dist"], check=True, timeout=3600)
    return BUILT / "card.img"


@pytest.fixture(scope="module")
def plant(tmp_path_factory):
    """A catalog and two brokers with TLS on this host, which know meters by their certificates."""
    with SecureBrokers(tmp_path_factory.mktemp("plant"), names=(HOST,)) as one:
        yield one


@pytest.fixture(scope="module")
def frames(plant, tmp_path_factory):
    """What an operator hears at the data broker."""
    identity = tmp_path_factory.mktemp("operator") / "anna.pem"
    catalog_command(plant.catalog, "authority", "client", "anna", f"--output={identity}")
    with Peer(plant.catalog, plant.data, identity) as peer:
        peer.listen("v1/default/meters/+/frames")
        yield peer


def flashed(path, image, plant, device, size, *, network=None):
    """Make a card as an installer does: the image, who the meter is, its network, and a token that lets it in once."""
    new_card(path, image, size)
    grid, data = (f"mqtts://{HOST}:{url.rpartition(':')[2]}" for url in (plant.grid, plant.data))
    document = {
        "brokers": {"grid": [grid], "data": [data]},
        "acquisition": {"driver": "simulated", "sample_rate": 6400},
        "algorithms": [PHASORS],
        "poll": {"interval": 10.0, "lease": 35.0},
    }
    plant.catalog.register(device, configuration=document)
    token = invite(plant.catalog, device)
    told = Card(device, f"https://{HOST}:{plant.catalog.port}", token.text(), page=Page("48151623"))
    for name, content in (("card.yaml", told), ("network.yaml", network)):
        if content is not None:
            written = path.with_name(name)
            written.write_bytes(write(content))
            subprocess.run(["mcopy", "-i", f"{path}@@8M", written, f"::tresma/{name}"], check=True)
    return path


@pytest.fixture(scope="module")
def card(image, plant, tmp_path_factory):
    return flashed(tmp_path_factory.mktemp("card") / "card.img", image, plant, "m-1", 6 << 30)


@pytest.fixture(scope="module")
def began():
    """When the machine was switched on [s]; filled by `machine`."""
    return []


@pytest.fixture(scope="module")
def machine(card, frames, began):
    """Switched on, with somebody listening."""
    assert not frames.heard
    with Emulated(card, folder=card.parent) as one:
        began.append(time.monotonic())
        yield one


def wait_for_frames(listener, count, timeout=300.0):
    before = len(listener.heard)
    wait_until(lambda: len(listener.heard) >= before + count, f"{count} frames", timeout=timeout, interval=0.05)


def record(card):
    done = subprocess.run([sys.executable, SLOT, "--disk", card, "status"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def inside(machine):
    return json.loads(machine.run("/usr/lib/tresma/slot status"))


@pytest.mark.usefixtures("machine")
def test_a_flashed_card_is_an_enrolled_and_measuring_meter_within_ninety_seconds(frames, began):
    wait_for_frames(frames, 1)
    taken = time.monotonic() - began[0]
    say(f"power on to enrolled and the first frame at the broker: {taken:.1f} s")
    assert taken <= START * float(os.environ.get("TRESMA_SLOWER", "1"))


def test_everything_started_and_stays_within_its_memory(machine, frames):
    machine.wait_up()
    failed = machine.run("systemctl --failed --plain --no-legend", check=False)
    assert failed.strip() == "", machine.run("journalctl -b -p warning --no-pager | tail -n 80", check=False)
    complaints = machine.run(
        "journalctl -b --no-pager | grep -iE 'unknown key|ordering cycle|unknown section'", check=False
    )
    assert complaints.strip() == ""
    wait_for_frames(frames, 50)
    used = machine.run(
        # A thread of the kernel has no memory of its own to read.
        "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ { sum += $2 } END { print sum }'; "
        "awk '/^MemTotal|^MemAvailable|^Slab|^Shmem:/ { print $1, $2 }' /proc/meminfo"
    ).split()
    say(f"memory of all processes (proportional): {int(used[0]) / 1024:.0f} MiB; {' '.join(used[1:])} kB")
    resident = machine.run("ps -eo rss= 2>/dev/null | awk '{ s += $1 } END { print s }' || true", check=False).strip()
    say(f"resident sets added up, shared pages counted as often as shared: {resident} kB")
    assert int(used[0]) * 1024 <= MEMORY


def test_the_token_is_gone_from_the_card_and_the_meter_says_that_it_is_enrolled(machine):
    assert "token" not in machine.run("cat /boot/firmware/tresma/* 2>/dev/null; true")
    told = json.loads(machine.run("cat /run/tresma/provisioning.json"))
    assert (told["state"], told["device"]) == ("done", "m-1")
    assert machine.run("cat /etc/hostname").strip() == told["host"] == "tresma-m-1"


def test_the_root_is_not_written_and_what_lasts_is_on_data(machine):
    mounts = {line.split()[1]: line.split() for line in machine.run("cat /proc/mounts").splitlines()}
    assert mounts["/"][2] == "overlay"
    assert mounts["/run/tresma-root/below"][3].startswith("ro")
    assert mounts["/boot/firmware"][3].startswith("ro")
    for place in ("/etc/tresma", "/var/lib/tresma", "/var/lib/tresma-slots", "/var/log/journal", "/var/lib/chrony"):
        assert mounts[place][0] == mounts["/data"][0], place
    size = int(machine.run("df --output=size -k /data").split()[-1])
    say(f"DATA on a card of 6 GiB: {size / 1024:.0f} MiB")
    assert size > 2600 * 1024
    assert machine.run("stat -c %u:%a /var/lib/tresma").strip() == "800:700"


def test_the_watchdog_is_armed_and_the_clock_is_asked_for(machine, plant):
    assert machine.run("cat /sys/class/watchdog/watchdog0/state").strip() == "active"
    shown = machine.run("systemctl show --property=RuntimeWatchdogUSec --property=WatchdogDevice")
    assert "RuntimeWatchdogUSec=14s" in shown
    assert machine.run("systemctl is-active chrony systemd-networkd systemd-resolved").split() == ["active"] * 3
    reported = wait_until(
        lambda: plant.catalog.operator("GET", "/v1/devices/m-1").json()["reported"], "a report", timeout=60.0
    )
    assert isinstance(reported["time"]["synchronised"], bool)


def test_the_root_reports_its_health_and_ends_the_count_of_the_last_resort(machine):
    wait_until(
        lambda: machine.run("cat /run/tresma-health/health.json 2>/dev/null", check=False).strip(),
        "a verdict",
        timeout=400.0,
        interval=2.0,
    )
    said = json.loads(machine.run("cat /run/tresma-health/health.json"))
    assert said == {"schema": "health/1", "healthy": True, "problems": []}
    assert inside(machine)["booted"] == "A"
    record_of = "dd if=/dev/vda bs=512 skip=2048 count=1 iflag=direct status=none | tr '\\0' ' '"
    wait_until(lambda: machine.run(record_of).count("slot_left=9") == 1, "its start no longer counting", timeout=60.0)


def test_few_bytes_are_written_to_the_card(machine, frames):
    wait_for_frames(frames, 50)
    made = "grep -l ext4lazyinit /proc/[0-9]*/comm 2>/dev/null"  # once, of what DATA grew by
    wait_until(lambda: not machine.run(made, check=False).strip(), "the tables of DATA", timeout=900.0, interval=5.0)
    before, since = machine.written(), time.monotonic()
    time.sleep(WATCHED)
    taken = time.monotonic() - since
    machine.run("sync")
    added = machine.written() - before
    say(
        f"written to the card in {taken:.0f} s of measuring, 50 frames/s delivered: {added / 1024:.0f} KiB; "
        f"{added / taken * 86400 / MIB:.0f} MiB a day if it goes on like that"
    )


def test_a_hung_service_manager_is_ended_by_the_hardware_watchdog(machine, frames):
    heard = len(machine.said())
    machine.run("kill -SEGV 1")  # the service manager catches it, says so and stands still
    machine.wait_serial("tresma: slot A", timeout=60.0, after=heard)
    wait_for_frames(frames, 50)


def test_a_new_root_is_tried_once_confirmed_or_left(machine, card, frames):
    machine.kill()  # as a power cut
    subprocess.run(
        ["dd", f"if={BUILT / 'root.ext4'}", f"of={card}", "bs=1M", f"seek={ROOT_B // MIB}",
         "conv=notrunc,sparse", "status=none"], check=True,
    )  # fmt: skip
    subprocess.run([sys.executable, SLOT, "--disk", card, "try", "B"], check=True, capture_output=True)

    machine.start()
    machine.run("true", timeout=300.0)
    said = inside(machine)
    assert (said["booted"], said["default"], said["trying"]) == ("B", "A", "B")
    machine.kill()  # before anybody confirmed
    machine.start()
    machine.run("true", timeout=300.0)
    said = inside(machine)
    assert (said["booted"], said["default"], said["trying"]) == ("A", "A", "")
    assert said["slots"]["B"]["state"] == "bad"

    machine.run("/usr/lib/tresma/slot try B; sync; systemctl reboot", check=False)
    wait_until(lambda: "tresma: slot B" in machine.said()[-20000:], "the second trial", timeout=120.0, interval=0.5)
    wait_for_frames(frames, 50)
    said = inside(machine)
    assert (said["booted"], said["trying"]) == ("B", "B")
    assert json.loads(machine.run("/usr/lib/tresma/slot good"))["default"] == "B"
    machine.kill()
    machine.start()
    machine.run("true", timeout=300.0)
    assert inside(machine)["booted"] == "B"


@pytest.mark.parametrize("harm", ["no kernel", "no service manager"])
def test_a_new_root_that_cannot_start_is_left_by_itself(machine, card, frames, harm):
    machine.kill()
    now = record(card)
    broken = "A" if now["default"] == "B" else "B"
    begin = ROOT_B if broken == "B" else ROOT_B - 1536 * MIB
    subprocess.run(
        ["dd", f"if={BUILT / 'root.ext4'}", f"of={card}", "bs=1M", f"seek={begin // MIB}",
         "conv=notrunc,sparse", "status=none"], check=True,
    )  # fmt: skip
    lost = "/boot/vmlinuz" if harm == "no kernel" else "/usr/lib/systemd/systemd"
    subprocess.run(["debugfs", "-w", "-R", f"rm {lost}", f"{card}?offset={begin}"], check=True, capture_output=True)
    subprocess.run([sys.executable, SLOT, "--disk", card, "try", broken], check=True, capture_output=True)
    heard = len(machine.said())
    machine.start()
    machine.wait_serial(f"tresma: slot {broken} was tried and not confirmed", timeout=240.0, after=heard)
    wait_for_frames(frames, 50)
    said = inside(machine)
    assert (said["booted"], said["slots"][broken]["state"]) == (now["default"], "bad")


def test_file_systems_are_clean_after_all_that(machine, card, tmp_path):
    machine.run("systemctl poweroff", check=False)
    machine.wait_ended(90.0)
    done = subprocess.run(["e2fsck", "-f", "-n", f"{card}?offset={DATA}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    firmware = tmp_path / "firmware"
    subprocess.run(
        ["dd", f"if={card}", f"of={firmware}", "bs=1M", "skip=8", "count=128", "status=none"], check=True
    )  # fmt: skip
    subprocess.run(["fsck.vfat", "-n", firmware], check=True, capture_output=True)


def test_the_same_card_starts_a_raspberry_pi_3_which_has_no_clock_of_its_own(image, plant, frames, tmp_path):
    network = NetworkSettings(time_servers=(HOST,))
    card = flashed(tmp_path / "card.img", image, plant, "m-pi", 4 << 30, network=network)
    add_arguments(card, RASPBERRY)
    with TimeServer() as time_server, Emulated(card, folder=tmp_path, kind="raspi3b") as machine:
        began = time.monotonic()
        machine.wait_serial("Starting kernel", timeout=300.0)
        machine.plug_network()
        wait_until(lambda: any("/m-pi/" in topic for topic, _ in frames.heard), "a frame", timeout=900.0, interval=0.5)
        say(f"an emulated Raspberry Pi 3, power on to the first frame: {time.monotonic() - began:.0f} s")
        assert time_server.answered


@pytest.mark.usefixtures("image")
def test_what_the_image_consists_of_is_listed():
    document = json.loads(next((PROJECT / "dist").glob("tresma-rpi-*.cdx.json")).read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.5")
    names = {one["name"] for one in document["components"]}
    assert {"tresma-agent", "python3-scipy", "systemd", "chrony", "raspi-firmware", "u-boot-rpi"} <= names
    packed = next((PROJECT / "dist").glob("tresma-rpi-*.img.zst"))
    say(f"compressed: {packed.stat().st_size / 1e6:.0f} MB, {len(names)} packages")
    assert packed.stat().st_size <= 400e6
    assert Path(f"{packed}.sha256").exists()

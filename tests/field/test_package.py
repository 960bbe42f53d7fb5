"""
The Debian package on a machine with a real service manager: a meter after `dpkg --install`, and what becomes of it.

The catalog and both brokers run on the host. Needs root, and makes a Debian of its own the first time (minutes), so it
is not part of the ordinary suite: ``make test-package``.
"""

import re
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.agent import Plant, configuration
from tests.support.booted import Booted
from tests.support.listener import Listener
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600, func_only=True)  # what the fixtures make has limits of its own

PROJECT = Path(__file__).parents[2]
METER = (
    "systemd-sysv,dbus,udev,ca-certificates,python3,python3-cryptography,python3-h11,python3-msgspec,python3-numpy,"
    "python3-paho-mqtt,python3-requests,python3-scipy,python3-securesystemslib,python3-systemd,python3-tuf,python3-yaml"
)
EXPOSURE = 20
"""Largest exposure that `systemd-analyze security` may find, in tenths."""
MAKING = 2400.0
"""A Debian to build in, or one to boot, from its packages, on a machine that has much else to do [s]."""
WATCHDOG = 30.0
"""Of the unit [s]."""


@pytest.fixture(scope="session")
def packages(tmp_path_factory):
    """Two versions of the package: the one of this tree, and a later one with the same content."""
    folder = tmp_path_factory.mktemp("packages")
    built = []
    for version in ("", "99.0"):
        said = subprocess.run(
            [PROJECT / "packaging/install/package", folder, *([version] if version else [])],
            check=True, capture_output=True, text=True, timeout=MAKING,
        )  # fmt: skip
        built.append(Path(said.stdout.strip()))
    return built


@pytest.fixture(scope="session")
def root():
    """A Debian as a meter has it, before the package."""
    folder = PROJECT / ".roots/meter-trixie"
    subprocess.run([PROJECT / "packaging/install/root", folder, "trixie", METER], check=True, timeout=MAKING)
    return folder


@pytest.fixture
def machine(root):
    with Booted(root) as booted:
        yield booted


@pytest.fixture
def plant():
    with Plant() as one:
        yield one


@pytest.fixture
def frames(plant):
    with Listener(plant.data.port, "v1/default/meters/+/frames") as listener:
        yield listener


def configure(machine, plant, device):
    """Write the meter's few lines, as an installer does."""
    fields = configuration(plant.grid.url, plant.data.url)
    credential = plant.catalog.register(device, configuration=fields)
    (machine.root / "etc/tresma/credential").write_text(credential + "\n")
    (machine.root / "etc/tresma/agent.yaml").write_text(
        f"device: {device}\ncatalog: {plant.catalog.url}\ncredential_file: /etc/tresma/credential\n"
    )
    machine.run("chgrp", "tresma", "/etc/tresma/credential")
    machine.run("chmod", "640", "/etc/tresma/credential")
    machine.run("systemctl", "restart", "tresma-agent")


def wait_for_frames(listener, count):
    before = len(listener.heard)
    wait_until(lambda: len(listener.heard) >= before + count, f"{count} frames", timeout=60.0, interval=0.05)


def measured(listener):
    """When frames were measured [s], each once, in order."""
    times = {item.fields["time"] for item in listener.heard}
    return sorted(datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text)).timestamp() for text in times)


def test_a_package_that_nobody_configured_is_skipped_and_says_nothing_alarming(machine, packages):
    machine.install(packages[0])
    shown = machine.shown("ActiveState", "Result", "UnitFileState")
    assert shown == {"ActiveState": "inactive", "Result": "exec-condition", "UnitFileState": "enabled"}
    assert "0 loaded units" in machine.run("systemctl", "--failed")


def test_an_installed_meter_measures_confined_and_tells_the_service_manager_how_it_goes(
    machine, packages, plant, frames
):
    machine.install(packages[0])
    configure(machine, plant, "m-1")
    wait_for_frames(frames, 50)
    shown = machine.shown("ActiveState", "SubState", "StatusText", "NRestarts", "MemoryCurrent", "MainPID")
    assert (shown["ActiveState"], shown["SubState"], shown["NRestarts"]) == ("active", "running", "0")
    assert shown["StatusText"]
    machine.run("systemd-analyze", "security", f"--threshold={EXPOSURE}", "tresma-agent")
    isolation = wait_until(lambda: (plant.reported("m-1") or {}).get("isolation"), "a report", timeout=30.0)
    # Another user needs root, which the service has not; everything else that confines algorithms must hold.
    assert {name for name, held in isolation.items() if not held} <= {"user"}
    owner = machine.run("stat", "--format=%U %a", "/var/lib/tresma").split()
    assert owner == ["tresma", "700"]
    fields = machine.run("journalctl", "--output=json", "--unit=tresma-agent", "DEVICE_ID=m-1", "--lines=1")
    assert '"DEVICE_ID":"m-1"' in fields


def test_the_check_and_the_manual_are_there_and_other_programs_do_not_see_our_modules(machine, packages, plant, frames):
    machine.install(packages[0])
    configure(machine, plant, "m-1")
    wait_for_frames(frames, 5)
    checked = machine.run("tresma-agent", "check", "--json", check=False)
    assert '"item": "catalog"' in checked
    seen = (
        "import importlib.util as u; print([name for name in ('agent', 'hardware', 'algorithms') if u.find_spec(name)])"
    )
    assert machine.run("python3", "-c", seen).strip() == "[]"
    assert (machine.root / "usr/share/man/man1/tresma-agent.1.gz").exists()
    assert (machine.root / "usr/share/bash-completion/completions/tresma-agent").exists()


def test_the_meter_hears_how_good_its_clock_is_though_it_may_not_ask_the_kernel(machine, packages, plant, frames):
    machine.install(packages[0])
    configure(machine, plant, "m-1")
    wait_for_frames(frames, 5)
    read = ("runuser", "-u", "tresma", "--", "sha256sum", "/run/tresma-clock/quality")
    first = wait_until(lambda: machine.run(*read, check=False), "a first answer", timeout=30.0, interval=0.5)
    wait_until(lambda: machine.run(*read) != first, "a newer answer", timeout=30.0, interval=0.5)
    machine.run("systemd-analyze", "security", f"--threshold={EXPOSURE}", "tresma-clock")


def test_a_meter_that_stands_still_is_ended_by_the_watchdog_and_measures_again(machine, packages, plant, frames):
    machine.install(packages[0])
    configure(machine, plant, "m-1")
    wait_for_frames(frames, 50)
    machine.run("systemctl", "kill", "--signal=STOP", "tresma-agent")
    stopped = time.monotonic()
    wait_until(
        lambda: machine.shown("NRestarts")["NRestarts"] == "1", "a restart", timeout=WATCHDOG + 30.0, interval=0.5
    )
    assert time.monotonic() - stopped < WATCHDOG + 15.0
    wait_for_frames(frames, 50)
    assert "watchdog" in machine.journal().lower()


def test_an_upgrade_and_a_downgrade_under_load_cost_at_most_three_seconds(machine, packages, plant, frames):
    machine.install(packages[0])
    configure(machine, plant, "m-1")
    wait_for_frames(frames, 100)
    for package in reversed(packages):
        machine.install(package)
        wait_for_frames(frames, 100)
    gaps = [after - before for before, after in pairwise(measured(frames))]
    sys.stderr.write(f"largest gap of an upgrade or a downgrade: {max(gaps):.2f} s\n")
    assert max(gaps) <= 3.0
    boots = {boot for boot, _ in frames.keys}
    for boot in boots:
        numbers = sorted({number for one, number in frames.keys if one == boot})
        assert numbers == list(range(numbers[0], numbers[-1] + 1))


def test_what_is_removed_leaves_settings_and_data_and_what_is_purged_leaves_nothing(machine, packages, plant, frames):
    machine.install(packages[0])
    configure(machine, plant, "m-1")
    wait_for_frames(frames, 50)
    (first,) = {boot for boot, _ in frames.keys}
    machine.run("dpkg", "--remove", "tresma-agent")
    assert (machine.root / "etc/tresma/agent.yaml").read_text().startswith("device: m-1")
    assert (machine.root / "var/lib/tresma/outbox.db").exists()
    assert not (machine.root / "usr/lib/tresma").exists()
    machine.install(packages[0])
    wait_for_frames(frames, 50)
    assert max(boot for boot, _ in frames.keys) > first
    (machine.root / "etc/tresma/credential").unlink()
    machine.run("dpkg", "--purge", "tresma-agent")
    left = [name for name in ("etc/tresma", "var/lib/tresma", "usr/lib/tresma") if (machine.root / name).exists()]
    assert left == []

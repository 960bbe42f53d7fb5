"""
The state of this machine: room, memory, time, heat, wear, links. Read from the kernel, a sentence where it is silent.

Where it stands: for `gathering` the whole of it, for `health` the few figures that tell how a meter fared. A service
may be kept from parts of ``/proc`` by its unit; what it cannot see it says.
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.support.bundle import Missing
from agent.support.looking import content_of, said_by
from hardware.timebase_clocks import kernel_clock

_memory = ("MemTotal", "MemFree", "MemAvailable", "SwapTotal", "SwapFree", "Dirty", "Writeback", "Shmem")
_mounts = ("/", "/boot/firmware", "/data", "/var/lib/tresma", "/run", "/tmp")  # noqa: S108 - looked at, not written


def figures(state: Path) -> dict[str, Any]:
    """Give the few figures of a line of health history; what cannot be read is left out."""
    found: dict[str, Any] = {}
    looks: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("disk_free", lambda: _room(state)["free"]),
        ("files_free", lambda: _room(state)["files_free"]),
        ("memory_free", lambda: os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        ("load", lambda: round(os.getloadavg()[0], 2)),
        ("temperature", lambda: max(_temperatures().values())),
    )
    for name, look in looks:
        try:
            found[name] = look()
        except (OSError, ValueError, Missing):  # this kernel, or this unit, does not tell
            continue
    return found


def state_of(state: Path) -> dict[str, Any]:
    """Tell everything; where something cannot be read, why."""
    clock = kernel_clock()
    looks: dict[str, Callable[[], Any]] = {
        "disks": lambda: {str(one): _room(one) for one in dict.fromkeys((*map(Path, _mounts), state)) if one.is_dir()},
        "mounts": _mounted,
        "memory": lambda: _pairs(Path("/proc/meminfo"), _memory),
        "load": lambda: list(os.getloadavg()),
        "pressure": _pressure,
        "temperatures": _temperatures,
        "under_voltage": lambda: _line(Path("/sys/devices/platform/soc/soc:firmware/get_throttled")),
        "card": _card,
        "network": _links,
        "time": lambda: {
            "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "up": round(time.clock_gettime(time.CLOCK_BOOTTIME)),
            "synchronised": clock.uncertainty is not None,
            "uncertainty": clock.uncertainty,
        },
        "time_daemon": lambda: said_by(["chronyc", "-n", "tracking"], 16_384, 5.0).splitlines(),
    }
    return {name: _or_why(look) for name, look in looks.items()}


def versions() -> dict[str, Any]:
    """Tell what this machine and its system are."""
    looks: dict[str, Callable[[], Any]] = {
        "model": lambda: content_of(Path("/proc/device-tree/model"), 256).decode(errors="replace").strip("\0\n "),
        "architecture": platform.machine,
        "kernel": lambda: f"{platform.system()} {platform.release()} {platform.version()}",
        "python": platform.python_version,
        "system": lambda: content_of(Path("/etc/os-release").resolve(), 4096).decode(errors="replace").splitlines(),
        "image": lambda: content_of(Path("/usr/lib/tresma/image.json"), 4096).decode(errors="replace").splitlines(),
        "packages": lambda: said_by(
            ["dpkg-query", "-W", "-f=${Package} ${Version} ${db:Status-Abbrev}\n", *_packages], 16_384, 10.0
        ).splitlines(),
        "security_modules": lambda: _line(Path("/sys/kernel/security/lsm")),
    }
    return {name: _or_why(look) for name, look in looks.items()}


_packages = (
    *("tresma-agent", "python3", "python3-cryptography", "python3-msgspec", "python3-numpy", "python3-paho-mqtt"),
    *("python3-requests", "python3-scipy", "python3-systemd", "python3-tuf", "bubblewrap", "chrony", "systemd"),
    *("libusb-1.0-0", "modemmanager", "wpasupplicant", "u-boot-rpi"),
)


def _or_why(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except (OSError, ValueError, Missing) as error:
        return f"not known: {error}"


def _room(path: Path) -> dict[str, int | bool]:
    status = os.statvfs(path)
    return {
        "size": status.f_blocks * status.f_frsize,
        "free": status.f_bavail * status.f_frsize,
        "files_free": status.f_favail,
        "read_only": bool(status.f_flag & os.ST_RDONLY),
    }


def _mounted() -> list[str]:
    """List what is mounted where, by place, kind and options only."""
    lines = content_of(Path("/proc/self/mounts").resolve(), 256 * 1024).decode(errors="replace").splitlines()
    rows = [line.split() for line in lines]
    return [f"{row[1]} {row[2]} {row[3].partition(',')[0]}" for row in rows if len(row) > 3 and row[1] in _mounts]


def _pairs(path: Path, names: tuple[str, ...]) -> dict[str, str]:
    lines = content_of(path, 64 * 1024).decode(errors="replace").splitlines()
    pairs = {name: text.strip() for name, _, text in (line.partition(":") for line in lines)}
    return {name: pairs[name] for name in names if name in pairs}


def _pressure() -> dict[str, list[str]]:
    folder = Path("/proc/pressure")
    return {one: content_of(folder / one, 1024).decode().splitlines() for one in ("cpu", "io", "memory")}


def _temperatures() -> dict[str, float]:
    """Read every sensor [degrees Celsius]."""
    zones = sorted(Path("/sys/class/thermal").glob("thermal_zone*"))
    found = {zone.name: float(_line(zone.resolve() / "temp")) / 1000 for zone in zones}
    if not found:
        raise Missing("expected a sensor of temperature, found none")
    return found


def _card() -> dict[str, dict[str, str]]:
    """Read what cards say of themselves, wear included."""
    found: dict[str, dict[str, str]] = {}
    for device in sorted(Path("/sys/block").glob("mmcblk[0-9]")):
        facts = {}
        for name in ("life_time", "pre_eol_info", "name", "date", "manfid", "oemid", "fwrev"):
            try:
                facts[name] = _line(device.resolve() / "device" / name)
            except Missing:
                continue
        found[device.name] = facts
    return found


def _links() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for link in sorted(Path("/sys/class/net").iterdir())[:32]:
        found[link.name] = {}
        for name in ("operstate", "carrier", "speed", "carrier_changes"):
            try:
                found[link.name][name] = _line(link.resolve() / name)
            except Missing:
                continue
    return found


def _line(path: Path) -> str:
    return content_of(path, 4096).decode(errors="replace").strip()

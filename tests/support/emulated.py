"""
A meter's card in an emulated arm64 machine (``qemu-system-aarch64 -M virt``), from the boot loader to the agent.

The card's file is all that is kept. What looks inside is given from outside: a unit that the emulator's firmware
configuration hands to the service manager as a credential, and a shell at a port that no other machine has; the image
itself has no way in. The network is the emulator's own, where 10.0.2.2 is the host's loopback.
"""

import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.waiting import wait_until

HOST = "10.0.2.2"
"""The host's loopback, as the machine sees it."""
PROJECT = Path(__file__).parents[2]
BUILT = PROJECT / ".image"
"""Where ``make image`` works: the raw card, and the boot loader of the emulated machine."""

_LOOK = """[Unit]
Description=a test looks inside
DefaultDependencies=no
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh -c 'exec /bin/sh <>/dev/virtio-ports/look >&0 2>&1'
Restart=always
RestartSec=1
StandardOutput=null
StandardError=null
Environment=PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8
"""
_WANTS = """[Unit]
DefaultDependencies=no
Wants=l.service
Conflicts=umount.target
Before=local-fs.target umount.target
[Mount]
What=tmpfs
Where=/tmp
Type=tmpfs
Options=mode=1777,strictatime,nosuid,nodev,size=50%%,nr_inodes=1m
"""
"""What every start needs and has a short name, since that of what the firmware hands over has 55 characters at most."""
_MARK = "--look-ended--"
RASPBERRY = "modprobe.blacklist=bcm2835_wdt,cdc_subset"
"""
What the kernel of an emulated Raspberry Pi is to leave alone: the emulator resets the machine where the watchdog is
armed, not where it runs out; and of two drivers that claim its network, one works, and it has to come first.
"""


def new_card(path: Path, source: Path = BUILT / "card.img", size: int = 6 << 30) -> Path:
    """Copy an image onto a card, which is larger than the image [bytes] as cards are."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", source, path], check=True, timeout=120)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def add_arguments(card: Path, arguments: str) -> None:
    """Have a card's boot loader give the kernel further arguments."""
    with tempfile.TemporaryDirectory() as folder:
        text, script = Path(folder, "boot.cmd"), Path(folder, "boot.scr")
        text.write_text(f"setenv tresma_args {arguments}\n{(PROJECT / 'packaging/image/boot.cmd').read_text()}")
        make: list[str | Path] = ["mkimage", "-A", "arm64", "-T", "script", "-C", "none", "-d", text, script]
        copy: list[str | Path] = ["mcopy", "-o", "-i", f"{card}@@8M", script, "::boot.scr"]
        for command in (make, copy):
            subprocess.run(command, check=True, capture_output=True, timeout=60)


class Emulated:
    """
    One machine, as a context manager; it may be killed (a power cut) and started again over the same card.

    Parameters
    ----------
    card : Path
        Raw image; written.
    folder : Path, optional
        For sockets and what is said on the serial line; a temporary one unless given.
    kind : {"virt", "raspi3b"}
        Into a Raspberry Pi nobody can look, and its card has a power of two of bytes.
    memory : int
        Of a virt machine [MiB].
    options : tuple of str
        Further arguments of the emulator.

    Attributes
    ----------
    serial : Path
        What boot loader, kernel and service manager said, of all starts.
    """

    def __init__(
        self,
        card: Path,
        *,
        folder: Path | None = None,
        kind: str = "virt",
        memory: int = 1024,
        options: tuple[str, ...] = (),
    ) -> None:
        self.card = card
        # Addresses of sockets are short.
        self._folder = Path(tempfile.mkdtemp(prefix="emu-"))
        self.serial = (folder or self._folder) / "serial"
        self._kind = kind
        self._memory = memory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._look: socket.socket | None = None
        (self._folder / "look.service").write_text(_LOOK)
        (self._folder / "tmp.mount").write_text(_WANTS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The emulator's process."""
        assert self._process is not None, "the machine does not run"
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether the emulator is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Switch it on; what happens then is not waited for."""
        for name in ("look", "qmp"):
            (self._folder / name).unlink(missing_ok=True)
        command = ["nice", "-n", "5", "qemu-system-aarch64", "-display", "none", "-monitor", "none"]
        command += ["-qmp", f"unix:{self._folder / 'qmp'},server=on,wait=off"]
        command += ["-chardev", f"file,id=serial,path={self.serial},append=on", "-netdev", "user,id=net"]
        command += self._raspberry() if self._kind == "raspi3b" else self._virt()
        command += self._options
        with (self._folder / "emulator").open("ab") as said:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        wait_until(self._listens, "the emulator listening", timeout=60)
        self._look = self._connect("look") if self._kind == "virt" else None

    def _virt(self) -> list[str]:
        """Tell what a machine without a model consists of."""
        credential = "opt/io.systemd.credentials/systemd"
        return [
            # What an emulator is quickest at; what a Pi 3's processor lacks shows where that is emulated.
            *("-M", "virt", "-cpu", "max,pauth=off", "-smp", "2", "-m", str(self._memory)),
            *("-accel", "tcg,thread=multi"),
            *("-bios", str(BUILT / "u-boot-virt.bin"), "-serial", "chardev:serial"),
            *("-drive", f"file={self.card},format=raw,if=none,id=card,cache=writeback,discard=unmap"),
            *("-device", "virtio-blk-pci,drive=card", "-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *("-device", "virtio-net-pci,netdev=net,romfile="),
            *("-chardev", f"socket,id=look,path={self._folder / 'look'},server=on,wait=off"),
            *("-device", "virtserialport,chardev=look,name=look"),
            *("-device", "i6300esb", "-action", "watchdog=reset"),
            *("-fw_cfg", f"name={credential}.extra-unit.l.service,file={self._folder / 'look.service'}"),
            *("-fw_cfg", f"name={credential}.extra-unit.tmp.mount,file={self._folder / 'tmp.mount'}"),
        ]

    def _raspberry(self) -> list[str]:
        """Tell what a Raspberry Pi 3 consists of; the boot loader and its device tree are the card's own."""
        firmware = BUILT / "firmware"
        return [
            *("-M", "raspi3b", "-accel", "tcg,thread=multi", "-serial", "null", "-serial", "chardev:serial"),
            *("-kernel", str(firmware / "u-boot.bin"), "-dtb", str(firmware / "bcm2837-rpi-3-b.dtb")),
            *("-drive", f"file={self.card},format=raw,if=sd"),
        ]

    def plug_network(self) -> None:
        """
        Plug the network into a Raspberry Pi, once its kernel runs.

        Where it is there from the start, the boot loader uses it, and the kernel then finds its port not connected.
        """
        self.ask("device_add", driver="usb-net", netdev="net")

    def kill(self) -> None:
        """Cut its power."""
        if self._look is not None:
            self._look.close()
            self._look = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=20)
            self._process = None

    def wait_ended(self, timeout: float = 60.0) -> None:
        """Wait for it to switch itself off."""
        assert self._process is not None
        self._process.wait(timeout=timeout)
        self.kill()

    def said(self) -> str:
        """Everything on the serial line so far."""
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def wait_serial(self, text: str, timeout: float = 120.0, *, after: int = 0) -> None:
        """Wait for a text on the serial line, behind the first `after` characters."""
        wait_until(lambda: text in self.said()[after:], f"'{text}' on the serial line", timeout=timeout, interval=0.2)

    def run(self, command: str, *, check: bool = True, timeout: float = 60.0) -> str:
        """Run a command of the shell as root, once there is one, and return what it said."""
        assert self._look is not None, "the machine does not run"
        self._look.settimeout(timeout)
        # Parts of the mark, so that a shell that repeats its input does not say it.
        begun, ended = f"{_MARK}begun", f"{_MARK}ended"
        line = f"printf '%s%s\\n' '{_MARK}' begun; ( {command}\n) </dev/null 2>&1; "
        self._look.sendall(f"{line}printf '%s%s %d\\n' '{_MARK}' ended $?\n".encode())
        heard = b""
        while ended.encode() not in heard or not heard.rpartition(ended.encode())[2].endswith(b"\n"):
            part = self._look.recv(65536)
            assert part, f"the machine went while it ran {command}: {self.said()[-2000:]}"
            heard += part
        text = heard.decode(errors="replace").rpartition(f"{begun}\n")[2]
        answer, _, status = text.rpartition(ended)
        assert not check or status.strip() == "0", f"{command} ended with {status.strip()}: {answer[-4000:]}"
        return answer

    def wait_up(self, timeout: float = 300.0) -> str:
        """Wait until the service manager calls the system started; return its word."""
        word = self.run("systemctl is-system-running --wait", check=False, timeout=timeout)
        return word.strip().splitlines()[-1]

    def written(self) -> int:
        """Bytes that this start wrote to the card."""
        stats = self.ask("query-blockstats")
        return int(next(one["stats"]["wr_bytes"] for one in stats if one.get("device") == "card"))

    def ask(self, command: str, **arguments: str) -> Any:
        """Ask the emulator itself."""
        with self._connect("qmp") as line, line.makefile("rw") as talk:
            talk.readline()
            for order in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                talk.write(json.dumps(order) + "\n")
                talk.flush()
                while "return" not in (answer := json.loads(talk.readline())):
                    assert "error" not in answer, answer
            return answer["return"]

    def _connect(self, name: str) -> socket.socket:
        address = os.fspath(self._folder / name)

        def connected() -> socket.socket | None:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                line.connect(address)
            except ConnectionRefusedError:  # bound, and not listened to yet
                line.close()
                return None
            return line

        line = wait_until(connected, f"the emulator at {name}", timeout=20)
        assert line is not None
        return line

    def _listens(self) -> bool:
        assert self._process is not None
        said = (self._folder / "emulator").read_text(errors="replace")
        assert self._process.poll() is None, f"the emulator ended at once: {said}"
        return all((self._folder / name).exists() for name in (("look", "qmp") if self._kind == "virt" else ("qmp",)))

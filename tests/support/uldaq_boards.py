"""
Imagined boards behind the unmodified `uldaq` wheel: builds the stand-in for libuldaq and tells it what happens.

The wheel wants 103 symbols of the library at import. Those that the stand-in does not write itself are generated here,
from the wheel's own source, as functions that answer "wrong kind of device".
"""

import atexit
import ctypes
import ctypes.util
import functools
import importlib.util
import math
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from algorithms.api.samples import Phase, Quantity
from hardware.source import ChannelRequest

SOURCE = Path(__file__).parent / "libuldaq" / "libuldaq.c"


def build(folder: Path) -> Path:
    """Compile the stand-in in `folder`; return the library."""
    found = importlib.util.find_spec("uldaq")
    if found is None or not found.submodule_search_locations:
        raise AssertionError("expected the wheel uldaq, which the extra [test] installs; found none")
    interface = Path(found.submodule_search_locations[0]) / "ul_c_interface.py"
    wanted = set(re.findall(r"^lib\.(ul\w+)\.argtypes", interface.read_text(encoding="utf-8"), re.MULTILINE))
    written = set(re.findall(r"^(?:unsigned|long long) (ul\w+)\(", SOURCE.read_text(encoding="utf-8"), re.MULTILINE))
    stubs = folder / "stubs.c"
    stubs.write_text("".join(f"unsigned {name}(void) {{ return 3; }}\n" for name in sorted(wanted - written)))
    # Where a real library is installed the wheel asks for it by its versioned name.
    name = ctypes.util.find_library("uldaq") or "libuldaq.so"
    library = folder / name
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-pthread", f"-Wl,-soname,{name}"]
    subprocess.run([*command, str(SOURCE), str(stubs), "-o", str(library), "-lm", "-ldl"], check=True)
    return library


AMPLITUDES = (4.0, 4.0, 4.0, 3.0, 3.0, 3.0)
"""What the imagined boards measure at their first six inputs, peak [V] ..."""
LAG = 0.5
"""... and by how much the last three lag behind the first three [rad]."""


def angle(k: int) -> float:
    """Return the angle of input k, referred to the UTC second [rad]."""
    return -2 * math.pi / 3 * (k % 3) - (LAG if k >= 3 else 0.0)


def wired(order: str = "UUUIII", **facts: float) -> tuple[ChannelRequest, ...]:
    """Three voltages (100 V/V) and three currents (2 A/V) on the first six inputs, in this order."""
    counts = {"U": 0, "I": 0}
    channels = []
    for number, letter in enumerate(order):
        k = counts[letter]
        counts[letter] += 1
        quantity, ratio = (Quantity.VOLTAGE, 100.0) if letter == "U" else (Quantity.CURRENT, 2.0)
        name = f"{letter.lower()}{'abc'[k]}"
        channels.append(ChannelRequest(name, quantity, Phase("ABC"[k]), number, **{"ratio": ratio, **facts}))
    return tuple(channels)


@functools.cache
def loaded_boards() -> "Boards":
    """Return the boards of this process, loaded once: a wheel cannot be loaded anew."""
    folder = Path(tempfile.mkdtemp(prefix="boards-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    boards = Boards(folder)
    boards.load()
    return boards


class Boards:
    """
    What is plugged into this machine, as the stand-in sees it.

    Parameters
    ----------
    folder : Path
        Where the stand-in is built and its orders are written.
    """

    def __init__(self, folder: Path) -> None:
        self.library = build(folder)
        self._orders = folder / "boards"
        self._orders.write_text("")

    def load(self) -> None:
        """Let this process's wheel find the stand-in: a library of that name is there already."""
        ctypes.CDLL(str(self.library), mode=ctypes.RTLD_GLOBAL)

    @property
    def environment(self) -> dict[str, str]:
        """What lets another process's wheel find it, beside the rest of the environment."""
        return {"LD_LIBRARY_PATH": str(self.library.parent)}

    def tell(self, *lines: str) -> None:
        """Order something; taken at the library's next call, or within 2 ms while a scan runs."""
        with self._orders.open("a") as orders:
            orders.write("".join(f"{line}\n" for line in lines))

    def reset(self) -> None:
        """Begin anew, without a board."""
        self.tell("reset")

    def plug_in(self, serial: str = "01AB", product: int = 0x12B, **settings: float) -> str:
        """Plug in a board that measures three voltages of 4 V and three currents of 3 V peak, lagging by 0.5 rad."""
        self.tell(f"board {serial} {product:x}")
        for k, amplitude in enumerate(AMPLITUDES):
            self.tell(f"input {serial} {k} {amplitude} {angle(k)}")
        self.set(serial, **settings)
        return serial

    def set(self, serial: str, **settings: float) -> None:
        """Change what a board does; see the stand-in's `struct board`."""
        self.tell(*(f"set {serial} {name} {value}" for name, value in settings.items()))

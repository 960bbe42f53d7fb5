"""A simulated source that writes down when each of its blocks was read, for measuring how old a frame is on arrival."""

import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from algorithms.api.samples import SampleBlock
from hardware.simulated_source import SimulatedSource

_stamp = struct.Struct("<qq")


class StampedSource(SimulatedSource):
    """
    Option `stamps` names the file; all others are the simulated source's.

    Each entry is the time of the sample after a block's last one [ns UTC], and when the block was read [ns, monotonic].
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        rest = dict(options)
        self._path = Path(rest.pop("stamps"))
        self._file: BinaryIO | None = None
        super().__init__(rest)

    def read(self, timeout: float) -> SampleBlock | None:
        block = super().read(timeout)
        if block is not None:
            now = time.monotonic_ns()
            if self._file is None:
                self._file = self._path.open("ab", buffering=0)
            self._file.write(_stamp.pack(block.end_ns, now))
        return block

    def stop(self) -> None:
        super().stop()
        if self._file is not None:
            self._file.close()
            self._file = None


def read_stamps(path: Path) -> list[tuple[int, int]]:
    """Return the entries there are, oldest first."""
    data = path.read_bytes()
    return list(_stamp.iter_unpack(data[: len(data) - len(data) % _stamp.size]))


def install(folder: Path) -> Path:
    """Make the source known as the driver ``stamped`` to whoever has the folder returned on its path."""
    info = folder / "packages" / "stamped-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stamped\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[tresma.sources]\nstamped = {__name__}:{StampedSource.__name__}\n")
    return info.parent

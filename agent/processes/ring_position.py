"""Where a ring's writer stands, for the agent, which neither maps rings nor loads numpy."""

import os
import struct

_position = struct.Struct("<qq")
_written = struct.Struct("<q")
_OFFSET = 24  # see `agent.processes.ring`


def position_of(fd: int) -> tuple[int, int]:
    """
    Tell where the ring behind `fd` ends.

    Returns
    -------
    end_index : int
        Number of the sample after the last one written; 0 before the first.
    end_ns : int
        Its time [ns UTC]; 0 before the first.
    """
    end_index, end_ns = _position.unpack(os.pread(fd, _position.size, _OFFSET))
    return int(end_index), int(end_ns)


def written_at(fd: int) -> int:
    """Tell when the last block was written to the ring behind `fd` [ns, monotonic]; 0 before the first."""
    (when,) = _written.unpack(os.pread(fd, _written.size, _OFFSET + _position.size))
    return int(when)

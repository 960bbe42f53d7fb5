"""
The ring of sample blocks in shared memory: one sampler writes, any number of algorithms read.

Where it stands: between `sampling` (writer) and `algorithm_loop` (readers), each in its own process. The agent only
hands the file descriptor on, and reads the position of a dead sampler's ring (`ring_position`, without numpy).

Rules:

- The writer never waits for a reader. A reader that is too slow finds its blocks overwritten, counts the samples it
  missed, and goes on with the oldest ones left.
- A reader never sees a torn block: it copies a slot, then compares the slot's sequence number before and after, and the
  checksum of what it copied. The checksum holds also on processors that reorder writes (ARM).
- Readers cannot write: the memory is sealed (`ring_memory`).
- Each reader is woken through a pipe of its own. An eventfd would be one open file for both sides, so that a hostile
  reader could make it blocking, fill it, and stop the sampler; the two ends of a pipe are two open files.

Memory: a page with the layout, then slots of one block each. Numbers are little endian, and aligned::

    0   magic "TSMRING1"       8   bytes of header and of layout document (2 x u32)
    16  blocks written (u64)   24  end_index (i64)   32  end_ns (i64)   40  when it was written (i64, monotonic ns)
    64  layout document (msgpack)
    slot: sequence (u64: 2 n + 1 while block n is written, 2 n + 2 after), first_index (i64), time_ns (i64),
          time_uncertainty (f64), sample_rate (f64), samples written before it (u64), flags (u32), n_samples (u32),
          rate_uncertainty (f32), CRC-32 (u32); from byte 64 the values, (n_channels, n_samples)
"""

import struct
import time
import zlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from agent.processes.channel import decoder_of
from agent.processes.ring_memory import NamedMemory, RingMemory, SealedMemory
from algorithms.api.samples import Channel, SampleBlock, SampleFlag

_MAGIC = b"TSMRING1"
_FIXED = struct.Struct("<8sII")
_SLOT = struct.Struct("<QqqddQIIfI")
_CHECKED = slice(8, 60)  # of a slot's head: all but the sequence and the checksum itself [bytes]
_BODY = 64  # where values begin in a slot, and the layout document in the header [bytes]
_PAGE = 4096
_ATTEMPTS = 3


class Layout(msgspec.Struct, frozen=True):
    """
    What a ring holds.

    Attributes
    ----------
    sample_rate : float
        Granted [Hz]; each block tells its own.
    channels : tuple of Channel
    block_samples : int
        Most samples per channel in one slot.
    slots : int
    dtype : str
        ``float32`` (24 bits of mantissa: better than any 16 or 18 bit board) or ``float64``.
    """

    sample_rate: float
    channels: tuple[Channel, ...]
    block_samples: int
    slots: int
    dtype: Literal["float32", "float64"] = "float32"

    @property
    def slot_size(self) -> int:
        """Bytes of one slot, a multiple of 64."""
        values = len(self.channels) * self.block_samples * np.dtype(self.dtype).itemsize
        return _BODY + -(-values // 64) * 64


def layout_for(
    sample_rate: float,
    channels: Sequence[Channel],
    block_samples: int,
    history: float,
    dtype: Literal["float32", "float64"] = "float32",
) -> Layout:
    """Lay out a ring that keeps at least `history` seconds, and never fewer than 8 blocks."""
    blocks = history * sample_rate / block_samples
    return Layout(sample_rate, tuple(channels), block_samples, max(8, int(-(-blocks // 1)) + 2), dtype)


class RingWriter:
    """
    The writing side.

    Parameters
    ----------
    layout : Layout
    memory : type of RingMemory
    """

    def __init__(self, layout: Layout, memory: type[SealedMemory | NamedMemory] = SealedMemory) -> None:
        document = msgspec.msgpack.encode(layout)
        header_size = -(-(_BODY + len(document)) // _PAGE) * _PAGE
        self.layout = layout
        self.memory = memory.create(header_size + layout.slots * layout.slot_size)
        buffer = self.memory.buffer
        _FIXED.pack_into(buffer, 0, _MAGIC, header_size, len(document))
        buffer[_BODY : _BODY + len(document)] = document
        self._views: _Views | None = _Views(buffer, layout, header_size)
        self._number = 0
        self._position = 0

    def write(self, block: SampleBlock) -> None:
        """Write a block, in several slots where it is longer than one."""
        size = self.layout.block_samples
        if block.n_samples <= size:
            self._write(block.values, block.first_index, block.time_ns, block, block.flags)
            return
        for start in range(0, block.n_samples, size):
            time_ns = block.time_ns + round(start / block.sample_rate * 1e9)
            flags = block.flags if start == 0 else block.flags & ~SampleFlag.LOST
            self._write(block.values[:, start : start + size], block.first_index + start, time_ns, block, flags)

    def _write(
        self, values: NDArray[Any], first_index: int, time_ns: int, block: SampleBlock, flags: SampleFlag
    ) -> None:
        views = self._views
        if views is None:
            raise RuntimeError("the ring is closed")
        n_channels, n_samples = values.shape
        if n_channels != len(self.layout.channels):
            raise ValueError(f"expected {len(self.layout.channels)} channels, found {n_channels}")
        number = self._number
        slot = number % self.layout.slots
        offset = views.offset(slot)
        views.sequence[slot] = 2 * number + 1
        data = views.values[slot][: n_channels * n_samples]
        data[:] = values.reshape(-1)
        fields = (
            first_index,
            time_ns,
            block.time_uncertainty,
            block.sample_rate,
            self._position,
            int(flags),
            n_samples,
            block.rate_uncertainty,
        )
        _SLOT.pack_into(views.buffer, offset, 2 * number + 1, *fields, 0)
        head = views.buffer[offset + _CHECKED.start : offset + _CHECKED.stop]
        checksum = zlib.crc32(data, zlib.crc32(head, number & 0xFFFFFFFF))
        _SLOT.pack_into(views.buffer, offset, 2 * number + 1, *fields, checksum)
        views.end[0] = first_index + n_samples
        views.end[1] = time_ns + round(n_samples / block.sample_rate * 1e9)
        views.end[2] = time.monotonic_ns()
        views.sequence[slot] = 2 * number + 2
        self._number = number + 1
        views.head[0] = number + 1
        self._position += n_samples

    def close(self) -> None:
        """Let go of the ring; readers keep what is in it. May come twice."""
        if self._views is not None:
            self._views = None
            self.memory.close()


class RingReader:
    """
    A reading side.

    Parameters
    ----------
    memory : RingMemory
        Opened for reading; owned from now on.
    history : float
        How far back to begin, as far as there is anything [s]; 0 for the next block written.

    Attributes
    ----------
    layout : Layout
    lost_samples : int
        Per channel, overwritten before they were read.
    """

    def __init__(self, memory: RingMemory, history: float = 0.0) -> None:
        buffer = memory.buffer
        magic, header_size, length = _FIXED.unpack_from(buffer, 0)
        if magic != _MAGIC:
            raise ValueError(f"expected a ring of sample blocks, found memory that begins with {magic!r}")
        self.layout: Layout = decoder_of(Layout).decode(buffer[_BODY : _BODY + length])
        self.lost_samples = 0
        self._memory: RingMemory | None = memory
        self._views = _Views(buffer, self.layout, header_size)
        self._dtype = np.dtype(self.layout.dtype)
        self._position: int | None = None
        self._interrupted = False
        self._next = self._first(history)

    def interrupted(self) -> None:
        """Say that samples before the next block were missed, as when this ring replaces a dead sampler's."""
        self._interrupted = True

    def read(self) -> SampleBlock | None:
        """Return the next block, or None until there is one. Samples missed show in its flags."""
        while (number := self._next) < (head := int(self._views.head[0])):
            if head - number >= self.layout.slots:
                self._overrun(head)
                continue
            block = self._block(number)
            if block is not None:
                self._next = number + 1
                return block
            head = int(self._views.head[0])
            if head - number < self.layout.slots - 1:
                self._next = number + 1  # damaged where it should not be: missed
            else:
                self._overrun(head)
        return None

    @property
    def waiting(self) -> int:
        """Blocks written and not read yet."""
        return int(self._views.head[0]) - self._next

    def close(self) -> None:
        """Let go of the ring; may come twice."""
        if self._memory is not None:
            del self._views
            self._memory.close()
            self._memory = None

    def _overrun(self, head: int) -> None:
        # A slow reader that took the oldest would be overrun again at once.
        self._next = max(self._next + 1, head - self.layout.slots + 1 + self.layout.slots // 8)

    def _block(self, number: int) -> SampleBlock | None:
        views, layout = self._views, self.layout
        slot = number % layout.slots
        offset = views.offset(slot)
        for _ in range(_ATTEMPTS):
            if int(views.sequence[slot]) != 2 * number + 2:
                return None
            copy = self._copy(offset, self._used(offset))
            if int(views.sequence[slot]) != 2 * number + 2:
                return None
            _, first_index, time_ns, uncertainty, rate, position, flags, n_samples, off, checksum = _SLOT.unpack_from(
                copy
            )
            n_values = len(layout.channels) * n_samples
            end = _BODY + n_values * self._dtype.itemsize
            view = memoryview(copy)
            seed = zlib.crc32(view[_CHECKED], number & 0xFFFFFFFF)
            if end > len(copy) or zlib.crc32(view[_BODY:end], seed) != checksum:
                continue
            flags = SampleFlag(flags) if flags else SampleFlag.NONE  # making one takes longer than all else here
            if self._position is not None and position != self._position:
                self.lost_samples += position - self._position
                flags |= SampleFlag.LOST
            if self._interrupted:
                flags |= SampleFlag.LOST
                self._interrupted = False
            self._position = position + n_samples
            values = np.frombuffer(copy, self._dtype, n_values, _BODY).reshape(len(layout.channels), n_samples)
            return SampleBlock(values, layout.channels, rate, first_index, time_ns, uncertainty, flags, off)
        return None

    def _used(self, offset: int) -> int:
        """Return how much of a slot is in use, within its bounds whatever the slot says [bytes]."""
        n_samples = min(_SLOT.unpack_from(self._views.buffer, offset)[7], self.layout.block_samples)
        used: int = _BODY + len(self.layout.channels) * int(n_samples) * self._dtype.itemsize
        return used

    def _copy(self, offset: int, used: int) -> bytes:
        return bytes(self._views.buffer[offset : offset + used])

    def _first(self, history: float) -> int:
        head = int(self._views.head[0])
        oldest = max(0, head - self.layout.slots + 1)
        wanted = history * self.layout.sample_rate
        number = head
        while number > oldest and wanted > 0:
            number -= 1
            wanted -= _SLOT.unpack_from(self._views.buffer, self._views.offset(number % self.layout.slots))[7]
        return number


class _Views:
    """The parts of a ring's memory as arrays, aligned so that each number is read and written whole."""

    def __init__(self, buffer: memoryview, layout: Layout, header_size: int) -> None:
        expected = header_size + layout.slots * layout.slot_size
        if len(buffer) < expected:  # portable memory is rounded up to pages
            raise ValueError(f"expected a ring of {expected} bytes, found {len(buffer)}")
        size = layout.slot_size
        itemsize = np.dtype(layout.dtype).itemsize
        count = (size - _BODY) // itemsize
        self._start, self._size = header_size, size
        self.buffer = buffer
        self.head = np.ndarray((1,), np.uint64, buffer, 16)
        self.end = np.ndarray((3,), np.int64, buffer, 24)
        self.sequence = np.ndarray((layout.slots,), np.uint64, buffer, header_size, (size,))
        self.values = np.ndarray((layout.slots, count), layout.dtype, buffer, header_size + _BODY, (size, itemsize))

    def offset(self, slot: int) -> int:
        return self._start + slot * self._size

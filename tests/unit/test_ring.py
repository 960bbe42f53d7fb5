"""The ring of sample blocks: what is written is read unchanged, or counted as lost."""

import fcntl
import mmap
import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.processes.ring import Layout, RingReader, RingWriter, layout_for
from agent.processes.ring_memory import NamedMemory, SealedMemory
from agent.processes.ring_position import position_of, written_at
from algorithms.api.samples import Channel, Phase, Quantity, SampleBlock, SampleFlag

CHANNELS = (Channel("ua", Quantity.VOLTAGE, Phase.A, skew=1e-6), Channel("ia", Quantity.CURRENT, Phase.A))
RATE = 1000.0
BLOCK = 10


def layout(slots: int = 8) -> Layout:
    return Layout(RATE, CHANNELS, BLOCK, slots)


def block(first: int, count: int = BLOCK, flags: SampleFlag = SampleFlag.NONE) -> SampleBlock:
    row = np.arange(first, first + count, dtype=np.float32)
    return SampleBlock(np.stack([row, -row]), CHANNELS, RATE, first, 1_000_000 * first, 1e-6, flags)


def reader_of(writer: RingWriter, history: float = 0.0, kind: type[RingReader] = RingReader) -> RingReader:
    memory = writer.memory
    if isinstance(memory, SealedMemory):
        return kind(SealedMemory.open(os.dup(memory.fd)), history)
    return kind(NamedMemory.open(memory.name), history)


@pytest.fixture(params=[SealedMemory, NamedMemory])
def writer(request):
    ring = RingWriter(layout(), request.param)
    yield ring
    ring.close()


def test_a_block_is_read_as_it_was_written(writer):
    reader = reader_of(writer)
    assert reader.layout == layout()
    assert reader.read() is None
    written = replace(block(100, flags=SampleFlag.CLIPPED), rate_uncertainty=0.5**20)
    writer.write(written)
    found = reader.read()
    assert found.rate_uncertainty == 0.5**20
    np.testing.assert_array_equal(found.values, written.values)
    assert (found.channels, found.sample_rate, found.first_index) == (CHANNELS, RATE, 100)
    assert (found.time_ns, found.time_uncertainty, found.flags) == (100_000_000, 1e-6, SampleFlag.CLIPPED)
    assert not found.values.flags.writeable
    assert reader.read() is None
    reader.close()
    reader.close()
    np.testing.assert_array_equal(found.values, written.values)


def test_a_block_longer_than_a_slot_is_split_without_a_gap(writer):
    reader = reader_of(writer)
    writer.write(block(0, 25, SampleFlag.LOST))
    parts = [reader.read() for _ in range(3)]
    assert [(part.first_index, part.n_samples, part.time_ns) for part in parts] == [
        (0, 10, 0),
        (10, 10, 10_000_000),
        (20, 5, 20_000_000),
    ]
    assert [part.flags for part in parts] == [SampleFlag.LOST, SampleFlag.NONE, SampleFlag.NONE]
    assert reader.lost_samples == 0
    reader.close()


def test_a_reader_that_begins_late_finds_the_history_it_asks_for(writer):
    for number in range(6):
        writer.write(block(number * BLOCK))
    for history, first in ((0.0, None), (0.005, 50), (0.03, 30), (float("inf"), 0)):
        reader = reader_of(writer, history)
        found = reader.read()
        assert (found and found.first_index) == first
        reader.close()


def test_a_slow_reader_counts_what_it_missed_and_goes_on(writer):
    reader = reader_of(writer)
    writer.write(block(0))
    assert reader.read().first_index == 0
    for number in range(1, 30):
        writer.write(block(number * BLOCK))
    found = reader.read()
    assert found.flags == SampleFlag.LOST
    assert reader.lost_samples == found.first_index - BLOCK > 0
    rest = []
    while (more := reader.read()) is not None:
        rest.append(more.first_index)
        assert more.flags == SampleFlag.NONE
    assert rest[-1] == 290
    reader.close()


def test_gaps_of_the_source_are_not_counted_as_lost_by_the_reader(writer):
    reader = reader_of(writer)
    writer.write(block(0))
    writer.write(block(500, flags=SampleFlag.LOST))
    assert [reader.read().first_index, reader.read().first_index] == [0, 500]
    assert reader.lost_samples == 0
    reader.close()


def test_a_reader_of_a_replacing_ring_marks_its_first_block(writer):
    reader = reader_of(writer)
    reader.interrupted()
    writer.write(block(0))
    writer.write(block(10))
    assert [reader.read().flags, reader.read().flags] == [SampleFlag.LOST, SampleFlag.NONE]
    reader.close()


def test_nobody_but_the_writer_can_write_to_a_sealed_ring():
    ring = RingWriter(layout())
    memory = ring.memory
    assert isinstance(memory, SealedMemory)
    assert memory.sealed
    attempts: list[Callable[[], object]] = [
        lambda: mmap.mmap(memory.fd, mmap.PAGESIZE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE),
        lambda: os.pwrite(memory.fd, b"x", 0),
        lambda: os.ftruncate(memory.fd, 0),
        lambda: os.ftruncate(memory.fd, 1 << 20),
        lambda: fcntl.fcntl(memory.fd, 1033, 0),
        lambda: os.posix_fallocate(memory.fd, 0, 1 << 20),
        lambda: mmap.mmap(
            os.open(f"/proc/self/fd/{memory.fd}", os.O_RDWR), 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE
        ),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionError):
            attempt()
    reader = reader_of(ring)
    ring.write(block(0))  # the owner still can
    assert reader.read().first_index == 0
    reader.close()
    ring.close()


def test_the_agent_finds_the_position_without_mapping():
    ring = RingWriter(layout())
    memory = ring.memory
    assert isinstance(memory, SealedMemory)
    assert (*position_of(memory.fd), written_at(memory.fd)) == (0, 0, 0)
    before = time.monotonic_ns()
    ring.write(block(70))
    assert position_of(memory.fd) == (80, 80_000_000)
    assert before <= written_at(memory.fd) <= time.monotonic_ns()
    ring.close()


def test_what_is_no_ring_is_refused():
    fd = os.memfd_create("other")
    os.ftruncate(fd, 4096)
    with pytest.raises(ValueError, match="expected a ring of sample blocks"):
        RingReader(SealedMemory.open(fd))


def test_a_damaged_slot_is_counted_as_lost_and_not_delivered():
    ring = RingWriter(layout())
    reader = reader_of(ring)
    ring.write(block(0))
    ring.write(block(10))
    ring.write(block(20))
    ring._views.values[1][3] = 12345.0
    assert reader.read().first_index == 0
    found = reader.read()
    assert (found.first_index, found.flags, reader.lost_samples) == (20, SampleFlag.LOST, BLOCK)
    reader.close()
    ring.close()


def test_a_ring_keeps_the_history_asked_for():
    wanted = layout_for(6400.0, CHANNELS, 128, history=5.0)
    assert (wanted.slots - 2) * wanted.block_samples >= 5.0 * 6400.0
    assert wanted.slot_size % 64 == 0


class Interrupted(RingReader):
    """A reader during whose copying the writer goes on, as on another core."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def _copy(self, offset: int, used: int) -> bytes:
        half = used // 2
        first = bytes(self._views.buffer[offset : offset + half])
        self.meanwhile()
        return first + bytes(self._views.buffer[offset + half : offset + used])


@settings(max_examples=150, deadline=None)
@given(
    slots=st.integers(3, 9),
    steps=st.lists(st.tuples(st.sampled_from("wr"), st.integers(1, 14), st.integers(0, 12)), max_size=40),
)
def test_every_sample_is_read_right_or_counted_as_lost(slots, steps):
    """Whatever the interleaving, also with writes in the middle of a copy."""
    ring = RingWriter(layout(slots))
    reader = reader_of(ring, kind=Interrupted)
    written = read = 0
    last_end = 0

    def write(count: int = 1) -> None:
        nonlocal written
        for _ in range(count):
            ring.write(block(written))
            written += BLOCK

    def take() -> bool:
        nonlocal read, last_end
        found = reader.read()
        if found is None:
            return False
        expected = np.arange(found.first_index, found.end_index, dtype=np.float32)
        np.testing.assert_array_equal(found.values, np.stack([expected, -expected]))
        assert found.first_index >= last_end
        assert bool(found.flags & SampleFlag.LOST) == (found.first_index > last_end)
        last_end = found.end_index
        read += found.n_samples
        return True

    write()  # what a reader misses before its first block is not its loss
    assert reader.read() is not None
    read, last_end = BLOCK, BLOCK
    for kind, count, meanwhile in steps:
        if kind == "w":
            write(count)
            continue
        pending = [meanwhile]
        reader.meanwhile = lambda pending=pending: write(pending.pop()) if pending else None
        for _ in range(count):
            take()
    reader.meanwhile = lambda: None
    while take():
        pass
    assert read + reader.lost_samples == written == last_end
    reader.close()
    ring.close()

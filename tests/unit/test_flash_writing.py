"""An image is whole on a card, or the card does not boot: whatever breaks, and whenever."""

import errno
import os
import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_catalog.operator.flashing.errors import TargetRefused, WritingFailed
from device_catalog.operator.flashing.media import DiskMedium
from device_catalog.operator.flashing.targets import look
from device_catalog.operator.flashing.writing import HEAD, write

IMAGE = 9 * 1024 * 1024
CARD = 12 * 1024 * 1024
NOISE = random.Random(1).randbytes(IMAGE)
OLD = b"\xee" * 510 + b"\x55\xaa"


class Source:
    """An image in memory."""

    def __init__(self, size=IMAGE):
        self.size = size
        self.content = (b"n" * 510 + b"\x55\xaa" + NOISE)[:size].ljust(size, b"n")

    def read(self, offset, length=4 * 1024 * 1024):
        return self.content[offset : offset + length]


class CardInMemory:
    """A card that held another image; it breaks where it is told to."""

    def __init__(self, size=CARD, breaks_at=10**9, error=errno.EIO):
        self.size, self.is_new = size, False
        self.content = bytearray(OLD.ljust(size - 512, b"\xee") + b"EFI PART".ljust(512))
        self.durable = bytes(self.content)
        self.steps, self.breaks_at, self.error = 0, breaks_at, error
        self.read = lambda data: data
        self.gone = ""

    def _step(self):
        self.steps += 1
        if self.steps >= self.breaks_at:
            raise OSError(self.error, os.strerror(self.error))

    def write(self, offset, data):
        self._step()
        assert offset + len(data) <= self.size
        self.content[offset : offset + len(data)] = data

    def sync(self):
        self._step()
        self.durable = bytes(self.content)

    def read_back(self, offset, length):
        self._step()
        return self.read(bytes(self.content[offset : offset + length]))

    def look_again(self):
        if self.gone:
            raise WritingFailed(self.gone)

    def end_at(self, size):
        assert size <= self.size

    @property
    def boots(self):
        return self.durable[510:512] == b"\x55\xaa"


def test_what_is_written_is_the_image_and_what_was_behind_it_brings_nothing_back():
    card, source, told = CardInMemory(), Source(), []
    write(source, card, lambda *words: told.append(words))
    assert card.durable[:IMAGE] == source.content
    assert b"EFI PART" not in card.durable
    assert told[-1] == ("reading back", IMAGE, IMAGE)
    assert {what for what, _, _ in told} == {"writing", "reading back"}


def steps_of_a_whole_run():
    card = CardInMemory()
    write(Source(), card)
    return card.steps


def test_whenever_power_or_hand_ends_it_the_card_does_not_boot():
    whole = steps_of_a_whole_run()
    for step in range(2, whole + 1):
        card = CardInMemory(breaks_at=step, error=errno.ENXIO)
        with pytest.raises(WritingFailed, match="taken out half-way"):
            write(Source(), card)
        # What was not synced may be there or not: neither is a partition table before all else was read back.
        if 3 < step < whole - 1:
            assert card.content[510:512] != b"\x55\xaa", step
            assert not card.boots, step


def test_the_first_thing_that_is_made_durable_is_that_it_does_not_boot():
    card = CardInMemory(breaks_at=4)
    with pytest.raises(WritingFailed):
        write(Source(), card)
    assert not card.boots
    assert card.durable[HEAD : 2 * HEAD] == b"\xee" * HEAD


@given(st.integers(HEAD, IMAGE - 1))
@settings(max_examples=8, deadline=None)
def test_a_single_wrong_bit_on_reading_back_is_found(place):
    class Worn(CardInMemory):
        def read_back(self, offset, length):
            data = bytearray(super().read_back(offset, length))
            if offset <= place < offset + length:
                data[place - offset] ^= 1
            return bytes(data)

    card = Worn()
    with pytest.raises(WritingFailed, match=f"other bytes at {place / 1e6:.1f} MB.*worn out"):
        write(Source(), card)
    assert not card.boots


def test_a_card_that_is_smaller_than_it_says_is_found():
    class Wraps(CardInMemory):
        """What is beyond 6 MiB lands at the beginning, as with counterfeit cards."""

        def write(self, offset, data):
            for at in range(0, len(data), 512):
                super().write((offset + at) % (6 * HEAD), data[at : at + 512])

        def read_back(self, offset, length):
            return b"".join(
                super(Wraps, self).read_back((offset + at) % (6 * HEAD), 512) for at in range(0, length, 512)
            )

    card = Wraps()
    with pytest.raises(WritingFailed, match="smaller than it says"):
        write(Source(), card)
    assert not card.boots


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errno.ENOMEDIUM, "taken out half-way"),
        (errno.EIO, "input/output error"),
        (errno.EROFS, "worn-out cards do that"),
        (errno.ENOSPC, "no more room"),
        (errno.EPERM, "cannot be written"),
    ],
)
def test_what_went_wrong_is_said_in_one_sentence(error, said):
    with pytest.raises(WritingFailed, match=said):
        write(Source(), CardInMemory(breaks_at=6, error=error))


def test_a_card_that_was_exchanged_before_the_first_byte_is_left_as_it_is():
    card = CardInMemory()
    card.gone, before = "exchanged", card.durable
    with pytest.raises(WritingFailed, match="exchanged"):
        write(Source(), card)
    assert (card.durable, bytes(card.content)) == (before, before)


def test_a_card_that_was_exchanged_meanwhile_is_not_made_bootable():
    card = CardInMemory()

    def exchanged(what, _done, _all):
        card.gone = "exchanged" if what == "reading back" else ""

    with pytest.raises(WritingFailed, match="exchanged"):
        write(Source(), card, exchanged)
    assert not card.boots


def test_an_interruption_ends_it_soon():
    card, stop = CardInMemory(), threading.Event()
    stop.set()
    with pytest.raises(WritingFailed, match="interrupted"):
        write(Source(), card, stop=stop)
    assert not card.boots


# ---- files that stand for cards


def test_a_file_is_written_read_back_and_blank_parts_of_a_new_one_stay_holes(tmp_path):
    source, path = Source(4 * IMAGE), tmp_path / "card.img"
    source.content = source.content[:HEAD] + bytes(4 * IMAGE - HEAD - 512) + b"e" * 512
    with DiskMedium(look(path)) as medium:
        write(source, medium)
    assert path.read_bytes() == source.content
    assert path.stat().st_blocks * 512 < IMAGE


def test_a_file_that_is_being_written_is_written_by_nobody_else(tmp_path):
    path = tmp_path / "card.img"
    path.write_bytes(bytes(CARD))
    disk = look(path)
    with DiskMedium(disk), pytest.raises(TargetRefused, match="somebody else"):
        DiskMedium(disk)


@pytest.mark.parametrize("change", ["shorter", "exchanged", "removed"])
def test_a_file_that_changes_meanwhile_is_not_called_done(tmp_path, change):
    path = tmp_path / "card.img"
    path.write_bytes(bytes(CARD))

    def meddle(what, done, _all):
        if what != "writing" or done < IMAGE:
            return
        if change == "shorter":
            os.truncate(path, CARD - HEAD)
        else:
            path.rename(tmp_path / "away.img")
            if change == "exchanged":
                path.write_bytes(bytes(CARD))

    with DiskMedium(look(path)) as medium, pytest.raises(WritingFailed, match=r"exchanged|changed meanwhile"):
        write(Source(), medium, meddle)
    for file in tmp_path.iterdir():
        assert file.read_bytes()[:512] == bytes(512)
